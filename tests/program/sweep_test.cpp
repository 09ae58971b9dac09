// `qmse sweep` and `qmse reproduce` from end to end: stopped, killed among MPI ranks, on a disk that is full.
#include <sstream>

#include "experiment/run/tensor_digest.h"
#include "tests/experiment/tiny_run.h"
#include "tests/program/run_program.h"
#include "tests/support/catch.h"
#include "tests/support/run_folders.h"

using namespace qmse;
using namespace qmse::test;

namespace {

bool on_path(const std::string& program) {
  std::istringstream folders(std::getenv("PATH"));
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (::access((folder + "/" + program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

struct World {
  explicit World(int epochs, Json members = Json::array()) {
    Json sweep = {{"base", data.settings("", "mlp")},
                  {"grid", {{"loss", {"mse", "qmse"}}, {"seed", {1, 2, 3, 4}}}}};
    sweep["base"].erase("out");
    sweep["base"]["epochs"] = epochs;
    sweep["members"] = std::move(members);
    write_bytes(folder / "sweep.json", sweep.dump());
  }
  Words sweep(const std::string& out, const Words& more = {}) const {
    Words words = {"sweep", (folder / "sweep.json").string(), "--out", (folder / out).string()};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Json results(const std::string& out) const {
    return Json::parse(read_bytes(folder / out / "results.json"));
  }
  void check_same(const std::string& out, const std::string& expected) const {
    CHECK(read_bytes(folder / out / "results.json") == read_bytes(folder / expected / "results.json"));
    const Json results_expected = results(expected);
    for (const Json& member : results_expected["members"]) {
      const std::string directory = member["directory"];
      CAPTURE(out, directory);
      CHECK(read_bytes(folder / out / directory / "model.safetensors") ==
            read_bytes(folder / expected / directory / "model.safetensors"));
      CHECK(metrics_without_times(folder / out / directory) ==
            metrics_without_times(folder / expected / directory));
    }
  }

  TinyData data;
  TempDirectory folder;
};

}  // namespace

TEST_CASE("program: a sweep prints a line a member, and a second call finds nothing to do") {
  const World world(2);
  const Result result = run_program(world.sweep("out", {"--jobs", "2"}));
  CHECK(result.code == 0);
  CHECK(result.error == "");
  for (const char* part : {"8 members in", "2 at a time", "[1/8] ", "[8/8] ", "finished in", "train accuracy",
                           "test accuracy", " left", "8 of 8 members finished; results in"}) {
    CAPTURE(part, result.out);
    CHECK(result.out.find(part) != std::string::npos);
  }
  CHECK(result.out.find('\r') == std::string::npos);
  CHECK(world.results("out")["finished"] == 8);
  const Json results = world.results("out");
  for (const auto& member : results["members"])
    CHECK(
        member["last"]["weights_sha256"] ==
        tensors_sha256(world.folder / "out" / member["directory"].get<std::string>() / "model.safetensors"));
  const Result again = run_program(world.sweep("out"));
  CHECK(again.code == 0);
  CHECK(again.out.find("8 of them finished") != std::string::npos);
  CHECK(again.out.find("[1/8]") == std::string::npos);
}

TEST_CASE("program: a sweep's --dry-run says how much there is to do, and does nothing") {
  const World world(2);
  const Result result = run_program(world.sweep("out", {"--jobs", "2", "--dry-run"}));
  CAPTURE(result.out, result.error);
  CHECK(result.code == 0);
  for (const char* part :
       {"8 members; 16 epochs to train\n", "2 at a time, by some steps of 2 kinds of them\n", " kB in '",
        "of it checkpoints, which --keep-checkpoints none drops\n"})
    CHECK(result.out.find(part) != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(world.folder / "out"));
  const Result json = run_program(world.sweep("out", {"--dry-run", "--log-format", "json"}));
  CHECK(Json::parse(json.out)["epochs"] == 16);
}

TEST_CASE("program: a sweep stopped by Ctrl-C or SIGTERM goes on with the same command") {
  const World world(20);
  REQUIRE(run_program(world.sweep("whole")).code == 0);
  for (const int number : {SIGINT, SIGTERM}) {
    CAPTURE(number);
    const std::string out = "out-" + std::to_string(number);
    Process process(world.sweep(out, {"--jobs", "2"}), world.folder / "stderr");
    REQUIRE(process.wait_for("[1/8]"));
    process.signal(number);
    CHECK(process.finish() == 128 + number);
    CHECK(process.out.find("stopped: ") != std::string::npos);
    CHECK(process.out.find("the same command goes on from here") != std::string::npos);
    CHECK(read_bytes(world.folder / "stderr") == "");
    CHECK(world.results(out)["running"] == 0);
    CHECK(run_program(world.sweep(out)).code == 0);
    world.check_same(out, "whole");
  }
}

TEST_CASE("program: a sweep with halving that is killed again and again ends as one that was left alone") {
  const World world(7);
  Json sweep = Json::parse(read_bytes(world.folder / "sweep.json"));
  sweep["base"]["validation"] = 20;
  sweep["grid"] = {{"loss", {"mse", "qmse"}}, {"lr", {0.001, 0.003, 0.01, 0.03}}, {"seed", {1, 2}}};
  sweep["halving"] = {{"after", {1, 3}}, {"factor", 2}};
  write_bytes(world.folder / "sweep.json", sweep.dump());
  const Result whole = run_program(world.sweep("whole"));
  CAPTURE(whole.out, whole.error);
  REQUIRE(whole.code == 0);
  CHECK(whole.out.find(" eliminated: place 4 of 4 by validation accuracy, ") != std::string::npos);
  CHECK(whole.out.find("4 of 16 members finished, 12 eliminated by halving; results in ") !=
        std::string::npos);
  int killed = 0;
  for (const char* until : {"model mlp", "members in", "after epoch 1; 2 go on", "after epoch 1; 2 go on",
                            "after epoch 3; 1 goes on", "members in", "finished in"}) {
    Process process(world.sweep("killed"), world.folder / "stderr");
    killed += process.wait_for(until) ? 1 : 0;
    process.signal(SIGKILL);
    process.finish();
  }
  CHECK(killed >= 4);
  CHECK(run_program(world.sweep("killed", {"--jobs", "3"})).code == 0);
  CHECK(read_bytes(world.folder / "killed/results.json") == read_bytes(world.folder / "whole/results.json"));
  const Json results = world.results("whole");
  REQUIRE(results["members"].size() == 16);
  for (const Json& member : results["members"]) {
    const std::string directory = member["directory"];
    CAPTURE(directory);
    CHECK(metrics_without_times(world.folder / "killed" / directory) ==
          metrics_without_times(world.folder / "whole" / directory));
    const auto model = [&](const char* out) { return world.folder / out / directory / "model.safetensors"; };
    const bool finished = member["status"] == "finished";
    CHECK(std::filesystem::exists(model("killed")) == finished);
    if (finished) CHECK(read_bytes(model("killed")) == read_bytes(model("whole")));
  }
}

TEST_CASE("program: three MPI ranks share a sweep, and the others finish what a killed one leaves") {
  if (!on_path("mpirun")) {
    WARN("[skipped: no mpirun (Debian's package openmpi-bin)]");
    return;
  }
  const World world(30);
  REQUIRE(run_program(world.sweep("whole")).code == 0);
  // Without --enable-recovery Open MPI ends the others when a rank is killed, as the end of a job would.
  const Words ranks = {"mpirun", "--allow-run-as-root", "--oversubscribe", "--enable-recovery", "-n", "3"};
  Process process(world.sweep("shared", {"--jobs", "1", "--threads", "1"}), world.folder / "stderr",
                  Output::pipe, 120, ranks);
  REQUIRE(process.wait_for("] loss="));  // a first member is done
  pid_t victim = 0;
  for (const auto& line : json_lines(world.folder / "shared/processes.jsonl")) {
    CHECK(line["share"]["count"] == 3);
    CHECK(line["share"]["source"] == "OMPI_COMM_WORLD_RANK");
    const auto name = line["process"].get<std::string>();
    if (line["share"]["index"] == 1) victim = std::stoi(name.substr(name.rfind(':') + 1));
  }
  REQUIRE(victim > 0);
  REQUIRE(::kill(victim, SIGKILL) == 0);
  process.finish();  // its code is Open MPI's opinion of the killed rank
  CAPTURE(process.out, read_bytes(world.folder / "stderr"));
  CHECK(process.out.find("8 of 8 members finished") != std::string::npos);
  CHECK(world.results("shared")["finished"] == 8);
  world.check_same("shared", "whole");
}

TEST_CASE(
    "program: a sweep whose disk has no room for a member goes on with the others, and later with that") {
  const World world(2, Json::parse(R"([{"name": "big", "mlp_widths": [3000], "lr": 0.0001}])"));
  const Result whole = run_program(world.sweep("whole"));
  CAPTURE(whole.out);
  REQUIRE(whole.code == 0);
  // No file above 200 KiB: the big member's checkpoint fails as on a full disk.
  const Words limited = {"sh", "-c", "trap '' XFSZ; ulimit -f 400; exec \"$0\" \"$@\""};
  const Result result = run_program(world.sweep("out"), Output::pipe, 120, limited);
  CAPTURE(result.out, result.error);
  CHECK(result.code == 1);
  CHECK(result.out.find("] big FAILED: cannot write") != std::string::npos);
  CHECK(result.out.find("8 of 9 members finished, 1 failed") != std::string::npos);
  CHECK(result.error.find("qmse: 1 of 9 members failed") == 0);
  CHECK(world.results("out")["members"][8]["status"] == "failed");
  CHECK(run_program(world.sweep("out")).code == 0);
  world.check_same("out", "whole");
}

TEST_CASE("program: a sweep's --log-format json has an object a member and ends with what failed") {
  const World world(2, {{{"lr", 1e30}, {"seed", 1}}});
  const Result result = run_program(world.sweep("out", {"--log-format", "json"}));
  CHECK(result.code == 1);
  std::vector<nlohmann::json> members;
  nlohmann::json last;
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) {
    last = nlohmann::json::parse(line);
    if (last["event"] == "member") members.push_back(last);
  }
  REQUIRE(members.size() == 9);
  CHECK(members.back()["finished"].get<int>() + members.back()["failed"].get<int>() == 9);
  for (const nlohmann::json& member : members) {
    CHECK(member.contains("error") == (member["status"] == "failed"));
    if (member["status"] == "finished") CHECK(member["last"]["epoch"] == 2);
  }
  CHECK(last["event"] == "finished");
  CHECK(last["finished"] == 8);
  CHECK(last["failed"] == 1);
  REQUIRE(last["failures"].size() == 1);
  CHECK(last["failures"][0]["name"].get<std::string>().find("lr") != std::string::npos);
  CHECK(last["out"] == (world.folder / "out").string());
  const Result wrong = run_program(world.sweep("out/sweep.json", {"--log-format", "json"}));
  CHECK(wrong.code == 1);
  CHECK(nlohmann::json::parse(wrong.out)["event"] == "failed");
  const Result absent = run_program({"sweep", (world.folder / "absent.json").string(), "--out",
                                     (world.folder / "new").string(), "--log-format", "json"});
  CHECK(absent.code == 1);
  CHECK(nlohmann::json::parse(absent.out)["event"] == "failed");
}

TEST_CASE("program: a sweep's wrong usage is one line") {
  const World world(2);
  REQUIRE(run_program(world.sweep("out")).code == 0);
  write_bytes(world.folder / "unknown.json", R"({"grid": {"momentun": [0.5]}})");
  write_bytes(world.folder / "other.json", R"({"grid": {"momentum": [0.5]}})");
  const std::string out = (world.folder / "out").string(), fresh = (world.folder / "new").string();
  const std::string file = (world.folder / "sweep.json").string();
  struct Case {
    Words words;
    int code;
    Words parts;
  };
  const Case cases[] = {
      {{"sweep"}, 2, {"FILE is missing"}},
      {{"sweep", file}, 2, {"--out DIR"}},
      {{"sweep", file, "more", "--out", fresh}, 2, {"'more'"}},
      {{"sweep", fresh, "--out", fresh}, 1, {"new"}},
      {{"sweep", (world.folder / "unknown.json").string(), "--out", fresh},
       2,
       {"unknown.json", "'grid'", "'momentun'", "did you mean 'momentum'?"}},
      {{"sweep", (world.folder / "other.json").string(), "--out", out}, 2, {"holds another sweep"}},
      {{"sweep", file, "--out", fresh, "--jobs", "0"}, 2, {"--jobs", "'0'"}},
      {{"sweep", file, "--out", fresh, "--jobs", "2x"}, 2, {"--jobs", "'2x'"}},
      {{"sweep", file, "--out", fresh, "--shard", "3/3"}, 2, {"--shard", "'3/3'", "0/3"}},
      {{"sweep", file, "--out", fresh, "--device", "tpu"}, 2, {"tpu"}},
      {{"sweep", file, "--out", fresh, "--thread", "1"}, 2, {"--thread", "did you mean '--threads'?"}},
  };
  for (const Case& each : cases) {
    CAPTURE(each.words);
    const Result result = run_program(each.words);
    CAPTURE(result.error);
    CHECK(result.code == each.code);
    CHECK(std::count(result.error.begin(), result.error.end(), '\n') == 1);
    for (const std::string& part : each.parts) CHECK(result.error.find(part) != std::string::npos);
  }
  CHECK_FALSE(std::filesystem::exists(fresh));
}

TEST_CASE("program: reproduce stopped and gone on with ends with figures, table, report and verdicts") {
  const TinyData data;
  const TempDirectory folder;
  const std::string out = (folder / "out").string();
  const Words words = {"reproduce", "fig1",   "--paper-only",
                       "--epochs",  "2",      "--seeds",
                       "2",         "--data", data.root.path().string(),
                       "--device",  "cpu",    "--jobs",
                       "2",         "--out",  out};
  {
    Process process(words, folder / "stderr");
    REQUIRE(process.wait_for("[1/8]"));
    process.signal(SIGTERM);
    CHECK(process.finish() == 143);
    CHECK(process.out.find("batch size: 64 is taken") != std::string::npos);
    CHECK(process.out.find("8 runs of 2 epochs: about ") != std::string::npos);
    CHECK(process.out.find("--epochs, --train-limit") != std::string::npos);
    CHECK_FALSE(std::filesystem::exists(folder / "out/table.md"));
  }
  {
    const TempDirectory empty;
    const ScopedPath no_gnuplot(empty.path().string());
    const Result without = run_program(words);
    CHECK(without.code == 0);
    CHECK(without.out.find("gnuplot-nox") != std::string::npos);
    for (const char* file : {"table.md", "reproduction.json", "report.html"})
      CHECK(std::filesystem::exists(folder / "out" / file));
    CHECK_FALSE(std::filesystem::exists(folder / "out/fig1.svg"));
  }
  const Result result = run_program(words);
  CAPTURE(result.out, result.error);
  CHECK(result.code == 0);
  for (const char* part : {"On MNIST both losses reach a training accuracy near 100 %.",
                           "| QMSE, element_mean", "95 % interval", "8 of 8 members finished"}) {
    CAPTURE(part);
    CHECK(result.out.find(part) != std::string::npos);
  }
  for (const char* file : {"table.md", "reproduction.json", "report.html", "fig1.svg", "fig1.png"}) {
    CAPTURE(file);
    CHECK(std::filesystem::file_size(folder / "out" / file) > 1000);
  }
  const auto json = Json::parse(read_bytes(folder / "out/reproduction.json"));
  CHECK(json["claims"].size() == 3);
  CHECK(json["figures"][0]["variants"].size() == 4);
  CHECK(run_program({"reproduce"}).code == 2);
  CHECK(run_program({"reproduce", "fig4"}).code == 2);
  CHECK(run_program({"reproduce", "fig1", "--seeds", "0"}).code == 2);
  CHECK(run_program({"reproduce", "fig1", "--epochs", "1", "--paper-only", "--seeds", "2", "--data",
                     data.root.path().string(), "--device", "cpu", "--out", out})
            .code == 2);  // the folder holds longer runs

  // Fewer seeds than the folder has: its tables stay those of all.
  const std::string table = read_bytes(folder / "out/table.md");
  Words fewer = words;
  *std::find(fewer.begin() + 5, fewer.end(), "2") = "1";
  const Result part = run_program(fewer);
  CHECK(part.code == 0);
  CHECK(part.out.find("the folder holds more runs than these") != std::string::npos);
  CHECK(read_bytes(folder / "out/table.md") == table);

  // A finished run whose record is damaged is a failure, with its reason in the table, and no verdict.
  const auto record = folder / "out/runs/members/fig1-momentum0-qmse-element_mean-seed2/metrics.jsonl";
  const std::string lines = read_bytes(record);
  write_bytes(record, lines.substr(0, lines.find('\n') + 1));
  const Result damaged = run_program(words);
  CHECK(damaged.code == 1);
  CHECK(damaged.out.find("7 of 8 members finished, 1 failed") != std::string::npos);
  const std::string said = read_bytes(folder / "out/table.md");
  CHECK(said.find("its metrics.jsonl has 1 of 2 epochs") != std::string::npos);
  CHECK(said.find("not run with element_mean") != std::string::npos);
}
