#include "experiment/report/run_export.h"

#include <cstring>

#include "tests/support/run_folders.h"

using namespace qmse;
using namespace qmse::test;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// A Python that can import TensorBoard's reader; empty where there is none.
std::string python_with_tensorboard() {
  const char* given = std::getenv("QMSE_TENSORBOARD_PYTHON");
  const std::string python = given != nullptr ? given : "python3";
  const std::string test =
      python + " -c 'import tensorboard.backend.event_processing.event_accumulator' 2>/dev/null";
  return std::system(test.c_str()) == 0 ? python : "";
}

}  // namespace

TEST_CASE("export: the tidy table has a row an epoch, the settings that differ, and every number as it is") {
  const TempDirectory folder;
  write_run(folder / "a", {{"loss", "mse"}, {"seed", 4}}, {0.125, 0.1});
  write_run(folder / "b", {{"loss", "qmse"}}, {0.5}, false);
  write_bytes(folder / "b/metrics.jsonl",
              "{\"epoch\": 1, \"test_loss\": null, \"extra\": 3, \"lr\": 0.25, \"test_accuracy\": 0.5}\n");
  const ReportTable table = tidy_table(find_runs(folder.path()).runs);
  REQUIRE(table.rows.size() == 3);
  const auto cell = [&](std::size_t row, const std::string& name) {
    const auto at = std::find(table.header.begin(), table.header.end(), name);
    REQUIRE(at != table.header.end());
    return table.rows[row][static_cast<std::size_t>(at - table.header.begin())];
  };
  CHECK(cell(0, "run") == (folder / "a").string());
  CHECK(cell(0, "loss") == "mse");
  CHECK(cell(2, "loss") == "qmse");
  CHECK(cell(0, "seed") == "4");
  CHECK(cell(0, "test_accuracy") == "0.125");
  CHECK(cell(1, "test_accuracy") == "0.1");
  CHECK(cell(1, "epoch") == "2");
  CHECK(cell(2, "state") == "running");
  CHECK(cell(2, "extra") == "3");
  CHECK(cell(0, "extra") == "");
  CHECK(cell(2, "test_loss") == "");
  CHECK(cell(2, "epoch_lr") == "0.25");
  for (const std::string& name : table.header) {
    CAPTURE(name);
    CHECK(std::count(table.header.begin(), table.header.end(), name) == 1);
  }
}

TEST_CASE("export: event files are records with the checksums of a known example") {
  const TempDirectory folder;
  write_run(folder / "a", {}, {0.5});
  const RunRecord run = read_run(folder / "a");
  const std::string events = tensorboard_events(run);
  // The first record, "brain.Event:2" at time 0: as TensorFlow 2 writes it, byte by byte.
  std::uint64_t length = 0;
  std::memcpy(&length, events.data(), 8);
  CHECK(length == 9 + 15);
  CHECK(events.substr(8, 4) == std::string("\xa3\x7f\x4b\x22", 4));  // of the length 24
  CHECK(events.substr(21, 15) == std::string("\x1a\x0d") + "brain.Event:2");
  CHECK(has(events, "test_accuracy"));
}

TEST_CASE("export: TensorBoard's own reader finds every number of every epoch") {
  const std::string python = python_with_tensorboard();
  if (python.empty()) {
    WARN("[skipped: no Python with tensorboard; QMSE_TENSORBOARD_PYTHON names one]");
    return;
  }
  const TempDirectory folder;
  write_run(folder / "runs/deep/a", {{"loss", "mse"}}, {0.125, 0.75});
  write_run(folder / "runs/b", {}, {0.5});
  Json environment = Json::parse(read_bytes(folder / "runs/b/environment.json"));
  environment["started"] = "2026-01-02T03:04:05.500Z";
  write_bytes(folder / "runs/b/environment.json", environment.dump());
  write_tensorboard(find_runs(folder / "runs").runs, folder / "out");
  write_bytes(folder / "read.py",
              "import sys\n"
              "from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n"
              "for run in ('deep/a', 'b'):\n"
              "    events = EventAccumulator(sys.argv[1] + '/' + run)\n"
              "    events.Reload()\n"
              "    print(run, sorted(events.Tags()['scalars']))\n"
              "    for each in events.Scalars('test_accuracy'):\n"
              "        print(each.step, each.value, each.wall_time)\n");
  const std::string command = python + " " + (folder / "read.py").string() + " " + (folder / "out").string() +
                              " > " + (folder / "said").string() + " 2> " + (folder / "errors").string();
  const int status = std::system(command.c_str());
  CAPTURE(read_bytes(folder / "errors"));
  REQUIRE(status == 0);
  CHECK(read_bytes(folder / "said") ==
        "deep/a ['seconds', 'step', 'test_accuracy', 'test_residual_sq', 'train_accuracy', "
        "'train_residual_sq']\n"
        "1 0.125 2.0\n2 0.75 4.0\n"
        "b ['seconds', 'step', 'test_accuracy', 'test_residual_sq', 'train_accuracy', 'train_residual_sq']\n"
        "1 0.5 1767323047.5\n");
}
