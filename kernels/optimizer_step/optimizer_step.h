// One step of an optimizer over a flat buffer, whatever its rule. A rule (sgd.h is the shortest) is a struct:
//
//   struct SgdRule {
//     static constexpr const char* kName = "sgd";             // of --optimizer
//     static constexpr const char* kLabel = "SGD";            // for people
//     static constexpr double kUsualRate = 0.01;              // the learning rate where none is given
//     static constexpr const char* kStates[] = {"momentum"};  // buffers it may keep: names in checkpoints
//
//     struct Hyper { double momentum = 0.0; };                // its numbers
//     template <class Numbers, class Visit>                   // Hyper, const or not: its numbers' settings
//     static void options(Numbers& hyper, Visit&& visit) { visit("momentum", hyper.momentum); }
//     template <class T>                                      // T: float or double
//     static void validate(const Hyper&);                     // throws ConfigError
//
//     using Kept = KeptStates<0, 1>;                          // sets of buffers that it may keep, a bit each
//     static unsigned kept(const Hyper& hyper);               // the set that it keeps with these numbers
//
//     template <class T> struct Step {                        // a step's numbers, in the buffers' type
//       Step() = default;                                     // uninitialised: may lie in shared memory
//       QMSE_HOST_DEVICE Step(const Hyper&, double learning_rate, std::uint64_t steps_taken);
//       template <unsigned kept>                              // one element; states[k] where bit k is set
//       QMSE_HOST_DEVICE void update(T gradient, T& w, T (&states)[kMaxOptimizerStates]) const;
//     };
//   };
//
// rules.h lists the rules. States start at zero. C++17: included by device code.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include "base/host_device.h"
#include "device/context.h"

namespace qmse {

inline constexpr int kMaxOptimizerStates = 3;

template <unsigned... sets>
using KeptStates = std::integer_sequence<unsigned, sets...>;

// Every pointer is to device memory.
template <class T>
struct OptimizerArgs {
  std::int64_t n = 0;
  T* weights = nullptr;                   // [n]
  const T* gradients = nullptr;           // [n]
  T* states[kMaxOptimizerStates] = {};    // [n] each; those that the rule does not keep may be null
  const std::uint64_t* step = nullptr;    // one number: the steps taken before this one
  const double* learning_rate = nullptr;  // one number
  const std::int64_t* held = nullptr;     // one number: from 0 up nothing is updated; null: always is

  QMSE_HOST_DEVICE bool is_held() const { return held != nullptr && *held >= 0; }
};

template <class Rule, class T>  // float or double
void optimizer_step(CpuContext&, const typename Rule::Hyper&, const OptimizerArgs<T>&);
template <class Rule, class Gpu, class = std::enable_if_t<!std::is_same_v<Gpu, CpuContext>>>
void optimizer_step(Gpu&, const typename Rule::Hyper&, const OptimizerArgs<float>&);

}  // namespace qmse
