// Shapes at which the losses' kernels are run: around every border between them
// (kernels/row_loss/row_loss.cuh) and with every remainder of four, since rows that are not a multiple of
// four take another way to memory.
#pragma once

#include <cstdint>
#include <vector>

namespace qmse::test {

struct RowShape {
  std::int64_t batch;
  std::int64_t classes;
};

inline std::vector<RowShape> row_shapes() {
  return {{131, 1},  {1, 2},    {67, 3},   {65, 4},   {33, 5},    {1, 8},    {70, 10},  {19, 16},
          {21, 31},  {9, 32},   {11, 33},  {6, 63},   {5, 64},    {5, 100},  {5, 127},  {5, 128},
          {5, 129},  {5, 257},  {3, 511},  {5, 512},  {2, 513},   {2, 1000}, {2, 1023}, {2, 1024},
          {1, 1025}, {1, 4099}, {2, 8192}, {2, 8193}, {2, 16384}, {1, 17001}};
}

// Rows of up to 512 outputs in batches large enough that each lane takes several groups of a row
// (kGroupsForLatency): up to four of rows of fewer than 64, up to eight of others.
inline std::vector<RowShape> large_batches() {
  return {{16500, 2}, {5500, 10}, {2100, 30}, {1100, 60}, {1030, 63}, {1030, 64},
          {700, 100}, {700, 101}, {600, 102}, {521, 128}, {400, 192}, {130, 509}};
}

}  // namespace qmse::test
