// A data set in device memory: uploaded once, a batch is gathered and normalised there.
#pragma once

#include "data/image_dataset.h"
#include "data/normalization.h"
#include "engine/batch_pass.h"
#include "engine/context.h"

namespace qmse {

// T is the type of the inputs made from it. Must not outlive its context.
template <class T>
class DeviceData {
 public:
  // Throws ShapeError where the numbers of channels differ.
  DeviceData(Context& context, const ImageDataset& dataset, const Normalization& normalization);

  const ResidentData<T>& resident() const { return resident_; }

 private:
  Buffer images_, labels_, scale_, shift_;
  ResidentData<T> resident_;
};

}  // namespace qmse
