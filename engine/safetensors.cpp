#include "engine/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <optional>
#include <set>
#include <tuple>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/json.h"
#include "base/words.h"

namespace qmse {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the file's byte order is taken from memory as it is");

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
constexpr std::uint64_t kAlignment = 8;
constexpr std::string_view kMetadataKey = "__metadata__";
constexpr const char* kToF32 = "save it as F32, in PyTorch tensor.float()";

struct TypeName {
  DType dtype;
  std::string_view text;
};
constexpr std::array<TypeName, 5> kTypes = {
    {{DType::f32, "F32"}, {DType::f64, "F64"}, {DType::i32, "I32"}, {DType::i64, "I64"}, {DType::u8, "U8"}}};

// Types of the format that qmse has no use for.
constexpr std::array<std::string_view, 12> kOtherTypes = {
    "BF16", "F16", "F8_E4M3", "F8_E5M2", "F8_E8M0", "I8", "I16", "U16", "U32", "U64", "BOOL", "C64"};

std::string_view file_name_of(DType dtype) {
  return std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeName& t) { return t.dtype == dtype; })
      ->text;
}

std::optional<DType> parse_type(std::string_view text) {
  for (const TypeName& type : kTypes) {
    if (type.text == text) return type.dtype;
  }
  return std::nullopt;
}

std::string text_of(std::span<const std::int64_t> shape) {
  return "[" + join(shape, ", ", [](std::int64_t size) { return std::to_string(size); }) + "]";
}

// Bytes of a tensor; nothing for a negative size or one whose bytes do not fit into 63 bits.
std::optional<std::uint64_t> bytes_of(DType dtype, std::span<const std::int64_t> shape) {
  std::int64_t bytes = static_cast<std::int64_t>(size_of(dtype));
  for (const std::int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(bytes, size, &bytes)) return std::nullopt;
  }
  return static_cast<std::uint64_t>(bytes);
}

// Receives the header's JSON events; throws DataError at the first that does not belong there. Building no
// tree bounds the work by the header's length, and duplicate keys, which a tree would drop, are seen.
class HeaderHandler final : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderHandler(const std::filesystem::path& path, std::vector<TensorInfo>* tensors,
                SafetensorsMetadata* metadata)
      : path_(path), tensors_(tensors), metadata_(metadata) {}

  bool null() override {  // other writers' word for no metadata
    return (place_ == Place::header && key_ == kMetadataKey) || unexpected("null");
  }
  bool boolean(bool) override { return unexpected("a boolean"); }
  bool number_integer(number_integer_t) override { return unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return unexpected("a number that is not a size");
  }
  bool binary(binary_t&) override { return unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::shape) {
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        fail("the shape of " + in_quotes(tensor().name) + " overflows");
      }
      tensor().shape.push_back(static_cast<std::int64_t>(value));
    } else if (place_ == Place::offsets && offsets_ < 2) {
      (offsets_ == 0 ? tensor().begin : tensor().end) = value;
      ++offsets_;
    } else {
      return unexpected("a number");
    }
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::metadata) {
      metadata_->at(key_) = value;
    } else if (place_ == Place::tensor && key_ == "dtype") {
      const std::optional<DType> dtype = parse_type(value);
      if (!dtype) {
        const bool known = std::find(kOtherTypes.begin(), kOtherTypes.end(), value) != kOtherTypes.end();
        if (!known) {
          fail("tensor " + in_quotes(tensor().name) + " has the unknown dtype " + in_quotes(value) +
               "; known: F32, F64, I32, I64, U8");
        }
        throw DataError(in_quotes(path_) + ": tensor " + in_quotes(tensor().name) + " is of type " + value +
                        ", which qmse does not read: " + kToF32);
      }
      tensor().dtype = *dtype;
    } else {
      return unexpected("a text");
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::outside) {
      place_ = Place::header;
    } else if (place_ == Place::header && key_ == kMetadataKey) {
      place_ = Place::metadata;
    } else if (place_ == Place::header) {
      place_ = Place::tensor;
      fields_.clear();
      tensors_->push_back({key_, DType::f32, {}, 0, 0});
    } else {
      return unexpected("an object");
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::tensor && fields_.size() != 3) {
      fail("tensor " + in_quotes(tensor().name) + " lacks one of dtype, shape, data_offsets");
    }
    place_ = place_ == Place::header ? Place::outside : Place::header;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::tensor && key_ == "shape") {
      place_ = Place::shape;
    } else if (place_ == Place::tensor && key_ == "data_offsets") {
      place_ = Place::offsets;
      offsets_ = 0;
    } else {
      return unexpected("an array");
    }
    return true;
  }

  bool end_array() override {
    if (place_ == Place::offsets && offsets_ != 2)
      fail("data_offsets of " + in_quotes(tensor().name) + " need two numbers");
    place_ = Place::tensor;
    return true;
  }

  bool key(string_t& key) override {
    key_ = key;
    bool fresh = true;
    if (place_ == Place::header) {
      fresh = names_.insert(key).second;
    } else if (place_ == Place::metadata) {
      fresh = metadata_->emplace(key, "").second;
    } else {
      if (key != "dtype" && key != "shape" && key != "data_offsets") {
        fail("tensor " + in_quotes(tensor().name) + " has the unknown field " + in_quotes(key));
      }
      fresh = fields_.insert(key).second;
    }
    if (!fresh) fail("the header has the key " + in_quotes(key) + " twice");
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) override {
    fail("the header is not valid JSON in UTF-8, at its byte " + std::to_string(position));
  }

  [[noreturn]] void fail(const std::string& cause) const {
    throw DataError(in_quotes(path_) + " is no valid safetensors file: " + cause +
                    "; it is damaged or of another format");
  }

 private:
  enum class Place { outside, header, metadata, tensor, shape, offsets };

  [[noreturn]] bool unexpected(const std::string& what) const {
    if (place_ == Place::outside) fail("the header is " + what + ", not an object");
    if (place_ == Place::metadata) fail("metadata " + in_quotes(key_) + " is " + what + ", not a text");
    fail("the header has " + what + " where none belongs, at " + in_quotes(key_) +
         (place_ == Place::header ? std::string() : " of tensor " + in_quotes(tensor().name)));
  }

  TensorInfo& tensor() const { return tensors_->back(); }

  const std::filesystem::path& path_;
  std::vector<TensorInfo>* tensors_;
  SafetensorsMetadata* metadata_;
  Place place_ = Place::outside;
  std::string key_;
  std::set<std::string> names_;
  std::set<std::string> fields_;
  int offsets_ = 0;
};

