// A table of numbers of one's own, for regression: some columns are learnt from, others are to be learnt.
//
//   FILE.csv    a first line of names, then a row a line; commas between, names may be in double quotes
//   FILE.npy    NumPy's, of two dimensions, of floats or whole numbers; columns are named "0", "1", ...
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/image_dataset.h"

namespace qmse {

inline constexpr double kTestShare = 0.2;  // of the rows, the test set where no other share is given

struct TableOptions {
  std::vector<std::string> targets = {};  // names of columns; empty: the last
  std::vector<std::string> columns = {};  // empty: all that are no targets
};

// Rows keep their order. IoError; DataError, with line and column, for what is no table, a cell of a chosen
// column that is no finite number, and too few rows; ConfigError for a name that no column has, or that
// stands in both lists.
ImageDataset read_table(const std::filesystem::path& file, Split split, const TableOptions& options,
                        const TestSplit& test = {});

// "a,b" -> a and b.
std::vector<std::string> column_list(const std::string& text);

}  // namespace qmse
