#include <vector>

#include "kernels/qmse/qmse.h"
#include "kernels/qmse/qmse_math.h"
#include "kernels/row_loss/row_loss_cpu.h"

namespace qmse {
namespace {

// v of the row at hand. Threads keep it from call to call, so that steps allocate nothing once each thread
// has seen the longest row.
float* direction_scratch(std::int64_t classes) {
  thread_local std::vector<float> scratch;
  if (static_cast<std::int64_t>(scratch.size()) < classes) scratch.resize(static_cast<std::size_t>(classes));
  return scratch.data();
}

const float* widened(const float* v, std::int64_t, float*) { return v; }

const double* widened(const float* v, std::int64_t count, double* wide) {
  for (std::int64_t i = 0; i < count; ++i) wide[i] = v[i];
  return wide;
}

template <class T>
void qmse_row(const QmseArgs<T>& args, std::int64_t index, const float* v) {
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
  const double a = qmse_a(residual_sq, direction_residual);
  store_row_values(args.row, index, qmse_value(a), residual_sq, row.correct(!std::isnan(residual_sq)));
  row.store_residual();
  if (args.v != nullptr) std::copy(v, v + row.classes, args.v + index * row.classes);
  if (row.gradient == nullptr) return;
  const T scaled_a = static_cast<T>(gradient_scale(args.row) * a);
  const T multiple = qmse_residual_multiple<T>(args.options.q_gradient == QGradient::full);
  row.for_blocks([&](std::int64_t first, std::int64_t count) {
    if (row.classes > kRowBlock) row.residual_block(first, count, r);
    const T* v_wide = widened(v + first, count, v_block);
    T* gradient = row.gradient + first;
    for (std::int64_t i = 0; i < count; ++i) gradient[i] = qmse_gradient(scaled_a, multiple, r[i], v_wide[i]);
  });
}

template <class T>
void qmse(CpuContext& context, const QmseArgs<T>& args) {
  check_qmse_args(args);
  const auto step = static_cast<std::uint32_t>(*args.step);
  const bool per_batch = args.options.scope == DirectionScope::per_batch;
  // Numbers of v cost more than elements that are only read.
  const std::int64_t rows = range_items(8 * args.row.classes);
  for_ranges(context.threads(), args.row.batch, rows, [&](std::int64_t begin, std::int64_t end) {
    float* v = direction_scratch(args.row.classes);
    for (std::int64_t index = begin; index < end; ++index) {
      if (!per_batch || index == begin) {
        draw_direction(args.options.distribution, args.options.seed, step,
                       per_batch ? kWholeBatch : args.sample_ids[index], args.row.classes, v);
      }
      qmse_row(args, index, v);
    }
  });
}

}  // namespace

void qmse_loss(CpuContext& context, const QmseArgs<float>& args) { qmse(context, args); }
void qmse_loss(CpuContext& context, const QmseArgs<double>& args) { qmse(context, args); }

}  // namespace qmse
