#include "experiment/run/tensor_digest.h"

#include <algorithm>
#include <vector>

#include "data/sha256.h"
#include "experiment/run/weights_file.h"

namespace qmse {
namespace {

void update(Sha256& hash, const std::string& name, DType dtype, const std::vector<std::int64_t>& shape,
            const void* elements) {
  std::string line = name + " " + std::string(qmse::name(dtype)) + " [";
  std::size_t bytes = size_of(dtype);
  for (std::size_t i = 0; i < shape.size(); ++i) {
    line += (i == 0 ? "" : ",") + std::to_string(shape[i]);
    bytes *= static_cast<std::size_t>(shape[i]);
  }
  line += "]\n";
  hash.update(line.data(), line.size());
  hash.update(elements, bytes);
}

void update(Sha256& hash, const SafetensorsFile& file, const std::string& name) {
  const TensorInfo& info = file.info(name);
  std::vector<std::byte> elements(info.end - info.begin);
  file.read(name, info.dtype, info.shape, elements.data());
  update(hash, name, info.dtype, info.shape, elements.data());
}

std::string digest(const SafetensorsFile& file, std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  Sha256 hash;
  for (const std::string& name : names) update(hash, file, name);
  return hash.finish();
}

}  // namespace

std::string tensors_sha256(std::span<const TensorToWrite> tensors) {
  std::vector<const TensorToWrite*> order;
  for (const TensorToWrite& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(),
            [](const TensorToWrite* a, const TensorToWrite* b) { return a->name < b->name; });
  Sha256 hash;
  for (const TensorToWrite* tensor : order)
    update(hash, tensor->name, tensor->dtype, tensor->shape, tensor->data);
  return hash.finish();
}

std::string tensors_sha256(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  return digest(file, file.names());
}

std::string tensor_sha256(const SafetensorsFile& file, const std::string& name) {
  Sha256 hash;
  update(hash, file, name);
  return hash.finish();
}

std::string weights_sha256(const SafetensorsFile& file) { return digest(file, weight_names(file)); }

std::string weights_sha256(const ParameterStore& store) {
  HostTensors tensors;
  tensors.add(store, store.weights(), "");
  return tensors_sha256(tensors.to_write());
}

}  // namespace qmse
