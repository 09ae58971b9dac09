// Losses that depend on the residual r = y - f alone. Each is a rule: a plain struct (C++17: device code
// includes it) with the formula of one sample, once for both backends; the rest stands here once. rules.h
// lists them.
//
//   static constexpr const char* kName, *kLabel;      in settings and files; for people
//   static double value_of_zeros(double c);           of a sample: c outputs that are 0, a one-hot target
//   explicit Rule(std::int64_t c);                    for rows of c outputs
//
// and, where the loss depends on ||r||^2 alone,
//
//   template <class T> T value(T residual_sq) const;  the loss
//   template <class T> T factor(T residual_sq) const; times r: its gradient with respect to f
//
// or, where it is a sum over the outputs,
//
//   template <class T> T element_value(T r) const;    an output's part of the loss
//   template <class T> T element_gradient(T r) const; its derivative with respect to f: minus that to r
#pragma once

#include <type_traits>
#include <utility>

#include "device/context.h"
#include "kernels/row_loss/row_loss.h"

namespace qmse {

// Which of the two forms a rule has.
template <class Rule, class = void>
struct IsSumOverElements : std::false_type {};
template <class Rule>
struct IsSumOverElements<Rule, std::void_t<decltype(std::declval<const Rule&>().element_value(0.0f))>>
    : std::true_type {};

// Value and, where args.gradient is given, gradient; times args.scale.
template <class Rule>
void residual_loss(CpuContext&, const RowLossArgs<float>& args);
template <class Rule>
void residual_loss(CpuContext&, const RowLossArgs<double>& args);
template <class Rule, class Gpu, class = std::enable_if_t<!std::is_same_v<Gpu, CpuContext>>>
void residual_loss(Gpu&, const RowLossArgs<float>& args);

}  // namespace qmse
