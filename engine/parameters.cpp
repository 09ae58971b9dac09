#include "engine/parameters.h"

#include <cmath>
#include <set>
#include <stdexcept>

#include "engine/with_context.h"
#include "random/normal.h"
#include "random/philox.h"

namespace qmse {

namespace {

constexpr std::int64_t kAlignmentBytes = 64;

// Fills with numbers that depend on (seed, parameter, element) alone.
std::vector<float> draw(const ParameterSpec& spec, std::size_t parameter, Initialization scheme,
                        std::uint64_t seed) {
  const auto count = static_cast<std::size_t>(spec.shape.count());
  std::vector<float> values(count, 0.0f);
  if (scheme != Initialization::pytorch && spec.is_bias) return values;

  double bound = 1.0 / std::sqrt(static_cast<double>(spec.fan_in));
  if (scheme == Initialization::xavier_uniform) {
    bound = std::sqrt(6.0 / static_cast<double>(spec.fan_in + spec.fan_out));
  }
  const double deviation = std::sqrt(2.0 / static_cast<double>(spec.fan_in));
  for (std::size_t block = 0; block * 4 < count; ++block) {
    const PhiloxBlock bits =
        random_bits(seed, RandomPurpose::initial_weights, 0, 0, static_cast<std::uint32_t>(parameter),
                    static_cast<std::uint32_t>(block));
    const auto normals = normals_from_bits(bits);
    for (std::size_t i = 0; i < 4 && block * 4 + i < count; ++i) {
      values[block * 4 + i] = scheme == Initialization::kaiming_normal
                                  ? static_cast<float>(deviation * normals.v[i])
                                  : static_cast<float>(bound * (2.0 * uniform_from_bits(bits.x[i]) - 1.0));
    }
  }
  return values;
}

}  // namespace

ParameterStore::ParameterStore(Context& context, DType dtype, std::vector<ParameterSpec> specs)
    : context_(&context), dtype_(dtype), specs_(std::move(specs)) {
  const auto alignment = kAlignmentBytes / static_cast<std::int64_t>(size_of(dtype));
  std::set<std::string> names;
  for (const ParameterSpec& spec : specs_) {
    if (!names.insert(spec.name).second)
      throw std::logic_error("two parameters are called '" + spec.name + "'");
    offsets_.push_back(flat_size_);
    flat_size_ += (spec.shape.count() + alignment - 1) / alignment * alignment;
  }
  const std::size_t bytes = static_cast<std::size_t>(flat_size_) * size_of(dtype);
  weights_ = Buffer(context.memory(), bytes, "weights");
  gradients_ = Buffer(context.memory(), bytes, "gradients of the weights");
  fill_zero(context, weights_.data(), bytes);
  fill_zero(context, gradients_.data(), bytes);
}

void ParameterStore::initialize(Initialization scheme, std::uint64_t seed) {
  for (std::size_t index = 0; index < size(); ++index) {
    const std::vector<float> values = draw(specs_[index], index, scheme, seed);
    with_dtype(dtype_,
               [&]<class T>() { write<T>(weights(), index, std::vector<T>(values.begin(), values.end())); });
  }
}

std::size_t ParameterStore::index_of(const std::string& name) const {
  std::string known;
  for (std::size_t index = 0; index < size(); ++index) {
    if (specs_[index].name == name) return index;
    known += (index ? ", " : "") + specs_[index].name;
  }
  throw std::logic_error("no parameter is called '" + name + "'; there are " + known);
}

std::int64_t ParameterStore::parameter_count() const {
  std::int64_t count = 0;
  for (const ParameterSpec& spec : specs_) count += spec.shape.count();
  return count;
}

template <class T>
std::vector<T> ParameterStore::read(const void* flat, std::size_t index) const {
  std::vector<T> values(static_cast<std::size_t>(specs_[index].shape.count()));
  device_to_host(*context_, values.data(), static_cast<const T*>(flat) + offsets_[index],
                 values.size() * sizeof(T));
  return values;
}

template <class T>
void ParameterStore::write(void* flat, std::size_t index, std::span<const T> values) {
  if (static_cast<std::int64_t>(values.size()) != specs_[index].shape.count()) {
    throw ShapeError("parameter '" + specs_[index].name + "' of shape " + to_string(specs_[index].shape) +
                     " cannot take " + std::to_string(values.size()) + " values");
  }
  host_to_device(*context_, static_cast<T*>(flat) + offsets_[index], values.data(), values.size_bytes());
}

template std::vector<float> ParameterStore::read(const void*, std::size_t) const;
template std::vector<double> ParameterStore::read(const void*, std::size_t) const;
template void ParameterStore::write(void*, std::size_t, std::span<const float>);
template void ParameterStore::write(void*, std::size_t, std::span<const double>);

}  // namespace qmse
