#include "experiment/report/run_groups.h"

#include <algorithm>
#include <set>

#include "tests/support/run_folders.h"

using namespace qmse;
using namespace qmse::test;
using Names = std::vector<std::string>;

namespace {

RunRecord run(const Json& changes, std::size_t epochs = 1) {
  const TempDirectory folder;
  write_run(folder / "run", changes, std::vector<double>(epochs, 0.5));
  RunRecord record = read_run(folder / "run");
  record.config["epochs"] = 1;  // as many were asked for in all of them
  return record;
}

}  // namespace

TEST_CASE("run groups: seeds and what does not change results do not part runs") {
  const auto groups =
      group_runs({run({{"seed", 1}}), run({{"seed", 2}, {"threads", 3}, {"data", "/elsewhere"}}),
                  run({{"seed", 3}, {"checkpoint_every", 5}, {"device", "cpu"}}),
                  run({{"seed", 4}, {"device", "cpu:1"}})});
  REQUIRE(groups.size() == 2);  // by the kind of device
  CHECK(groups[0].runs.size() == 2);
  CHECK(groups[1].runs.size() == 2);
  CHECK(differing_settings(groups) == Names{"device"});
}

TEST_CASE("run groups: what was trained on parts runs, whatever the path to it") {
  const auto on = [](std::uint64_t seed, const Json& data) {
    RunRecord record = run({{"seed", seed}, {"dataset", "folder"}, {"data", "/same"}});
    record.environment["data"] = data;
    return record;
  };
  const Json red = {{"name", "folder"}, {"sha256", "12" + std::string(62, 'a')}, {"content", "own"}};
  const Json grey = {{"name", "folder"}, {"sha256", "34" + std::string(62, 'b')}, {"content", "own"}};
  RunRecord moved = on(2, red);
  moved.config["data"] = "/elsewhere";
  auto groups = group_runs({on(1, red), on(1, grey), moved, on(1, red)});
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].runs.size() == 2);
  CHECK(groups[0].repeats.size() == 1);
  CHECK(groups[1].runs.size() == 1);
  CHECK(differing_settings(groups) == Names{"data"});
  CHECK(describe_settings(groups[0].settings, {"data"}) == "data 12aaaaaaaaaa");
  CHECK(describe_settings(groups[1].settings, {"data"}) == "data 34bbbbbbbbbb");

  // In a record without a hash: number, shape and classes.
  const auto images = [](int count, const Json& shape, const Json& classes) -> Json {
    return {{"name", "folder"},
            {"content", "own"},
            {"images", {{"train", count}, {"test", 5}, {"shape", shape}}},
            {"classes", classes}};
  };
  const Json plain = images(10, {1, 8, 8}, {"a", "b"});
  groups = group_runs({on(1, plain), on(2, plain), on(1, images(11, {1, 8, 8}, {"a", "b"})),
                       on(1, images(10, {3, 8, 8}, {"a", "b"})), on(1, images(10, {1, 8, 8}, {"a", "c"})),
                       on(1, Json())});
  CHECK(groups.size() == 5);
  std::set<std::string> labels;
  for (const RunGroup& group : groups) labels.insert(describe_settings(group.settings, {"data"}));
  CHECK(labels.size() == 5);
  CHECK(labels.contains("data not recorded"));

  // A run that went on with other images is neither one nor the other.
  RunRecord changed = on(1, red);
  changed.environment["resumed"] = {{{"data", grey}}};
  RunRecord resumed = on(2, red);
  resumed.environment["resumed"] = {{{"data", red}}};
  groups = group_runs({on(1, red), changed, resumed});
  REQUIRE(groups.size() == 2);
  CHECK(std::max(groups[0].runs.size(), groups[1].runs.size()) == 2);
}

