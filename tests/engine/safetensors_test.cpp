#include "engine/safetensors.h"

#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <random>
#include <string>

#include "base/error.h"
#include "base/in_quotes.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"
#include "tests/support/mutation.h"
#include "tests/support/temp_directory.h"

namespace qmse {
namespace {

namespace fs = std::filesystem;
using Shape64 = std::vector<std::int64_t>;
using test::mentions;
using test::message_of;
using test::read_bytes;
using test::TempDirectory;
using test::write_bytes;

// A file made by hand: the header's length, the header as given, the data.
std::string raw_file(const std::string& header, const std::string& data) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(header.size() >> (8 * i));
  return bytes + header + data;
}

bool rejects(const std::string& bytes, const std::string& cause) {
  const TempDirectory folder;
  write_bytes(folder / "file", bytes);
  const std::string message = message_of<DataError>([&] { SafetensorsFile file(folder / "file"); });
  const bool named = mentions(message, cause) && mentions(message, (folder / "file").string());
  if (!named) WARN("expected '" << cause << "' in: " << message);
  return named;
}

TEST_CASE("safetensors: every type, a scalar and empty tensors make the round trip") {
  const TempDirectory folder;
  const std::vector<float> f32 = {1.5f, -0.0f, 3e-45f, 1e38f, 5.f, 6.f};
  const double f64 = 0.1;
  const std::vector<std::int32_t> i32 = {-1, 1 << 30};
  const std::vector<std::int64_t> i64 = {std::int64_t{1} << 62, -5, 7};
  const std::vector<std::uint8_t> u8 = {0, 255, 3};
  const SafetensorsMetadata metadata = {
      {"classes", "[\"T-shirt/top\", \"é\"]"}, {"", ""}, {"line\n", "\t\"\\\x01"}};
  const std::vector<TensorToWrite> tensors = {
      {"u8", DType::u8, {3, 1}, u8.data()},   {"conv1.weight", DType::f32, {2, 3}, f32.data()},
      {"scalar", DType::f64, {}, &f64},       {"i32", DType::i32, {2}, i32.data()},
      {"empty", DType::f32, {4, 0}, nullptr}, {"i64 é \"quoted\"", DType::i64, {1, 3}, i64.data()},
      {"none", DType::u8, {0}, nullptr},
  };
  write_safetensors(folder / "file", tensors, metadata);
  const SafetensorsFile file(folder / "file");
  CHECK(file.metadata() == metadata);
  // Wide types first, otherwise the given order.
  CHECK(file.names() ==
        std::vector<std::string>{"scalar", "i64 é \"quoted\"", "conv1.weight", "i32", "empty", "u8", "none"});
  CHECK(file.info("conv1.weight").shape == Shape64{2, 3});
  CHECK(file.info("scalar").shape.empty());
  CHECK(file.info("scalar").elements() == 1);
  CHECK(file.info("empty").elements() == 0);
  CHECK(file.contains("u8"));
  CHECK_FALSE(file.contains("u"));
  for (const std::string& name : file.names()) {
    CHECK(file.info(name).begin % size_of(file.info(name).dtype) == 0);
  }
  std::vector<float> f32_read(6);
  file.read("conv1.weight", Shape64{2, 3}, std::span<float>(f32_read));
  CHECK(std::memcmp(f32_read.data(), f32.data(), 24) == 0);
  CHECK(file.read<double>("scalar") == std::vector<double>{0.1});
  CHECK(file.read<std::int32_t>("i32") == i32);
  CHECK(file.read<std::int64_t>("i64 é \"quoted\"") == i64);
  CHECK(file.read<std::uint8_t>("u8") == u8);
  CHECK(file.read<float>("empty").empty());
  CHECK(file.read<std::uint8_t>("none").empty());
}

TEST_CASE("safetensors: the bytes are those of the reference implementation") {
  const TempDirectory folder;
  // Python, safetensors.numpy: save({"a": float32 [0, 1], "b": uint8 [[1]], 'é"': float64 3}, metadata={"k":
  // "v/é"})
  const std::string header =
      "{\"__metadata__\":{\"k\":\"v/"
      "\xc3\xa9\"},\"\xc3\xa9\\\"\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]},"
      "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]},"
      "\"b\":{\"dtype\":\"U8\",\"shape\":[1,1],\"data_offsets\":[16,17]}}      ";
  const std::string golden = std::string("\xc8\0\0\0\0\0\0\0", 8) + header +
                             std::string(
                                 "\0\0\0\0\0\0\x08\x40"
                                 "\0\0\0\0"
                                 "\0\0\x80\x3f"
                                 "\x01",
                                 17);
  const std::vector<float> a = {0.f, 1.f};
  const std::uint8_t b = 1;
  const double e = 3.0;
  const std::vector<TensorToWrite> tensors = {
      {"a", DType::f32, {2}, a.data()}, {"b", DType::u8, {1, 1}, &b}, {"\xc3\xa9\"", DType::f64, {}, &e}};
  write_safetensors(folder / "file", tensors, {{"k", "v/\xc3\xa9"}});
  CHECK(read_bytes(folder / "file") == golden);

  write_safetensors(folder / "empty", {}, {});
  CHECK(read_bytes(folder / "empty") == raw_file("{}      ", ""));
  CHECK(SafetensorsFile(folder / "empty").names().empty());
}

TEST_CASE("safetensors: a file with another order, spaces and escapes is read") {
  const TempDirectory folder;
  write_bytes(folder / "file",
              raw_file("{ \"b\": {\"shape\": [1], \"data_offsets\": [2, 3], \"dtype\": \"U8\"},\n"
                       "  \"\\u0061\": {\"dtype\": \"U8\", \"data_offsets\": [0, 2], \"shape\": [2]}} ",
                       "xyz"));
  const SafetensorsFile file(folder / "file");
  CHECK(file.names() == std::vector<std::string>{"b", "a"});
  CHECK(file.read<std::uint8_t>("a") == std::vector<std::uint8_t>{'x', 'y'});
  CHECK(file.read<std::uint8_t>("b") == std::vector<std::uint8_t>{'z'});
  CHECK(file.metadata().empty());
}

TEST_CASE("safetensors: damaged frames are rejected") {
  CHECK(rejects("", "it has only 0 bytes"));
  CHECK(rejects("1234567", "it has only 7 bytes"));
  CHECK(rejects(std::string(8, '\0'), "does not begin with '{'"));
  CHECK(rejects(std::string("\x03\0\0\0\0\0\0\0{}", 10), "header of 3 bytes is longer than the file"));
  CHECK(rejects(std::string("\0\0\0\0\0\0\0\x80{}", 10), "longer than the 100 MB that are allowed"));
  CHECK(rejects(std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10), "18446744073709551615 bytes"));
  CHECK(rejects(std::string("\x01\xe1\xf5\x05\0\0\0\0{}", 10), "100000001 bytes is longer than the 100 MB"));
  CHECK(rejects(raw_file("{}", "x"), "1 bytes follow the last tensor"));
  const std::string one = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  CHECK(rejects(raw_file(one, "abcde"), "1 bytes follow the last tensor"));
  CHECK(rejects(raw_file(one, "abc"), "ends at byte 4 of the data, which has 3 bytes"));
}

