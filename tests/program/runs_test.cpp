// Commands about runs that are there: list, watch, table; and the table at the end of a sweep.
#include <algorithm>
#include <sstream>

#include "experiment/run/file_lock.h"
#include "tests/experiment/tiny_run.h"
#include "tests/program/run_program.h"
#include "tests/support/catch.h"
#include "tests/support/run_folders.h"

using namespace qmse;
using namespace qmse::test;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE(
    "program: a sweep ends with the best rate of each loss, chosen by validation, and table says it again") {
  const TinyData data;
  const TempDirectory folder;
  Json sweep = {{"base", data.settings("", "mlp")},
                {"grid", {{"loss", {"mse", "qmse"}}, {"lr", {0.001, 0.03}}, {"seed", {1, 2}}}}};
  sweep["base"].erase("out");
  sweep["base"]["validation"] = 0.2;
  write_bytes(folder / "sweep.json", sweep.dump());
  const std::string out = (folder / "out").string();
  const Result result = run_program({"sweep", (folder / "sweep.json").string(), "--out", out});
  CAPTURE(result.out, result.error);
  REQUIRE(result.code == 0);
  const Result table = run_program({"table", out});
  CHECK(table.code == 0);
  CHECK(has(table.out, "validation accuracy, %"));
  CHECK(has(table.out, "learning rate 0.03"));
  CHECK(has(table.out, "test accuracy had no part in the choice"));
  CHECK(has(result.out, table.out));

  for (const std::string format : {"markdown", "csv", "latex"}) {
    const Result other = run_program({"table", out, "--format", format, "--by", "loss", "--best-over", "lr"});
    CAPTURE(format, other.out);
    CHECK(other.code == 0);
    CHECK(has(other.out, format == "markdown" ? "| MSE " : format == "csv" ? "mse,0.03,1," : "MSE & "));
  }
  CHECK(run_program({"table"}).code == 2);
  CHECK(run_program({"table", out, "--format", "html"}).code == 2);
  CHECK(run_program({"table", out, "--by", "rate"}).code == 2);
  const Result json =
      run_program({"sweep", (folder / "sweep.json").string(), "--out", out, "--log-format", "json"});
  CHECK_FALSE(has(json.out, "validation accuracy, %"));  // an object a line, and nothing else
}

