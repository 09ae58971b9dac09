#include "data/table.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <span>
#include <string_view>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/input_file.h"
#include "base/json.h"
#include "base/name_text.h"
#include "base/number_text.h"
#include "base/text_file.h"
#include "base/words.h"

namespace qmse {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxBytes = std::uint64_t{4} << 30;
constexpr std::size_t kMaxColumns = 65536;  // as a model's input may have

// All columns; cells that are no numbers are NaN until they are asked for.
struct Cells {
  std::vector<std::string> names;
  std::vector<double> values;   // [rows, columns]
  std::int64_t first_line = 1;  // of the file, of the first row

  std::size_t rows() const { return names.empty() ? 0 : values.size() / names.size(); }
};

// The cells of a line; quotes around one are taken away.
std::vector<std::string_view> cells_of(std::string_view line) {
  std::vector<std::string_view> cells;
  if (line.ends_with('\r')) line.remove_suffix(1);
  for (std::size_t begin = 0; begin <= line.size();) {
    std::size_t end = begin;
    if (begin < line.size() && line[begin] == '"') {
      end = std::min(line.find('"', begin + 1), line.size());
      cells.push_back(line.substr(begin + 1, end - begin - 1));
      end = std::min(line.find(',', end), line.size());
    } else {
      end = std::min(line.find(',', begin), line.size());
      std::string_view cell = line.substr(begin, end - begin);
      while (cell.starts_with(' ') || cell.starts_with('\t')) cell.remove_prefix(1);
      while (cell.ends_with(' ') || cell.ends_with('\t')) cell.remove_suffix(1);
      cells.push_back(cell);
    }
    begin = end + 1;
  }
  return cells;
}

double number_of(std::string_view cell) {
  if (cell.starts_with('+')) cell.remove_prefix(1);
  return number_from<double>(cell).value_or(std::nan(""));
}

Cells read_csv(const fs::path& file) {
  const std::string text = read_text_file(file, kMaxBytes);
  Cells cells;
  std::int64_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line(text.data() + begin, end - begin);
    begin = end + 1;
    ++number;
    if (number == 1 && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);  // a byte order mark
    if (line.empty() || line == "\r") continue;
    const std::vector<std::string_view> row = cells_of(line);
    if (cells.names.empty()) {
      for (const std::string_view name : row) cells.names.push_back(escape_name(name));
      const bool numbers = std::all_of(row.begin(), row.end(),
                                       [](std::string_view cell) { return !std::isnan(number_of(cell)); });
      if (numbers)
        throw DataError(in_quotes(file) + ": its first line has numbers and no names of columns; add them");
      if (row.size() > kMaxColumns) throw DataError(in_quotes(file) + ": has too many columns");
      cells.first_line = number + 1;
      continue;
    }
    if (row.size() != cells.names.size()) {
      throw DataError(in_quotes(file) + ": line " + std::to_string(number) + " has " +
                      std::to_string(row.size()) + " cells where the first has " +
                      std::to_string(cells.names.size()) + "; cells are parted by commas");
    }
    for (const std::string_view cell : row) cells.values.push_back(number_of(cell));
  }
  return cells;
}

[[noreturn]] void no_npy(const fs::path& file, const std::string& why) {
  throw DataError(in_quotes(file) + ": " + why +
                  "; save it by numpy.save() as a two-dimensional array of numbers in C order");
}

template <class T>
void widen(const std::vector<char>& bytes, std::vector<double>& values) {
  for (std::size_t at = 0; at + sizeof(T) <= bytes.size(); at += sizeof(T)) {
    T value;
    std::memcpy(&value, bytes.data() + at, sizeof(T));
    values.push_back(static_cast<double>(value));
  }
}

// The text behind "'key':" of the header, a literal of Python's.
std::string_view header_entry(std::string_view header, const std::string& key) {
  const std::size_t at = header.find("'" + key + "'");
  if (at == std::string_view::npos) return "";
  const std::size_t colon = header.find(':', at);
  if (colon == std::string_view::npos) return "";
  std::string_view rest = header.substr(colon + 1);
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  return rest;
}

// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
Cells read_npy(const fs::path& path) {
  const InputFile file(path);
  unsigned char start[12] = {};
  if (file.size() < sizeof(start)) no_npy(path, "is no file of NumPy's");
  file.read(0, start, sizeof(start));
  if (std::memcmp(start, "\x93NUMPY", 6) != 0) no_npy(path, "is no file of NumPy's");
  const bool longer = start[6] >= 2;
  const std::size_t length =
      longer ? start[8] | start[9] << 8 | start[10] << 16 | static_cast<std::size_t>(start[11]) << 24
             : start[8] | static_cast<std::size_t>(start[9]) << 8;
  const std::uint64_t begin = (longer ? 12 : 10) + static_cast<std::uint64_t>(length);
  if (length > 65536 || begin > file.size()) no_npy(path, "its header is damaged");
  std::string header(length, ' ');
  file.read(longer ? 12 : 10, header.data(), length);
  if (!header_entry(header, "fortran_order").starts_with("False")) no_npy(path, "is in Fortran's order");
  std::uint64_t sizes[2] = {0, 0};
  const std::string_view shape = header_entry(header, "shape");
  if (!shape.starts_with('(')) no_npy(path, "has not two dimensions");
  const char* at = shape.data() + 1;
  const char* const end = shape.data() + shape.size();
  for (std::uint64_t& size : sizes) {
    while (at < end && (*at == ' ' || *at == ',')) ++at;
    const auto [next, error] = std::from_chars(at, end, size);
    if (error != std::errc()) no_npy(path, "has not two dimensions");
    at = next;
  }
  while (at < end && (*at == ' ' || *at == ',')) ++at;
  if (at == end || *at != ')') no_npy(path, "has not two dimensions");
  struct Type {
    std::string_view name;
    std::size_t bytes;
    void (*widen)(const std::vector<char>&, std::vector<double>&);
  };
  constexpr Type kTypes[] = {{"'<f8'", 8, widen<double>},       {"'<f4'", 4, widen<float>},
                             {"'<i8'", 8, widen<std::int64_t>}, {"'<i4'", 4, widen<std::int32_t>},
                             {"'<i2'", 2, widen<std::int16_t>}, {"'|i1'", 1, widen<std::int8_t>},
                             {"'|u1'", 1, widen<std::uint8_t>}, {"'<u2'", 2, widen<std::uint16_t>},
                             {"'<u4'", 4, widen<std::uint32_t>}};
  static_assert(std::endian::native == std::endian::little);
  const std::string_view wanted = header_entry(header, "descr");
  const Type* const type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                        [&](const Type& each) { return wanted.starts_with(each.name); });
  if (type == std::end(kTypes))
    no_npy(path, "is of a type that is not read, " + std::string(wanted.substr(0, wanted.find(','))));
  const std::uint64_t bytes = file.size() - begin;
  if (sizes[1] < 1 || sizes[1] > kMaxColumns || bytes > kMaxBytes || bytes % (sizes[1] * type->bytes) != 0 ||
      bytes / (sizes[1] * type->bytes) != sizes[0])
    no_npy(path, "its size is not that of " + std::to_string(sizes[0]) + " x " + std::to_string(sizes[1]) +
                     " numbers");
  std::vector<char> content(bytes);
  file.read(begin, content.data(), content.size());
  Cells cells;
  for (std::uint64_t i = 0; i < sizes[1]; ++i) cells.names.push_back(std::to_string(i));
  type->widen(content, cells.values);
  return cells;
}

std::vector<std::size_t> places_of(const Cells& cells, const std::vector<std::string>& names,
                                   const fs::path& file) {
  std::vector<std::size_t> places;
  for (const std::string& name : names) {
    const auto found = std::find(cells.names.begin(), cells.names.end(), name);
    if (found == cells.names.end()) {
      const std::span<const std::string> all = cells.names;
      throw ConfigError(in_quotes(file) + ": has no column " + in_quotes(name) + "; it has " +
                        join(all.first(std::min<std::size_t>(all.size(), 30)), ", ") +
                        (all.size() > 30 ? ", ..." : ""));
    }
    if (std::count(cells.names.begin(), cells.names.end(), name) > 1)
      throw DataError(in_quotes(file) + ": has two columns " + in_quotes(name));
    places.push_back(static_cast<std::size_t>(found - cells.names.begin()));
    if (std::count(places.begin(), places.end(), places.back()) > 1)
      throw ConfigError("column " + in_quotes(name) + " is named twice");
  }
  return places;
}

}  // namespace

std::vector<std::string> column_list(const std::string& text) {
  std::vector<std::string> names;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    names.push_back(escape_name(std::string_view(text).substr(begin, end - begin)));
    begin = end + 1;
  }
  return names;
}

ImageDataset read_table(const fs::path& file, Split split, const TableOptions& options,
                        const TestSplit& test) {
  const Cells cells = file.extension() == ".npy" ? read_npy(file) : read_csv(file);
  const std::size_t width = cells.names.size(), rows = cells.rows();
  if (width < 2 || rows < 2) {
    const bool other_sign = width == 1 && cells.names.front().find_first_of(";\t") != std::string::npos;
    throw DataError(in_quotes(file) + ": a table has two columns and two rows of numbers at least" +
                    (other_sign ? ", with commas between them" : ""));
  }
  const std::vector<std::size_t> targets =
      options.targets.empty() ? std::vector<std::size_t>{width - 1} : places_of(cells, options.targets, file);
  std::vector<std::size_t> columns = places_of(cells, options.columns, file);
  const auto is_target = [&](std::size_t place) {
    return std::find(targets.begin(), targets.end(), place) != targets.end();
  };
  for (const std::size_t place : columns) {
    if (is_target(place))
      throw ConfigError("column " + in_quotes(cells.names[place]) + " is to be learnt and learnt from");
  }
  if (options.columns.empty()) {
    for (std::size_t i = 0; i < width; ++i) {
      if (!is_target(i)) columns.push_back(i);
    }
  }
  if (columns.empty())
    throw ConfigError(in_quotes(file) + ": all columns are targets: there is none to learn from");

  ImageDataset all;
  all.name = "table";
  all.split = Split::train;
  all.count = static_cast<std::int64_t>(rows);
  all.channels = static_cast<std::int64_t>(columns.size());
  all.height = all.width = 1;
  for (const std::size_t place : targets) all.class_names.push_back(cells.names[place]);
  for (const std::size_t place : columns) all.column_names.push_back(cells.names[place]);
  for (std::size_t row = 0; row < rows; ++row) {
    const auto add = [&](std::vector<double>& to, std::size_t place) {
      const double value = cells.values[row * width + place];
      if (!std::isfinite(value)) {
        throw DataError(in_quotes(file) + ": " + (file.extension() == ".npy" ? "row " : "line ") +
                        std::to_string(cells.first_line + static_cast<std::int64_t>(row)) + ": column " +
                        in_quotes(cells.names[place]) +
                        " has no finite number; take the row out, or leave the column out by --columns");
      }
      to.push_back(value);
    };
    for (const std::size_t place : columns) add(all.columns, place);
    for (const std::size_t place : targets) add(all.targets, place);
  }
  return part(std::move(all), split, {test.share > 0 ? test.share : kTestShare, test.seed}, in_quotes(file));
}

}  // namespace qmse
