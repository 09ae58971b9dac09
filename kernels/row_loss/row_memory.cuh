// Where the lanes of a warp work on rows of outputs, and how the warp reads and writes them. See row_loss.cuh
// for the whole.
#pragma once

#include <cstdint>

#include "base/group.h"
#include "kernels/gpu/cuda_names.h"

namespace qmse::device {

constexpr int kStrip = 128;     // outputs a warp takes at once where a row has all its lanes
constexpr int kPartGroups = 4;  // groups a lane keeps, at most, of a warp's part of a row
constexpr int kPart = kPartGroups * kStrip;

// Floats of shared memory in which a warp whose lanes keep so many groups turns outputs around, see WarpMemory.
template <int kGroups>
constexpr int kTileFloats = kGroups* kStrip * 5 / 4;

// Calls work(j) for the groups j that may be needed. Of eight groups the second half is left out where
// `needed(4)` says so: a branch for each group would cost more than it saves.
template <int kGroups, class Needed, class Work>
__device__ __forceinline__ void for_groups(const Needed& needed, const Work& work) {
  constexpr int kAlways = kGroups > 4 ? kGroups / 2 : kGroups;
#pragma unroll
  for (int j = 0; j < kAlways; ++j) work(j);
  if (kAlways < kGroups && needed(kAlways)) {
#pragma unroll
    for (int j = kAlways; j < kGroups; ++j) work(j);
  }
}

// A lane's four outputs of a row.
struct RowGroup {
  int element;   // index in the row of the first
  int valid;     // how many of them the row has: 4 or more for all, 0 or less for none
  int label_at;  // the label's index less `element`; with dense targets -1

  __device__ bool has(int k) const { return k < valid; }
};

// The target of a row as far as one number tells it.
struct RowTarget {
  int label;  // -1 with dense targets
  float label_output;
};

// Where a lane works. Its warp works on `span` consecutive outputs in memory, of one row or of several short
// ones; the lane takes groups `stride` outputs apart. kVectors: rows are multiples of four and aligned, so a
// group is whole or not there.
template <bool kVectors>
struct LanePlace {
  std::int64_t row;
  std::int64_t span_first;  // index of the span in the matrices
  int span;                 // may be negative: nothing to do
  int row_span;             // what of the span is this row's, or would be if the lane had a row
  bool alone;               // the span is of one row
  int offset;               // of the lane's first group in the span; 4 * lane where it is of one row
  int stride;               // a power of two
  int element;              // index in its row of the first output of the lane's first group
  int left;                 // outputs of the row from there on; not positive: none
  bool writes_row;          // this lane stores the row's values

  __device__ bool takes(int j) const { return j * stride < left; }
  // The same for all lanes of a warp: whether some lane takes a group j.
  __device__ bool spans(int j) const { return j * stride < row_span; }
  template <int kGroups, class Work>
  __device__ void for_spanned(const Work& work) const {
    for_groups<kGroups>([this](int j) { return spans(j); }, work);
  }
  // Whether some output of the lane's kGroups groups is not the row's. With vectors such groups are not taken.
  template <int kGroups>
  __device__ bool cut() const {
    return !kVectors && (kGroups - 1) * stride + 4 > left;
  }
  // Bit 4 j + k: output k of the lane's group j is the row's.
  __device__ std::uint32_t valid_bits() const {
    const int groups = left > 0 ? min(((left - 1) >> (31 - __clz(stride))) + 1, 8) : 0;
    const int cut_off = 4 - min(left - (groups - 1) * stride, 4);
    return groups > 0 ? 0xFFFFFFFFu >> (32 - 4 * groups + cut_off) : 0u;
  }
  template <bool kDense>
  __device__ RowGroup group(const RowTarget& target, int j) const {
    const int first = element + j * stride;
    const int valid = kVectors ? (takes(j) ? 4 : 0) : left - j * stride;
    return RowGroup{first, valid, kDense ? -1 : target.label - first};
  }
};

// The lane's place in a warp that takes outputs first, first + 1 ... of one row, at most kPart.
template <bool kVectors>
__device__ LanePlace<kVectors> place_in_row(int classes, std::int64_t row, int first, int lane) {
  LanePlace<kVectors> place;
  place.row = row;
  place.span_first = row * classes + first;
  place.span = min(kPart, classes - first);
  place.row_span = place.span;
  place.alone = true;
  place.offset = 4 * lane;
  place.stride = kStrip;
  place.element = first + 4 * lane;
  place.left = classes - place.element;
  place.writes_row = threadIdx.x == 0;
  return place;
}

// A warp's reads and writes. With vectors each lane moves its groups itself. Else the warp moves the span in
// coalesced accesses of one float a lane and turns it around in shared memory, padded so that neither side
// has bank conflicts to speak of. `Tile` has floats and operator[]; a warp's kTileFloats<kGroups> begin at
// warp * kTileFloats<kGroups>. kStream: the matrix is too large to be found in a cache again once it was
// written, or read for the last time.
template <class Tile, int kGroups, bool kVectors, bool kStream>
class WarpMemory {
 public:
  using Place = LanePlace<kVectors>;