TEST_CASE("safetensors: headers that are no JSON objects of the format are rejected") {
  const auto header = [](const std::string& text, const std::string& cause) {
    return rejects(raw_file(text, "abcd"), cause);
  };
  CHECK(header("[]", "does not begin with '{'"));
  CHECK(header(" {}", "does not begin with '{'"));
  CHECK(header("{", "not valid JSON"));
  CHECK(header("{}}", "not valid JSON"));
  CHECK(header("{'a':1}", "not valid JSON"));
  CHECK(header(std::string("{}\0 garbage", 11), "zero byte"));
  CHECK(header("{\"\xff\":{}}", "not valid JSON in UTF-8"));
  CHECK(header("{\"\xc0\x80\":{}}", "not valid JSON in UTF-8"));
  CHECK(header(R"({"\ud800":{}})", "not valid JSON in UTF-8"));
  CHECK(header(R"({"a":null})", "null where none belongs"));
  CHECK(header(R"({"a":[]})", "an array where none belongs"));
  CHECK(header(R"({"a":"F32"})", "a text where none belongs"));
  CHECK(header(R"({"a":4})", "a number where none belongs"));
  CHECK(header(R"({"a":true})", "a boolean where none belongs"));
  CHECK(header(std::string(100'000, '[').insert(0, "{\"a\":"), "an array where none belongs"));
}

TEST_CASE("safetensors: metadata that are no texts are rejected") {
  const auto header = [](const std::string& text, const std::string& cause) {
    return rejects(raw_file(text, ""), cause);
  };
  CHECK(header(R"({"__metadata__":{"k":1}})", "metadata 'k' is a number, not a text"));
  CHECK(header(R"({"__metadata__":{"k":null}})", "metadata 'k' is null"));
  CHECK(header(R"({"__metadata__":{"k":{}}})", "metadata 'k' is an object"));
  CHECK(header(R"({"__metadata__":{"k":["v"]}})", "metadata 'k' is an array"));
  CHECK(header(R"({"__metadata__":"v"})", "a text where none belongs"));
  CHECK(header(R"({"__metadata__":{"k":"v","k":"v"}})", "the key 'k' twice"));
  CHECK(header(R"({"__metadata__":{},"__metadata__":{}})", "the key '__metadata__' twice"));
}

TEST_CASE("safetensors: tensor entries that do not fit are rejected") {
  const auto entry = [](const std::string& fields, const std::string& cause) {
    return rejects(raw_file("{\"a\":{" + fields + "}}", "abcdefgh"), cause);
  };
  CHECK(entry(R"("dtype":"F32","shape":[2])", "'a' lacks one of dtype, shape, data_offsets"));
  CHECK(entry("", "'a' lacks one of"));
  CHECK(entry(R"("dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8])", "the key 'dtype' twice"));
  CHECK(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,8],"extra":1)", "unknown field 'extra'"));
  CHECK(entry(R"("dtype":"BF17","shape":[4],"data_offsets":[0,8])",
              "unknown dtype 'BF17'; known: F32, F64, I32, I64, U8"));
  CHECK(entry(R"("dtype":"f32","shape":[2],"data_offsets":[0,8])", "unknown dtype 'f32'"));
  CHECK(entry(R"("dtype":32,"shape":[2],"data_offsets":[0,8])", "a number where none belongs"));
  CHECK(entry(R"("dtype":"F32","shape":2,"data_offsets":[0,8])", "a number where none belongs"));
  CHECK(entry(R"("dtype":"F32","shape":[[2]],"data_offsets":[0,8])", "an array where none belongs"));
  CHECK(entry(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])", "a negative number"));
  CHECK(entry(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])", "a number that is not a size"));
  CHECK(entry(R"("dtype":"F32","shape":["2"],"data_offsets":[0,8])", "a text where none belongs"));
  CHECK(entry(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])",
              "8 bytes, but type F32 and shape [3] need 12"));
  CHECK(entry(R"("dtype":"F64","shape":[2],"data_offsets":[0,8])",
              "8 bytes, but type F64 and shape [2] need 16"));
  CHECK(entry(R"("dtype":"F32","shape":[2,0],"data_offsets":[0,8])", "shape [2, 0] need 0"));
  CHECK(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0])", "need two numbers"));
  CHECK(entry(R"("dtype":"F32","shape":[2],"data_offsets":[])", "need two numbers"));
  CHECK(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,8])", "a number where none belongs"));
  CHECK(entry(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])", "ends before it begins"));
  CHECK(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,-8])", "a negative number"));
  CHECK(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,12])",
              "ends at byte 12 of the data, which has 8"));
  CHECK(entry(R"("dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,8])", "overflows"));
  CHECK(entry(R"("dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,8])", "overflows"));
  // 2^32 · 2^32 and (2^63 + 2) · 4 wrap around to sizes that would fit.
  CHECK(entry(R"("dtype":"U8","shape":[4294967296,4294967296,8],"data_offsets":[0,8])", "overflows"));
  CHECK(entry(R"("dtype":"F32","shape":[4611686018427387906],"data_offsets":[0,8])", "overflows"));
  CHECK(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615])", "which has 8"));
  CHECK(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551624])",
              "a number that is not a size"));
}