// The offsets of all tensors must tile [0, data_bytes), each with as many bytes as its type and shape need.
void check_offsets(const std::vector<TensorInfo>& tensors, std::uint64_t data_bytes,
                   const HeaderHandler& handler) {
  std::vector<const TensorInfo*> by_offset;
  for (const TensorInfo& tensor : tensors) by_offset.push_back(&tensor);
  std::sort(by_offset.begin(), by_offset.end(), [](const TensorInfo* a, const TensorInfo* b) {
    return std::tie(a->begin, a->end) < std::tie(b->begin, b->end);
  });
  std::uint64_t expected = 0;
  for (const TensorInfo* tensor : by_offset) {
    const std::string label = "tensor " + in_quotes(tensor->name);
    if (tensor->begin > tensor->end) handler.fail(label + " ends before it begins");
    if (tensor->end > data_bytes) {
      handler.fail(label + " ends at byte " + std::to_string(tensor->end) + " of the data, which has " +
                   std::to_string(data_bytes) + " bytes");
    }
    if (tensor->begin < expected) handler.fail(label + " overlaps another one");
    if (tensor->begin > expected) handler.fail("there is a hole before " + label);
    const std::optional<std::uint64_t> bytes = bytes_of(tensor->dtype, tensor->shape);
    if (!bytes) handler.fail("the shape " + text_of(tensor->shape) + " of " + label + " overflows");
    if (*bytes != tensor->end - tensor->begin) {
      handler.fail(label + " has " + std::to_string(tensor->end - tensor->begin) + " bytes, but type " +
                   std::string(file_name_of(tensor->dtype)) + " and shape " + text_of(tensor->shape) +
                   " need " + std::to_string(*bytes));
    }
    expected = tensor->end;
  }
  if (expected != data_bytes) {
    handler.fail(std::to_string(data_bytes - expected) + " bytes follow the last tensor");
  }
}

// Weights as other software keeps them, by their first bytes.
void refuse_other_formats(const InputFile& file) {
  constexpr std::array<std::pair<std::string_view, const char*>, 4> kOthers = {
      {{"PK\x03\x04", "a zip archive, as torch.save writes (.pt, .pth)"},
       {"\x80\x02", "a Python pickle, as old versions of torch.save write"},
       {"\x80\x04", "a Python pickle"},
       {"\x89HDF", "an HDF5 file, as Keras writes"}}};
  std::array<char, kLengthBytes + 1> first = {};
  file.read(0, first.data(), std::min<std::uint64_t>(first.size(), file.size()));
  if (first.back() == '{') return;  // the header after its length
  const std::string_view start(first.data(), first.size());
  for (const auto& [bytes, what] : kOthers) {
    if (!start.starts_with(bytes)) continue;
    throw DataError(
        in_quotes(file.path()) + " is " + what +
        ", not a safetensors file: convert it in Python with "
        "safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'weights.safetensors')");
  }
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
  refuse_other_formats(file_);
  HeaderHandler handler(file_.path(), &tensors_, &metadata_);
  if (file_.size() < kLengthBytes) handler.fail("it has only " + std::to_string(file_.size()) + " bytes");
  std::uint64_t header_bytes = 0;
  file_.read(0, &header_bytes, kLengthBytes);
  if (header_bytes > kMaxHeaderBytes || header_bytes > file_.size() - kLengthBytes) {
    handler.fail("its header of " + std::to_string(header_bytes) + " bytes is longer than " +
                 (header_bytes > kMaxHeaderBytes ? "the 100 MB that are allowed" : "the file"));
  }
  std::string header(header_bytes, '\0');
  file_.read(kLengthBytes, header.data(), header.size());
  if (header.empty() || header.front() != '{') handler.fail("its header does not begin with '{'");
  // The JSON parser takes a zero byte for the end of the text.
  if (header.find('\0') != std::string::npos) handler.fail("its header has a zero byte");
  parse_json(header, handler);
  data_start_ = kLengthBytes + header_bytes;
  check_offsets(tensors_, file_.size() - data_start_, handler);
  for (std::size_t i = 0; i < tensors_.size(); ++i) index_.emplace(tensors_[i].name, i);
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> names;
  for (const TensorInfo& tensor : tensors_) names.push_back(tensor.name);
  return names;
}