TEST_CASE(
    "program: a folder of sixty runs that people lived in is listed, compared, drawn and reported by a "
    "command each") {
  if (!has_program("gnuplot")) return;
  const TempDirectory folder;
  const Json models[] = {{{"model", "mlp"}, {"mlp_widths", {32}}},
                         {{"model", "mlp"}, {"mlp_widths", {128, 64}}},
                         {{"model", "cnn"}, {"fc_width", 32}},
                         {{"model", "cnn"}, {"fc_width", 128}}};
  int runs = 0;
  const auto write = [&](const std::string& name, const Json& settings, double accuracy, bool diverged) {
    write_run(folder / name, settings, {accuracy - 0.1, accuracy}, !diverged);
    if (diverged) {
      write_outcome(folder / name, {.end = RunEnd::diverged, .epoch = 2, .step = 17, .layer = "fc2"});
    }
    ++runs;
  };
  const std::string datasets[] = {"mnist", "fashion-mnist", "cifar10"};
  for (std::size_t d = 0; d < 3; ++d) {
    for (const std::size_t m : {d, d + 1}) {  // four models, two with each data set
      for (const char* loss : {"mse", "qmse"}) {
        int rate = 0;
        for (const double lr : {0.003, 0.01, 0.03, 0.1, 3.0}) {
          Json settings = {{"dataset", datasets[d]}, {"loss", loss}, {"lr", lr}};
          settings.update(models[m]);
          const std::string name =
              datasets[d] + "/" + std::to_string(m) + "-" + loss + "-" + std::to_string(rate);
          write(name, settings, 0.5 + 0.08 * ++rate + 0.01 * static_cast<double>(m), lr == 3.0);
        }
      }
    }
  }
  CHECK(runs == 60);
  Json again = {{"dataset", "mnist"}, {"loss", "mse"}, {"lr", 0.1}};
  again.update(models[0]);
  write("again", again, 0.82, false);
  again["init_from"] = (folder / "again").string();
  again["lr"] = 0.001;
  write("continued", again, 0.9, false);

  const std::string where = folder.path().string();
  const Result list = run_program({"list", where}, Output::terminal, 140);
  CHECK(list.code == 0);
  std::istringstream lines(list.out);
  int listed = 0;
  for (std::string line; std::getline(lines, line);) {
    const auto characters =
        std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xc0) != 0x80 && c != '\r'; });
    CAPTURE(line);
    CHECK(characters <= 140);
    listed += has(line, "finished") || has(line, "diverged") ? 1 : 0;
  }
  CHECK(listed == runs);
  CHECK(has(run_program({"list", where}).out, "diverged in epoch 2, step 17, at fc2"));

  const Result table = run_program({"table", where});
  CAPTURE(table.out, table.error);
  CHECK(table.code == 0);
  const Result rows = run_program({"table", where, "--format", "csv"});
  CHECK(rows.code == 0);
  CHECK(std::count(rows.out.begin(), rows.out.end(), '\n') == 1 + 61);  // the repetition counts once
  for (const char* part : {"Fashion-MNIST", "CIFAR-10", "learning rate 0.1"}) CHECK(has(table.out, part));
  CHECK(run_program({"plot", where}).code == 0);
  CHECK(png_size(read_bytes(folder / "curves.png")).first > 0);
  const Result report = run_program({"report", where});
  CHECK(report.code == 0);
  const std::string page = read_bytes(folder / "report.html");
  CHECK(has(page, "1 run had the settings and seeds of another run"));
  CHECK(has(page, "12 of 62 diverged"));
  std::size_t panels = 0;
  for (std::size_t at = page.find("<ul class=\"legend\">"); at != std::string::npos; ++panels) {
    const std::size_t end = page.find("</ul>", at);
    int entries = 0;
    for (std::size_t entry = page.find("<li ", at); entry < end; entry = page.find("<li ", entry + 1))
      ++entries;
    CHECK(entries <= 8);
    at = page.find("<ul class=\"legend\">", end);
  }
  CHECK(panels >= 6);
}

TEST_CASE("program: a run records when, where, by which command and why, and list shows it") {
  const TinyData data;
  const TempDirectory folder;
  const Words words = {"train",
                       "--dataset",
                       "mnist",
                       "--data",
                       data.root.path().string(),
                       "--device",
                       "cpu",
                       "--out",
                       (folder / "runs/it's one").string(),
                       "--epochs",
                       "2",
                       "--note",
                       "the first, with 8",
                       "--model",
                       "mlp",
                       "--mlp-widths",
                       "8"};
  REQUIRE(run_program(words).code == 0);
  const auto environment = Json::parse(read_bytes(folder / "runs/it's one/environment.json"));
  CHECK(environment["note"] == "the first, with 8");
  CHECK(environment["started"].get<std::string>().ends_with("Z"));
  CHECK(environment["host"] != "");
  const auto command = environment["command"].get<std::string>();
  CHECK(has(command, "--note 'the first, with 8' --model mlp"));
  CHECK(has(command, "runs/it'\\''s one'"));
  CHECK_FALSE(Json::parse(read_bytes(folder / "runs/it's one/config.json")).contains("note"));

  const Result listed = run_program({"list", (folder / "runs").string()});
  CHECK(listed.code == 0);
  CHECK(has(listed.out, environment["started"].get<std::string>().substr(0, 10)));
  CHECK(has(listed.out, "it's one"));
  CHECK(has(listed.out, "finished"));
  CHECK(has(listed.out, "the first, with 8"));
  const Result narrow = run_program({"list", (folder / "runs").string()}, Output::terminal, 80);
  std::istringstream lines(narrow.out);
  for (std::string line; std::getline(lines, line);) CHECK(line.size() <= 80 + 8);  // letters of three bytes
  const Result csv = run_program({"list", (folder / "runs").string(), "--format", "csv"});
  CHECK(has(csv.out, "\"the first, with 8\""));
  const Result nothing = run_program({"list", data.root.path().string()});
  CHECK(nothing.code == 1);
  CHECK(has(nothing.error, "neither a run directory nor a folder that holds any"));
}

