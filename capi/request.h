// What the two backends of the C interface share: arguments taken over and checked, and exceptions
// made codes.
#pragma once

#include <cstdint>
#include <stdexcept>

#include "capi/qmse_loss.h"
#include "kernels/qmse/qmse.h"

namespace qmse::capi {

// A label or a sample id out of range.
class RangeError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The arguments with every field that this library knows, checked but for labels and sample ids. Fields that
// a newer caller has and that are not zero are a ConfigError.
qmse_loss_args checked(const qmse_loss_args* args);

// The choices among QMSE's options, checked.
QmseOptions qmse_options(std::int32_t distribution, std::int32_t scope, std::int32_t q_gradient,
                         std::uint64_t seed);

inline bool draws(const qmse_loss_args& args) {
  return args.loss == QMSE_LOSS_QMSE || args.loss == QMSE_LOSS_MSE_NOISE;
}
inline bool needs_sample_ids(const qmse_loss_args& args) {
  return draws(args) && args.v_scope == QMSE_V_PER_SAMPLE;
}

// A status for whatever is thrown, and the text for qmse_last_error().
std::int32_t report_exception() noexcept;

// The result of a function that throws: QMSE_OK, or what report_exception() says.
template <class Body>
std::int32_t guarded(const Body& body) noexcept {
  try {
    body();
    return QMSE_OK;
  } catch (...) {
    return report_exception();
  }
}

}  // namespace qmse::capi
