// Sweeps of tiny networks: what one process does, and what two do to each other.
#include "experiment/sweep/sweep.h"

#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "experiment/run/run_directory.h"
#include "tests/experiment/system_faults.h"
#include "tests/experiment/tiny_run.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"

using namespace qmse;
using namespace qmse::test;

namespace {

struct TinySweep {
  SweepRequest request(const std::string& out, std::int64_t jobs = 2) const {
    SweepRequest request;
    request.spec.base = data.settings("", "mlp");
    request.spec.base.erase("out");
    for (const char* loss : {"mse", "qmse"}) {
      for (const int seed : {1, 2, 3}) request.spec.members.push_back({"", {{"loss", loss}, {"seed", seed}}});
    }
    complete(request.spec, "test");
    request.out = folder / out;
    request.jobs = jobs;
    return request;
  }
  Json results(const std::string& out) const {
    return Json::parse(read_bytes(folder / out / "results.json"));
  }
  std::string model(const std::string& out, const std::string& member) const {
    return read_bytes(folder / out / "members" / member / "model.safetensors");
  }
  // The members' weights and figures, and results.json, are those of an undisturbed sweep.
  void check_same(const std::string& out, const std::string& expected) const {
    CHECK(read_bytes(folder / out / "results.json") == read_bytes(folder / expected / "results.json"));
    const SweepSpec spec = request(out).spec;
    for (const SweepMember& member : spec.members) {
      CAPTURE(out, member.name);
      CHECK(model(out, member.name) == model(expected, member.name));
      CHECK(metrics_without_times(folder / out / "members" / member.name) ==
            metrics_without_times(folder / expected / "members" / member.name));
    }
  }

  TinyData data;
  TempDirectory folder;
};

}  // namespace

TEST_CASE("sweep: members are the runs that qmse train makes, whatever the number of jobs") {
  const TinySweep tiny;
  const SweepOutcome outcome = run_sweep(tiny.request("one", 1), {});
  CHECK(outcome.members == 6);
  CHECK(outcome.finished == 6);
  CHECK(outcome.failed.empty());
  CHECK_FALSE(outcome.stopped);
  run_sweep(tiny.request("three", 3), {});
  tiny.check_same("three", "one");

  Json given = tiny.data.settings(tiny.folder / "train", "mlp");
  given["seed"] = 2;
  train(given);
  CHECK(read_bytes(tiny.folder / "train/model.safetensors") == tiny.model("one", "loss=qmse,seed=2"));

  const Json results = tiny.results("one");
  CHECK(results["finished"] == 6);
  CHECK(results["members"][4]["name"] == "loss=qmse,seed=2");
  CHECK(results["members"][4]["status"] == "finished");
  CHECK(results["members"][4]["settings"] == Json{{"loss", "qmse"}, {"seed", 2}});
  const auto lines = json_lines(tiny.folder / "train/metrics.jsonl");
  CHECK(results["members"][4]["last"]["test_accuracy"] == lines.back()["test_accuracy"]);
  double best = 0;
  for (const auto& line : lines) best = std::max(best, line["test_accuracy"].get<double>());
  CHECK(results["members"][4]["best"]["test_accuracy"]["value"] == best);
}

