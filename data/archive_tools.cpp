#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <memory>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "data/archive.h"

namespace qmse {
namespace {

constexpr std::size_t kBlock = 1 << 16;

}  // namespace

void unpack_tar(const std::filesystem::path& tar, const std::vector<std::string>& names,
                std::uint64_t most_bytes, const std::filesystem::path& folder) {
  const std::unique_ptr<archive, int (*)(archive*)> reader(archive_read_new(), archive_read_free);
  if (!reader) throw OutOfMemory("no memory for unpacking " + in_quotes(tar));
  const auto fail = [&](const std::string& cause) {
    throw DataError("cannot unpack " + in_quotes(tar) + ": " + cause + "; fetch it again");
  };
  const auto check = [&](la_ssize_t code) {
    if (code >= ARCHIVE_OK) return;
    const char* cause = archive_error_string(reader.get());
    fail(cause != nullptr ? cause : "it is damaged");
  };
  check(archive_read_support_filter_gzip(reader.get()));
  check(archive_read_support_format_tar(reader.get()));
  check(archive_read_open_filename(reader.get(), tar.c_str(), kBlock));
  std::vector<std::string> missing = names;
  std::vector<char> block(kBlock);
  archive_entry* entry = nullptr;
  for (int code = 0; (code = archive_read_next_header(reader.get(), &entry)) != ARCHIVE_EOF;) {
    check(code);
    const char* path = archive_entry_pathname(entry);
    const auto wanted = std::find(missing.begin(), missing.end(), path != nullptr ? path : "");
    if (wanted == missing.end() || archive_entry_filetype(entry) != AE_IFREG) continue;
    AtomicFile file(folder / std::filesystem::path(*wanted).filename());
    std::uint64_t total = 0;
    while (const la_ssize_t bytes = archive_read_data(reader.get(), block.data(), block.size())) {
      check(bytes);
      total += static_cast<std::uint64_t>(bytes);
      if (total > most_bytes) fail(in_quotes(*wanted) + " in it is too large");
      file.write(block.data(), static_cast<std::size_t>(bytes));
    }
    file.commit();
    missing.erase(wanted);
  }
  if (!missing.empty()) fail("it holds no file " + in_quotes(missing.front()));
}

}  // namespace qmse
