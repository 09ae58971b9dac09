#include "data/resident_dataset.h"

namespace qmse {

namespace {

template <class T>
Tensor per_channel(Context& context, const std::vector<double>& values, const std::string& name) {
  const std::vector<T> converted(values.begin(), values.end());
  return Tensor::from_host<T>(context, {static_cast<std::int64_t>(values.size())}, converted, name);
}

template <class T>
std::vector<T> standardised(const std::vector<double>& values, const Normalization& normalization) {
  const std::size_t width = normalization.mean.size();
  std::vector<T> result;
  result.reserve(values.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    result.push_back(
        static_cast<T>((values[i] - normalization.mean[i % width]) / normalization.stddev[i % width]));
  return result;
}

}  // namespace

template <class T>
ResidentDataset<T>::ResidentDataset(Context& context, const ImageDataset& dataset,
                                    const Normalization& normalization,
                                    const std::optional<Normalization>& targets)
    : classes_(dataset.classes()), sample_shape_{dataset.channels, dataset.height, dataset.width} {
  if (static_cast<std::int64_t>(normalization.mean.size()) != dataset.channels) {
    throw DataError("the normalisation is for " + std::to_string(normalization.mean.size()) +
                    " channels, but data set '" + dataset.name + "' has " + std::to_string(dataset.channels));
  }
  if (dataset.is_table()) {
    if (!targets || static_cast<std::int64_t>(targets->mean.size()) != classes_)
      throw DataError("the targets of a table need a normalisation, one for each");
    table_ = true;
    columns_ = Tensor::from_host<T>(context, {dataset.count, dataset.channels},
                                    standardised<T>(dataset.columns, normalization), "columns");
    targets_ = Tensor::from_host<T>(context, {dataset.count, classes_},
                                    standardised<T>(dataset.targets, *targets), "targets");
    return;
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
  ResidentData<T> data;
  data.sample_shape = sample_shape_;
  data.classes = classes_;
  if (table_) {
    data.samples = columns_.shape()[0];
    data.columns = columns_.template as<T>();
    data.targets = targets_.template as<T>();
    return data;
  }
  data.samples = labels_.shape()[0];
  data.images = images_.as<std::uint8_t>();
  data.labels = labels_.as<std::int32_t>();
  data.scale = scale_.template as<T>();
  data.shift = shift_.template as<T>();
  return data;
}

template class ResidentDataset<float>;
template class ResidentDataset<double>;

}  // namespace qmse