TEST_CASE("sweep: members that are the same run are trained once, and the table says so") {
  const TinySweep tiny;
  std::filesystem::create_directory_symlink(tiny.data.root.path(), tiny.folder / "link");
  SweepRequest request = tiny.request("out");
  request.spec.members.clear();
  for (const char* scope : {"per_sample", "per_batch"}) {
    for (const std::string& data : {tiny.data.root.path().string(), (tiny.folder / "link").string()})
      request.spec.members.push_back({std::string(scope) + (data.ends_with("link") ? "-link" : ""),
                                      {{"loss", "mse"}, {"v_scope", scope}, {"data", data}}});
  }
  complete(request.spec, "test");
  std::vector<std::string> trained, notices;
  const SweepEvents events = {
      .notice = [&](const std::string& text) { notices.push_back(text); },
      .member = [&](const MemberReport& report, const SweepProgress&) { trained.push_back(report.name); }};
  CHECK(run_sweep(request, events).finished == 1);
  CHECK(trained == std::vector<std::string>{"per_sample"});
  CHECK(std::any_of(notices.begin(), notices.end(), [](const std::string& text) {
    return missing(text, {"3 more", "same run", "per_sample-link is per_sample"}) == "";
  }));
  const Json results = tiny.results("out");
  CHECK(results["members"].size() == 1);
  REQUIRE(results["same_runs"].size() == 3);
  CHECK(results["same_runs"][2]["name"] == "per_batch-link");
  CHECK(results["same_runs"][2]["settings"]["v_scope"] == "per_batch");
  CHECK(results["same_runs"][2]["same_run_as"] == "per_sample");
  trained.clear();
  CHECK(run_sweep(request, events).finished == 1);  // the folder is its own
  CHECK(trained.empty());
}

TEST_CASE("sweep: stopped after any number of questions, and gone on with, it is the undisturbed one") {
  const TinySweep tiny;
  run_sweep(tiny.request("whole"), {});
  for (const int patience : {0, 1, 7, 20, 33}) {
    CAPTURE(patience);
    const std::string out = "stopped-" + std::to_string(patience);
    std::atomic<int> asked{0};
    const SweepOutcome outcome = run_sweep(tiny.request(out), {.stop = [&] { return ++asked > patience; }});
    CHECK(outcome.stopped);
    CHECK(outcome.failed.empty());
    CHECK(tiny.results(out)["finished"] == outcome.finished);
    CHECK(tiny.results(out)["running"] == 0);
    const SweepOutcome rest = run_sweep(tiny.request(out), {});
    CHECK(rest.finished == 6);
    tiny.check_same(out, "whole");
  }
}

TEST_CASE("sweep: a member that fails is told, and the others go on") {
  const TinySweep tiny;
  SweepRequest request = tiny.request("out");
  const std::filesystem::path late = tiny.folder / "late";
  request.spec.members[1].settings["lr"] = 1e30;                  // not finite: for good
  request.spec.members[2].settings["init_from"] = late.string();  // not there: may change
  std::vector<std::string> reported;
  const auto run = [&] {
    reported.clear();
    return run_sweep(request, {.member = [&](const MemberReport& report, const SweepProgress& progress) {
                       CHECK(progress.members == 6);
                       CHECK((report.status == MemberStatus::failed) == !report.error.empty());
                       reported.push_back(report.name);
                     }});
  };
  const SweepOutcome outcome = run();
  CHECK(outcome.finished == 4);
  CHECK_FALSE(outcome.stopped);
  REQUIRE(outcome.failed.size() == 2);
  CHECK(outcome.failed[0].name == "loss=mse,seed=2");
  CHECK(missing(outcome.failed[0].error, {"not finite"}) == "");
  CHECK(outcome.failed[0].diverged);
  CHECK_FALSE(outcome.failed[1].diverged);
  const Json diverged = tiny.results("out")["members"][1].value("diverged", Json());
  REQUIRE(diverged.is_object());
  CHECK(diverged["epoch"] == 1);
  CHECK(diverged["step"].get<int>() >= 1);
  CHECK_FALSE(tiny.results("out")["members"][2].contains("diverged"));
  CHECK(missing(outcome.failed[1].error, {"late"}) == "");
  CHECK(reported.size() == 6);
  CHECK(tiny.results("out")["failed"] == 2);
  CHECK(tiny.results("out")["members"][1]["status"] == "failed");
  CHECK(tiny.results("out")["members"][1]["error"] == outcome.failed[0].error);

  CHECK(run().failed.size() == 2);
  CHECK(reported == std::vector<std::string>{"loss=mse,seed=3"});  // the other would only fail again
  train(tiny.data.settings(tiny.folder / "first", "mlp"));
  std::filesystem::copy(tiny.folder / "first/model.safetensors", late);
  CHECK(run().finished == 5);
  CHECK(tiny.results("out")["failed"] == 1);
  CHECK(tiny.results("out")["members"][2]["status"] == "finished");
}

