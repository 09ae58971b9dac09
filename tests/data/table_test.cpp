#include "data/table.h"

#include <cstring>
#include <set>

#include "base/error.h"
#include "data/content.h"
#include "data/normalization.h"
#include "data/registry.h"
#include "data/sha256.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"
#include "tests/support/temp_directory.h"

using namespace qmse;
using namespace qmse::test;
using Names = std::vector<std::string>;

namespace {

struct World {
  std::filesystem::path csv(const std::string& text) const {
    write_bytes(folder / "table.csv", text);
    return folder / "table.csv";
  }
  // NumPy's format 1.0.
  std::filesystem::path npy(const std::string& header, const std::string& content) const {
    std::string padded = header;
    while ((10 + padded.size() + 1) % 64 != 0) padded += ' ';
    padded += '\n';
    write_bytes(folder / "table.npy", std::string("\x93NUMPY\x01\x00", 8) +
                                          static_cast<char>(padded.size() % 256) +
                                          static_cast<char>(padded.size() / 256) + padded + content);
    return folder / "table.npy";
  }
  std::string refused(const std::filesystem::path& file, const TableOptions& options = {},
                      const TestSplit& test = {}) const {
    try {
      read_table(file, Split::train, options, test);
    } catch (const ConfigError& error) {
      return std::string("usage: ") + error.what();
    } catch (const DataError& error) {
      return error.what();
    }
    return "";
  }

  TempDirectory folder;
};

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// y = a + 10 b in row i: a = i, b = i * i.
std::string ten_rows() {
  std::string text = "a,\"b, squared\", y \r\n";
  for (int i = 0; i < 10; ++i) {
    text += std::to_string(i) + ", " + std::to_string(i * i) + "," + std::to_string(i + 10 * i * i) + "\r\n";
  }
  return text;
}

}  // namespace

TEST_CASE(
    "table: columns by name, the last one the target unless others are named, every row in one of the "
    "splits") {
  const World world;
  const std::filesystem::path file = world.csv(ten_rows());
  const ImageDataset train = read_table(file, Split::train, {}), test = read_table(file, Split::test, {});
  CHECK(train.column_names == Names{"a", "b, squared"});
  CHECK(train.class_names == Names{"y"});
  CHECK(train.count == 8);
  CHECK(test.count == 2);
  CHECK(test.split == Split::test);
  std::set<double> rows;
  for (const ImageDataset* set : {&train, &test}) {
    REQUIRE(set->columns.size() == static_cast<std::size_t>(2 * set->count));
    for (std::size_t i = 0; i < set->targets.size(); ++i) {
      const double a = set->columns[2 * i];
      CHECK(set->columns[2 * i + 1] == a * a);
      CHECK(set->targets[i] == a + 10 * a * a);
      rows.insert(a);
    }
  }
  CHECK(rows.size() == 10);

  const ImageDataset other = read_table(file, Split::train, {{"y", "a"}, {"b, squared"}}, {0.5, 7});
  CHECK(other.count == 5);
  CHECK(other.class_names == Names{"y", "a"});
  CHECK(other.channels == 1);
  CHECK(other.targets[0] == other.targets[1] + 10 * other.columns[0]);
  // The rest are what is no target.
  CHECK(read_table(file, Split::train, {{"a"}, {}}, {0.2, 1}).column_names == Names{"b, squared", "y"});
  // The split is the seed's.
  const auto first = [&](std::uint64_t seed) {
    return read_table(file, Split::test, {{}, {}}, {0.3, seed}).targets;
  };
  CHECK(first(1) == first(1));
  CHECK(first(1) != first(2));
}

TEST_CASE("table: text in a column that is not chosen does not matter, in one that is it is named") {
  const World world;
  const std::filesystem::path file =
      world.csv("\xEF\xBB\xBFn,where,y\n1,north,2\n2,,3\n4,south,5\n7,west,1e1\n");
  CHECK(read_table(file, Split::train, {{}, {"n"}}, {0.25, 1}).count == 3);
  const std::string message = world.refused(file, {{}, {}}, {0.25, 1});
  CHECK(has(message, "line 2: column 'where' has no finite number"));
  CHECK(has(message, "--columns"));
  CHECK(has(world.refused(world.csv("a,y\n1,2\n3,nan\n4,5\n")), "line 3: column 'y'"));
  CHECK(has(world.refused(world.csv("a,y\n1,2\n3,1e999\n4,5\n")), "line 3: column 'y'"));
  CHECK(has(world.refused(world.csv("a,y\n1,2\n3,0x10\n4,5\n")), "line 3: column 'y'"));
}

