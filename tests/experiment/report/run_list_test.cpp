#include "experiment/report/run_list.h"

#include <algorithm>

#include "experiment/run/file_lock.h"
#include "tests/support/run_folders.h"

using namespace qmse;
using namespace qmse::test;

namespace {

void set_environment(const std::filesystem::path& run, const Json& changes) {
  Json json = Json::parse(read_bytes(run / "environment.json"));
  json.update(changes);
  write_bytes(run / "environment.json", json.dump());
}

}  // namespace

TEST_CASE("run list: by start, the latest last, with what differs, how it ended, figures and note") {
  const TempDirectory folder;
  write_run(folder / "b", {{"loss", "mse"}}, {0.5, 0.8125});
  write_run(folder / "deep/a", {{"loss", "qmse"}, {"seed", 7}}, {0.25}, false);
  set_environment(folder / "b", {{"started", "2026-01-02T03:04:05.678Z"}, {"note", "second\ntry"}});
  set_environment(folder / "deep/a", {{"started", "2025-12-31T23:59:59.000Z"}});
  write_run(folder / "damaged", {}, {0.5});
  write_bytes(folder / "damaged/metrics.jsonl", "{]\n");
  const ReportTable table = run_list(find_runs(folder.path()), folder.path());
  CHECK(table.header == std::vector<std::string>{"started (UTC)", "run", "settings", "seed", "state",
                                                 "training accuracy, %", "test accuracy, %", "note"});
  REQUIRE(table.rows.size() == 3);
  CHECK(table.rows[0][1] == "damaged");
  CHECK(table.rows[0][4].starts_with("cannot be read: "));
  CHECK(table.rows[1][0] == "2025-12-31 23:59");
  CHECK(table.rows[1][1] == "deep/a");
  CHECK(table.rows[1][2].find("QMSE") == 0);
  CHECK(table.rows[1][3] == "7");
  CHECK(table.rows[1][4] == "interrupted after 1 of 1 epochs");
  CHECK(table.rows[2] == std::vector<std::string>{"2026-01-02 03:04", "b", table.rows[2][2], "1", "finished",
                                                  "82.25", "81.25", "second try"});
}

TEST_CASE(
    "run list: for a program figures have their keys and are fractions, and nothing where there is none") {
  const TempDirectory folder;
  write_run(folder / "a", {}, {0.5, 0.8125});
  write_run(folder / "b", {{"seed", 2}, {"epochs", 3}}, {}, false);
  const ReportTable table = run_list(find_runs(folder.path()), folder.path(), TableFormat::csv);
  REQUIRE(table.header.size() == 7);
  CHECK(table.header[5] == "train_accuracy");
  CHECK(table.header[6] == "test_accuracy");
  REQUIRE(table.rows.size() == 2);
  for (const auto& row : table.rows) CHECK(row[6] == (row[1] == "a" ? "0.8125" : ""));
}

TEST_CASE("run list: a run that says no start has the time its configuration was written") {
  const TempDirectory folder;
  write_run(folder / "run", {}, {0.5});
  const ReportTable table = run_list(find_runs(folder.path()), folder.path());
  REQUIRE(table.rows.size() == 1);
  CHECK(table.rows[0][0].size() == 16);
  CHECK(table.rows[0][0][4] == '-');
}

TEST_CASE("run list: a view shows which runs go on and how far they are") {
  const TempDirectory folder;
  write_run(folder / "a", {{"loss", "mse"}, {"epochs", 4}}, {0.1, 0.5, 0.9}, false);
  RunsView view = look_at_runs(folder / "a");
  CHECK_FALSE(view.going_on);
  REQUIRE(view.lines.size() == 2);
  CHECK(view.lines[0] == "interrupted after 3 of 4 epochs: training accuracy 91.00 %, test accuracy 90.00 %");
  CHECK(view.lines[1] == "test accuracy  ▁▅█");

  write_run(folder / "b", {{"loss", "qmse"}}, {0.5});
  {
    const FileLock held = FileLock::try_take(folder / "a/.lock");
    view = look_at_runs(folder.path());
    CHECK(view.going_on);
    REQUIRE(view.lines.size() == 2);
    CHECK(view.lines[0] == "2 runs: 1 finished, 1 going on");
    CHECK(view.lines[1].starts_with("a  going on, 3 of 4 epochs: "));
  }
  CHECK_FALSE(look_at_runs(folder.path()).going_on);
  write_outcome(folder / "a", {.end = RunEnd::eliminated, .epoch = 3, .step = 30, .reason = "place 5 of 9"});
  CHECK(look_at_runs(folder.path()).lines[0] == "2 runs: 1 finished, 0 going on, 1 eliminated");
  CHECK(look_at_runs(folder / "a").lines[0].starts_with("eliminated after 3 of 4 epochs: place 5 of 9: "));
}