TEST_CASE("sweep: with more epochs finished members go on, and end as if they had had them from the start") {
  const TinySweep tiny;
  run_sweep(tiny.request("whole"), {});
  SweepRequest request = tiny.request("out");
  request.spec.base["epochs"] = 2;
  CHECK(run_sweep(request, {}).finished == 6);
  request.spec.base["epochs"] = 3;
  int trained = 0;
  const SweepEvents events = {.member = [&](const MemberReport&, const SweepProgress&) { ++trained; }};
  CHECK(run_sweep(request, events).finished == 6);
  CHECK(trained == 6);
  tiny.check_same("out", "whole");
  CHECK(read_bytes(tiny.folder / "out/sweep.json") == read_bytes(tiny.folder / "whole/sweep.json"));
  CHECK(run_sweep(request, events).finished == 6);
  CHECK(trained == 6);
  // Shorter than they are, or longer and fewer, is another sweep.
  request.spec.base["epochs"] = 2;
  CHECK(missing(message_of<ConfigError>([&] { run_sweep(request, {}); }),
                {"holds another sweep", "'epochs' is 2, was 3"}) == "");
  request.spec.base["epochs"] = 4;
  request.spec.members.pop_back();
  CHECK(missing(message_of<ConfigError>([&] { run_sweep(request, {}); }),
                {"it has more epochs and lacks the member 'loss=qmse,seed=3'"}) == "");
}

TEST_CASE("sweep: with fail_fast the first failure stops it, one of its numbers does not, and it can go on") {
  const TinySweep tiny;
  SweepRequest request = tiny.request("out", 1);
  request.fail_fast = true;
  request.spec.members[0].settings["lr"] = 1e30;  // not finite: a result
  request.spec.members[1].settings["init_from"] = (tiny.folder / "none").string();
  SweepOutcome outcome = run_sweep(request, {});
  CHECK(outcome.stopped);
  CHECK(outcome.finished == 0);
  REQUIRE(outcome.failed.size() == 2);
  CHECK(outcome.failed[0].diverged);
  CHECK_FALSE(std::filesystem::exists(tiny.folder / "out/members/loss=mse,seed=3"));
  request.fail_fast = false;
  outcome = run_sweep(request, {});
  CHECK(outcome.finished == 4);
  CHECK_FALSE(outcome.stopped);
}

TEST_CASE(
    "sweep: without their checkpoints finished members have the same results, and are not trained again") {
  const TinySweep tiny;
  run_sweep(tiny.request("kept"), {});
  SweepRequest request = tiny.request("dropped");
  request.keep_checkpoints = false;
  CHECK(run_sweep(request, {}).finished == 6);
  tiny.check_same("dropped", "kept");
  for (const SweepMember& member : request.spec.members) {
    CHECK(std::filesystem::exists(tiny.folder / "kept/members" / member.name / "checkpoint.safetensors"));
    CHECK_FALSE(
        std::filesystem::exists(tiny.folder / "dropped/members" / member.name / "checkpoint.safetensors"));
  }
  int trained = 0;
  const SweepOutcome again =
      run_sweep(request, {.member = [&](const MemberReport&, const SweepProgress&) { ++trained; }});
  CHECK(again.finished == 6);
  CHECK(trained == 0);
  tiny.check_same("dropped", "kept");
}

