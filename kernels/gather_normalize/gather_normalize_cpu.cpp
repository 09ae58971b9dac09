#include <algorithm>
#include <cstdint>

#include "kernels/cpu/ranges.h"
#include "kernels/gather_normalize/gather_normalize.h"
#include "kernels/gather_normalize/gather_normalize_math.h"

namespace qmse {
namespace {

template <class T>
void normalize_plane(std::int64_t n, const std::uint8_t* __restrict pixels, T scale, T shift,
                     T* __restrict x) {
  for (std::int64_t i = 0; i < n; ++i) x[i] = normalize_pixel(pixels[i], scale, shift);
}

template <class T>
void gather_rows(CpuContext& context, const GatherArgs<T>& args) {
  const std::uint32_t* order = args.order + *args.first;
  for_ranges(context.threads(), args.batch, range_items(args.channels + args.target_count),
             [&](std::int64_t begin, std::int64_t end) {
               for (std::int64_t i = begin; i < end; ++i) {
                 const std::int64_t sample = order[i];
                 args.sample_ids[i] = order[i];
                 std::copy_n(args.columns + sample * args.channels, args.channels,
                             args.x + i * args.channels);
                 std::copy_n(args.targets + sample * args.target_count, args.target_count,
                             args.batch_targets + i * args.target_count);
               }
             });
}

template <class T>
void gather(CpuContext& context, const GatherArgs<T>& args) {
  if (args.columns != nullptr) return gather_rows(context, args);
  const std::uint32_t* order = args.order + *args.first;
  const std::int64_t image_size = args.channels * args.inner;
  for_ranges(context.threads(), args.batch, range_items(image_size),
             [&](std::int64_t begin, std::int64_t end) {
               for (std::int64_t i = begin; i < end; ++i) {
                 const std::uint32_t sample = order[i];
                 args.sample_ids[i] = sample;
                 args.batch_labels[i] = args.labels[sample];
                 const std::uint8_t* image = args.images + std::int64_t{sample} * image_size;
                 T* x = args.x + i * image_size;
                 for (std::int64_t c = 0; c < args.channels; ++c) {
                   normalize_plane(args.inner, image + c * args.inner, args.scale[c], args.shift[c],
                                   x + c * args.inner);
                 }
               }
             });
}

}  // namespace

void gather_normalize(CpuContext& context, const GatherArgs<float>& args) { gather(context, args); }
void gather_normalize(CpuContext& context, const GatherArgs<double>& args) { gather(context, args); }

}  // namespace qmse
