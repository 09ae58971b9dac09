// Which epoch of a run validates best: the one whose weights --keep-best keeps, and from which
// --stop-early counts.
#pragma once

#include <cstdint>
#include <span>

#include "base/json.h"

namespace qmse {

class BestEpoch {
 public:
  // The next epoch's validation accuracy, of a table R²; NaN where it has none.
  void add(std::int64_t epoch, double accuracy);
  // Counted from 1, the first of equals; 0 where no epoch has an accuracy.
  std::int64_t epoch() const { return epoch_; }
  // Whether a run that has done so many epochs ends for want of a better one; `patience` 0: never.
  bool ends(std::int64_t epochs, std::int64_t patience) const;

 private:
  std::int64_t epoch_ = 0;
  double accuracy_ = 0;
};

// Of lines of metrics.jsonl.
BestEpoch best_epoch(std::span<const Json> lines);

}  // namespace qmse