TEST_CASE("sweep: two on one folder share the members") {
  const TinySweep tiny;
  run_sweep(tiny.request("whole"), {});
  SweepOutcome outcomes[2];
  std::atomic<int> done{0};
  {
    std::vector<std::jthread> sweeps;
    for (int k = 0; k < 2; ++k) {
      sweeps.emplace_back([&, k] {
        SweepRequest request = tiny.request("shared", 1);
        if (k == 1) request.shard = {1, 2, "test"};  // the other takes no share: both ways go together
        outcomes[k] = run_sweep(request, {.member = [&](const auto&, const auto&) { ++done; }});
      });
    }
  }
  CHECK(outcomes[0].finished == 6);
  CHECK(outcomes[1].finished == 6);
  CHECK(done >= 6);  // a member that both find pending at once is trained by one, and reported by it
  tiny.check_same("shared", "whole");
}

TEST_CASE("sweep: a member that another process works on is waited for, and taken over where it is left") {
  const TinySweep tiny;
  run_sweep(tiny.request("whole"), {});
  const SweepRequest request = tiny.request("out", 1);
  {  // the other process has done an epoch and a half of the first member
    Json given = request.spec.settings(request.spec.members[0]);
    given["out"] = (tiny.folder / "out/members/loss=mse,seed=1").string();
    SweepFolder make(request.out, request.spec);
    int asked = 0;
    train(given, {.stop = [&] { return ++asked == 9; }});
  }
  auto other = std::make_unique<RunDirectory>(tiny.folder / "out/members/loss=mse,seed=1");
  std::vector<std::string> notices;
  const SweepOutcome outcome = run_sweep(request, {.notice = [&](const std::string& text) {
                                           notices.push_back(text);
                                           if (text.find("waiting for 1 member") != std::string::npos) {
                                             CHECK(tiny.results("out")["running"] == 1);
                                             other.reset();
                                           }
                                         }});
  CHECK(other == nullptr);
  CHECK(outcome.finished == 6);
  tiny.check_same("out", "whole");
}

TEST_CASE("sweep: shares come first, and then what is left of the others'") {
  const TinySweep tiny;
  std::vector<std::int64_t> order;
  SweepRequest request = tiny.request("out", 1);
  request.shard = {1, 3, "test"};
  run_sweep(request,
            {.member = [&](const MemberReport& report, const auto&) { order.push_back(report.number); }});
  CHECK(order == std::vector<std::int64_t>{2, 5, 6, 4, 3, 1});
  const auto processes = json_lines(tiny.folder / "out/processes.jsonl");
  REQUIRE(processes.size() == 1);
  CHECK(processes[0]["share"].dump() == R"({"index":1,"count":3,"source":"test"})");
}

TEST_CASE("sweep: waiting for the folder says for whom and ends when asked to, as one that was stopped") {
  const TinySweep tiny;
  run_sweep(tiny.request("out"), {});
  const FileLock held = FileLock::try_take(tiny.folder / "out/.lock");
  REQUIRE(held.held());
  std::string said;
  const SweepOutcome outcome = run_sweep(
      tiny.request("out"),
      {.notice = [&](const std::string& text) { said += text; }, .stop = [&] { return !said.empty(); }});
  CHECK(outcome.stopped);
  CHECK(outcome.finished == 0);
  CHECK(missing(said, {"waiting", "out/.lock", std::to_string(::getpid()).c_str()}) == "");
}

TEST_CASE("sweep: a run does not go into a sweep's folder, nor a sweep into a run's, even while it trains") {
  const TinySweep tiny;
  run_sweep(tiny.request("out"), {});
  CHECK(missing(message_of<ConfigError>([&] { train(tiny.data.settings(tiny.folder / "out")); }),
                {"out' holds a sweep", "--out"}) == "");
  CHECK_FALSE(std::filesystem::exists(tiny.folder / "out/config.json"));
  CHECK(run_sweep(tiny.request("out"), {}).stopped == false);
  const TrainingRun run(tiny.data.settings(tiny.folder / "run"), {});  // has the lock
  CHECK(missing(message_of<ConfigError>([&] { run_sweep(tiny.request("run"), {}); }),
                {"run' holds a run", "--out"}) == "");
}

