#include "data/content.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/input_file.h"
#include "base/name_text.h"
#include "base/stopped.h"
#include "data/class_list.h"
#include "data/gzip.h"
#include "data/idx.h"
#include "data/image_folder.h"
#include "data/registry.h"
#include "data/sha256.h"

namespace qmse {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPiece = 1 << 18;  // bytes; hashed while they are in the cache
constexpr std::size_t kMostRanges = 12;  // of differing records that are listed

// A file from its beginning, decompressed where it is compressed.
class Content {
 public:
  Content(const fs::path& path, bool decompress) : file_(path) {
    std::array<unsigned char, 2> start{};
    file_.read(0, start.data(), std::min<std::uint64_t>(start.size(), file_.size()));
    if (decompress && start[0] == 0x1f && start[1] == 0x8b) gzip_.emplace(file_);
  }

  bool compressed() const { return gzip_.has_value(); }

  // Fewer bytes than asked for only at the end.
  std::size_t read(void* destination, std::size_t bytes) {
    if (gzip_) return gzip_->read(destination, bytes);
    bytes = std::min<std::uint64_t>(bytes, file_.size() - position_);
    file_.read(position_, destination, bytes);
    position_ += bytes;
    return bytes;
  }

 private:
  InputFile file_;
  std::optional<GzipReader> gzip_;
  std::uint64_t position_ = 0;
};

using Stop = std::function<bool()>;

// `most_bytes`: of the uncompressed content, where it is compressed and its own header announces no more.
FileContent read_whole(const fs::path& path, const std::string& name, std::uint64_t most_bytes,
                       const Stop& stop, bool decompress = true) {
  Content content(path, decompress);
  Sha256 hash;
  std::vector<unsigned char> piece(kPiece);
  FileContent result;
  result.name = escape_name(name);
  while (const std::size_t bytes = content.read(piece.data(), piece.size())) {
    if (stop && stop()) throw Stopped("stopped while " + in_quotes(path) + " was being read");
    if (result.bytes == 0) most_bytes = std::max(most_bytes, announced_idx_bytes({piece.data(), bytes}));
    hash.update(piece.data(), bytes);
    result.bytes += bytes;
    if (content.compressed() && result.bytes > most_bytes) {
      result.whole = false;
      return result;
    }
  }
  result.sha256 = hash.finish();
  return result;
}

std::string hex(std::uint32_t value) {
  std::string text;
  for (int shift = 28; shift >= 0; shift -= 4) text += "0123456789abcdef"[(value >> shift) & 15];
  return text;
}

// What CRC-32s say of a file.
struct Checked {
  std::string differing;  // the ranges of records that are not the official ones, "300-399, 800-999"
  std::string unchecked;  // CRC-32 of what is left out of the checks
};

Checked check_records(const fs::path& path, const KnownFile& known) {
  Content content(path, true);
  std::vector<unsigned char> bytes(
      std::max<std::size_t>(known.header, std::size_t{known.record} * known.block));
  content.read(bytes.data(), known.header);
  const std::uint64_t records = (known.bytes - known.header) / known.record;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;  // first and last record
  uLong left_out = crc32(0, nullptr, 0);
  for (std::uint64_t first = 0; first < records; first += known.block) {
    const std::uint64_t count = std::min<std::uint64_t>(known.block, records - first);
    const std::size_t got = content.read(bytes.data(), count * known.record);
    auto skipped = std::lower_bound(known.unchecked.begin(), known.unchecked.end(), first);
    uLong crc = crc32(0, nullptr, 0);
    for (std::uint64_t i = 0; i < got / known.record; ++i) {
      const unsigned char* record = bytes.data() + i * known.record;
      const bool skip = skipped != known.unchecked.end() && *skipped == first + i;
      crc = crc32(crc, record, skip ? 1 : known.record);
      if (!skip) continue;
      left_out = crc32(left_out, record + 1, known.record - 1);
      ++skipped;
    }
    const bool equal =
        got == count * known.record &&
        hex(static_cast<std::uint32_t>(crc)) == std::string_view(known.checks + 8 * (first / known.block), 8);
    if (equal) continue;
    if (!ranges.empty() && ranges.back().second + 1 == first) {
      ranges.back().second = first + count - 1;
    } else {
      ranges.emplace_back(first, first + count - 1);
    }
  }
  std::string text;
  for (std::size_t i = 0; i < ranges.size() && i < kMostRanges; ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(ranges[i].first) + "-" + std::to_string(ranges[i].second);
  }
  if (ranges.size() > kMostRanges)
    text += " and " + std::to_string(ranges.size() - kMostRanges) + " ranges more";
  return {text, hex(static_cast<std::uint32_t>(left_out))};
}

std::string unchecked_records(const KnownFile& known) {
  std::string text = "records ";
  for (std::size_t i = 0; i < known.unchecked.size(); ++i)
    text += (i > 0 ? ", " : "") + std::to_string(known.unchecked[i]);
  return text;
}

FileContent compare(const fs::path& directory, const KnownSet& set, const KnownFile& known,
                    const Stop& stop) {
  const fs::path path = find_idx_file(directory, known.name);
  FileContent content = read_whole(path, known.name, known.bytes, stop);
  if (content.sha256 == known.sha256) return content;
  const std::string copied = unchecked_records(known) + " hold " + set.unchecked_hold;
  if (known.copy_sha256 != nullptr && content.sha256 == known.copy_sha256) {
    content.known_copy = true;
    content.difference = copied;
    return content;
  }
  if (content.bytes != known.bytes) {
    content.difference = "it has " +
                         (content.whole ? std::to_string(content.bytes) + " bytes" : "more bytes") +
                         " where the official file has " + std::to_string(known.bytes);
  }
  const Checked checked = check_records(path, known);
  if (!checked.differing.empty()) {
    content.difference +=
        (content.difference.empty() ? "" : "; ") + ("somewhere in records " + checked.differing);
  }
  const bool is_copied = known.copy_check != nullptr && checked.unchecked == known.copy_check;
  if (!content.difference.empty()) {
    if (!known.unchecked.empty())
      content.difference += "; " + (is_copied ? copied : "not compared: " + unchecked_records(known));
  } else if (is_copied) {
    content.known_copy = true;
    content.difference = copied;
  } else {
    content.difference =
        known.unchecked.empty() ? "in its header" : "in one or more of " + unchecked_records(known);
  }
  return content;
}

// Their lines, not their bytes: a copy with other line ends names the same classes.
// Where there is none, the reader says whether it is needed.
FileContent compare(const fs::path& directory, const KnownNames& known, const Stop& stop) {
  std::error_code ignored;
  if (!fs::exists(directory / known.name, ignored)) {
    FileContent none;
    none.name = known.name;
    none.difference = "it is missing";
    return none;
  }
  FileContent result = read_whole(directory / known.name, known.name, 0, stop, false);
  uLong crc = crc32(0, nullptr, 0);
  for (std::string line : read_class_list(directory / known.name)) {
    line += '\n';
    crc = crc32(crc, reinterpret_cast<const Bytef*>(line.data()), static_cast<uInt>(line.size()));
  }
  if (crc != known.crc32) result.difference = "it does not list the official classes in their order";
  return result;
}

// The line of GNU's sha256sum: one for a name with a backslash or a line end begins with a backslash.
std::string sha256sum_line(const FileContent& file) {
  std::string name;
  for (const char c : unescape_name(file.name)) {
    name += c == '\\' ? "\\\\" : c == '\n' ? "\\n" : c == '\r' ? "\\r" : std::string(1, c);
  }
  const bool escaped = name.size() != unescape_name(file.name).size();
  return (escaped ? "\\" : "") + file.sha256 + "  " + name + "\n";
}

std::string fingerprint(const std::vector<FileContent>& files) {
  std::string lines;
  for (const FileContent& file : files) {
    if (file.sha256.empty()) return "";
    lines += sha256sum_line(file);
  }
  return sha256(lines);
}

}  // namespace

