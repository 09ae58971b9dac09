// The CPU's side of every loss that draws v; see QmseRule.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/qmse/qmse.h"
#include "kernels/row_loss/row_loss_cpu.h"

namespace qmse {

// v of the row at hand. Threads keep it from call to call, so that steps allocate nothing once each thread
// has seen the longest row.
inline float* direction_scratch(std::int64_t classes) {
  thread_local std::vector<float> scratch;
  if (static_cast<std::int64_t>(scratch.size()) < classes) scratch.resize(static_cast<std::size_t>(classes));
  return scratch.data();
}

inline const float* widened(const float* v, std::int64_t, float*) { return v; }

inline const double* widened(const float* v, std::int64_t count, double* wide) {
  for (std::int64_t i = 0; i < count; ++i) wide[i] = v[i];
  return wide;
}

template <class Rule, class T>
void directed_row(const Rule& rule, const QmseArgs<T>& args, std::int64_t index, const float* v) {
  const CpuRow<T> row(args.row, index);
  alignas(32) T r[kRowBlock];
  alignas(32) T v_block[kRowBlock];
  double residual_sq = 0;
  double direction_residual = 0;
  row.for_blocks([&](std::int64_t first, std::int64_t count) {
    row.residual_block(first, count, r);
    residual_sq += static_cast<double>(block_dot(r, r, count));
    direction_residual += static_cast<double>(block_dot(widened(v + first, count, v_block), r, count));
  });
  store_row_values(args.row, index, rule.value(residual_sq, direction_residual), residual_sq,
                   row.correct(!std::isnan(residual_sq)));
  row.store_residual();
  if (args.v != nullptr) std::copy(v, v + row.classes, args.v + index * row.classes);
  if (row.gradient == nullptr) return;
  const auto factors =
      rule.factors(residual_sq, direction_residual, gradient_scale(args.row)).template as<T>();
  row.for_blocks([&](std::int64_t first, std::int64_t count) {
    if (row.classes > kRowBlock) row.residual_block(first, count, r);
    const T* v_wide = widened(v + first, count, v_block);
    T* gradient = row.gradient + first;
    for (std::int64_t i = 0; i < count; ++i) gradient[i] = rule.gradient(factors, r[i], v_wide[i]);
  });
}

template <class Rule, class T>
void directed_loss(CpuContext& context, const char* name, const QmseArgs<T>& args, const Rule& rule) {
  check_qmse_args(name, args);
  const auto step = static_cast<std::uint32_t>(*args.step);
  const std::uint32_t redraw = args.redraw != nullptr ? *args.redraw : 0;
  const bool per_batch = args.options.scope == DirectionScope::per_batch;
  // Numbers of v cost more than elements that are only read.
  const std::int64_t rows = range_items(8 * args.row.classes);
  for_ranges(context.threads(), args.row.batch, rows, [&](std::int64_t begin, std::int64_t end) {
    float* v = direction_scratch(args.row.classes);
    for (std::int64_t index = begin; index < end; ++index) {
      if (!per_batch || index == begin) {
        draw_direction(args.options.distribution, args.options.seed, step,
                       per_batch ? kWholeBatch : args.sample_ids[index], args.row.classes, v, redraw);
      }
      directed_row(rule, args, index, v);
    }
  });
}

}  // namespace qmse
