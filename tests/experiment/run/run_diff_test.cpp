#include "experiment/run/run_diff.h"

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "engine/safetensors.h"
#include "tests/experiment/tiny_run.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"

using namespace qmse;
using namespace qmse::test;

namespace {

struct World {
  // A short run called `name`, with the settings changed that `changes` names.
  std::filesystem::path run(const std::string& name, const Json& changes = Json::object()) const {
    Json given = data.settings(folder / name, "mlp");
    given["epochs"] = 2;
    given["log_steps"] = 1;
    given["snapshot_every"] = 1;
    given.update(changes);
    train(given);
    return folder / name;
  }

  // The text of a file of a run, with `from` replaced by `to` where it stands first.
  void edit(const std::filesystem::path& file, const std::string& from, const std::string& to) const {
    std::string text = read_bytes(file);
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    write_bytes(file, text.replace(at, from.size(), to));
  }

  TinyData data;
  TempDirectory folder;
};

std::string names(const std::vector<ValueDifference>& values) {
  std::string all;
  for (const ValueDifference& value : values) all += (all.empty() ? "" : " ") + value.name;
  return all;
}

}  // namespace

TEST_CASE("run diff: the same training twice is equal, in whatever folder and with whatever threads") {
  const World world;
  const RunDiff diff = diff_runs(world.run("a"), world.run("b", {{"threads", 1}}));
  CHECK(diff.equal());
  CHECK(diff.not_compared.empty());
  CHECK(names(diff.surroundings) == "threads");
  CHECK(to_json(diff)["equal"] == true);
}

TEST_CASE("run diff: another seed differs from the first step on, and the setting is named") {
  const World world;
  const RunDiff diff = diff_runs(world.run("a"), world.run("b", {{"seed_init", 5}}));
  CHECK_FALSE(diff.equal());
  CHECK(names(diff.settings) == "seed_init");
  REQUIRE(diff.results.size() == 4);  // steps, the first epoch's figures, its snapshot, the final weights
  CHECK(diff.results[0].file == "steps.jsonl");
  CHECK(diff.results[0].step == 1);
  CHECK(diff.results[0].values.at(0).name == "loss");
  CHECK(diff.results[1].file == "metrics.jsonl");
  CHECK(diff.results[1].epoch == 1);
  CHECK(diff.results[1].step == TinyData::kSteps);
  CHECK(diff.results[2].file == "snapshots/epoch-0001.safetensors");
  CHECK(diff.results[2].tensor == "fc1.weight");
  CHECK(diff.results[3].file == "model.safetensors");
  CHECK(diff.results[3].step == 2 * TinyData::kSteps);
}

TEST_CASE("run diff: one bit of one weight, one step and one figure are found where they are") {
  const World world;
  const auto a = world.run("a");
  SECTION("a weight") {
    const auto b = world.run("b");
    std::string bytes = read_bytes(b / "model.safetensors");
    bytes.back() = static_cast<char>(bytes.back() ^ 1);  // of the last tensor's last element
    write_bytes(b / "model.safetensors", bytes);
    const RunDiff diff = diff_runs(a, b);
    REQUIRE(diff.results.size() == 1);
    CHECK(diff.results[0].file == "model.safetensors");
    CHECK(diff.results[0].tensor == SafetensorsFile(a / "model.safetensors").names().back());
    CHECK(diff.results[0].text.find("1 of 10 elements differ, by at most ") == 0);
  }
  SECTION("a weight that is not a number, and one that is infinite") {
    const auto b = world.run("b");
    const std::string bytes = read_bytes(b / "model.safetensors");
    const auto text = [&](float last) {
      std::string changed = bytes;
      std::memcpy(changed.data() + changed.size() - sizeof last, &last, sizeof last);
      write_bytes(b / "model.safetensors", changed);
      return diff_runs(a, b).results.at(0).text;
    };
    CHECK(text(NAN) == "1 of 10 elements differ, 1 of them where one is not a number");
    CHECK(text(INFINITY) == "1 of 10 elements differ, by at most infinity");
  }
  SECTION("a step of the second epoch, and then a figure of it") {
    const auto b = world.run("b");
    const auto step = json_lines(b / "steps.jsonl").at(6);
    auto changed = step;
    changed["grad_norm"] = step["grad_norm"].get<double>() * 1.5;
    world.edit(b / "steps.jsonl", step.dump(), changed.dump());
    const auto epoch = json_lines(b / "metrics.jsonl").at(1);
    changed = epoch;
    changed["test_loss"] = nullptr;  // not finite
    world.edit(b / "metrics.jsonl", epoch.dump(), changed.dump());
    const RunDiff diff = diff_runs(a, b);
    REQUIRE(diff.results.size() == 2);
    CHECK(diff.results[0].file == "steps.jsonl");
    CHECK(diff.results[0].step == 7);
    CHECK(diff.results[0].epoch == 2);
    CHECK(names(diff.results[0].values) == "grad_norm");
    CHECK(diff.results[1].file == "metrics.jsonl");
    CHECK(diff.results[1].epoch == 2);
    CHECK(names(diff.results[1].values) == "test_loss");
  }
}

