// The CPU's side of every rule.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/residual_loss/residual_loss.h"
#include "kernels/row_loss/row_loss_cpu.h"

namespace qmse {

template <class Rule, class T>
void residual_loss_rows(CpuContext& context, const RowLossArgs<T>& args) {
  constexpr bool kElements = IsSumOverElements<Rule>::value;
  check_row_loss_args(Rule::kName, args);
  const Rule rule(args.classes);
  for_ranges(context.threads(), args.batch, range_items(args.classes),
             [&](std::int64_t begin, std::int64_t end) {
               alignas(32) T r[kRowBlock];
               for (std::int64_t index = begin; index < end; ++index) {
                 const CpuRow<T> row(args, index);
                 double residual_sq = 0;
                 double loss = 0;
                 row.for_blocks([&](std::int64_t first, std::int64_t count) {
                   row.residual_block(first, count, r);
                   residual_sq += static_cast<double>(block_dot(r, r, count));
                   if constexpr (kElements) {
                     for (std::int64_t i = 0; i < count; ++i) {
                       loss += rule.element_value(static_cast<double>(r[i]));
                     }
                   }
                 });
                 if constexpr (!kElements) loss = rule.value(residual_sq);
                 store_row_values(args, index, loss, residual_sq, row.correct(!std::isnan(residual_sq)));
                 row.store_residual();
                 if (row.gradient == nullptr) continue;
                 T factor = static_cast<T>(gradient_scale(args));
                 if constexpr (!kElements) {
                   factor = static_cast<T>(gradient_scale(args) * rule.factor(residual_sq));
                 }
                 row.for_blocks([&](std::int64_t first, std::int64_t count) {
                   if (row.classes > kRowBlock) row.residual_block(first, count, r);
                   for (std::int64_t i = 0; i < count; ++i) {
                     if constexpr (kElements) {
                       row.gradient[first + i] = factor * rule.element_gradient(r[i]);
                     } else {
                       row.gradient[first + i] = factor * r[i];
                     }
                   }
                 });
               }
             });
}

template <class Rule>
void residual_loss(CpuContext& context, const RowLossArgs<float>& args) {
  residual_loss_rows<Rule>(context, args);
}
template <class Rule>
void residual_loss(CpuContext& context, const RowLossArgs<double>& args) {
  residual_loss_rows<Rule>(context, args);
}

}  // namespace qmse
