// Readers of CIFAR-10 and CIFAR-100 in the binary format (https://www.cs.toronto.edu/~kriz/cifar.html):
//
//   cifar-10-batches-bin/  data_batch_1.bin ... data_batch_5.bin, test_batch.bin: records of 3073 bytes, the
//                          label and the image; batches.meta.txt: a class name a line
//   cifar-100-binary/      train.bin, test.bin: records of 3074 bytes, the coarse label, the fine label and
//                          the image; fine_label_names.txt, coarse_label_names.txt
//
// An image is 1024 red, 1024 green and 1024 blue bytes, each plane row by row.
#pragma once

#include <filesystem>

#include "data/image_dataset.h"

namespace qmse {

// One split from `directory`, which must hold the files above and no other .bin file. Files may have fewer
// records than the official ones, but the five training batches as many each. IoError for a file that cannot
// be read, DataError for content: a size that is no multiple of the record, a label that is no class, class
// names that are not as many as there are classes.
ImageDataset read_cifar10(const std::filesystem::path& directory, Split split);
ImageDataset read_cifar100(const std::filesystem::path& directory, Split split, LabelKind labels);

}  // namespace qmse
