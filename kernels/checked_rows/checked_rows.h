// Around a loss whose labels and sample ids come from outside, on a GPU: they are checked there, so that
// nothing waits for the device. Rows whose label or id is out of range get a loss of NaN and a gradient of
// zeros. C++17: included by device code.
#pragma once

#include <cstdint>

namespace qmse {

// Whole numbers [B] of 4 or 8 bytes, signed; null where there are none.
struct GivenIntegers {
  const void* data = nullptr;
  bool wide = false;
};

// What check_rows() makes of them for the loss. Each [B] in device memory, null where it is not wanted.
struct CheckedRows {
  std::int32_t* labels = nullptr;       // 0 where out of [0, c)
  std::uint32_t* sample_ids = nullptr;  // 0 where out of [0, 2^32 - 1); 0 .. B-1 where none are given
  std::int32_t* valid = nullptr;        // 1, or 0 where either is out of range
};

// What finish_rows() completes once the loss has run; in device memory.
struct FinishedRows {
  float* sample_loss = nullptr;     // [B]
  float* residual_sq = nullptr;     // [B]
  std::int32_t* correct = nullptr;  // [B]
  float* gradient = nullptr;        // [B, c]; may be null
  float* v = nullptr;               // [B, c]; may be null
  float* mean_loss = nullptr;       // one number: the mean of sample_loss, summed in f64; may be null
};

}  // namespace qmse
