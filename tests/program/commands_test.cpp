// `qmse evaluate`, `trace`, `info` and `--help`.
#include <nlohmann/json.hpp>

#include "engine/safetensors.h"
#include "experiment/run/config_fields.h"
#include "tests/experiment/tiny_run.h"
#include "tests/program/run_program.h"
#include "tests/support/catch.h"

using namespace qmse;
using namespace qmse::test;

TEST_CASE("program: evaluate prints one JSON object with the figures of the run's last epoch") {
  const TinyData data;
  const TempDirectory folder;
  const std::string root = data.root.path().string(), out = (folder / "run").string();
  REQUIRE(run_program({"train", "--dataset", "mnist", "--data", root, "--model", "mlp", "--loss", "mse",
                       "--reduction", "element_mean", "--epochs", "2", "--device", "cpu", "--out", out})
              .code == 0);
  const auto last = json_lines(folder / "run/metrics.jsonl").back();
  const Result result =
      run_program({"evaluate", "--weights", out + "/model.safetensors", "--dataset", "mnist", "--data", root,
                   "--loss", "mse", "--reduction", "element_mean", "--device", "cpu"});
  CHECK(result.code == 0);
  CHECK(result.error == "");
  const auto json = nlohmann::json::parse(result.out);
  CHECK(json["loss"] == last["test_loss"]);
  CHECK(json["accuracy"] == last["test_accuracy"]);
  CHECK(json["residual_sq"] == last["test_residual_sq"]);
  CHECK(json["per_class_accuracy"].size() == 10);
  CHECK(json["confusion_matrix"].size() == 10);
  CHECK(json["confusion_matrix"][9].size() == 10);
  CHECK(std::count(result.out.begin(), result.out.end(), '\n') == 1);
  const Result train = run_program({"evaluate", "--weights", out + "/model.safetensors", "--dataset", "mnist",
                                    "--data", root, "--split", "train", "--device", "cpu"});
  CHECK(nlohmann::json::parse(train.out)["samples"] == TinyData::kTrain);
}

TEST_CASE("program: trace writes the tensors of one step, in either precision") {
  const TinyData data;
  const TempDirectory folder;
  for (const std::string dtype : {"f32", "f64"}) {
    CAPTURE(dtype);
    const std::string out = (folder / dtype).string();
    const Result result = run_program({"trace", "--model", "cnn", "--dataset", "mnist", "--data",
                                       data.root.path().string(), "--batch-size", "6", "--seed", "2",
                                       "--dtype", dtype, "--loss", "qmse", "--device", "cpu", "--out", out});
    CHECK(result.code == 0);
    CHECK(result.error == "");
    const SafetensorsFile file(out);
    using Sizes = std::vector<std::int64_t>;
    const std::vector<std::pair<std::string, Sizes>> expected = {{"input", {6, 1, 8, 8}},
                                                                 {"target", {6}},
                                                                 {"output", {6, 10}},
                                                                 {"residual", {6, 10}},
                                                                 {"v", {6, 10}},
                                                                 {"sample_loss", {6}},
                                                                 {"loss", {1}},
                                                                 {"grad.output", {6, 10}},
                                                                 {"param.conv1.weight", {32, 1, 3, 3}},
                                                                 {"grad.conv1.weight", {32, 1, 3, 3}},
                                                                 {"param.fc2.bias", {10}},
                                                                 {"grad.fc2.bias", {10}},
                                                                 {"activation.conv1", {6, 32, 8, 8}},
                                                                 {"activation.relu1", {6, 32, 8, 8}},
                                                                 {"activation.pool1", {6, 32, 4, 4}},
                                                                 {"activation.conv2", {6, 64, 4, 4}},
                                                                 {"activation.pool2", {6, 64, 2, 2}},
                                                                 {"activation.flatten", {6, 256}},
                                                                 {"activation.fc1", {6, 128}},
                                                                 {"activation.relu_fc1", {6, 128}},
                                                                 {"activation.fc2", {6, 10}}};
    for (const auto& [name, shape] : expected) {
      CAPTURE(name);
      REQUIRE(file.contains(name));
      CHECK(file.info(name).shape == shape);
      CHECK(file.info(name).dtype == (name == "target" ? DType::i64
                                      : dtype == "f64" ? DType::f64
                                                       : DType::f32));
    }
  }
  // Without draws there is no v.
  REQUIRE(run_program({"trace", "--dataset", "mnist", "--data", data.root.path().string(), "--batch-size",
                       "2", "--loss", "mse", "--device", "cpu", "--out", (folder / "mse").string()})
              .code == 0);
  CHECK_FALSE(SafetensorsFile(folder / "mse").contains("v"));
}

