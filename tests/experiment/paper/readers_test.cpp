// Every reader of JSON against what no file of ours holds: all go through base/json.h
// and base/text_file.h.
#include <sys/stat.h>

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "experiment/paper/reproduce.h"
#include "experiment/run/json_lines.h"
#include "experiment/run/run_directory.h"
#include "experiment/run/run_record.h"
#include "experiment/run/weights_file.h"
#include "experiment/sweep/sweep_folder.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"
#include "tests/support/temp_directory.h"

namespace qmse {
namespace {

namespace fs = std::filesystem;
using test::TempDirectory;
using test::write_bytes;

const std::string kDeep = std::string(75000, '[') + std::string(75000, ']');
const std::string kDeepObjects = [] {
  std::string text;
  for (int i = 0; i < 75000; ++i) text += R"({"epoch":)";
  return text + "1" + std::string(75000, '}');
}();

const std::string kDeepValue = R"({"epochs": )" + kDeep + "}";

// A file that somebody reads.
struct Reader {
  std::string file;  // below the folder
  std::function<void(const fs::path& folder)> read;
};

void write_run(const fs::path& folder) {
  fs::create_directories(folder);
  write_bytes(folder / "config.json", R"({"epochs": 2})");
  write_bytes(folder / "metrics.jsonl", "{\"epoch\": 1}\n");
  write_bytes(folder / "environment.json", "{}");
  write_outcome(folder, {.end = RunEnd::stopped, .epoch = 1, .step = 5});
}

SweepSpec small_sweep() { return parse_sweep(R"({"grid": {"seed": [1, 2]}})", "sweep"); }

std::vector<Reader> readers() {
  const auto sweep = [](const fs::path& folder) { SweepFolder(folder, small_sweep()); };
  const auto reproduction = [](const fs::path& folder) {
    ReproduceRequest request;
    request.plan.figures = parse_figures("fig1");
    request.plan.data = folder / "no data are looked at before";
    request.out = folder;
    reproduce(request, {});
  };
  return {
      {"settings.json", [](const fs::path& folder) { read_config_file(folder / "settings.json"); }},
      {"config.json", [](const fs::path& folder) { read_run(folder); }},
      {"config.json", [](const fs::path& folder) { RunDirectory(folder).recorded_config(); }},
      {"metrics.jsonl", [](const fs::path& folder) { read_run(folder); }},
      {"metrics.jsonl",
       [](const fs::path& folder) { JsonLines::cut_back(folder / "metrics.jsonl", "epoch", 1); }},
      {"environment.json", [](const fs::path& folder) { read_run(folder); }},
      {"environment.json",
       [](const fs::path& folder) { RunDirectory(folder).record_environment(Json::object(), 3); }},
      {"outcome.json", [](const fs::path& folder) { read_outcome(folder); }},
      {"initialization.json", reproduction},
      {"sweep.json", sweep},
  };
}

TEST_CASE("readers: a file that nests deeply, is huge, binary or a pipe is an error of one line") {
  const std::vector<std::function<void(const fs::path&)>> faults = {
      [](const fs::path& file) { write_bytes(file, kDeep + "\n"); },
      [](const fs::path& file) { write_bytes(file, kDeepObjects + "\n"); },
      [](const fs::path& file) { write_bytes(file, kDeepValue + "\n"); },
      [](const fs::path& file) { write_bytes(file, std::string("{\"epoch\": 1}\0\n", 14)); },
      [](const fs::path& file) { fs::resize_file(file, std::uint64_t{6} << 30); },
      [](const fs::path& file) {
        fs::remove(file);
        REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
      },
  };
  for (const Reader& reader : readers()) {
    for (std::size_t fault = 0; fault < faults.size(); ++fault) {
      CAPTURE(reader.file, fault);
      const TempDirectory root;
      const fs::path folder = root / "x";
      if (reader.file == "sweep.json") {
        SweepFolder(folder, small_sweep());
      } else {
        write_run(folder);
        write_bytes(folder / "settings.json", "{}");
        write_bytes(folder / "initialization.json", "{}");
      }
      faults[fault](folder / reader.file);
      std::string message;
      try {
        reader.read(folder);
      } catch (const Error& error) {
        message = error.what();
      }
      CHECK(message.find(reader.file) != std::string::npos);
      CHECK(message.find('\n') == std::string::npos);
      CHECK(message.size() < 1000);
    }
  }
}

TEST_CASE("readers: a damaged record of a failure is shown as such") {
  const TempDirectory root;
  const SweepFolder sweep(root / "x", small_sweep());
  const SweepMember& member = sweep.spec().members.front();
  for (const std::string& text : {kDeep, kDeepObjects, std::string("{\"error\": \"\0", 11)}) {
    write_bytes(root / "x" / "failures" / (member.name + ".json"), text);
    const std::optional<MemberFailure> failure = sweep.failure(member);
    REQUIRE(failure);
    CHECK(failure->error.find("is damaged") != std::string::npos);
  }
}

TEST_CASE("readers: texts within a weights file that nest deeply are refused, and its header too") {
  const TempDirectory root;
  const fs::path file = root / "model.safetensors";
  const SafetensorsMetadata good = {
      {"qmse.model",
       R"({"model": "mlp", "input_shape": [1, 2, 2], "classes": 2, "mlp_widths": [], "activation": "relu"})"},
      {"qmse.normalization", R"({"kind": "unit", "mean": [0], "stddev": [1]})"},
      {"qmse.class_names", R"(["a", "b"])"},
      {"qmse.dataset", "folder"}};
  write_safetensors(file, {}, good);
  CHECK_NOTHROW(read_card(SafetensorsFile(file)));
  for (const char* key : {"qmse.model", "qmse.normalization", "qmse.class_names"}) {
    for (const std::string& text : {kDeep, kDeepObjects, good.at(key) + std::string(1, '\0')}) {
      CAPTURE(key);
      SafetensorsMetadata metadata = good;
      metadata[key] = text;
      write_safetensors(file, {}, metadata);
      std::string message;
      try {
        read_card(SafetensorsFile(file));
      } catch (const DataError& error) {
        message = error.what();
      }
      CHECK(message.find(file.string()) != std::string::npos);
      CHECK(message.size() < 1000);
    }
  }
  for (const std::string& header : {"{\"a\":" + kDeep + "}", kDeepObjects}) {
    std::string bytes(8, '\0');
    for (int i = 0; i < 8; ++i)
      bytes[static_cast<std::size_t>(i)] = static_cast<char>(header.size() >> (8 * i));
    write_bytes(file, bytes + header);
    CHECK_THROWS_AS(SafetensorsFile(file), DataError);
  }
}

TEST_CASE("readers: a measurement that cannot be one is refused, and named") {
  const TempDirectory root;
  ReproduceRequest request;
  request.plan.figures = parse_figures("fig1");
  request.plan.data = root / "no data are looked at before";
  request.out = root.path();
  for (const char* value : {"-1", "0", "null", "\"2\"", "1e999", "[]"}) {
    CAPTURE(value);
    write_bytes(root / "initialization.json", std::string(R"({"mnist, all images, seed 1": )") + value + "}");
    CHECK(test::missing(test::message_of<DataError>([&] { reproduce(request, {}); }),
                        {"initialization.json"}) == "");
  }
}

}  // namespace
}  // namespace qmse
