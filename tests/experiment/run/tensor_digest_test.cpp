#include "experiment/run/tensor_digest.h"

#include "data/sha256.h"
#include "tests/support/catch.h"
#include "tests/support/temp_directory.h"

using namespace qmse;
using namespace qmse::test;

TEST_CASE("tensor digest: what is hashed is what the header says, by hand") {
  const float weight[] = {1.0F, -2.5F};
  const std::uint8_t bytes[] = {7, 8, 9};
  const TempDirectory folder;
  const TensorToWrite a{"b.weight", DType::f32, {1, 2}, weight}, b{"a", DType::u8, {3}, bytes};
  const TensorToWrite tensors[] = {a, b};
  write_safetensors(folder / "t", tensors, {{"format", "pt"}});
  using namespace std::string_literals;
  const std::string expected = sha256(
      "a u8 [3]\n\x07\x08\x09"
      "b.weight f32 [1,2]\n\x00\x00\x80\x3f\x00\x00\x20\xc0"s);
  CHECK(tensors_sha256(folder / "t") == expected);
  CHECK(tensors_sha256(tensors) == expected);
  CHECK(tensor_sha256(SafetensorsFile(folder / "t"), "a") == sha256("a u8 [3]\n\x07\x08\x09"));
}

TEST_CASE("tensor digest: metadata and order do not count, name, type, shape and every bit do") {
  const float zeros[] = {0.0F, 0.0F}, negative[] = {0.0F, -0.0F};
  const TempDirectory folder;
  const auto digest = [&](std::vector<TensorToWrite> tensors, const SafetensorsMetadata& metadata = {}) {
    write_safetensors(folder / "t", tensors, metadata);
    return tensors_sha256(folder / "t");
  };
  const TensorToWrite w{"w", DType::f32, {2}, zeros}, x{"x", DType::f32, {2}, zeros};
  const std::string usual = digest({w, x});
  CHECK(digest({x, w}, {{"program", "another"}}) == usual);
  CHECK(digest({w}) != usual);
  CHECK(digest({w, {"y", DType::f32, {2}, zeros}}) != usual);
  CHECK(digest({w, {"x", DType::i32, {2}, zeros}}) != usual);
  CHECK(digest({w, {"x", DType::f32, {2, 1}, zeros}}) != usual);
  CHECK(digest({w, {"x", DType::f32, {2}, negative}}) != usual);
}
