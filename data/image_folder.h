// A data set of one's own: a folder in one of two layouts.
//
//   DIR/train/CLASS/*.png  DIR/test/CLASS/*.png    a picture an image (also .jpg, .jpeg, .ppm, .pgm), a folder a class;
//                                                  without test/ val/ is the test set
//   DIR/train-images-idx3-ubyte ...                four IDX files as those of MNIST (idx.h), any number
//   of classes
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/image_dataset.h"

namespace qmse {

// Reads one split. With class folders the classes are the folders' names, sorted by their bytes, the same in
// both splits; the images are in a fixed order, the first file (by name) of each class, then the second of
// each, and so on, so that the first N have all classes. All must have one size and either one channel or
// three. With IDX files the classes are 0 to the largest label of the training set. Names that begin with a
// dot, and what Windows and macOS leave behind (Thumbs.db, desktop.ini, __MACOSX), are left alone; any other
// file that is no picture is an error, as is an empty class or two classes whose names differ in case only. Asks
// `stop` after each picture. DataError, IoError, Stopped.
// `test`: where its share is not 0 the test set is that of train/, and there must be no other: ConfigError.
ImageDataset read_image_folder(const std::filesystem::path& directory, Split split,
                               const TestSplit& test = {}, const std::function<bool()>& stop = {});

// The files that read_image_folder() takes for both splits, sorted: paths below `directory`.
std::vector<std::string> image_folder_files(const std::filesystem::path& directory);

}  // namespace qmse