const TensorInfo& SafetensorsFile::info(std::string_view name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) {
    std::string known;
    for (const TensorInfo& tensor : tensors_) {
      known += (known.empty() ? "" : ", ") + in_quotes(tensor.name);
      if (known.size() > 500) {
        known += ", ...";
        break;
      }
    }
    throw DataError(in_quotes(path()) + " has no tensor " + in_quotes(name) +
                    "; it has: " + (known.empty() ? "none" : known));
  }
  return tensors_[found->second];
}

void SafetensorsFile::check_type(std::string_view name, DType dtype) const {
  if (info(name).dtype == dtype) return;
  throw DataError("tensor " + in_quotes(name) + " of " + in_quotes(path()) + " has type " +
                  std::string(file_name_of(info(name).dtype)) + ", expected " +
                  std::string(file_name_of(dtype)) + (dtype == DType::f32 ? std::string("; ") + kToF32 : ""));
}

void SafetensorsFile::check_room(std::string_view name, std::span<const std::int64_t> shape,
                                 std::size_t elements) const {
  const std::optional<std::uint64_t> needed = bytes_of(DType::u8, shape);
  if (needed && *needed == elements) return;
  throw ShapeError("tensor " + in_quotes(name) + " of " + in_quotes(path()) + " is to be read as shape " +
                   text_of(shape) + " into a buffer of " + std::to_string(elements) + " elements");
}

void SafetensorsFile::read(std::string_view name, DType dtype, std::span<const std::int64_t> shape,
                           void* destination) const {
  const TensorInfo& tensor = info(name);
  check_type(name, dtype);
  if (!std::equal(shape.begin(), shape.end(), tensor.shape.begin(), tensor.shape.end())) {
    throw ShapeError("tensor " + in_quotes(name) + " of " + in_quotes(path()) + " has shape " +
                     text_of(tensor.shape) + ", expected " + text_of(shape));
  }
  file_.read(data_start_ + tensor.begin, destination, tensor.end - tensor.begin);
}

void write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                       const SafetensorsMetadata& metadata) {
  const auto label = [&](const TensorToWrite& tensor) {
    return "cannot write " + in_quotes(path) + ": tensor " + in_quotes(tensor.name);
  };
  std::vector<const TensorToWrite*> order;
  for (const TensorToWrite& tensor : tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(), [](const TensorToWrite* a, const TensorToWrite* b) {
    return size_of(a->dtype) > size_of(b->dtype);
  });

  Json json = Json::object();
  if (!metadata.empty()) json[std::string(kMetadataKey)] = metadata;
  std::set<std::string_view> names;
  std::vector<std::uint64_t> sizes;
  std::uint64_t offset = 0;
  for (const TensorToWrite* tensor : order) {
    if (tensor->name == kMetadataKey) throw DataError(label(*tensor) + " has a reserved name");
    if (!names.insert(tensor->name).second) throw DataError(label(*tensor) + " is there twice");
    const std::optional<std::uint64_t> bytes = bytes_of(tensor->dtype, tensor->shape);
    if (!bytes) throw ShapeError(label(*tensor) + " has the impossible shape " + text_of(tensor->shape));
    json[tensor->name] = {{"dtype", file_name_of(tensor->dtype)},
                          {"shape", tensor->shape},
                          {"data_offsets", {offset, offset + *bytes}}};
    sizes.push_back(*bytes);
    offset += *bytes;
  }
  std::string header;
  try {
    header = json.dump();
  } catch (const nlohmann::json::exception&) {
    throw DataError("cannot write " + in_quotes(path) + ": a tensor's name or the metadata is not UTF-8");
  }
  header.append((kAlignment - header.size() % kAlignment) % kAlignment, ' ');
  const std::uint64_t header_bytes = header.size();
  if (header_bytes > kMaxHeaderBytes) {
    throw DataError("cannot write " + in_quotes(path) +
                    ": its header would be longer than 100 MB; shorten the metadata");
  }

  AtomicFile file(path);
  file.write(&header_bytes, kLengthBytes);
  file.write(header.data(), header.size());
  for (std::size_t i = 0; i < order.size(); ++i) file.write(order[i]->data, sizes[i]);
  file.commit();
}

}  // namespace qmse
