// What `qmse train` shows while it runs: a line that is rewritten on a terminal, JSON for programs.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/build_config.h"
#include "tests/experiment/tiny_run.h"
#include "tests/program/run_program.h"
#include "tests/support/catch.h"

using namespace qmse;
using namespace qmse::test;

namespace {

struct World {
  Words train(const Words& more = {}) const {
    Words words = {"train",
                   "--dataset",
                   "mnist",
                   "--data",
                   data.root.path().string(),
                   "--device",
                   "cpu",
                   "--out",
                   (folder / "run").string(),
                   "--epochs",
                   "2",
                   "--batch-size",
                   "16",
                   "--model",
                   "mlp",
                   "--mlp-widths",
                   "8"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  TinyData data;
  TempDirectory folder;
};

// The progress lines that a terminal of this width got.
Words progress_lines(unsigned short columns) {
  const World world;
  const Result result = run_program(world.train(), Output::terminal, columns);
  CHECK(result.code == 0);
  Words lines;
  const std::string start = "\r\033[Kepoch ";
  for (std::size_t at = 0; (at = result.out.find(start, at)) != std::string::npos;) {
    const std::size_t begin = at + 4;
    at = std::min(result.out.find('\r', begin), result.out.size());
    const std::string line = result.out.substr(begin, at - begin);
    if (line.find("test") == std::string::npos)
      lines.push_back(line);  // the line of a whole epoch is another
  }
  return lines;
}

std::vector<nlohmann::json> objects(const std::string& text) {
  std::vector<nlohmann::json> all;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) all.push_back(nlohmann::json::parse(line));
  return all;
}

}  // namespace

TEST_CASE("program: a terminal gets a progress line with bar, loss, accuracy, speed and time left") {
  const Words lines = progress_lines(120);
  REQUIRE(lines.size() >= 2);
  // The last of an epoch; on a slow machine others come before.
  CHECK(lines.back().rfind("epoch 2/2 [========================] 5/5  loss ", 0) == 0);
  for (const char* part : {"  accuracy ", " images/s  ", " s left"}) {
    CAPTURE(part, lines[0]);
    CHECK(lines[0].find(part) != std::string::npos);
  }
}

TEST_CASE("program: the progress line is shorter than the terminal, and leaves out what matters least") {
  struct Case {
    unsigned short columns;
    Words there, gone;
  };
  for (const Case& each :
       {Case{110, {"[", "/5", "loss", "accuracy", "images/s", "left"}, {}},
        Case{80, {"epoch 1/2 ", "0 %", "loss", "accuracy", "images/s", "left"}, {"["}},
        Case{0, {"epoch 1/2 ", "0 %", "images/s", "left"}, {"["}},  // unknown: taken as 80

        Case{56, {"loss", "accuracy", "left"}, {"[", "images/s"}}, Case{40, {"accuracy", "left"}, {"loss"}},
        Case{22, {"epoch 1/2", "left"}, {"accuracy"}}, Case{5, {"epoc"}, {"epoch"}}}) {
    CAPTURE(each.columns);
    const World world;
    const Result result = run_program(world.train(), Output::terminal, each.columns);
    const std::size_t at = result.out.find("\r\033[Kepoc");
    REQUIRE(at != std::string::npos);
    const std::string line = result.out.substr(at + 4, result.out.find('\r', at + 4) - at - 4);
    CAPTURE(line);
    CHECK(line.size() < (each.columns == 0 ? 80u : each.columns));
    for (const std::string& part : each.there) CHECK(line.find(part) != std::string::npos);
    for (const std::string& part : each.gone) CHECK(line.find(part) == std::string::npos);
  }
}

TEST_CASE("program: without a terminal there is a line an epoch and no control character") {
  const World world;
  const Result result = run_program(world.train());
  CHECK(result.code == 0);
  CHECK(result.out.find_first_of("\r\033") == std::string::npos);
  CHECK(result.out.find("epoch 2/2  train loss") != std::string::npos);
  CHECK(result.out.find("left") == std::string::npos);
}

TEST_CASE("program: a line an epoch fits 80 columns, with validation and hundreds of epochs too") {
  const World world;
  for (const Words& more :
       {Words{}, Words{"--validation", "0.2"}, Words{"--epochs", "100", "--lr", "1e-9"}}) {
    Words words = world.train(more);
    if (more.size() > 2)
      words.erase(std::find(words.begin(), words.end(), "--epochs"),
                  std::find(words.begin(), words.end(), "--epochs") + 2);
    words[std::find(words.begin(), words.end(), "--out") - words.begin() + 1] =
        (world.folder / std::to_string(more.size())).string();
    const Result result = run_program(words);
    CAPTURE(result.out, result.error);
    CHECK(result.code == 0);
    std::istringstream lines(result.out);
    int epochs = 0;
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("epoch ")) continue;
      ++epochs;
      CHECK(line.size() <= 80);
    }
    CHECK(epochs >= 2);
  }
}