TEST_CASE("sweep: a file system without locks is an error with the remedy") {
  const TinySweep tiny;
  const ScopedFault fault(Fault::no_locks);
  CHECK(missing(message_of<NoLocks>([&] { run_sweep(tiny.request("out"), {}); }),
                {"out/.lock", "no file locks", "another disk"}) == "");
}

TEST_CASE("sweep: a folder with another sweep, or something else, is refused") {
  const TinySweep tiny;
  run_sweep(tiny.request("out"), {});
  SweepRequest other = tiny.request("out");
  other.spec.base["epochs"] = 2;
  CHECK(missing(message_of<ConfigError>([&] { run_sweep(other, {}); }), {"out", "'epochs' is 2, was 3"}) ==
        "");
  train(tiny.data.settings(tiny.folder / "run"));
  CHECK(missing(message_of<ConfigError>([&] { run_sweep(tiny.request("run"), {}); }),
                {"run' holds a run", "--out"}) == "");
  write_bytes(tiny.folder / "out/sweep.json", "{\"base\":");
  CHECK(missing(message_of<DataError>([&] { run_sweep(tiny.request("out"), {}); }),
                {"sweep.json", "JSON", "copy the sweep's file there"}) == "");
  write_bytes(tiny.folder / "file", "x");
  CHECK(missing(message_of<IoError>([&] { run_sweep(tiny.request("file"), {}); }),
                {"file", "choose another --out"}) == "");
  // The record is a sweep's file: the one that was given does for it.
  SweepRequest request = tiny.request("out");
  write_bytes(tiny.folder / "out/sweep.json", to_json(request.spec).dump());
  CHECK(run_sweep(request, {}).finished == 6);
}

TEST_CASE("sweep: its images and first weights may lie elsewhere, but must be the same") {
  const TinySweep tiny;
  const auto copied = [&](const std::string& to) {
    std::filesystem::copy(tiny.data.root.path(), tiny.folder / to, std::filesystem::copy_options::recursive);
    return (tiny.folder / to).string();
  };
  train(tiny.data.settings(tiny.folder / "first", "mlp"));
  const std::string start = (tiny.folder / "first/model.safetensors").string();
  const auto request = [&](const std::string& out, const std::string& data, const std::string& weights) {
    SweepRequest made = tiny.request(out);
    made.spec.base["data"] = data;
    if (!weights.empty()) made.spec.base["init_from"] = weights;
    complete(made.spec, "test");
    return made;
  };
  const std::string here = tiny.data.root.path().string(), there = copied("there"), other = copied("other");
  const std::string images = read_bytes(tiny.folder / "other/mnist/train-images-idx3-ubyte");
  std::string changed = images;
  changed.back() = static_cast<char>(changed.back() ^ 1);
  write_bytes(tiny.folder / "other/mnist/train-images-idx3-ubyte", changed);
  std::filesystem::copy(start, tiny.folder / "moved");
  Json another = tiny.data.settings(tiny.folder / "second", "mlp");
  another["seed"] = 9;
  train(another);
  const std::string moved = (tiny.folder / "moved").string(),
                    second = (tiny.folder / "second/model.safetensors").string();
  const auto refused = [](const SweepRequest& asked) {
    return message_of<ConfigError>([&] { run_sweep(asked, {}); });
  };

  // Before a member has begun, what lies at both paths counts.
  const SweepFolder made(tiny.folder / "fresh", request("fresh", here, start).spec);
  CHECK(missing(refused(request("fresh", other, start)), {"'data'", "they are not the same"}) == "");
  CHECK(missing(refused(request("fresh", here, second)), {"'init_from'", "they are not the same"}) == "");
  CHECK(missing(refused(request("fresh", here, "")), {"'init_from' is not given", "was"}) == "");
  CHECK(missing(refused(request("fresh", (tiny.folder / "none").string(), start)),
                {"'data'", "cannot be read"}) == "");
  CHECK(run_sweep(request("fresh", there, moved), {}).finished == 6);

  // Later, what its runs have recorded; the paths that they were given need not be there any more.
  std::filesystem::remove_all(tiny.folder / "there");
  std::filesystem::remove(moved);
  const std::string third = copied("third");
  std::vector<std::string> trained;
  const SweepEvents events{
      .member = [&](const MemberReport& report, const SweepProgress&) { trained.push_back(report.name); }};
  SweepRequest more = request("fresh", third, start);
  more.spec.members.push_back({"", {{"loss", "mse"}, {"seed", 4}}});
  complete(more.spec, "test");
  CHECK(run_sweep(more, events).finished == 7);
  CHECK(trained == std::vector<std::string>{"loss=mse,seed=4"});
  CHECK(missing(refused(request("fresh", other, start)), {"'data'", "they are not the same"}) == "");
  CHECK(missing(refused(request("fresh", third, second)), {"'init_from'", "they are not the same"}) == "");

  // Under the same path too.
  write_bytes(tiny.folder / "third/mnist/train-images-idx3-ubyte", changed);
  CHECK(missing(refused(more), {"'data'", "what lies there has changed"}) == "");
  std::filesystem::remove_all(tiny.folder / "third");  // finished members need no images
  CHECK(run_sweep(more, {}).finished == 7);
}

