// Gets official data sets from the network, checked and whole or not at all.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/download.h"
#include "data/known_content.h"

namespace qmse {

// Where a data set can be had, and in which form: what DatasetInfo says of it.
struct FetchPlan {
  KnownSet set;
  std::string folder;   // of the data set, under the destination
  std::string mirror;   // the files' names are added to it
  std::string archive;  // one tar.gz that holds `folder`; empty: each file of the set, with .gz
};

// ConfigError for an unknown data set and for "folder".
FetchPlan fetch_plan(std::string_view dataset);

struct FetchEvents {
  std::function<void(const std::string& url)> start = {};  // of a file
};

// Downloads into <out>/.fetch-<folder>, goes on with what an interrupted call left there, compares the
// content with the official one by SHA-256, and only then renames it to <out>/<folder>, which it returns;
// does nothing where the official data set is there already. DataError where the mirror gives anything else
// (nothing of it is kept); ConfigError where <out>/<folder> holds something else; IoError as download() and
// where another process is fetching the same; ConfigError in builds without libcurl.
std::filesystem::path fetch_dataset(const FetchPlan& plan, const std::filesystem::path& out,
                                    const DownloadOptions& options, const FetchEvents& events = {});

}  // namespace qmse