  __device__ WarpMemory(Tile* tile, int warp, int lane)
      : tile_(tile), base_(warp * kTileFloats<kGroups>), lane_(lane) {}

  // Begins to read the lane's groups, which are there when arrange() has returned: what can be done without
  // them is done between. With vectors groups that the lane does not take are 0, else what is not the row's
  // (LanePlace::cut) is undefined.
  __device__ void fetch(const float* __restrict__ x, const Place& place, Group<float, 4> (&quads)[kGroups],
                        bool last_use) const {
    if constexpr (kVectors) {
      const float* source = x + place.span_first + place.offset;
      const auto read = [&](int j) {
        if (!place.takes(j)) return;
        const float4 vector =
            load_vector(reinterpret_cast<const float4*>(source + group_offset(place, j)), last_use);
        quads[j] = Group<float, 4>{{vector.x, vector.y, vector.z, vector.w}};
      };
#pragma unroll
      for (int j = 0; j < kGroups; ++j) quads[j] = Group<float, 4>{};
      place.template for_spanned<kGroups>(read);
    } else {
      const float* source = x + place.span_first + lane_;
      if (spans_all(place)) {
#pragma unroll
        for (int k = 0; k < 4 * kGroups; ++k) quads[k / 4].v[k % 4] = source[32 * k];
      } else {
#pragma unroll
        for (int k = 0; k < 4 * kGroups; ++k) {
          quads[k / 4].v[k % 4] = lane_ + 32 * k < place.span ? source[32 * k] : 0.0f;
        }
      }
    }
  }
  __device__ void arrange(const Place& place, Group<float, 4> (&quads)[kGroups]) const {
    if constexpr (!kVectors) {
      for_groups<kGroups>([&](int j) { return j * kStrip < place.span; },
                          [&](int j) {
#pragma unroll
                            for (int k = 0; k < 4; ++k) coalesced(4 * j + k) = quads[j].v[k];
                          });
      __syncwarp();
      place.template for_spanned<kGroups>([&](int j) {
#pragma unroll
        for (int k = 0; k < 4; ++k) quads[j].v[k] = grouped(place, j, k);
      });
      __syncwarp();
    }
  }

  // Stores a group, at the latest when flush() returns. All lanes of a warp put the groups that the warp
  // spans, and flush.
  __device__ void put(float* __restrict__ x, const Place& place, int j, const Group<float, 4>& quad) const {
    if constexpr (kVectors) {
      if (place.takes(j)) {
        float* target = x + place.span_first + place.offset;
        store_vector(reinterpret_cast<float4*>(target + group_offset(place, j)),
                     make_float4(quad.v[0], quad.v[1], quad.v[2], quad.v[3]));
      }
    } else {
      // Beyond the one row of a span nobody looks; beyond one of several the next begins.
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        if (place.alone || (place.valid_bits() >> (4 * j + k) & 1) != 0) grouped(place, j, k) = quad.v[k];
      }
    }
  }
  __device__ void flush(float* __restrict__ x, const Place& place) const {
    if constexpr (!kVectors) {
      float* target = x + place.span_first + lane_;
      __syncwarp();
      if (spans_all(place)) {
#pragma unroll
        for (int k = 0; k < 4 * kGroups; ++k) target[32 * k] = coalesced(k);
      } else {
#pragma unroll
        for (int k = 0; k < 4 * kGroups; ++k) {
          if (lane_ + 32 * k < place.span) target[32 * k] = coalesced(k);
        }
      }
      __syncwarp();
    }
  }

 private:
  // Unsigned, so that nvcc adds it to a pointer instead of working the whole address out for each group.
  __device__ static unsigned group_offset(const Place& place, int j) {
    return static_cast<unsigned>(j * place.stride);
  }
  // Output i of the span is at i + i / 4; both ways to reach one are an address and multiples of a constant.
  __device__ float& coalesced(int k) const {
    return (*tile_)[static_cast<unsigned>(base_ + lane_ + lane_ / 4 + 40 * k)];
  }
  __device__ float& grouped(const Place& place, int j, int k) const {
    const int first = place.offset + k;
    const int at = place.alone ? 5 * lane_ + k : first + first / 4;
    return (*tile_)[static_cast<unsigned>(base_ + at + j * (place.stride + place.stride / 4))];
  }
  __device__ static bool spans_all(const Place& place) { return place.span >= kGroups * kStrip; }

  __device__ static float4 load_vector(const float4* source, bool last_use) {
#if defined(__CUDACC__)
    if (kStream && last_use) return __ldcs(source);
#else
    static_cast<void>(last_use);
#endif
    return *source;
  }
  __device__ static void store_vector(float4* target, float4 vector) {
#if defined(__CUDACC__)
    if constexpr (kStream) {
      __stcs(target, vector);
    } else {  // spelled out, because nvcc takes some of these stores apart
      asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(target)),
                   "f"(vector.x), "f"(vector.y), "f"(vector.z), "f"(vector.w)
                   : "memory");
    }
#else
    *target = vector;
#endif
  }

  Tile* tile_;
  int base_;
  int lane_;
};

}  // namespace qmse::device
