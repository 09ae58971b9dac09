#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/cross_entropy/cross_entropy_math.h"
#include "kernels/row_loss/row_loss_cpu.h"

namespace qmse {
namespace {

// e^x for x <= 0, in a form the compiler vectorises: Cody and Waite's reduction to |t| <= ln(2)/2 and Cephes'
// expf polynomial. Relative error below 2e-7; 0 below e^-87, where f32 leaves its normal range; NaN
// stays NaN.
float exp_nonpositive(float x) {
  x = x < -87.0f ? -87.0f : x;
  constexpr float kRound = 0x1.8p23f;  // adding it rounds to a whole number, kept in the low bits
  const float shifted = std::fma(x, 0x1.715476p0f, kRound);
  const float whole = shifted - kRound;
  float t = std::fma(whole, -0x1.63p-1f, x);
  t = std::fma(whole, 0x1.bd0106p-13f, t);
  float p = 1.9875691500e-4f;
  p = std::fma(p, t, 1.3981999507e-3f);
  p = std::fma(p, t, 8.3334519073e-3f);
  p = std::fma(p, t, 4.1665795894e-2f);
  p = std::fma(p, t, 1.6666665459e-1f);
  p = std::fma(p, t, 5.0000001201e-1f);
  p = std::fma(p, t * t, t) + 1.0f;
  const std::uint32_t exponent = (__builtin_bit_cast(std::uint32_t, shifted) << 23) + 0x3F800000u;
  const float power = __builtin_bit_cast(float, exponent);
  return p * power;
}

double exp_nonpositive(double x) { return std::exp(x); }

// e = exp(x - maximum), in a function of its own, which the compiler vectorises more readily.
template <class T>
[[gnu::noinline]] void exponentials(const T* x, std::int64_t n, T maximum, T* e) {
  for (std::int64_t i = 0; i < n; ++i) e[i] = exp_nonpositive(x[i] - maximum);
}

// The largest output that is a number.
template <class T>
T row_maximum(const T* x, std::int64_t n) {
  constexpr int kLanes = kSimdLanes<T>;
  const T lowest = -static_cast<T>(INFINITY);
  Simd<T> lanes = simd_set(lowest);
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Simd<T> values = simd_load(x + i);
    lanes = values > lanes ? values : lanes;
  }
  T maximum = lowest;
  for (int lane = 0; lane < kLanes; ++lane) maximum = lanes[lane] > maximum ? lanes[lane] : maximum;
  for (; i < n; ++i) maximum = x[i] > maximum ? x[i] : maximum;
  return maximum;
}

template <class T>
CrossEntropyRow<double> label_row(const CpuRow<T>& row, T maximum, T* e, bool keep) {
  LabelSoftmaxSums<double> sums;
  sums.maximum = static_cast<double>(maximum);
  row.for_blocks([&](std::int64_t first, std::int64_t count) {
    T* block = keep ? e + first : e;
    exponentials(row.output + first, count, maximum, block);
    const bool has_label = row.label >= first && row.label < first + count;
    const T label_e = has_label ? block[row.label - first] : T(0);
    if (has_label) block[row.label - first] = 0;
    sums.others += static_cast<double>(simd_sum(block, count));
    sums.others_sq += static_cast<double>(block_dot(block, block, count));
    if (has_label) block[row.label - first] = label_e;
  });
  return sums.finish(static_cast<double>(row.output[row.label]));
}

template <class T>
CrossEntropyRow<double> dense_row(const CpuRow<T>& row, T maximum, T* e, bool keep) {
  DenseSoftmaxSums<double> sums;
  sums.maximum = static_cast<double>(maximum);
  row.for_blocks([&](std::int64_t first, std::int64_t count) {
    T* block = keep ? e + first : e;
    exponentials(row.output + first, count, maximum, block);
    for (std::int64_t i = 0; i < count; ++i) {
      sums.add(static_cast<double>(block[i]), static_cast<double>(row.output[first + i]),
               static_cast<double>(row.target[first + i]));
    }
  });
  return sums.finish();
}

template <class T>
void cross_entropy_row(const RowLossArgs<T>& args, std::int64_t index) {
  const CpuRow<T> row(args, index);
  const T maximum = row_maximum(row.output, row.classes);
  // The exponentials wait for their sum where the gradient will be.
  alignas(32) T block[kRowBlock];
  const bool keep = row.gradient != nullptr;
  T* e = keep ? row.gradient : block;
  const CrossEntropyRow<double> result =
      row.target == nullptr ? label_row(row, maximum, e, keep) : dense_row(row, maximum, e, keep);
  store_row_values(args, index, result.loss, result.residual_sq,
                   row.correct(!std::isnan(result.residual_sq)));
  row.store_residual();
  if (!keep) return;
  const T scale = static_cast<T>(gradient_scale(args));
  const T e_scale = static_cast<T>(gradient_scale(args) * result.target_sum * result.inverse_sum);
  if (row.target == nullptr) {
    for (std::int64_t i = 0; i < row.classes; ++i) row.gradient[i] *= e_scale;
    row.gradient[row.label] -= scale;
  } else {
    for (std::int64_t i = 0; i < row.classes; ++i) {
      row.gradient[i] = row.gradient[i] * e_scale - row.target[i] * scale;
    }
  }
}

template <class T>
void cross_entropy(CpuContext& context, const RowLossArgs<T>& args) {
  check_row_loss_args("cross_entropy_loss", args);
  for_ranges(context.threads(), args.batch, range_items(4 * args.classes),
             [&](std::int64_t begin, std::int64_t end) {
               for (std::int64_t index = begin; index < end; ++index) cross_entropy_row(args, index);
             });
}

}  // namespace

void cross_entropy_loss(CpuContext& context, const RowLossArgs<float>& args) { cross_entropy(context, args); }
void cross_entropy_loss(CpuContext& context, const RowLossArgs<double>& args) {
  cross_entropy(context, args);
}

}  // namespace qmse