TEST_CASE("program: watch shows a run that goes on, and ends when none does") {
  const TempDirectory folder;
  write_run(folder / "run", {{"epochs", 3}}, {0.5}, false);
  {
    FileLock held = FileLock::try_take(folder / "run/.lock");
    Process process({"watch", (folder / "run").string(), "--every", "0.01"}, folder / "stderr");
    REQUIRE(process.wait_for("going on, 1 of 3 epochs"));
    write_run(folder / "next", {{"epochs", 3}}, {0.5, 0.75}, false);
    std::filesystem::rename(folder / "next/metrics.jsonl", folder / "run/metrics.jsonl");
    REQUIRE(process.wait_for("going on, 2 of 3 epochs"));
    held = FileLock();
    CHECK(process.finish() == 0);
    CHECK(has(process.out, "interrupted after 2 of 3 epochs"));
  }
  write_run(folder / "next", {{"epochs", 1}}, {0.5});
  const FileLock held = FileLock::try_take(folder / "run/.lock");
  Process process({"watch", folder.path().string(), "--every", "0.01"}, folder / "stderr");
  REQUIRE(process.wait_for("2 runs: 1 finished, 1 going on"));
  process.signal(SIGINT);
  CHECK(process.finish() == 128 + SIGINT);
  CHECK(run_program({"watch"}).code == 2);
  CHECK(run_program({"watch", folder.path().string(), "--every", "0"}).code == 2);
}

TEST_CASE("program: predict writes a line an image, whose predictions have the accuracy of evaluate") {
  const TinyData data;
  const TempDirectory folder;
  train(data.settings(folder / "run", "mlp"));
  const std::string run = (folder / "run").string(), out = (folder / "predictions.csv").string();
  for (const std::string split : {"train", "test"}) {
    const Result result = run_program({"predict", "--weights", run, "--split", split, "--out", out});
    CAPTURE(result.error);
    REQUIRE(result.code == 0);
    std::istringstream lines(read_bytes(out));
    std::string line;
    std::getline(lines, line);
    CHECK(line.starts_with("index,label,prediction,output 0,output 1,"));
    int count = 0, right = 0;
    while (std::getline(lines, line)) {
      std::istringstream cells(line);
      Words words;
      for (std::string cell; std::getline(cells, cell, ',');) words.push_back(cell);
      REQUIRE(words.size() == 13);
      CHECK(words[0] == std::to_string(count++));
      right += words[1] == words[2];
      // The prediction is the largest output.
      double largest = -1e30;
      for (int i = 0; i < 10; ++i)
        largest = std::max(largest, std::stod(words[3 + static_cast<std::size_t>(i)]));
      CHECK(std::stod(words[3 + std::stoul(words[2])]) == largest);
    }
    CHECK(count == (split == "train" ? TinyData::kTrain : TinyData::kTest));
    const auto json = Json::parse(run_program({"evaluate", "--weights", run, "--split", split}).out);
    CHECK(json["accuracy"].get<double>() == Approx(static_cast<double>(right) / count));
  }
  CHECK(run_program({"predict", "--weights", run}).code == 2);
  CHECK(run_program({"predict", "--out", out}).code == 2);
}

TEST_CASE("program: export writes one table, event files and a LaTeX table, and says what is missing") {
  const TempDirectory folder;
  for (const char* loss : {"mse", "qmse"}) write_run(folder / "runs" / loss, {{"loss", loss}}, {0.5, 0.75});
  const std::string runs = (folder / "runs").string();
  CHECK(run_program({"export", runs, "--format", "csv", "--out", (folder / "t.csv").string()}).code == 0);
  CHECK(has(read_bytes(folder / "t.csv"), "run,state,loss,"));
  CHECK(run_program({"export", runs, "--format", "latex", "--out", (folder / "t.tex").string()}).code == 0);
  CHECK(has(read_bytes(folder / "t.tex"), "\\begin{tabular}"));
  CHECK(
      run_program({"export", runs, "--format", "tensorboard", "--out", (folder / "events").string()}).code ==
      0);
  CHECK(std::filesystem::exists(folder / "events/qmse/events.out.tfevents.0.qmse"));
  for (const Words& wrong : {Words{"export", runs, "--out", "x"}, Words{"export", runs, "--format", "csv"},
                             Words{"export", runs, "--format", "xml", "--out", "x"},
                             Words{"export", "--format", "csv", "--out", "x"}})
    CHECK(run_program(wrong).code == 2);
}