TEST_CASE(
    "program: training begins with the device, and why it is no GPU in no more than a line of 80 columns") {
  const World world;
  const auto first_line = [&](const std::string& device) {
    Words words = world.train();
    *(std::find(words.begin(), words.end(), "--device") + 1) = device;
    words.insert(words.end(), {"--threads", "1", "--resume-or-start"});
    const std::string out = run_program(words).out;
    return out.substr(0, out.find('\n'));
  };
  CHECK(first_line("cpu") == "device cpu, 1 thread");  // as was asked for
  std::filesystem::remove_all(world.folder / "run");
  const std::string line = first_line("auto");
  CAPTURE(line);
  CHECK(line.starts_with("device "));
  CHECK(line.size() <= 80);
  if (!QMSE_CUDA) CHECK(line == "device cpu, 1 thread (built without CUDA)");
}

TEST_CASE("program: --log-format json writes an object a line, on a terminal too") {
  const World world;
  for (const Output kind : {Output::pipe, Output::terminal}) {
    std::filesystem::remove_all(world.folder / "run");
    const Result result = run_program(world.train({"--log-format", "json"}), kind);
    CHECK(result.code == 0);
    CHECK(result.error == "");
    std::string text = result.out;
    text.erase(std::remove(text.begin(), text.end(), '\r'), text.end());  // the terminal's line ends
    const auto all = objects(text);
    REQUIRE(all.size() >= 4);
    CHECK(all.front()["event"] == "notice");
    CHECK(all.front()["text"].get<std::string>().find("device") != std::string::npos);
    const auto records = json_lines(world.folder / "run/metrics.jsonl");
    std::vector<nlohmann::json> epochs;
    for (const auto& object : all) {
      if (object["event"] == "epoch") epochs.push_back(object);
    }
    REQUIRE(epochs.size() == 2);
    for (const std::size_t i : {0u, 1u}) {
      auto epoch = epochs[i];
      CHECK(epoch["epochs"] == 2);
      epoch.erase("event");
      epoch.erase("epochs");
      CHECK(epoch == nlohmann::json(records[i]));
    }
    CHECK(all.back() == nlohmann::json({{"event", "finished"},
                                        {"out", (world.folder / "run").string()},
                                        {"weights_sha256", records[1]["weights_sha256"]}}));
  }
  const auto again = objects(run_program(world.train({"--log-format", "json", "--resume"})).out);
  CHECK(again.back()["event"] == "already_finished");
  CHECK(again.back()["weights_sha256"] ==
        json_lines(world.folder / "run/metrics.jsonl")[1]["weights_sha256"]);
}

TEST_CASE("program: --log-format json ends with what stopped the run, standard error says it too") {
  const World world;
  Words words = world.train({"--log-format", "json"});
  *(std::find(words.begin(), words.end(), "2")) = "1000000";
  Process process(words, world.folder / "stderr");
  REQUIRE(process.wait_for("\"epoch\":2"));
  process.signal(SIGINT);
  CHECK(process.finish() == 130);
  CHECK(objects(process.out).back()["event"] == "stopped");
  const Result wrong = run_program(world.train({"--log-format", "json"}));  // without --resume
  CHECK(wrong.code == 2);
  CHECK(wrong.error.rfind("qmse: ", 0) == 0);
  const auto failed = objects(wrong.out).back();
  CHECK(failed["event"] == "failed");
  CHECK("qmse: " + failed["error"].get<std::string>() + "\n" == wrong.error);
}

