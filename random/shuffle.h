// The order in which an epoch goes through the data.
#pragma once

#include <cstdint>

namespace qmse {

// Writes a permutation of 0 .. n-1, uniform over all of them and a function of (seed, epoch, n) alone: Fisher
// and Yates' shuffle from the last position down. Position i changes places with one of 0 .. i, chosen
// without bias by Lemire's multiplication ("Fast Random Integer Generation in an Interval", 2019) of word i %
// 4 of the block random_bits(seed, RandomPurpose::data_order, attempt, step = epoch, sample = 0, block = i /
// 4), where attempt counts the words rejected at i. Throws ShapeError unless 0 <= n < 2^32.
void shuffled_order(std::uint64_t seed, std::uint32_t epoch, std::int64_t n, std::uint32_t* order);

}  // namespace qmse