TEST_CASE("table: what is none is refused with its place") {
  const World world;
  CHECK(has(world.refused(world.csv("1,2\n3,4\n5,6\n")), "first line has numbers and no names"));
  CHECK(has(world.refused(world.csv("a,y\n1,2\n3\n4,5\n")), "line 3 has 1 cells where the first has 2"));
  CHECK(has(world.refused(world.csv("a,y\n1,2\n")), "two rows"));
  CHECK(has(world.refused(world.csv("a\n1\n2\n")), "two columns"));
  CHECK(has(world.refused(world.csv("")), "two columns"));
  CHECK(has(world.refused(world.csv("a;b\n1;2\n2;3\n")), "commas"));
  const std::filesystem::path file = world.csv("a,b,b,y\n1,2,3,4\n5,6,7,8\n9,9,9,9\n");
  CHECK(has(world.refused(file, {{"z"}, {}}, {0.3, 1}), "usage: "));
  CHECK(has(world.refused(file, {{"z"}, {}}, {0.3, 1}), "no column 'z'; it has a, b, b, y"));
  CHECK(has(world.refused(file, {{"b"}, {}}, {0.3, 1}), "two columns 'b'"));
  CHECK(has(world.refused(file, {{"y"}, {"a", "y"}}, {0.3, 1}), "'y' is to be learnt and learnt from"));
  CHECK(has(world.refused(file, {{"y"}, {"a", "a"}}, {0.3, 1}), "named twice"));
  CHECK(has(world.refused(file, {{}, {"a"}}, {0.01, 1}), "--test-share"));
  CHECK(has(world.refused(world.csv("a,y\n1,2\n3,4\n"), {{"a", "y"}, {}}, {0.5, 1}),
            "all columns are targets"));
}

TEST_CASE("table: NumPy's files, in every type that is read, as the same numbers in CSV") {
  const World world;
  const std::string shape = "'fortran_order': False, 'shape': (4, 2), }";
  const auto check = [&](const char* type, const auto& values) {
    CAPTURE(type);
    const std::string bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(values[0]));
    const ImageDataset set = read_table(world.npy(std::string("{'descr': '") + type + "', " + shape, bytes),
                                        Split::train, {{"0"}, {}}, {0.25, 3});
    const ImageDataset expected =
        read_table(world.csv("a,b\n1,2\n3,4\n5,6\n7,8\n"), Split::train, {{"a"}, {}}, {0.25, 3});
    CHECK(set.targets == expected.targets);
    CHECK(set.columns == expected.columns);
    CHECK(set.column_names == Names{"1"});
  };
  check("<f8", std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8});
  check("<f4", std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8});
  check("<i8", std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, 7, 8});
  check("<i4", std::vector<std::int32_t>{1, 2, 3, 4, 5, 6, 7, 8});
  check("<u2", std::vector<std::uint16_t>{1, 2, 3, 4, 5, 6, 7, 8});
  check("|u1", std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6, 7, 8});
  const std::string bytes(64, '\1');
  for (const auto& [header, what] :
       {std::pair<std::string, std::string>{"{'descr': '<f8', 'fortran_order': True, 'shape': (4, 2), }",
                                            "Fortran"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (8,), }", "two dimensions"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2, 2), }", "two dimensions"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (4, 3), }", "its size is not that of 4 x 3"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (9223372036854775807, 65536), }",
         "its size is not"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (4, 2), }", "type that is not read, '<c8'"},
        {"{'descr': '<f8', 'shape': (4, 2), }", "Fortran"},
        {"", "Fortran"}}) {
    CAPTURE(header);
    CHECK(has(world.refused(world.npy(header, bytes)), what));
  }
  write_bytes(world.folder / "short.npy", "\x93NUM");
  CHECK(has(world.refused(world.folder / "short.npy"), "no file of NumPy's"));
}

TEST_CASE("table: standardised by the training rows, columns and targets alike") {
  const World world;
  const ImageDataset set = read_table(world.csv(ten_rows()), Split::train, {});
  const Normalization columns = make_normalization(NormalizationKind::standard, set),
                      targets = make_target_normalization(set);
  REQUIRE(columns.mean.size() == 2);
  double mean = 0, square = 0;
  for (std::size_t i = 0; i < 8; ++i) mean += set.targets[i] / 8;
  for (std::size_t i = 0; i < 8; ++i) square += (set.targets[i] - mean) * (set.targets[i] - mean) / 8;
  CHECK(targets.mean[0] == Approx(mean).epsilon(1e-14));
  CHECK(targets.stddev[0] == Approx(std::sqrt(square)).epsilon(1e-14));
  const ImageDataset flat = read_table(world.csv("a,b,y\n1,1,2\n1,2,3\n1,3,4\n1,4,7\n"), Split::train, {});
  const auto refusal = [](const ImageDataset& table) {
    return message_of<DataError>([&] { make_normalization(NormalizationKind::standard, table); });
  };
  CHECK(refusal(flat).find("column 'a' has the same value") == 0);
  const ImageDataset huge =
      read_table(world.csv("a,b,y\n1e300,1,2\n1,2,3\n1,3,4\n1,4,7\n"), Split::train, {});
  CHECK(refusal(huge).find("column 'a' has numbers too large") == 0);
}

TEST_CASE("table: the registry finds the file itself, and what it is counts by its content") {
  const World world;
  const std::filesystem::path file = world.csv(ten_rows());
  CHECK(find_data_directory("table", file.string()) == file);
  CHECK(data_option("table", file) == file.string());
  CHECK_THROWS_AS(find_data_directory("table", ""), ConfigError);
  CHECK_THROWS_AS(find_data_directory("table", world.folder.path().string()), IoError);
  const ContentReport report = examine_content("table", file);
  CHECK(report.kind == ContentKind::own);
  CHECK(report.sha256 == sha256(sha256(ten_rows()) + "  table.csv\n"));
  CHECK(load_dataset("table", file, Split::train).count == 8);
}