TEST_CASE("program: a dumb terminal and one without a width get no more than they can show") {
  const World world;
  const Result dumb = run_program(world.train(), Output::terminal, 120, {"env", "TERM=dumb"});
  CHECK(dumb.code == 0);
  CHECK(dumb.out.find('\033') == std::string::npos);
  CHECK(dumb.out.find("epoch 2/2  train loss") != std::string::npos);
  for (const unsigned short columns : std::array<unsigned short, 4>{0, 1, 2, 7}) {
    CAPTURE(columns);
    const World other;
    const Result result = run_program(other.train(), Output::terminal, columns, {"env", "TERM=xterm"});
    CHECK(result.code == 0);
    CHECK(result.out.find("epoch 2/2  train loss") != std::string::npos);
  }
  for (const std::string& line : progress_lines(1)) CHECK(line == "");
  // There are no colours, asked for or not.
  const World plain;
  const Result uncoloured = run_program(plain.train(), Output::terminal, 120, {"env", "NO_COLOR=1"});
  CHECK(uncoloured.code == 0);
  std::string sequences = uncoloured.out;
  for (std::size_t at = 0; (at = sequences.find("\033[K", at)) != std::string::npos;) sequences.erase(at, 3);
  CHECK(sequences.find('\033') == std::string::npos);
}

TEST_CASE("program: a loss that is no number is called nan, and has no sign") {
  const World world;
  const Result result = run_program(world.train({"--lr", "1e30", "--on-nan", "continue", "--loss", "mse"}));
  CHECK(result.code == 0);
  CHECK(result.out.find("loss nan") != std::string::npos);
  CHECK(result.out.find(" -nan") == std::string::npos);
}

TEST_CASE("program: a sweep's line is shorter than the terminal, and leaves out what matters least") {
  struct Case {
    unsigned short columns;
    Words there, gone;
  };
  for (const Case& each :
       {Case{110, {"/3 members done, ", " running at epoch ", " left"}, {}},
        Case{0, {"/3 members done, ", " running at epoch ", " left"}, {}},  // unknown: taken as 80
        Case{40, {"/3 members done", " left"}, {"epoch"}}, Case{16, {"/3", " left"}, {"members"}},
        Case{4, {"/3"}, {"m"}}, Case{2, {}, {"/"}}, Case{1, {}, {"3"}}}) {
    CAPTURE(each.columns);
    const TinyData data;
    const TempDirectory folder;
    Json base = data.settings("", "mlp");
    base.erase("out");
    base["epochs"] = 20;
    write_bytes(folder / "sweep.json", Json({{"base", base}, {"grid", {{"seed", {1, 2, 3}}}}}).dump());
    const Result result = run_program(
        {"sweep", (folder / "sweep.json").string(), "--out", (folder / "out").string(), "--jobs", "1"},
        Output::terminal, each.columns);
    CHECK(result.code == 0);
    // What is shown while the last member is trained: the time left is known by then.
    std::string line = "none";
    const std::string start = "\r\033[K";
    const std::size_t second = result.out.find("[2/3]");
    REQUIRE(second != std::string::npos);
    std::size_t shown = 0;
    for (std::size_t at = 0; (at = result.out.find(start, at)) != std::string::npos;) {
      at += start.size();
      const std::size_t end = result.out.find('\r', at);
      if (result.out.compare(end, 2, "\r\n") == 0) continue;  // one that stays has taken its place
      const std::string text = result.out.substr(at, end - at);
      CHECK(text.size() < (each.columns == 0 ? 80u : each.columns));
      ++shown;
      if (at > second) line = text;
    }
    CHECK(shown > 0);
    CAPTURE(line);
    if (line == "none") continue;  // the last member took less time than a line is shown for
    for (const std::string& part : each.there) CHECK(line.find(part) != std::string::npos);
    for (const std::string& part : each.gone) CHECK(line.find(part) == std::string::npos);
  }
}