TEST_CASE("sweep: members can be added, and a command with fewer leaves the others alone") {
  const TinySweep tiny;
  run_sweep(tiny.request("all"), {});
  SweepRequest part = tiny.request("out");
  part.spec.members.erase(part.spec.members.begin() + 1, part.spec.members.begin() + 4);
  run_sweep(part, {});
  CHECK(tiny.results("out")["members"].size() == 3);
  std::vector<std::string> trained;
  const SweepEvents events{
      .member = [&](const MemberReport& report, const SweepProgress&) { trained.push_back(report.name); }};
  CHECK(run_sweep(tiny.request("out"), events).finished == 6);
  CHECK(trained.size() == 3);
  tiny.check_same("out", "all");
  CHECK(run_sweep(part, {}).members == 3);
  tiny.check_same("out", "all");

  // A process that began before members were added leaves them in results.json.
  SweepFolder early(tiny.folder / "grown", part.spec);
  run_sweep(tiny.request("grown"), {});
  CHECK(early.has_more());
  early.write_results();
  CHECK(tiny.results("grown")["members"].size() == 6);
}

TEST_CASE("sweep: damage to one member's files is that member's failure") {
  const TinySweep tiny;
  std::atomic<int> asked{0};
  run_sweep(tiny.request("out", 1), {.stop = [&] { return ++asked >= 10; }});
  write_bytes(tiny.folder / "out/members/loss=mse,seed=1/checkpoint.safetensors", "not one");
  const SweepOutcome outcome = run_sweep(tiny.request("out"), {});
  CHECK(outcome.finished == 5);
  REQUIRE(outcome.failed.size() == 1);
  CHECK(missing(outcome.failed[0].error, {"checkpoint.safetensors"}) == "");
}

TEST_CASE("sweep: progress counts epochs and tells the time left") {
  const TinySweep tiny;
  SweepRequest request = tiny.request("out", 1);
  std::vector<SweepProgress> seen;
  run_sweep(request,
            {.member = [&](const auto&, const SweepProgress& progress) { seen.push_back(progress); }});
  REQUIRE(seen.size() == 6);
  for (std::size_t i = 0; i < seen.size(); ++i) {
    CHECK(seen[i].finished == static_cast<std::int64_t>(i) + 1);
    REQUIRE(seen[i].seconds_left.has_value());
    CHECK((*seen[i].seconds_left > 0) == (i < 5));
  }
}