TEST_CASE("safetensors: holes, overlaps and double names are rejected") {
  const auto pair = [](const std::string& a, const std::string& b, const std::string& cause) {
    const auto entry = [](const std::string& offsets) {
      return R"({"dtype":"U8","shape":[4],"data_offsets":)" + offsets + "}";
    };
    return rejects(raw_file("{\"a\":" + entry(a) + ",\"b\":" + entry(b) + "}", "abcdefgh"), cause);
  };
  CHECK(pair("[0,4]", "[3,7]", "'b' overlaps another one"));
  CHECK(pair("[0,4]", "[0,4]", "overlaps another one"));
  CHECK(pair("[0,3]", "[4,8]", "3 bytes, but type U8 and shape [4] need 4"));
  CHECK(pair("[1,5]", "[5,8]", "a hole before tensor 'a'"));
  CHECK(rejects(raw_file(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                         R"("b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
                         "abcdefgh"),
                "a hole before tensor 'b'"));
  CHECK(rejects(raw_file(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                         R"("a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
                         "abcdefgh"),
                "the key 'a' twice"));
}

TEST_CASE("safetensors: files that cannot be opened") {
  const TempDirectory folder;
  CHECK(mentions(message_of<IoError>([&] { SafetensorsFile file(folder / "missing"); }), "missing"));
  CHECK(mentions(message_of<IoError>([&] { SafetensorsFile file(folder.path()); }), "is a directory"));
}

