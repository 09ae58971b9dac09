#include "base/error.h"
#include "data/fetch.h"

namespace qmse {

std::filesystem::path fetch_dataset(const FetchPlan&, const std::filesystem::path&, const DownloadOptions&,
                                    const FetchEvents&) {
  throw ConfigError("this qmse was built without libcurl (QMSE_DATA_TOOLS=OFF) and cannot fetch data sets");
}

}  // namespace qmse
