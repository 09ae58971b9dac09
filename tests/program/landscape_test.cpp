// `qmse landscape`.
#include <nlohmann/json.hpp>

#include "tests/program/run_program.h"
#include "tests/support/catch.h"
#include "tests/support/run_folders.h"

using namespace qmse::test;

TEST_CASE("program: landscape width writes its folder, prints its verdicts, and goes on with what is there") {
  const TempDirectory folder;
  const std::string out = (folder / "width").string();
  const Words words = {"landscape", "width", "--data-set", "gaussian", "--samples", "20",  "--inputs", "3",
                       "--widths",  "1,8",   "--seeds",    "3",        "--steps",   "500", "--out",    out};
  const Result first = run_program(words);
  CHECK(first.code == 0);
  CHECK(first.error == "");
  CHECK(first.out.find("does not hold: the best affine fit") != std::string::npos);
  for (const char* file :
       {"settings.json", "environment.json", "members.jsonl", "result.json", "points.safetensors",
        "recheck.py", "figure-1.svg", "figure-1.png", "report.html"}) {
    CAPTURE(file);
    CHECK(std::filesystem::exists(folder / "width" / file));
  }
  const Result again = run_program(words);
  CHECK(again.code == 0);
  CHECK(again.out == first.out);
  Words json = words;
  json.insert(json.end(), {"--log-format", "json"});
  const Result events = run_program(json);
  CHECK(events.code == 0);
  const std::string last = events.out.substr(events.out.rfind('\n', events.out.size() - 2) + 1);
  CHECK(nlohmann::json::parse(last)["event"] == "finished");
}

TEST_CASE("program: without gnuplot a landscape has its numbers, and the same command adds the pictures") {
  const TempDirectory folder;
  const std::filesystem::path out = folder / "width";
  const Words words = {"landscape", "width", "--data-set", "gaussian",  "--samples", "20",
                       "--inputs",  "3",     "--widths",   "1,8",       "--seeds",   "3",
                       "--steps",   "500",   "--out",      out.string()};
  {
    const TempDirectory empty;
    const ScopedPath no_gnuplot(empty.path().string());
    const Result result = run_program(words);
    CAPTURE(result.error);
    CHECK(result.code == 0);
    CHECK(result.out.find("gnuplot-nox") != std::string::npos);
  }
  const std::string numbers = read_bytes(out / "result.json");
  CHECK(std::filesystem::exists(out / "report.html"));
  CHECK_FALSE(std::filesystem::exists(out / "figure-1.svg"));
  if (!has_program("gnuplot")) return;
  CHECK(run_program(words).code == 0);
  CHECK(read_bytes(out / "result.json") == numbers);
  CHECK(std::filesystem::exists(out / "figure-1.svg"));
}

TEST_CASE("program: landscape's mistakes are one line and exit code 2") {
  const TempDirectory folder;
  const std::string out = (folder / "x").string();
  for (const Words& words :
       std::vector<Words>{{"landscape", "width"},
                          {"landscape", "nothing", "--out", out},
                          {"landscape", "width", "--out", out, "--widths", "0"},
                          {"landscape", "width", "--out", out, "--preset", "none"},
                          {"landscape", "width", "--out", out, "--samples", "many"},
                          {"landscape", "width", "--out", out, "--data-set", "gaussian", "--seeds", "0"}}) {
    const Result result = run_program(words);
    CAPTURE(words, result.error);
    CHECK(result.code == 2);
    CHECK(std::count(result.error.begin(), result.error.end(), '\n') == 1);
  }
  CHECK_FALSE(std::filesystem::exists(folder / "x"));
  const Result help = run_program({"help", "landscape", "width"});
  CHECK(help.code == 0);
  CHECK(help.out.find("--slope-noise") != std::string::npos);
  CHECK(help.out.find("--preset") != std::string::npos);
}
