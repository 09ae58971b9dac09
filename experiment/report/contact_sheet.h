// Images of a data set with their labels, on a page.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "data/image_dataset.h"

namespace qmse {

// The images `which` (indices into `dataset`, at least one) in this order, enlarged so that they can be seen,
// each with its class and index below: one HTML file that needs no other. Errors as encode_png().
std::string contact_sheet(const ImageDataset& dataset, std::span<const std::int64_t> which);

}  // namespace qmse