ContentReport examine_content(const KnownSet& set, const fs::path& directory, const Stop& stop) {
  ContentReport report;
  std::size_t copied = 0, different = 0;
  std::string names;
  for (const KnownFile& known : set.files) {
    report.files.push_back(compare(directory, set, known, stop));
    const FileContent& content = report.files.back();
    if (content.known_copy) copied += known.unchecked.size();
    if (content.difference.empty() || content.known_copy) continue;
    names += (different == 0 ? "" : ", ") + content.name;
    ++different;
  }
  for (const KnownNames& known : set.class_names) {
    report.class_names.push_back(compare(directory, known, stop));
    if (report.class_names.back().difference.empty()) continue;
    names += (different == 0 ? "" : ", ") + report.class_names.back().name;
    ++different;
  }
  report.sha256 = fingerprint(report.files);
  report.kind = ContentKind::differs;
  if (different > 0) {
    report.summary = "differs in " + names;
    if (copied > 0)
      report.summary += "; elsewhere " + std::to_string(copied) + " records hold " + set.unchecked_hold;
  } else if (copied > 0) {
    report.summary = "differs: " + std::to_string(copied) + " records hold " + set.unchecked_hold +
                     ", all else is official";
  } else {
    report.kind = ContentKind::official;
    report.summary = "official";
  }
  return report;
}

ContentReport examine_files(const fs::path& directory, const std::vector<std::string>& files,
                            const Stop& stop) {
  ContentReport report;
  for (const std::string& file : files)
    report.files.push_back(read_whole(directory / file, file, 0, stop, false));
  report.sha256 = fingerprint(report.files);
  report.summary = "no official data set";
  return report;
}

ContentReport examine_content(std::string_view name, const fs::path& directory, const Stop& stop) {
  const KnownSet* known = find_known_set(name);
  if (known != nullptr) return examine_content(*known, directory, stop);
  if (!dataset_info(name).is_own())
    throw ConfigError("nothing is known of the content of data set " + in_quotes(name));
  return examine_files(directory, image_folder_files(directory), stop);
}

}  // namespace qmse
