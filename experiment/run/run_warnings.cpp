#include "experiment/run/run_warnings.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "base/number_text.h"
#include "experiment/run/metric_text.h"

namespace qmse {
namespace {

constexpr double kGrowth = 10;
constexpr double kDeviations = 3;  // of a binomial distribution: guesses that are luckier are rare

// With one-hot targets ||r||^2 is 1 where all outputs are zero. QMSE's is its expectation over v.
double loss_of_zeros(const TrainConfig& config, std::int64_t classes) {
  return find_loss(config.loss)->value_of_zeros(static_cast<double>(classes)) *
         scale_of(config.loss_options.reduction, classes);
}

double largest_share(const ImageDataset& images) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(images.classes()), 0);
  for (const std::int32_t label : images.labels) ++counts[static_cast<std::size_t>(label)];
  return static_cast<double>(*std::max_element(counts.begin(), counts.end())) /
         static_cast<double>(images.count);
}

double luckiest_guess(const ImageDataset& images) {
  const double share = largest_share(images);
  return share + kDeviations * std::sqrt(share * (1 - share) / static_cast<double>(images.count));
}

}  // namespace

RunWarnings::RunWarnings(const TrainConfig& config, const ImageDataset& train, const ImageDataset& test)
    : zero_loss_(train.is_table() ? std::numeric_limits<double>::infinity()  // targets are of any size
                                  : loss_of_zeros(config, train.classes())),
      guess_(test.is_table() ? 0 : largest_share(test)),
      train_limit_(train.is_table() ? -1 : luckiest_guess(train)),
      test_limit_(test.is_table() ? -1 : luckiest_guess(test)),
      lowest_loss_(std::numeric_limits<double>::infinity()) {}

std::vector<std::string> RunWarnings::after(const EpochRecord& epoch, bool last) {
  if (!std::isfinite(epoch.train_loss)) return {};  // which has a notice of its own
  std::vector<std::string> all;
  if (epoch.train_loss > kGrowth * zero_loss_) {
    all.push_back("the loss of epoch " + std::to_string(epoch.epoch) + " is " +
                  significant_text(epoch.train_loss, 3) + ", where outputs of zero would have " +
                  significant_text(zero_loss_, 3) + "; a lower --lr may help");
  } else if (epoch.train_loss > kGrowth * lowest_loss_ && epoch.train_loss > zero_loss_ / kGrowth) {
    all.push_back("the loss has grown from " + significant_text(lowest_loss_, 3) + " in epoch " +
                  std::to_string(lowest_epoch_) + " to " + significant_text(epoch.train_loss, 3) +
                  " in epoch " + std::to_string(epoch.epoch) + "; a lower --lr may help");
  }
  if (epoch.train_loss < lowest_loss_) {
    lowest_loss_ = epoch.train_loss;
    lowest_epoch_ = epoch.epoch;
  }
  const bool guesses =
      epoch.train_accuracy.value_or(1) <= train_limit_ && epoch.test_accuracy.value_or(1) <= test_limit_;
  if (guesses && (last || !guesses_)) {
    all.push_back("after epoch " + std::to_string(epoch.epoch) +
                  " the accuracy is that of guessing: " + accuracy_text(*epoch.test_accuracy) +
                  " of the test images, of which the most frequent class has " + accuracy_text(guess_) +
                  "; another --lr may help");
  }
  guesses_ = guesses;
  return all;
}

}  // namespace qmse
