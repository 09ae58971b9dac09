#include "data/resident_dataset.h"

#include <vector>

#include "base/error.h"
#include "tests/support/catch.h"
#include "tests/support/cpu.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// Three images of two channels of 1 x 2 pixels, in three classes.
ImageDataset three_images() {
  ImageDataset set;
  set.name = "made";
  set.count = 3;
  set.channels = 2;
  set.height = 1;
  set.width = 2;
  set.class_names = {"a", "b", "c"};
  set.images = {0, 1, 2, 3, 10, 11, 12, 13, 252, 253, 254, 255};
  set.labels = {2, 0, 1};
  return set;
}

const Normalization kNormalization{NormalizationKind::standard, {0.25, 0.5}, {0.5, 0.125}};

template <class T>
void check_view() {
  Context context = cpu();
  const ImageDataset set = three_images();
  const ResidentDataset<T> resident(context, set, kNormalization);
  const ResidentData<T> view = resident.view();
  CHECK(view.samples == 3);
  CHECK(view.sample_shape == Shape{2, 1, 2});
  CHECK(view.classes == 3);
  CHECK(std::vector<std::uint8_t>(view.images, view.images + 12) == set.images);
  CHECK(std::vector<std::int32_t>(view.labels, view.labels + 3) == set.labels);
  for (int c = 0; c < 2; ++c) {
    const auto at = static_cast<std::size_t>(c);
    // Black and white, by the definition (pixel / 255 - mean) / stddev; two roundings of T.
    const double black = -kNormalization.mean[at] / kNormalization.stddev[at];
    const double white = (1 - kNormalization.mean[at]) / kNormalization.stddev[at];
    CHECK(static_cast<double>(view.shift[c]) == Approx(black).epsilon(1e-7));
    CHECK(255 * static_cast<double>(view.scale[c]) + static_cast<double>(view.shift[c]) ==
          Approx(white).epsilon(1e-6));
  }
}

}  // namespace

TEST_CASE("resident_dataset: holds the data set on the device, f32") { check_view<float>(); }
TEST_CASE("resident_dataset: holds the data set on the device, f64") { check_view<double>(); }

TEST_CASE("resident_dataset: what would be read outside its memory is refused") {
  Context context = cpu();
  for (const std::int32_t label : {-1, 3, 1000000}) {
    ImageDataset set = three_images();
    set.labels[1] = label;
    CHECK_THROWS_AS(ResidentDataset<float>(context, set, kNormalization), DataError);
    CHECK_THROWS_WITH(
        ResidentDataset<float>(context, set, kNormalization),
        Catch::Contains("label " + std::to_string(label) + " of image 1") && Catch::Contains("'made'"));
  }
  ImageDataset short_set = three_images();
  short_set.images.pop_back();
  CHECK_THROWS_AS(ResidentDataset<float>(context, short_set, kNormalization), ShapeError);
  ImageDataset unlabelled = three_images();
  unlabelled.labels.pop_back();
  CHECK_THROWS_AS(ResidentDataset<float>(context, unlabelled, kNormalization), ShapeError);
  const Normalization gray{NormalizationKind::unit, {0.0}, {1.0}};
  CHECK_THROWS_AS(ResidentDataset<float>(context, three_images(), gray), DataError);
}