TEST_CASE("program: trace in f64 takes no GPU, and says so") {
  const TempDirectory folder;
  const Result result = run_program({"trace", "--dataset", "mnist", "--dtype", "f64", "--device", "cuda",
                                     "--out", (folder / "trace").string()});
  CHECK(result.code == 2);
  CHECK(result.error == "qmse: --dtype f64 runs on the CPU only, not on --device cuda\n");
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("program: trace shows the first step of the training with the same options") {
  const TinyData data;
  const TempDirectory folder;
  const Words common = {"--dataset",    "mnist", "--data", data.root.path().string(),
                        "--batch-size", "16",    "--seed", "5",
                        "--device",     "cpu"};
  Words trace = {"trace", "--out", (folder / "t").string()},
        train = {"train", "--out", (folder / "run").string(), "--epochs", "1", "--log-steps", "1"};
  trace.insert(trace.end(), common.begin(), common.end());
  train.insert(train.end(), common.begin(), common.end());
  REQUIRE(run_program(trace).code == 0);
  REQUIRE(run_program(train).code == 0);
  const double traced = SafetensorsFile(folder / "t").read<float>("loss")[0];
  // Training runs fused kernels, which may round differently.
  CHECK(json_lines(folder / "run/steps.jsonl")[0]["loss"].get<double>() == Approx(traced).epsilon(1e-5));
}

TEST_CASE("program: trace --step changes v and nothing else of the forward pass") {
  const TinyData data;
  const TempDirectory folder;
  const auto traced = [&](const std::string& step) {
    const std::string file = (folder / ("step" + step)).string();
    REQUIRE(run_program({"trace", "--dataset", "mnist", "--data", data.root.path().string(), "--batch-size",
                         "4", "--device", "cpu", "--step", step, "--out", file})
                .code == 0);
    return SafetensorsFile(file);
  };
  const SafetensorsFile first = traced("1"), third = traced("3");
  CHECK(first.read<float>("output") == third.read<float>("output"));
  CHECK(first.read<float>("v") != third.read<float>("v"));
}

TEST_CASE("program: info names the device, the libraries and the instruction set") {
  const Result result = run_program({"info"});
  CHECK(result.code == 0);
  CHECK(result.error == "");
  for (const char* part : {"qmse", "compiler", "SIMD", "threads", "GPU", "zlib", "nlohmann-json", "CLI11"}) {
    CAPTURE(part);
    CHECK(result.out.find(part) != std::string::npos);
  }
}

TEST_CASE("program: info --json names every setting with its choices, and what results depend on") {
  const Result result = run_program({"info", "--json"});
  CHECK(result.code == 0);
  CHECK(result.error == "");
  const auto json = nlohmann::json::parse(result.out);
  CHECK(json["libraries"].contains("zlib"));
  CHECK(json["onednn_isa"].get<std::string>().empty() == !json["libraries"].contains("oneDNN"));
  REQUIRE(json["settings"].size() == config_fields().size());
  for (std::size_t i = 0; i < config_fields().size(); ++i) {
    const ConfigField& field = config_fields()[i];
    CHECK(json["settings"][i]["name"] == field.name);
    CHECK(json["settings"][i].value("choices", nlohmann::json::array()).size() == field.rule.choices.size());
  }
}

TEST_CASE("program: help names every option, and goes to standard output") {
  const Result program = run_program({"--help"});
  CHECK(program.code == 0);
  CHECK(program.error == "");
  for (const std::string command : {"train", "evaluate", "trace", "plot", "report", "diff", "info"}) {
    CAPTURE(command);
    CHECK(program.out.find(command) != std::string::npos);
    const Result help = run_program({command, "--help"});
    CHECK(help.code == 0);
    CHECK(help.error == "");
    const unsigned use = command == "train"      ? kTrain
                         : command == "trace"    ? kTrace
                         : command == "evaluate" ? kEvaluate
                                                 : 0u;
    for (const ConfigField& field : config_fields()) {
      if ((field.uses & use) == 0) continue;
      CAPTURE(field.name);
      CHECK(help.out.find(field.option() + " ") != std::string::npos);
    }
  }
  CHECK(run_program({"--version"}).out.rfind("qmse ", 0) == 0);
}

TEST_CASE("program: what a command cannot do without is marked in its help") {
  // The command, and what is given of it already.
  const std::pair<Words, Words> cases[] = {{{"train"}, {}},
                                           {{"sweep"}, {}},
                                           {{"sweep"}, {"sweep.json"}},
                                           {{"evaluate"}, {}},
                                           {{"trace"}, {}},
                                           {{"predict"}, {}},
                                           {{"predict"}, {"--weights", "none"}},
                                           {{"export"}, {}},
                                           {{"export"}, {"--format", "csv"}},
                                           {{"export"}, {"--format", "csv", "--out", "none"}},
                                           {{"inspect"}, {}},
                                           {{"plot"}, {}},
                                           {{"report"}, {}},
                                           {{"table"}, {}},
                                           {{"watch"}, {}},
                                           {{"reproduce"}, {}},
                                           {{"data", "fetch"}, {}},
                                           {{"data", "verify"}, {}},
                                           {{"data", "show"}, {}},
                                           {{"data", "show"}, {"mnist"}},
                                           {{"landscape", "width"}, {}}};
  for (const auto& [command, given] : cases) {
    Words words = command;
    words.insert(words.end(), given.begin(), given.end());
    CAPTURE(words);
    const Result result = run_program(words);
    CHECK(result.code == 2);
    REQUIRE(result.error.starts_with("qmse: "));
    const std::string message = result.error.substr(6), name = message.substr(0, message.find(' '));
    CAPTURE(message);
    CHECK(message.find(" missing") != std::string::npos);
    words = command;
    words.push_back("--help");
    const std::string help = run_program(words).out;
    const std::size_t at = help.find("\n  " + name + " ");
    REQUIRE(at != std::string::npos);
    std::size_t end = at;  // of what is said of it: where another line begins as far to the left
    do {
      end = help.find("\n  ", end + 1);
    } while (end != std::string::npos && help[end + 3] == ' ');
    CHECK(help.substr(at, end - at).find("(required)") != std::string::npos);
  }
  for (const char* command : {"train", "evaluate", "trace", "predict", "sweep", "diff"}) {
    CAPTURE(command);
    const std::string help = run_program({command, "--help"}).out;
    CHECK(help.find("Exit") != std::string::npos);
    CHECK(help.find("wrong usage") != std::string::npos);
  }
}

TEST_CASE("program: help and version are commands too, and say what their options say") {
  CHECK(run_program({"help"}).out == run_program({"--help"}).out);
  CHECK(run_program({"help"}).out == run_program({"-h"}).out);
  for (const Words& words : {Words{"train"}, Words{"data"}, Words{"data", "fetch"}, Words{"info"}}) {
    CAPTURE(words.back());
    Words help = {"help"}, option = words;
    help.insert(help.end(), words.begin(), words.end());
    option.push_back("--help");
    const Result result = run_program(help);
    CHECK(result.code == 0);
    CHECK(result.error == "");
    CHECK(result.out.find("qmse " + words.front()) != std::string::npos);
    CHECK(result.out == run_program(option).out);
  }
  for (const char* word : {"version", "--version", "-V"}) {
    CAPTURE(word);
    const Result result = run_program({word});
    CHECK(result.code == 0);
    CHECK(result.out == run_program({"--version"}).out);
    CHECK(result.out.rfind("qmse ", 0) == 0);
  }
}

TEST_CASE("program: a call is one command, and what follows it is its own, whatever it is called") {
  const TinyData data;
  const TempDirectory folder;
  const std::string run = (folder / "train").string();
  const Words train = {"train",    "--dataset", "mnist",    "--data", data.root.path().string(),
                       "--epochs", "1",         "--device", "cpu",    "--model",
                       "mlp",      "--out",     run};
  for (const char* word : {"help", "zzz", "report", "info"}) {
    CAPTURE(word);
    Words words = {word};
    words.insert(words.end(), train.begin(), train.end());
    CHECK(run_program(words).code == 2);
    CHECK_FALSE(std::filesystem::exists(run));
  }
  REQUIRE(run_program(train).code == 0);
  // A folder with the name of a command is a folder.
  const std::filesystem::path here = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  const Result report = run_program({"report", "train"});
  std::filesystem::current_path(here);
  CHECK(report.code == 0);
  CHECK(report.out == "train/report.html\n");
  CHECK(report.error == "");
}

TEST_CASE("program: trace and --init-from take a run directory, as evaluate does") {
  const TinyData data;
  const TempDirectory folder;
  const std::string run = (folder / "run").string();
  REQUIRE(run_program({"train", "--dataset", "mnist", "--data", data.root.path().string(), "--model", "mlp",
                       "--mlp-widths", "5", "--loss", "mse", "--reduction", "element_mean", "--epochs", "1",
                       "--device", "cpu", "--out", run})
              .code == 0);
  const auto traced = [&](const std::string& weights, const Words& more) {
    Words words = {"trace",        "--weights", weights,
                   "--batch-size", "6",         "--device",
                   "cpu",          "--out",     (folder / "trace").string()};
    words.insert(words.end(), more.begin(), more.end());
    const Result result = run_program(words);
    CHECK(result.error == "");
    CHECK(result.code == 0);
    return read_bytes(folder / "trace");
  };
  // The run says where its data lie, the file alone does not.
  const std::string whole = traced(run, {});
  CHECK(SafetensorsFile(folder / "trace").metadata().at("qmse.reduction") == "element_mean");
  CHECK(whole == traced(run + "/model.safetensors", {"--data", data.root.path().string()}));
  traced(run, {"--loss", "cross_entropy"});  // which has one reduction alone
  const Result unfinished = run_program({"trace", "--weights", folder.path().string(), "--out", run + "/x"});
  CHECK(unfinished.code == 1);
  CHECK(unfinished.error.find("no model.safetensors") != std::string::npos);
  CHECK(run_program({"train", "--dataset", "mnist", "--data", data.root.path().string(), "--model", "mlp",
                     "--mlp-widths", "5", "--epochs", "1", "--device", "cpu", "--init-from", run, "--out",
                     (folder / "next").string()})
            .code == 0);
}

TEST_CASE("program: evaluate and trace say where a run has gone on since its weights") {
  const TinyData data;
  const TempDirectory folder;
  const std::string run = (folder / "run").string();
  Json given = data.settings(folder / "run", "mlp");
  given["epochs"] = 1;
  train(given);
  int asked = 0;
  train({{"out", run}, {"resume", true}, {"epochs", 3}}, {.stop = [&] { return ++asked == 2; }});
  for (const Words& words : {Words{"evaluate", "--weights", run, "--device", "cpu"},
                             Words{"trace", "--weights", run, "--device", "cpu", "--batch-size", "6", "--out",
                                   (folder / "trace").string()}}) {
    CAPTURE(words[0]);
    const Result result = run_program(words);
    CHECK(result.code == 0);
    CHECK(result.error.starts_with("note: "));
    CHECK(result.error.find("has the weights of step 5, but its run is at step 7") != std::string::npos);
    CHECK(std::count(result.error.begin(), result.error.end(), '\n') == 1);
  }
}

TEST_CASE("program: the manual and bash's completion have every command and option of the help") {
  const TempDirectory folder;
  const Result man = run_program({"help", "--man"}), completion = run_program({"help", "--completion"});
  CHECK(man.code == 0);
  CHECK(completion.code == 0);
  write_bytes(folder / "qmse.1", man.out);
  write_bytes(folder / "qmse.bash", completion.out);
  for (const char* command : {"train", "sweep", "table", "data fetch", "landscape width"})
    CHECK(man.out.find(std::string(".SS qmse ") + command + "\n") != std::string::npos);
  for (const ConfigField& field : config_fields()) {
    std::string option = field.option();
    CAPTURE(option);
    CHECK(completion.out.find(" " + option) != std::string::npos);
    for (std::size_t at = 0; (at = option.find('-', at)) != std::string::npos; at += 2)
      option.insert(at, "\\");
    CHECK(man.out.find("\\fB" + option + "\\fR") != std::string::npos);
  }
  const auto output_of = [&](const std::string& command) {
    const std::string out = (folder / "out").string();
    CHECK(std::system((command + " > " + out + " 2>&1").c_str()) == 0);
    return read_bytes(out);
  };
  // What bash offers behind these words.
  const auto offered = [&](const std::string& words, int count) {
    return output_of("bash -c 'source " + (folder / "qmse.bash").string() + "; COMP_WORDS=(qmse " + words +
                     "); COMP_CWORD=" + std::to_string(count) + "; _qmse; echo ${COMPREPLY[*]}'");
  };
  CHECK(offered("tr", 1) == "train trace\n");
  CHECK(offered("help sw", 2) == "sweep\n");
  CHECK(offered("train --lo", 2) == "--loss --log-steps --log-format\n");
  CHECK(offered("train --loss m", 3) == "mse mse_noise\n");
  CHECK(offered("sweep s.json --dry", 3) == "--dry-run\n");
  CHECK(offered("data sh", 2) == "show\n");
  CHECK(offered("data show --sp", 3) == "--split\n");
  if (std::system("groff --version > /dev/null 2>&1") == 0) {
    CHECK(output_of("groff -Kutf8 -man -Tutf8 -ww -z " + (folder / "qmse.1").string()) == "");
  } else {
    WARN("[skipped: no groff to read the man page]");
  }
}
