// Unpacks tar files by libarchive.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace qmse {

// Writes the regular files `names` (paths in the tar file, .gz or not) into `folder`, which exists, under
// their last components; everything else in it is left out. DataError where it is damaged, lacks one or holds
// one larger than `most_bytes`; IoError where a file cannot be written.
void unpack_tar(const std::filesystem::path& tar, const std::vector<std::string>& names,
                std::uint64_t most_bytes, const std::filesystem::path& folder);

}  // namespace qmse
