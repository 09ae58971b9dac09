#include "experiment/device_data.h"

#include <span>
#include <string>

namespace qmse {
namespace {

template <class Element>
Buffer upload(Context& context, std::span<const Element> values, const std::string& name) {
  Buffer buffer(context.memory(), values.size_bytes(), name);
  host_to_device(context, buffer.data(), values.data(), values.size_bytes());
  return buffer;
}

template <class T>
Buffer upload_as(Context& context, const std::vector<double>& values, const std::string& name) {
  const std::vector<T> narrowed(values.begin(), values.end());
  return upload<T>(context, narrowed, name);
}

}  // namespace

template <class T>
DeviceData<T>::DeviceData(Context& context, const ImageDataset& dataset, const Normalization& normalization)
    : images_(upload<std::uint8_t>(context, dataset.images, dataset.name + " images")),
      labels_(upload<std::int32_t>(context, dataset.labels, dataset.name + " labels")),
      scale_(upload_as<T>(context, normalization.scale(), dataset.name + " scale")),
      shift_(upload_as<T>(context, normalization.shift(), dataset.name + " shift")) {
  if (static_cast<std::int64_t>(normalization.mean.size()) != dataset.channels) {
    throw ShapeError("images of " + std::to_string(dataset.channels) +
                     " channels cannot be normalised with constants for " +
                     std::to_string(normalization.mean.size()));
  }
  resident_.samples = dataset.count;
  resident_.sample_shape = Shape{dataset.channels, dataset.height, dataset.width};
  resident_.classes = dataset.classes();
  resident_.images = images_.as<std::uint8_t>();
  resident_.labels = labels_.as<std::int32_t>();
  resident_.scale = scale_.as<T>();
  resident_.shift = shift_.as<T>();
}

template class DeviceData<float>;
template class DeviceData<double>;

}  // namespace qmse