TEST_CASE("run diff: what cannot be compared is said, and a run that goes further differs") {
  const World world;
  const auto a = world.run("a");
  SECTION("logs and snapshots that only one has") {
    const RunDiff diff = diff_runs(a, world.run("b", {{"log_steps", 0}, {"snapshot_every", 0}}));
    CHECK(diff.equal());
    REQUIRE(diff.not_compared.size() == 2);
    CHECK(diff.not_compared[0].find("steps.jsonl: only ") == 0);
    CHECK(diff.not_compared[1].find("snapshots: ") == 0);
  }
  SECTION("a longer run") {
    const RunDiff diff = diff_runs(a, world.run("b", {{"epochs", 3}}));
    CHECK_FALSE(diff.equal());
    CHECK(diff.settings.empty());
    REQUIRE(diff.results.size() == 2);
    CHECK(diff.results[0].file == "metrics.jsonl");
    CHECK(diff.results[0].epoch == 3);
    CHECK(diff.results[1].file == "model.safetensors");
  }
  SECTION("no epoch in common is no equality") {
    const auto b = world.run("b");
    write_bytes(b / "metrics.jsonl", "");
    CHECK_FALSE(diff_runs(a, b).equal());
  }
  SECTION("a run of a version without digests") {
    const auto b = world.run("b");
    std::string text;
    for (auto line : json_lines(b / "metrics.jsonl")) {
      line.erase("weights_sha256");
      text += line.dump() + "\n";
    }
    write_bytes(b / "metrics.jsonl", text);
    const RunDiff diff = diff_runs(a, b);
    CHECK(diff.equal());
    REQUIRE(diff.not_compared.size() == 1);
    CHECK(diff.not_compared[0].find("metrics.jsonl: weights_sha256: only ") == 0);
  }
}

TEST_CASE("run diff: other images are a difference, wherever they lie, damaged records are errors") {
  const World world;
  const auto a = world.run("a");
  const auto b = world.run("b");
  const auto environment = nlohmann::ordered_json::parse(read_bytes(b / "environment.json"));
  auto other = environment;
  other["data"]["sha256"] = std::string(64, '0');
  other["processor"] = "another";
  write_bytes(b / "environment.json", other.dump());
  const RunDiff diff = diff_runs(a, b);
  CHECK_FALSE(diff.equal());
  CHECK(names(diff.settings) == "data.sha256");
  CHECK(names(diff.surroundings) == "processor");
  write_bytes(b / "steps.jsonl", "{}\n");
  CHECK_THROWS_AS(diff_runs(a, b), DataError);
  CHECK_THROWS_AS(diff_runs(a, world.folder / "none"), Error);
}

TEST_CASE("run diff: other first weights are a difference, the same ones elsewhere are none") {
  const World world;
  const auto a = world.run("a");
  const auto b = world.run("b");
  const auto start = [](const std::filesystem::path& run, const char* path, char digit) {
    auto config = nlohmann::ordered_json::parse(read_bytes(run / "config.json"));
    config["init_from"] = path;
    write_bytes(run / "config.json", config.dump());
    auto environment = nlohmann::ordered_json::parse(read_bytes(run / "environment.json"));
    environment["init_from"]["sha256"] = std::string(64, digit);
    write_bytes(run / "environment.json", environment.dump());
  };
  start(a, "/w/a", '1');
  start(b, "/w/b", '1');
  CHECK(names(diff_runs(a, b).settings) == "");
  CHECK(names(diff_runs(a, b).surroundings) == "init_from");
  start(b, "/w/a", '2');
  CHECK(names(diff_runs(a, b).settings) == "init_from.sha256");
}
