#include "base/error.h"
#include "data/fetch.h"
#include "data/registry.h"

namespace qmse {

FetchPlan fetch_plan(std::string_view dataset) {
  const DatasetInfo& info = dataset_info(dataset);
  if (info.is_own()) throw ConfigError("'folder' is a data set of one's own: there is nothing to fetch");
  FetchPlan plan{find_known_set(dataset), info.folder, "", "", {}};
  const std::string_view name = info.name;
  if (name == "mnist") plan.mirror = "https://ossci-datasets.s3.amazonaws.com/mnist/";
  if (name == "fashion-mnist") plan.mirror = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/";
  if (name == "cifar10") {
    plan.mirror = "https://www.cs.toronto.edu/~kriz/";
    plan.archive = "cifar-10-binary.tar.gz";
    plan.texts = {"batches.meta.txt"};
  }
  if (name == "cifar100") {
    plan.mirror = "https://www.cs.toronto.edu/~kriz/";
    plan.archive = "cifar-100-binary.tar.gz";
    plan.texts = {"fine_label_names.txt", "coarse_label_names.txt"};
  }
  return plan;
}

}  // namespace qmse