TEST_CASE("safetensors: reading checks name, type, shape and room") {
  const TempDirectory folder;
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const std::vector<TensorToWrite> tensors = {{"w", DType::f32, {2, 3}, values.data()}};
  write_safetensors(folder / "file", tensors, {});
  const SafetensorsFile file(folder / "file");
  std::vector<float> out(6);
  const auto read_shape = [&](const Shape64& shape, std::size_t room) {
    return message_of<ShapeError>([&] { file.read("w", shape, std::span<float>(out).first(room)); });
  };
  CHECK(mentions(message_of<DataError>([&] { file.info("v"); }), "has no tensor 'v'; it has: 'w'"));
  CHECK(mentions(message_of<DataError>([&] { file.read<double>("w"); }), "has type F32, expected F64"));
  CHECK(mentions(message_of<DataError>([&] {
                   file.read("w", DType::i32, Shape64{2, 3}, out.data());
                 }),
                 "has type F32, expected I32"));
  CHECK(mentions(read_shape({3, 2}, 6), "has shape [2, 3], expected [3, 2]"));
  CHECK(mentions(read_shape({6}, 6), "has shape [2, 3], expected [6]"));
  CHECK(mentions(read_shape({2, 3}, 5), "into a buffer of 5 elements"));
  // A file that shrinks after it was opened is an error, too.
  fs::resize_file(folder / "file", fs::file_size(folder / "file") - 1);
  CHECK(mentions(message_of<IoError>([&] { file.read<float>("w"); }), "cut short"));
}

