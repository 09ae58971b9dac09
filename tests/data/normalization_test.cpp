#include "data/normalization.h"

#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "base/error.h"
#include "base/parse_choice.h"
#include "tests/data/tiny_idx.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"

namespace qmse {
namespace {

using test::mentions;
using test::message_of;

ImageDataset make_set(std::int64_t count, std::int64_t channels, std::int64_t height, std::int64_t width) {
  ImageDataset set;
  set.name = "made";
  set.count = count;
  set.channels = channels;
  set.height = height;
  set.width = width;
  set.class_names = {"a", "b"};
  set.images.resize(static_cast<std::size_t>(count * channels * height * width));
  for (std::int64_t i = 0; i < count; ++i) set.labels.push_back(static_cast<std::int32_t>(i % 2));
  return set;
}

TEST_CASE("image_dataset: first takes the first samples") {
  ImageDataset set = make_set(3, 2, 1, 2);
  for (std::size_t i = 0; i < set.images.size(); ++i) set.images[i] = static_cast<std::uint8_t>(i);
  const ImageDataset two = set.first(2);
  CHECK(two.count == 2);
  CHECK(two.images == std::vector<std::uint8_t>{0, 1, 2, 3, 4, 5, 6, 7});
  CHECK(two.labels == std::vector<std::int32_t>{0, 1});
  CHECK(two.class_names == set.class_names);
  CHECK(two.name == "made");
  CHECK(two.channels == 2);
  CHECK(two.height == 1);
  CHECK(two.width == 2);
  CHECK(set.first(3).images == set.images);
  for (const std::int64_t bad : {0, -1, 4}) {
    CHECK(mentions(message_of<ConfigError>([&] { set.first(bad); }), "the train set of made has 3"));
  }
}

TEST_CASE("normalization: statistics of a set worked out by hand") {
  ImageDataset set = make_set(2, 2, 1, 2);
  // Channel 0: 0 51 51 102, mean 51 = 255/5, variance (51² + 51²)/4. Channel 1: 255 0 0 0.
  set.images = {0, 51, 255, 0, 51, 102, 0, 0};
  const ChannelStatistics statistics = channel_statistics(set);
  CHECK(statistics.mean == std::vector<double>{0.2, 0.25});
  CHECK(statistics.stddev[0] == Approx(0.2 * std::sqrt(0.5)).epsilon(1e-15));
  CHECK(statistics.stddev[1] == Approx(std::sqrt(3.0) / 4).epsilon(1e-15));
}

TEST_CASE("normalization: statistics agree with a two-pass computation") {
  constexpr std::uint64_t kSeed = 5;
  CAPTURE(kSeed);
  std::mt19937_64 random(kSeed);
  ImageDataset set = make_set(37, 3, 5, 7);
  for (std::uint8_t& pixel : set.images) pixel = static_cast<std::uint8_t>(random() >> 56);
  const ChannelStatistics statistics = channel_statistics(set);
  for (std::int64_t c = 0; c < 3; ++c) {
    CAPTURE(c);
    std::vector<long double> values;
    for (std::int64_t n = 0; n < 37; ++n) {
      for (std::int64_t i = 0; i < 35; ++i) values.push_back(set.images[(n * 3 + c) * 35 + i] / 255.0L);
    }
    long double mean = 0;
    for (const long double value : values) mean += value;
    mean /= static_cast<long double>(values.size());
    long double variance = 0;
    for (const long double value : values) variance += (value - mean) * (value - mean);
    variance /= static_cast<long double>(values.size());
    // A few roundings to double.
    CHECK(statistics.mean[c] == Approx(static_cast<double>(mean)).epsilon(1e-15));
    CHECK(statistics.stddev[c] == Approx(static_cast<double>(std::sqrt(variance))).epsilon(1e-15));
  }
}

TEST_CASE("normalization: nearly constant channels keep all digits") {
  // One pixel of 1 among 999 999 zeros: differences of large sums in floating point would lose this variance.
  ImageDataset set = make_set(1, 1, 1000, 1000);
  for (std::uint8_t& pixel : set.images) pixel = 254;
  set.images[123'456] = 255;
  const ChannelStatistics statistics = channel_statistics(set);
  CHECK(statistics.stddev[0] == Approx(std::sqrt(1e-6 * (1 - 1e-6)) / 255).epsilon(1e-15));
}

TEST_CASE("normalization: standard gives mean 0 and deviation 1, unit gives pixel/255") {
  ImageDataset set = make_set(2, 2, 1, 2);
  set.images = {0, 51, 255, 0, 51, 102, 0, 0};
  const Normalization standard = make_normalization(NormalizationKind::standard, set);
  for (std::size_t c = 0; c < 2; ++c) {
    double sum = 0;
    double squares = 0;
    for (const std::size_t at : {2 * c, 2 * c + 1, 2 * c + 4, 2 * c + 5}) {
      const double x = set.images[at] * standard.scale()[c] + standard.shift()[c];
      sum += x;
      squares += x * x;
    }
    CHECK(std::abs(sum) < 1e-14);
    CHECK(squares / 4 == Approx(1).epsilon(1e-14));
  }
  const Normalization unit = make_normalization(NormalizationKind::unit, set);
  CHECK(unit.scale() == std::vector<double>{1 / 255.0, 1 / 255.0});
  CHECK(unit.shift() == std::vector<double>{0, 0});
}

TEST_CASE("normalization: a constant channel cannot be standardised") {
  ImageDataset set = make_set(2, 2, 1, 2);
  set.images = {0, 51, 7, 7, 51, 102, 7, 7};
  const auto make = [&](NormalizationKind kind) { return make_normalization(kind, set); };
  CHECK(mentions(message_of<DataError>([&] { make(NormalizationKind::standard); }),
                 "channel 1 of the training set 'made'"));
  CHECK_NOTHROW(make(NormalizationKind::unit));
}

TEST_CASE("normalization: the text form reads back as the same doubles") {
  const Normalization original = {
      NormalizationKind::standard, {0.1, 1.0 / 3, 5e-324}, {0.3081, 2.0 / 3, 1e300}};
  const Normalization copy = parse_normalization(to_json_text(original));
  CHECK(copy.kind == original.kind);
  CHECK(copy.mean == original.mean);
  CHECK(copy.stddev == original.stddev);
  CHECK(to_json_text({NormalizationKind::unit, {0}, {1}}) ==
        R"({"kind":"unit","mean":[0.0],"stddev":[1.0]})");
  CHECK(parse_normalization(R"({"kind":"unit","mean":[0],"stddev":[1]})").stddev == std::vector<double>{1});
}

TEST_CASE("normalization: texts that are none are refused") {
  const auto refuses = [](const std::string& text) {
    return mentions(message_of<DataError>([&] { parse_normalization(text); }), "is not valid: ");
  };
  for (const char* text : {
           "",
           "{",
           "[]",
           "1",
           "null",
           "{}",
           "standard",
           R"({"kind":"standard","mean":[0.1]})",
           R"({"kind":"standard","mean":[0.1],"stddev":[0.2],"extra":1})",
           R"({"kind":"standard","mean":[0.1],"stdev":[0.2]})",
           R"({"kind":"Standard","mean":[0.1],"stddev":[0.2]})",
           R"({"kind":1,"mean":[0.1],"stddev":[0.2]})",
           R"({"kind":"standard","mean":0.1,"stddev":[0.2]})",
           R"({"kind":"standard","mean":["0.1"],"stddev":[0.2]})",
           R"({"kind":"standard","mean":[true],"stddev":[0.2]})",
           R"({"kind":"standard","mean":[null],"stddev":[0.2]})",
           R"({"kind":"standard","mean":[],"stddev":[]})",
           R"({"kind":"standard","mean":[0.1,0.2],"stddev":[0.2]})",
           R"({"kind":"standard","mean":[0.1],"stddev":[0]})",
           R"({"kind":"standard","mean":[0.1],"stddev":[-0.2]})",
           R"({"kind":"standard","mean":[1e999],"stddev":[0.2]})",
           R"({"kind":"unit","mean":[0.1],"stddev":[1]})",
           R"({"kind":"unit","mean":[0],"stddev":[2]})",
       }) {
    CAPTURE(text);
    CHECK(refuses(text));
  }
}

TEST_CASE("normalization: what is infinite in f32 is refused") {
  for (const char* text : {R"({"kind":"standard","mean":[0.1],"stddev":[1e-320]})",
                           R"({"kind":"standard","mean":[0],"stddev":[1e-42]})",
                           R"({"kind":"standard","mean":[1e30],"stddev":[1e-10]})"}) {
    CHECK(mentions(message_of<DataError>([&] { parse_normalization(text); }), "out of range"));
  }
  CHECK_NOTHROW(parse_normalization(R"({"kind":"standard","mean":[0.1],"stddev":[1e-30]})"));
}

TEST_CASE("normalization: names") {
  CHECK(parse_choice<NormalizationKind>("standard", "normalisation") == NormalizationKind::standard);
  CHECK(parse_choice<NormalizationKind>("unit", "normalisation") == NormalizationKind::unit);
  CHECK(name(NormalizationKind::standard) == "standard");
  CHECK(name(NormalizationKind::unit) == "unit");
  CHECK(message_of<ConfigError>([] { parse_choice<NormalizationKind>("none", "normalisation"); }) ==
        "unknown normalisation 'none'; known: standard, unit");
}

}  // namespace
}  // namespace qmse
