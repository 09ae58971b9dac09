// Training and evaluation on the data sets that are no IDX files, as a person runs them.
#include <nlohmann/json.hpp>

#include "tests/data/tiny_cifar.h"
#include "tests/program/run_program.h"
#include "tests/support/catch.h"

using namespace qmse;
using namespace qmse::test;

namespace {

struct World {
  std::string path(const std::string& name) const { return (folder / name).string(); }

  Words train(const std::string& dataset, const std::string& data, const std::string& out,
              const Words& more = {}) const {
    Words words = {"train", "--dataset",    dataset, "--data",  path(data), "--epochs", "1",      "--device",
                   "cpu",   "--mlp-widths", "4",     "--model", "mlp",      "--out",    path(out)};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Words evaluate(const std::string& dataset, const std::string& data, const std::string& run,
                 const Words& more = {}) const {
    Words words = {"evaluate", "--dataset", dataset,
                   "--data",   path(data),  "--device",
                   "cpu",      "--weights", path(run) + "/model.safetensors"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  TempDirectory folder;
};

}  // namespace

TEST_CASE("program: CIFAR-10 and both kinds of CIFAR-100's labels are trained on and evaluated") {
  const World world;
  write_cifar10(world.folder / "data/cifar-10-batches-bin", 10);
  write_cifar100(world.folder / "data/cifar-100-binary", 20);
  struct Case {
    const char *dataset, *labels;
    std::size_t classes;
  };
  for (const Case& each :
       {Case{"cifar10", "fine", 10}, Case{"cifar100", "fine", 100}, Case{"cifar100", "coarse", 20}}) {
    CAPTURE(each.dataset, each.labels);
    const std::string run = std::string(each.dataset) + "-" + each.labels;
    const Result trained = run_program(world.train(each.dataset, "data", run, {"--labels", each.labels}));
    CHECK(trained.error == "");
    REQUIRE(trained.code == 0);
    CHECK(trained.out.find("cifar-10") != std::string::npos);  // the folder's name
    const Result evaluated =
        run_program(world.evaluate(each.dataset, "data", run, {"--labels", each.labels}));
    REQUIRE(evaluated.code == 0);
    CHECK(nlohmann::json::parse(evaluated.out)["class_names"].size() == each.classes);
    CHECK(nlohmann::json::parse(read_bytes(world.folder / run / "config.json"))["labels"] == each.labels);
  }
  const Result other = run_program(world.evaluate("cifar100", "data", "cifar100-coarse"));
  CHECK(other.code == 1);
  CHECK(other.error.find("20 classes") != std::string::npos);
}

TEST_CASE("program: coarse labels of a data set that has none are a usage error") {
  const World world;
  const Result result = run_program(world.train("mnist", "data", "run", {"--labels", "coarse"}));
  CHECK(result.code == 2);
  CHECK(result.error == "qmse: --labels coarse is for --dataset cifar100; mnist has one kind of labels\n");
}