TEST_CASE("run groups: first weights count by what they are, whatever the path to them") {
  const auto from = [](std::uint64_t seed, const std::string& path, const std::string& sha256) {
    RunRecord record = run({{"seed", seed}, {"init_from", path}});
    if (!sha256.empty()) record.environment["init_from"] = {{"sha256", sha256}};
    return record;
  };
  const std::string one = "ab" + std::string(62, '1'), two = "cd" + std::string(62, '2');
  const auto groups = group_runs({from(1, "/w/a", one), from(2, "/elsewhere", one), from(1, "/w/a", two),
                                  run({{"seed", 1}}), from(1, "/w/a", "")});
  REQUIRE(groups.size() == 4);
  CHECK(differing_settings(groups) == Names{"init_from"});
  std::set<std::string> labels;
  for (const RunGroup& group : groups) {
    const std::string label = describe_settings(group.settings, {"init_from"});
    labels.insert(label);
    CHECK(group.runs.size() == (label == "first weights ab1111111111" ? 2 : 1));
  }
  // Of a record without a hash only the path is known.
  CHECK(labels == std::set<std::string>{"first weights ab1111111111", "first weights cd2222222222",
                                        "random first weights", "first weights /w/a"});
  // Of weights that another of the runs had after an epoch, that is said.
  RunRecord first = run({{"seed", 3}});
  first.directory = "runs/first";
  first.epochs = {{{"epoch", 1}, {"weights_sha256", two}}, {{"epoch", 2}, {"weights_sha256", one}}};
  const auto known = group_runs({first, from(1, "/w/a", one)});
  REQUIRE(known.size() == 2);
  labels.clear();
  for (const RunGroup& group : known) labels.insert(describe_settings(group.settings, {"init_from"}));
  CHECK(labels == std::set<std::string>{"random first weights", "first weights epoch 2 of first"});
  CHECK(describe_settings(known[0].settings, {"loss", "init_from"}).find("random") == std::string::npos);
}

TEST_CASE("run groups: settings that a run does not use do not part it from others") {
  const auto groups = group_runs({
      run({{"loss", "mse"}, {"seed", 1}}),
      run({{"loss", "mse"}, {"seed", 2}, {"v_scope", "per_batch"}, {"mlp_widths", {3}}, {"beta1", 0.5}}),
      run({{"loss", "qmse"}, {"seed", 1}, {"v_scope", "per_batch"}}),
      run({{"loss", "qmse"}, {"seed", 1}}),
  });
  REQUIRE(groups.size() == 3);
  CHECK(differing_settings(groups) == Names{"loss", "v_scope"});
  CHECK(describe_settings(groups[0].settings, {"loss", "v_scope"}) == "MSE");
  CHECK(groups[0].runs.size() == 2);
}

TEST_CASE("run groups: they are in the order of losses and numbers, and named by data set and loss first") {
  const auto groups = group_runs({run({{"lr", 0.5}, {"loss", "qmse"}}), run({{"lr", 0.5}, {"loss", "mse"}}),
                                  run({{"lr", 0.25}, {"loss", "qmse"}}),
                                  run({{"lr", 0.25}, {"loss", "qmse"}, {"dataset", "mnist"}})});
  Names names = differing_settings(groups), labels;
  CHECK(names == Names{"dataset", "loss", "lr"});
  for (const RunGroup& group : groups) labels.push_back(describe_settings(group.settings, names));
  CHECK(labels == Names{"MNIST, QMSE, learning rate 0.25", "Fashion-MNIST, MSE, learning rate 0.5",
                        "Fashion-MNIST, QMSE, learning rate 0.25", "Fashion-MNIST, QMSE, learning rate 0.5"});
}

TEST_CASE("run groups: of runs with equal seeds the one with most epochs counts, once") {
  RunRecord longer = run({{"seed", 1}}, 3);
  const auto groups = group_runs({run({{"seed", 1}}, 2), longer, run({{"seed", 2}})});
  REQUIRE(groups.size() == 1);
  REQUIRE(groups[0].runs.size() == 2);
  CHECK(groups[0].runs[0].epochs.size() == 3);
  REQUIRE(groups[0].repeats.size() == 1);
  CHECK(groups[0].repeats[0].epochs.size() == 2);
  // The seed of v is no other seed to a loss without v.
  const auto mse = group_runs({run({{"loss", "mse"}}), run({{"loss", "mse"}, {"seed_v", 9}})});
  CHECK(mse[0].runs.size() == 1);
  const auto qmse = group_runs({run({{"loss", "qmse"}}), run({{"loss", "qmse"}, {"seed_v", 9}})});
  CHECK(qmse[0].runs.size() == 2);
}

TEST_CASE("run groups: a record from before a setting existed has its default") {
  RunRecord old = run({{"seed", 2}});
  old.config.erase("v_scope");
  CHECK(group_runs({run({{"seed", 1}}), old}).size() == 1);
}

TEST_CASE("run groups: settings are described in words") {
  const Json settings = {
      {"loss", "cross_entropy"}, {"lr", 1.0},   {"nesterov", false}, {"conv_channels", {4, 8}},
      {"train_limit", 500},      {"epochs", 3}, {"batch_size", 64},  {"mlp_widths", Json::array()}};
  CHECK(describe_settings(settings, {"loss", "lr", "nesterov", "conv_channels", "train_limit", "epochs",
                                     "batch_size", "mlp_widths", "momentum"}) ==
        "cross-entropy, learning rate 1, no nesterov, conv channels 4-8, 500 training images, 3 epochs, "
        "batch size 64, "
        "widths none");
}
