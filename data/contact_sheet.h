// Many images of a data set on one picture, each with its label.
#pragma once

#include <cstdint>
#include <span>

#include "data/image_dataset.h"
#include "data/image_file.h"

namespace qmse {

// The images `which` (indices into `dataset`) row by row, enlarged by a whole factor so that they can be
// seen, each with its index and the name of its class below.
Picture contact_sheet(const ImageDataset& dataset, std::span<const std::int64_t> which);

}  // namespace qmse
