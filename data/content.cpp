#include "data/content.h"

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

FileContent compare(const fs::path& directory, const KnownFile& known, const Stop& stop) {
  FileContent content = read_whole(find_idx_file(directory, known.name), known.name, known.bytes, stop);
  if (content.bytes != known.bytes) {
    content.difference = "it has " +
                         (content.whole ? std::to_string(content.bytes) + " bytes" : "more bytes") +
                         " where the official file has " + std::to_string(known.bytes);
  } else if (content.sha256 != known.sha256) {
    content.difference = std::string("the official file has the SHA-256 ") + known.sha256;
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
  std::string lines;
  for (const std::string& line : read_class_list(directory / known.name)) lines += line + '\n';
  if (sha256(lines) != known.sha256)
    result.difference = "it does not list the official classes in their order";
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
  std::string different, different_names;
  const auto add = [&](std::vector<FileContent>& to, FileContent content, std::string& names) {
    if (!content.difference.empty()) names += (names.empty() ? "" : ", ") + content.name;
    to.push_back(std::move(content));
  };
  for (const KnownFile& known : set.files) add(report.files, compare(directory, known, stop), different);
  for (const KnownNames& known : set.class_names)
    add(report.class_names, compare(directory, known, stop), different_names);
  report.sha256 = fingerprint(report.files);
  report.kind = ContentKind::differs;
  const bool is_copy = set.copy.sha256 != nullptr && report.sha256 == set.copy.sha256;
  if (is_copy && different_names.empty()) {
    report.summary = std::string("differs: ") + set.copy.what;
  } else if (!different.empty() || !different_names.empty()) {
    report.summary = "differs in " + different + (different.empty() || different_names.empty() ? "" : ", ") +
                     different_names;
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
  const DatasetInfo& info = dataset_info(name);
  if (info.table) return examine_files(directory.parent_path(), {directory.filename().string()}, stop);
  if (info.is_own()) return examine_files(directory, image_folder_files(directory), stop);
  return examine_content(info.known, directory, stop);
}

}  // namespace qmse
