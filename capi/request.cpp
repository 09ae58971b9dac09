#include "capi/request.h"

#include <cmath>
#include <cstddef>
#include <cstring>
#include <new>
#include <string>

#include "base/error.h"

namespace qmse::capi {
namespace {

// A buffer, since there may be no memory for a string.
thread_local char last_error[1024] = "";

void remember(const char* text) noexcept {
  std::strncpy(last_error, text, sizeof(last_error) - 1);
  last_error[sizeof(last_error) - 1] = '\0';
}

// The first version's struct: what every caller has.
constexpr std::size_t kFirstSize = sizeof(qmse_loss_args);

void check_choice(const char* name, std::int32_t value, std::int32_t count) {
  if (value < 0 || value >= count) {
    throw ConfigError(std::string("qmse_loss_args.") + name + " is " + std::to_string(value) +
                      ", must be 0 to " + std::to_string(count - 1));
  }
}

void check_integer_type(const char* name, std::int32_t dtype) {
  if (dtype != QMSE_INT32 && dtype != QMSE_INT64) {
    throw ConfigError(std::string("qmse_loss_args.") + name + " must be QMSE_INT32 or QMSE_INT64, not " +
                      std::to_string(dtype));
  }
}

}  // namespace

qmse_loss_args checked(const qmse_loss_args* given) {
  if (given == nullptr) throw ShapeError("qmse_loss_args: the pointer is null");
  if (given->size < kFirstSize) {
    throw ConfigError("qmse_loss_args.size is " + std::to_string(given->size) + ", must be at least " +
                      std::to_string(kFirstSize) + " (sizeof(qmse_loss_args))");
  }
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  for (std::size_t at = sizeof(qmse_loss_args); at < given->size; ++at) {
    if (bytes[at] != 0) {
      throw ConfigError("qmse_loss_args: the field at byte " + std::to_string(at) +
                        " is not known to this libqmse_loss (ABI version " +
                        std::to_string(QMSE_ABI_VERSION) + "); take a newer library, or leave it zero");
    }
  }
  const qmse_loss_args args = *given;
  check_choice("loss", args.loss, 5);
  check_choice("dtype", args.dtype, 2);
  if (args.batch < 0) {
    throw ShapeError("qmse_loss_args.batch is " + std::to_string(args.batch) + ", must not be negative");
  }
  if (args.classes < 1 || args.classes > std::int64_t{1} << 30) {
    throw ShapeError("qmse_loss_args.classes is " + std::to_string(args.classes) + ", must be 1 to 2^30");
  }
  if (!std::isfinite(args.loss_scale) || !std::isfinite(args.gradient_scale)) {
    throw ConfigError("qmse_loss_args: loss_scale and gradient_scale must be finite");
  }
  if (args.threads < 0) {
    throw ConfigError("qmse_loss_args.threads is " + std::to_string(args.threads) + ", must not be negative");
  }
  if (args.v != nullptr && !draws(args)) {
    throw ConfigError("qmse_loss_args.v: only QMSE_LOSS_QMSE and QMSE_LOSS_MSE_NOISE draw v");
  }
  if (draws(args)) qmse_options(args.v_distribution, args.v_scope, args.q_gradient, args.seed);
  if (args.batch == 0) return args;
  if (args.outputs == nullptr) throw ShapeError("qmse_loss_args.outputs is null");
  if ((args.labels == nullptr) == (args.targets == nullptr)) {
    throw ShapeError("qmse_loss_args: give either labels or dense targets");
  }
  if (args.labels != nullptr) check_integer_type("label_dtype", args.label_dtype);
  if (draws(args) && args.step == nullptr) throw ShapeError("qmse_loss_args.step is null");
  if (needs_sample_ids(args) && args.sample_ids != nullptr) {
    check_integer_type("sample_id_dtype", args.sample_id_dtype);
  }
  return args;
}

QmseOptions qmse_options(std::int32_t distribution, std::int32_t scope, std::int32_t q_gradient,
                         std::uint64_t seed) {
  check_choice("v_distribution", distribution, 2);
  check_choice("v_scope", scope, 2);
  check_choice("q_gradient", q_gradient, 2);
  QmseOptions options;
  options.distribution =
      distribution == QMSE_V_SPHERE ? DirectionDistribution::sphere : DirectionDistribution::rademacher;
  options.scope = scope == QMSE_V_PER_SAMPLE ? DirectionScope::per_sample : DirectionScope::per_batch;
  options.q_gradient = q_gradient == QMSE_Q_CONSTANT ? QGradient::constant : QGradient::full;
  options.seed = seed;
  return options;
}

std::int32_t report_exception() noexcept {
  try {
    throw;
  } catch (const ShapeError& error) {
    remember(error.what());
    return QMSE_ERROR_SHAPE;
  } catch (const CudaError& error) {
    remember(error.what());
    return QMSE_ERROR_CUDA;
  } catch (const RangeError& error) {
    remember(error.what());
    return QMSE_ERROR_RANGE;
  } catch (const OutOfMemory& error) {
    remember(error.what());
    return QMSE_ERROR_MEMORY;
  } catch (const std::bad_alloc&) {
    remember("out of memory");
    return QMSE_ERROR_MEMORY;
  } catch (const std::exception& error) {
    remember(error.what());
    return QMSE_ERROR_CONFIGURATION;
  } catch (...) {
    remember("unknown exception");
    return QMSE_ERROR_CONFIGURATION;
  }
}

}  // namespace qmse::capi

uint32_t qmse_abi_version(void) { return QMSE_ABI_VERSION; }

const char* qmse_last_error(void) { return qmse::capi::last_error; }
