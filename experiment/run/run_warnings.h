// What the figures of an epoch warn of: a training that goes wrong without a number that is not finite.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/image_dataset.h"
#include "experiment/run/config.h"
#include "experiment/run/epoch_record.h"

namespace qmse {

class RunWarnings {
 public:
  RunWarnings(const TrainConfig& config, const ImageDataset& train, const ImageDataset& test);

  // One sentence each; asked once after each epoch, in order. A loss ten times that of outputs of zero, or
  // ten times that of an earlier epoch and no longer small beside that of outputs of zero; accuracies no
  // better than guessing, which is said when it begins and after the last epoch.
  std::vector<std::string> after(const EpochRecord& epoch, bool last);

 private:
  double zero_loss_;                 // of outputs that are all zero
  double guess_;                     // the share of the most frequent class of the test images
  double train_limit_, test_limit_;  // accuracies up to here may be guessed
  double lowest_loss_;               // of the epochs so far
  std::int64_t lowest_epoch_ = 0;
  bool guesses_ = false;  // after the last epoch that was looked at
};

}  // namespace qmse
