// `qmse plot` and `qmse report`.
#include <sys/stat.h>

#include <fstream>

#include "tests/experiment/tiny_run.h"
#include "tests/program/run_program.h"
#include "tests/support/catch.h"
#include "tests/support/run_folders.h"

using namespace qmse;
using namespace qmse::test;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("program: plot draws real runs, and report writes a page about them") {
  if (!has_program("gnuplot")) return;
  const TinyData data;
  const TempDirectory folder;
  const std::string runs = (folder / "runs").string();
  for (const std::string loss : {"mse", "qmse"}) {
    for (const std::string momentum : {"0", "0.9"}) {
      REQUIRE(run_program({"train", "--dataset", "mnist", "--data", data.root.path().string(), "--model",
                           "mlp", "--epochs", "2", "--loss", loss, "--momentum", momentum, "--device", "cpu",
                           "--out", runs + "/" + loss + momentum})
                  .code == 0);
    }
  }
  const Result plot = run_program({"plot", runs});
  CHECK(plot.code == 0);
  CHECK(plot.error == "");
  CHECK(plot.out == runs + "/curves.svg\n" + runs + "/curves.png\n");
  const std::string svg = read_bytes(runs + "/curves.svg");
  for (const char* part :
       {">Training accuracy, momentum 0<", ">Test accuracy, momentum 0.9<", ">MSE<", ">QMSE<"}) {
    CAPTURE(part);
    CHECK(contains(svg, part));
  }
  CHECK(png_size(read_bytes(runs + "/curves.png")).first > 0);

  const std::string stem = (folder / "it's $HOME").string();
  CHECK(run_program({"plot", runs + "/mse0", runs + "/qmse0", "--out", stem, "--x", "seconds", "--y",
                     "test_residual_sq,grad_norm"})
            .code == 0);
  CHECK(contains(read_bytes(stem + ".svg"), ">seconds of training and evaluation<"));
  CHECK(contains(read_bytes(stem + ".svg"), ">Norm of the gradient<"));

  const Result report = run_program({"report", runs, "--title", "A <title>"});
  CHECK(report.code == 0);
  CHECK(report.out == runs + "/report.html\n");
  CHECK(contains(read_bytes(runs + "/report.html"), "<h1>A &lt;title&gt;</h1>"));
}

TEST_CASE("program: plot names runs that it cannot read and draws the others") {
  if (!has_program("gnuplot")) return;
  const TempDirectory folder;
  write_run(folder / "good", {}, {0.5});
  write_run(folder / "bad", {}, {0.5});
  write_bytes(folder / "bad/metrics.jsonl", "nonsense\n");
  const Result result = run_program({"plot", folder.path().string()});
  CHECK(result.code == 0);
  CHECK(std::filesystem::exists(folder / "curves.png"));
  CHECK(contains(result.error, "left out: '" + (folder / "bad/metrics.jsonl").string() + "': line 1"));
  CHECK(run_program({"plot", (folder / "bad").string()}).code == 1);
}

TEST_CASE(
    "program: plot and report that are ended by a signal leave nothing in the folder for temporary files") {
  const TempDirectory folder, temporary, bin;
  write_run(folder / "run", {}, {0.5});
  const std::string started = (folder / "started").string(), go = (folder / "go").string();
  REQUIRE(::mkfifo(started.c_str(), 0600) == 0);
  REQUIRE(::mkfifo(go.c_str(), 0600) == 0);
  write_bytes(bin / "gnuplot", "#!/bin/sh\necho > '" + started + "'\nread line < '" + go + "'\n");
  std::filesystem::permissions(bin / "gnuplot", std::filesystem::perms::owner_all);
  const ScopedPath path(bin.path().string() + ":" + std::getenv("PATH"));
  ::setenv("TMPDIR", temporary.path().c_str(), 1);
  for (const char* command : {"plot", "report"}) {
    CAPTURE(command);
    Process process({command, (folder / "run").string()}, folder / "stderr");
    CHECK(read_bytes(started) == "\n");  // gnuplot is at work
    process.signal(SIGTERM);
    CHECK(process.finish() == -SIGTERM);
    CHECK(std::filesystem::is_empty(temporary.path()));
    std::ofstream(go) << '\n';  // so that the false gnuplot ends too
  }
  ::unsetenv("TMPDIR");
  CHECK_FALSE(std::filesystem::exists(folder / "run/curves.svg"));
  CHECK_FALSE(std::filesystem::exists(folder / "run/report.html"));
}

TEST_CASE("program: what plot and report cannot do is one line, and leaves no file") {
  const TempDirectory folder;
  write_run(folder / "run", {}, {0.5});
  std::filesystem::create_directory(folder / "empty");
  const std::string run = (folder / "run").string(), empty = (folder / "empty").string();
  struct Case {
    Words words;
    int code;
    const char* part;
  };
  for (const Case& each :
       {Case{{"plot", empty}, 1, "empty"}, Case{{"plot", run, empty}, 1, "empty"},
        Case{{"plot", run + "/none"}, 1, "none"}, Case{{"plot", run, "--y", "nonsense"}, 2, "test_accuracy"},
        Case{{"plot", run, "--out", "."}, 2, "beginning of a file's name"},
        Case{{"plot", run, "--out", ""}, 2, "empty text"},
        Case{{"plot", run, "--out", run + "/"}, 2, "beginning of a file's name"},
        Case{{"report", run, "--out", ""}, 2, "empty text"}, Case{{"report", empty}, 1, "no run"},
        Case{{"report", empty + "/none"}, 1, "none"}}) {
    const Result result = run_program(each.words);
    CAPTURE(each.part, result.error);
    CHECK(result.code == each.code);
    CHECK(contains(result.error, each.part));
    CHECK(std::count(result.error.begin(), result.error.end(), '\n') == 1);
  }
  const ScopedPath no_gnuplot(empty);
  for (const char* command : {"plot", "report"}) {
    const Result result = run_program({command, run});
    CHECK(result.code == 1);
    CHECK(contains(result.error, "gnuplot-nox"));
  }
  CHECK_FALSE(std::filesystem::exists(run + "/curves.svg"));
  CHECK_FALSE(std::filesystem::exists(run + "/report.html"));
}
