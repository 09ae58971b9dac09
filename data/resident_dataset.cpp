#include "data/resident_dataset.h"

namespace qmse {

namespace {

template <class T>
Tensor per_channel(Context& context, const std::vector<double>& values, const std::string& name) {
  const std::vector<T> converted(values.begin(), values.end());
  return Tensor::from_host<T>(context, {static_cast<std::int64_t>(values.size())}, converted, name);
}

}  // namespace

template <class T>
ResidentDataset<T>::ResidentDataset(Context& context, const ImageDataset& dataset,
                                    const Normalization& normalization)
    : classes_(dataset.classes()), sample_shape_{dataset.channels, dataset.height, dataset.width} {
  if (static_cast<std::int64_t>(normalization.mean.size()) != dataset.channels) {
    throw DataError("the normalisation is for " + std::to_string(normalization.mean.size()) +
                    " channels, but data set '" + dataset.name + "' has " + std::to_string(dataset.channels));
  }
  // A kernel that reads the output of a class that is not there reads foreign memory.
  for (std::size_t i = 0; i < dataset.labels.size(); ++i) {
    if (dataset.labels[i] >= 0 && dataset.labels[i] < classes_) continue;
    throw DataError("label " + std::to_string(dataset.labels[i]) + " of image " + std::to_string(i) +
                    " of data set '" + dataset.name + "' is none of its " + std::to_string(classes_) +
                    " classes, counted from 0");
  }
  const std::string name(qmse::name(dataset.split));
  images_ = Tensor::from_host<std::uint8_t>(context, sample_shape_.with_batch(dataset.count), dataset.images,
                                            name + " images");
  labels_ = Tensor::from_host<std::int32_t>(context, {dataset.count}, dataset.labels, name + " labels");
  scale_ = per_channel<T>(context, normalization.scale(), name + " scale");
  shift_ = per_channel<T>(context, normalization.shift(), name + " shift");
}

template <class T>
ResidentData<T> ResidentDataset<T>::view() const {
  return {labels_.shape()[0],
          sample_shape_,
          classes_,
          images_.as<std::uint8_t>(),
          labels_.as<std::int32_t>(),
          scale_.template as<T>(),
          shift_.template as<T>()};
}

template class ResidentDataset<float>;
template class ResidentDataset<double>;

}  // namespace qmse
