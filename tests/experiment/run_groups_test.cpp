#include "experiment/run_groups.h"

#include "tests/support/run_folders.h"

using namespace qmse;
using namespace qmse::test;
using Names = std::vector<std::string>;

namespace {

RunRecord run(const ConfigJson& changes, std::size_t epochs = 1) {
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
  const ConfigJson settings = {
      {"loss", "cross_entropy"}, {"lr", 1.0},   {"nesterov", false}, {"conv_channels", {4, 8}},
      {"train_limit", 500},      {"epochs", 3}, {"batch_size", 64},  {"mlp_widths", ConfigJson::array()}};
  CHECK(describe_settings(settings, {"loss", "lr", "nesterov", "conv_channels", "train_limit", "epochs",
                                     "batch_size", "mlp_widths", "momentum"}) ==
        "cross-entropy, learning rate 1, no nesterov, conv channels 4-8, 500 training images, 3 epochs, "
        "batch size 64, "
        "mlp widths none");
}