TEST_CASE("safetensors: the writer refuses what would make an invalid file") {
  const TempDirectory folder;
  const float value = 1;
  const auto write = [&](const std::vector<TensorToWrite>& tensors, const SafetensorsMetadata& metadata) {
    write_safetensors(folder / "file", tensors, metadata);
  };
  const TensorToWrite good = {"a", DType::f32, {1}, &value};
  CHECK(mentions(message_of<DataError>([&] { write({good, good}, {}); }), "'a' is there twice"));
  CHECK(mentions(message_of<DataError>([&] {
                   write({{"__metadata__", DType::f32, {1}, &value}}, {});
                 }),
                 "reserved"));
  CHECK(mentions(message_of<DataError>([&] {
                   write({{"\xff", DType::f32, {1}, &value}}, {});
                 }),
                 "not UTF-8"));
  CHECK(mentions(message_of<DataError>([&] { write({good}, {{"k", "\xff"}}); }), "not UTF-8"));
  CHECK(mentions(message_of<ShapeError>([&] {
                   write({{"a", DType::f32, {-1}, &value}}, {});
                 }),
                 "impossible shape [-1]"));
  CHECK(mentions(message_of<ShapeError>([&] {
                   write({{"a", DType::f32, {1L << 61, 4}, &value}}, {});
                 }),
                 "impossible"));
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("safetensors: a failed write leaves the former file and no temporary") {
  const TempDirectory folder;
  const std::vector<float> values(10'000, 1.f);
  const std::vector<TensorToWrite> small = {{"w", DType::f32, {1}, values.data()}};
  const std::vector<TensorToWrite> large = {{"w", DType::f32, {10'000}, values.data()}};
  write_safetensors(folder / "file", small, {});
  const std::string former = read_bytes(folder / "file");
  // A limit on the size of files stands in for a full disk.
  struct rlimit limit {};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &limit) == 0);
  struct rlimit lower = limit;
  lower.rlim_cur = 20'000;
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &lower) == 0);
  const std::string message = message_of<IoError>([&] { write_safetensors(folder / "file", large, {}); });
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  std::signal(SIGXFSZ, handler);
  CHECK(mentions(message, "cannot write"));
  CHECK(read_bytes(folder / "file") == former);
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
  CHECK(
      mentions(message_of<IoError>([&] { write_safetensors(folder / "no" / "file", small, {}); }), "folder"));
}

TEST_CASE("safetensors: thousands of damaged files load as valid or throw") {
  const TempDirectory folder;
  const std::vector<double> values = {1, 2, 3, 4, 5, 6};
  const std::vector<TensorToWrite> tensors = {{"fc1.weight", DType::f32, {2, 3}, values.data()},
                                              {"fc1.bias", DType::f32, {2}, values.data()},
                                              {"step", DType::i64, {}, values.data()},
                                              {"label", DType::u8, {5, 1}, values.data()},
                                              {"empty", DType::f64, {0, 7}, nullptr}};
  write_safetensors(folder / "good", tensors, {{"architecture", "cnn"}, {"classes", "[\"a\", \"b\"]"}});
  const std::string good = read_bytes(folder / "good");
  const std::size_t header =
      8 + static_cast<unsigned char>(good[0]) + 256 * static_cast<unsigned char>(good[1]);
  constexpr std::uint64_t kSeed = 20240229;
  std::mt19937_64 random(kSeed);
  int loaded = 0;
  int rejected = 0;
  for (int round = 0; round < 3000; ++round) {
    INFO("seed " << kSeed << ", round " << round);
    const std::string bytes = test::mutate(good, header, random);
    write_bytes(folder / "bad", bytes);
    try {
      const SafetensorsFile file(folder / "bad");
      std::uint64_t data_bytes = 0;
      for (const std::string& name : file.names()) {
        const TensorInfo& info = file.info(name);
        std::vector<unsigned char> content(info.end - info.begin);
        file.read(name, info.dtype, info.shape, content.data());
        data_bytes += content.size();
      }
      REQUIRE(data_bytes < bytes.size());
      ++loaded;
    } catch (const Error& error) {
      REQUIRE(std::string(error.what()).find('\n') == std::string::npos);
      ++rejected;
    }
  }
  // Both outcomes must be common, or the damage would test little: data bytes and names may change freely.
  CHECK(loaded > 50);
  CHECK(rejected > 1500);
}

TEST_CASE("safetensors: types that other software writes are refused with what to do") {
  const test::TempDirectory folder;
  for (const std::string type : {"BF16", "F16", "I8", "BOOL"}) {
    CAPTURE(type);
    const std::string header =
        R"({"conv1.weight":{"dtype":")" + type + R"(","shape":[2],"data_offsets":[0,4]}})";
    std::string bytes(8, '\0');
    bytes[0] = static_cast<char>(header.size());
    test::write_bytes(folder / "half", bytes + header + "1234");
    CHECK(test::message_of<DataError>([&] { SafetensorsFile(folder / "half"); }) ==
          in_quotes(folder / "half") + ": tensor 'conv1.weight' is of type " + type +
              ", which qmse does not read: save it as F32, in PyTorch tensor.float()");
  }
}

TEST_CASE("safetensors: metadata may be null, other writers' word for none") {
  const test::TempDirectory folder;
  const std::string header = R"({"__metadata__":null,"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
  std::string bytes(8, '\0');
  bytes[0] = static_cast<char>(header.size());
  test::write_bytes(folder / "null", bytes + header + "x");
  const SafetensorsFile file(folder / "null");
  CHECK(file.metadata().empty());
  CHECK(file.contains("a"));
}

TEST_CASE("safetensors: files of other formats are named, with how to convert them") {
  const test::TempDirectory folder;
  const auto message = [&](const std::string& bytes) {
    test::write_bytes(folder / "model.pt", bytes);
    return test::message_of<DataError>([&] { SafetensorsFile(folder / "model.pt"); });
  };
  const std::string rest(100, 'x');
  for (const auto& [start, what] : {std::pair{std::string("PK\x03\x04"), "a zip archive"},
                                    {std::string("\x80\x02\x8a\x0a"), "a Python pickle"},
                                    {std::string("\x89HDF\r\n\x1a\n"), "an HDF5 file"}}) {
    CAPTURE(what);
    const std::string text = message(start + rest);
    CHECK(text.find("model.pt' is " + std::string(what)) != std::string::npos);
    CHECK(text.find("safetensors.torch.save_file") != std::string::npos);
    CHECK(text.find('\n') == std::string::npos);
  }
  // A header that is as long as those bytes say is still one.
  const std::string object = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
  const std::size_t length = 0x010280;
  std::string bytes = "\x80\x02\x01" + std::string(5, '\0') + object;
  bytes.resize(8 + length, ' ');
  test::write_bytes(folder / "long", bytes + "x");
  CHECK(SafetensorsFile(folder / "long").contains("a"));
}

}  // namespace
}  // namespace qmse
