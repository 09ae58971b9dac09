// A data set in device memory, as the training loop reads it.
#pragma once

#include <optional>

#include "data/image_dataset.h"
#include "data/normalization.h"
#include "engine/batch_pass.h"
#include "engine/tensor.h"

namespace qmse {

// Uploaded once, as bytes; batches are gathered and normalised on the device. T is the type of the inputs
// (float, or double on the CPU).
template <class T>
class ResidentDataset {
 public:
  // `normalization` is that of the training set, also for a test set. Throws DataError where it has another
  // number of channels or a label is no class, ShapeError where images or labels are not `count`.
  // `targets`: that of a table's targets, which has one.
  ResidentDataset(Context& context, const ImageDataset& dataset, const Normalization& normalization,
                  const std::optional<Normalization>& targets = std::nullopt);

  // Valid while this object lives.
  ResidentData<T> view() const;

 private:
  std::int64_t classes_;
  Shape sample_shape_;
  Tensor images_, labels_, scale_, shift_;  // of images
  Tensor columns_, targets_;                // of a table, standardised
  bool table_ = false;
};

}  // namespace qmse
