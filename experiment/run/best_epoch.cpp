#include "experiment/run/best_epoch.h"

#include <cmath>

#include "experiment/run/epoch_record.h"

namespace qmse {

void BestEpoch::add(std::int64_t epoch, double accuracy) {
  if (std::isnan(accuracy) || (epoch_ > 0 && accuracy <= accuracy_)) return;
  epoch_ = epoch;
  accuracy_ = accuracy;
}

bool BestEpoch::ends(std::int64_t epochs, std::int64_t patience) const {
  return patience > 0 && epoch_ > 0 && epochs - epoch_ >= patience;
}

BestEpoch best_epoch(std::span<const Json> lines) {
  BestEpoch best;
  std::int64_t epoch = 0;
  for (const Json& line : lines) {
    const char* key = line.contains("validation_r2") ? "validation_r2" : "validation_accuracy";
    best.add(++epoch, number_of(line, key));
  }
  return best;
}

}  // namespace qmse
