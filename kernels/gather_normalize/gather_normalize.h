// A batch from the data set in device memory: picks images by index and normalises them in one pass; or rows of
// a table, which are standardised already.
#pragma once

#include <cstdint>

#include "device/context.h"

namespace qmse {

template <class T>
struct GatherArgs {
  std::int64_t batch = 0, channels = 0, inner = 0;  // inner = H * W
  const std::uint8_t* images = nullptr;             // [samples, C, H, W]
  const std::int32_t* labels = nullptr;             // [samples]
  const std::uint32_t* order = nullptr;  // [>= *first + batch], the epoch's permutation of sample indices
  const std::uint64_t* first = nullptr;  // one number in device memory: where in `order` the batch begins
  const T* scale = nullptr;              // [C]; x = pixel * scale[c] + shift[c], one fused multiply-add
  const T* shift = nullptr;              // [C]
  T* x = nullptr;                        // [B, C, H, W]
  std::int32_t* batch_labels = nullptr;  // [B]
  std::uint32_t* sample_ids = nullptr;   // [B], the indices themselves

  // A table's, in place of images, labels, scale, shift and batch_labels; inner is 1.
  const T* columns = nullptr;  // [samples, C]; x is them
  const T* targets = nullptr;  // [samples, target_count]
  std::int64_t target_count = 0;
  T* batch_targets = nullptr;  // [B, target_count]
};

void gather_normalize(CpuContext&, const GatherArgs<float>&);
void gather_normalize(CpuContext&, const GatherArgs<double>&);
template <class Gpu>
void gather_normalize(Gpu&, const GatherArgs<float>&);

}  // namespace qmse
