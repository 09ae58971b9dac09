#include "base/error.h"
#include "base/in_quotes.h"
#include "data/fetch.h"
#include "data/registry.h"

namespace qmse {

FetchPlan fetch_plan(std::string_view dataset) {
  const DatasetInfo& info = dataset_info(dataset);
  if (info.is_own())
    throw ConfigError(in_quotes(info.name) + " is a data set of one's own: there is nothing to fetch");
  return {info.known, info.folder, info.mirror, info.archive};
}

}  // namespace qmse
