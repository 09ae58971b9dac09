// Every mistake is one line on standard error with file and cause; exit code
// 2 for wrong usage, 1 for failures.
#include <zlib.h>

#include "engine/safetensors.h"
#include "tests/experiment/tiny_run.h"
#include "tests/program/run_program.h"
#include "tests/support/catch.h"
#include "tests/support/idx_files.h"

using namespace qmse;
using namespace qmse::test;

namespace {

struct World {
  World() { write_mnist(folder.path(), 40, 10); }

  // The words that make `qmse train` work, and then more.
  Words train(const Words& more) const {
    Words words = {"train",    "--dataset",  "mnist",     "--data",   folder.path().string(),
                   "--epochs", "1",          "--threads", "1",        "--conv-channels",
                   "2,3",      "--fc-width", "4",         "--device", "cpu"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  std::string path(const std::string& name) const { return (folder / name).string(); }

  TempDirectory folder;
};

// Empty where `words` fail as they should: this code, nothing on standard output but notices, one line that
// names `parts`.
std::string wrong(const Words& words, int code, const Words& parts) {
  const Result result = run_program(words);
  const std::string all = "exit " + std::to_string(result.code) + ", stderr: " + result.error;
  if (result.code != code) return all;
  if (result.error.rfind("qmse: ", 0) != 0) return "no 'qmse: ' in front: " + all;
  if (std::count(result.error.begin(), result.error.end(), '\n') != 1 || result.error.back() != '\n')
    return "not one line: " + all;
  for (const std::string& part : parts) {
    if (result.error.find(part) == std::string::npos) return "no '" + part + "': " + all;
  }
  return "";
}

std::string gzipped(const std::string& bytes, const std::string& name) {
  gzFile file = gzopen(name.c_str(), "wb");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
  return read_bytes(name);
}

}  // namespace

TEST_CASE("program: wrong usage is exit code 2 and one line that helps") {
  const World world;
  const std::string out = world.path("run");
  struct Case {
    Words words;
    Words parts;
  };
  write_bytes(world.folder / "twice.json", R"({"lr": 0.1, "lr": 0.2})");
  write_bytes(world.folder / "unknown.json", R"({"learning_rate": 0.1})");
  write_bytes(world.folder / "broken.json", R"({"lr": )");
  write_bytes(world.folder / "element_mean.json",
              R"({"loss": "cross_entropy", "reduction": "element_mean"})");
  write_bytes(world.folder / "momentum.json", R"({"momentum": 0.5})");
  write_bytes(world.folder / "sweep.json", R"({"grid": {"lr": [0.1, 0.2]}})");
  const Case cases[] = {
      {{"help", "trian"}, {"trian", "did you mean 'train'"}},
      {{"help", "train", "more"}, {"'more'"}},
      {{"help", "data", "lisst"}, {"lisst", "did you mean 'list'"}},
      {{"version", "train"}, {"'train'"}},
      {{"--version", "train"}, {"'train'"}},
      {{"zzz", "train", "--out", out}, {"unknown command 'zzz'"}},
      {{"--log-format", "json", "train"}, {"--log-format"}},
      {{"info", "train", "--out", out}, {"'train'", "qmse info --help"}},
      {{"train", "sweep", "--out", out}, {"unexpected argument 'sweep'"}},
      {{"data"}, {"list, verify, show or fetch", "qmse data --help"}},
      {{"data", "verify", "mnist", "list"}, {"unexpected argument 'list'"}},
      {{"train", "--out", ""}, {"--out", "empty"}},
      {{"train", "--out", out, "--data", ""}, {"--data", "empty"}},
      {{"trace", "--out", ""}, {"--out", "empty"}},
      {{"evaluate", "--weights", ""}, {"--weights", "empty"}},
      {{"report", ""}, {"FOLDER", "empty"}},
      {{"report", out, "--out", ""}, {"--out", "empty"}},
      {{"plot", out, "--out", ""}, {"--out", "empty"}},
      {{"plot", out, ""}, {"RUN", "empty"}},
      {{"sweep", world.path("sweep.json"), "--out", ""}, {"--out", "empty"}},
      {{"data", "fetch", "mnist", "--out", ""}, {"--out", "empty"}},
      {{}, {"which command", "train", "evaluate", "trace", "plot", "report, diff or info"}},
      {{"trian"}, {"trian", "did you mean 'train'"}},
      {{"--frobnicate"}, {"--frobnicate"}},
      {{"train"}, {"--out"}},
      {{"train", "--lr"}, {"--lr"}},
      {{"train", "--momentun", "0.5"}, {"--momentun", "did you mean '--momentum'"}},
      {{"train", "stray"}, {"stray"}},
      {{"train", "--out", out, "--lr", "0.1", "--lr", "0.1"}, {"--lr", "twice"}},
      {{"train", "--out", out, "--nesterov", "--nesterov"}, {"--nesterov", "twice"}},
      {{"train", "--out", out, "--out", out}, {"--out", "twice"}},
      {{"train", "--out", out, "--lr", "-1"}, {"--lr", "at least 0", "-1"}},
      {{"train", "--out", out, "--lr", "inf"}, {"--lr", "finite"}},
      {{"train", "--out", out, "--lr", "nan"}, {"--lr", "finite"}},
      {{"train", "--out", out, "--momentum", "1"}, {"--momentum", "[0, 1)"}},
      {{"train", "--out", out, "--batch-size", "0"}, {"--batch-size"}},
      {{"train", "--out", out, "--batch-size", "64k"}, {"--batch-size", "64k"}},
      {{"train", "--out", out, "--epochs", "0"}, {"--epochs"}},
      {{"train", "--out", out, "--threads", "-2"}, {"--threads"}},
      {{"train", "--out", out, "--fc-width", "0"}, {"--fc-width"}},
      {{"train", "--out", out, "--conv-channels", "8,0"}, {"--conv-channels"}},
      {{"train", "--out", out, "--mlp-widths", "8;9"}, {"--mlp-widths", "8;9"}},
      {{"train", "--out", out, "--seed", "-1"}, {"--seed"}},
      {{"train", "--out", out, "--dataset", "cifar-1000"}, {"--dataset", "mnist", "fashion-mnist"}},
      {{"train", "--out", out, "--loss", "l2"},
       {"--loss", "mse, qmse_expected, qmse, mse_noise, cross_entropy"}},
      {{"train", "--out", out, "--model", "resnet"}, {"--model", "cnn, mlp"}},
      {{"train", "--out", out, "--device", "tpu"}, {"tpu", "cuda:N"}},
      {{"train", "--out", out, "--loss", "cross_entropy", "--reduction", "element_mean"},
       {"element_mean", "cross_entropy"}},
      {{"train", "--out", out, "--optimizer", "adam", "--momentum", "0.5"},
       {"--momentum", "--optimizer adam", "for --optimizer sgd"}},
      {{"train", "--out", out, "--config", world.path("momentum.json"), "--optimizer", "adam"},
       {"--momentum", "for --optimizer sgd"}},
      {{"train", "--print-config", "--loss", "mse", "--v-scope", "per_batch"}, {"--v-scope", "--loss qmse"}},
      {{"trace", "--out", "x", "--loss", "mse", "--step", "2"}, {"--step", "--loss qmse"}},
      {{"data", "show", "mnist", "--labels", "fine", "--out", "x.html"}, {"--labels", "cifar100"}},
      {{"data", "show", "mnist", "--out", "x.html", "--count", "0"}, {"--count", "from 1"}},
      {{"data", "show", "mnist", "--out", "x.html", "--seed", "-1"}, {"--seed"}},
      {{"train", "--out", out, "--epochs", "0"}, {"--epochs", "[1, 1000000]"}},
      {{"train", "--out", out, "--nesterov", "--momentum", "0"}, {"--nesterov", "--momentum"}},
      {{"train", "--out", out, "--config", world.path("twice.json")}, {"twice.json", "'lr'", "twice"}},
      {{"train", "--out", out, "--config", world.path("unknown.json")},
       {"unknown.json", "'learning_rate'", "known keys", "lr"}},
      {{"train", "--out", out, "--config", world.path("broken.json")}, {"broken.json", "JSON"}},
      {{"train", "--out", out, "--config", world.path("element_mean.json")}, {"element_mean"}},
      {world.train({"--out", out, "--train-limit", "41"}), {"40"}},
      {world.train({"--out", out, "--math", "tf32"}), {"tf32"}},
      {{"evaluate"}, {"--weights"}},
      {{"predict", "--weights", "x"}, {"--out FILE.csv"}},
      {{"evaluate", "--weights", "x", "--split", "both"}, {"--split", "both"}},
      {{"evaluate", "--weights", "x", "--lr", "1"}, {"--lr"}},
      {{"trace"}, {"--out"}},
      {{"trace", "--out", "x", "--dtype", "f16"}, {"--dtype", "f16"}},
      {{"trace", "--out", "x", "--step", "0"}, {"--step", "from 1", "0"}},
      {{"trace", "--out", "x", "--step", "two"}, {"--step", "two"}},
      {{"trace", "--dataset", "mnist", "--data", world.path(""), "--batch-size", "41", "--out",
        world.path("t")},
       {"--batch-size", "40"}},
      {{"info", "--verbose"}, {"--verbose"}},
      {{"train", "--out", out, "--log-format", "xml"}, {"--log-format", "text or json", "xml"}},
      {{"plot"}, {"RUN"}},
      {{"plot", out, "--x", "day"}, {"--x", "seconds", "day"}},
      {{"plot", out, "--why", "loss"}, {"--why"}},
      {{"plot", out, "--out", "a", "--out", "b"}, {"--out", "twice"}},
      {{"report"}, {"FOLDER"}},
      {{"report", out, "stray"}, {"stray"}},
  };
  for (const Case& each : cases) {
    std::string shown;
    for (const std::string& word : each.words) shown += word + " ";
    CAPTURE(shown);
    CHECK(wrong(each.words, 2, each.parts) == "");
  }
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("program: an option with choices refuses another name and says which there are") {
  const World world;
  const std::string out = world.path("out"), sweep = world.path("sweep.json");
  write_bytes(sweep, R"({"grid": {"lr": [0.1, 0.2]}})");
  const struct {
    Words words;
    std::string option, names;
  } cases[] = {{{"data", "show", "mnist", "--out", "x.html"}, "--split", "train or test"},
               {{"data", "show", "cifar100", "--out", "x.html"}, "--labels", "fine or coarse"},
               {{"evaluate", "--weights", "x"}, "--split", "train or test"},
               {{"predict", "--weights", "x", "--out", "x.csv"}, "--split", "train or test"},
               {{"inspect", "x"}, "--split", "train or test"},
               {{"trace", "--out", out}, "--dtype", "f32 or f64"},
               {{"plot", out}, "--x", "epoch, step or seconds"},
               {{"plot", out}, "--log", "x, y or xy"},
               {{"table", out}, "--at", "last or best"},
               {{"table", out}, "--format", "text, markdown, csv or latex"},
               {{"list", out}, "--format", "text, markdown, csv or latex"},
               {{"export", out, "--out", out}, "--format", "csv, tensorboard or latex"},
               {{"sweep", sweep, "--out", out}, "--keep-checkpoints", "all or none"},
               {{"sweep", sweep, "--out", out}, "--log-format", "text or json"},
               {{"train", "--out", out}, "--log-format", "text or json"},
               {{"landscape", "width", "--out", out}, "--log-format", "text or json"},
               {{"landscape", "width", "--out", out}, "--schedule", "one of decay, constant, thesis"}};
  for (const auto& each : cases) {
    Words words = each.words;
    words.insert(words.end(), {each.option, "Train"});
    CAPTURE(words.front(), each.option);
    CHECK(wrong(words, 2, {each.option, each.names + ", not ", "Train"}) == "");
    // The same names are those of the help.
    Words help = {words[0]};
    if (words[0] == "data" || words[0] == "landscape") help.push_back(words[1]);
    help.emplace_back("--help");
    std::string placeholder = each.names.substr(each.names.starts_with("one of ") ? 7 : 0);
    for (const std::string between : {", ", " or "}) {
      for (std::size_t at; (at = placeholder.find(between)) != std::string::npos;)
        placeholder.replace(at, between.size(), "|");
    }
    CHECK_THAT(run_program(help).out, Catch::Contains(each.option + " " + placeholder));
  }
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("program: a GPU where there is none is a usage error that says why") {
  if (run_program({"info"}).out.find("none: ") == std::string::npos) {
    WARN("[skipped: this machine has a GPU]");
    return;
  }
  const World world;
  for (const char* device : {"cuda", "cuda:0", "cuda:7"}) {
    CAPTURE(device);
    Words words = world.train({"--out", world.path("run")});
    *(std::find(words.begin(), words.end(), "cpu")) = device;
    CHECK(wrong(words, 2, {"GPU"}) == "");
  }
}

TEST_CASE("program: bad data files are failures that name the file") {
  const World world;
  const std::string out = world.path("run");
  const std::filesystem::path folder = world.folder / "mnist";
  const std::filesystem::path images = folder / "train-images-idx3-ubyte",
                              labels = folder / "train-labels-idx1-ubyte";
  const std::string good_images = read_bytes(images), good_labels = read_bytes(labels);
  const auto train_fails = [&](const Words& parts) { return wrong(world.train({"--out", out}), 1, parts); };
  const auto with = [&](const std::filesystem::path& file, const std::string& content, const Words& parts) {
    const std::string before = read_bytes(file);
    write_bytes(file, content);
    const std::string result = train_fails(parts);
    write_bytes(file, before);
    return result;
  };
  CHECK(with(images, good_images.substr(0, 1000), {"train-images-idx3-ubyte"}) == "");
  CHECK(with(images, good_images.substr(0, 7), {"train-images-idx3-ubyte"}) == "");
  CHECK(with(images, "", {"train-images-idx3-ubyte"}) == "");
  CHECK(with(images, "\x7f" + good_images.substr(1), {"train-images-idx3-ubyte"}) == "");
  CHECK(with(images, good_images + "x", {"train-images-idx3-ubyte"}) == "");
  CHECK(with(images, good_labels, {"train-images-idx3-ubyte"}) == "");
  std::string damaged = gzipped(good_images, world.path("images.gz"));
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 0x55);
  CHECK(with(images, damaged, {"train-images-idx3-ubyte"}) == "");
  std::string ten = good_labels;
  ten.back() = 10;
  CHECK(with(labels, ten, {"train-labels-idx1-ubyte", "10"}) == "");
  CHECK(with(labels, std::string("\0\0\x08\x01", 4) + big_endian(39) + good_labels.substr(8, 39),
             {"39", "40"}) == "");
  std::filesystem::rename(labels, folder / "elsewhere");
  CHECK(train_fails({"train-labels-idx1-ubyte"}) == "");
  std::filesystem::create_directory(labels);
  CHECK(train_fails({"train-labels-idx1-ubyte"}) == "");
  std::filesystem::remove(labels);
  std::filesystem::rename(folder / "elsewhere", labels);
  CHECK(wrong({"train", "--dataset", "fashion-mnist", "--data", world.path(""), "--out", out}, 1,
              {"fashion-mnist", "--data"}) == "");
  CHECK(wrong({"train", "--dataset", "mnist", "--data", world.path("nowhere"), "--out", out}, 1,
              {"nowhere"}) == "");
  CHECK_FALSE(std::filesystem::exists(out));
  CHECK(run_program(world.train({"--out", out})).code == 0);  // the files are good again
}

TEST_CASE("program: bad weights files are failures that name the file") {
  const World world;
  REQUIRE(run_program(world.train({"--out", world.path("run")})).code == 0);
  const std::string good = read_bytes(world.folder / "run/model.safetensors");
  const auto evaluate = [&](const std::string& name, const Words& parts) {
    return wrong({"evaluate", "--weights", world.path(name), "--dataset", "mnist", "--data", world.path(""),
                  "--device", "cpu"},
                 1, parts);
  };
  CHECK(evaluate("none", {"none"}) == "");
  std::filesystem::copy(world.folder / "run", world.folder / "damaged");
  write_bytes(world.folder / "damaged/config.json", "{");
  CHECK(evaluate("damaged", {"damaged/config.json"}) == "");
  std::filesystem::create_directory(world.folder / "no-run");
  CHECK(evaluate("no-run", {"no-run", "model.safetensors"}) == "");
  const float values[4] = {};
  write_safetensors(world.folder / "foreign", std::vector<TensorToWrite>{{"w", DType::f32, {4}, values}}, {});
  CHECK(
      wrong({"evaluate", "--weights", world.path("foreign"), "--dataset", "mnist", "--data", world.path("")},
            2, {"foreign", "says nothing of its model", "--model"}) == "");
  write_bytes(world.folder / "short", good.substr(0, good.size() - 1));
  CHECK(evaluate("short", {"short"}) == "");
  write_bytes(world.folder / "text", "these are not weights");
  CHECK(evaluate("text", {"text"}) == "");
  write_bytes(world.folder / "empty", "");
  CHECK(evaluate("empty", {"empty"}) == "");

  const std::string weights = world.path("run/model.safetensors");
  CHECK(wrong({"train", "--dataset", "mnist", "--data", world.path(""), "--device", "cpu", "--model", "mlp",
               "--out", world.path("other"), "--init-from", weights},
              1, {"model.safetensors"}) == "");
  Words wider = world.train({"--out", world.path("other"), "--init-from", weights});
  *(std::find(wider.begin(), wider.end(), "2,3")) = "2,4";
  CHECK(wrong(wider, 1, {"model.safetensors", "conv2.weight", "[4, 2, 3, 3]", "[3, 2, 3, 3]"}) == "");
  CHECK_FALSE(std::filesystem::exists(world.folder / "other"));
  const Words trace = {"trace",  "--weights",    weights,        "--dataset", "mnist",
                       "--data", world.path(""), "--batch-size", "2",         "--device",
                       "cpu",    "--out",        world.path("t")};
  Words contradicting = trace;
  contradicting.insert(contradicting.end(), {"--fc-width", "5"});
  CHECK(wrong(contradicting, 2, {"model.safetensors", "fc_width"}) == "");
  CHECK(run_program(trace).code == 0);

  // Data of another shape than the weights were made for.
  const TempDirectory bigger;
  write_mnist(bigger.path(), 10, 10, 9);
  CHECK(wrong({"evaluate", "--weights", weights, "--dataset", "mnist", "--data", bigger.path().string()}, 1,
              {"model.safetensors", "[1, 8, 8]", "[1, 9, 9]"}) == "");
}

TEST_CASE("program: output that cannot be written is a failure that names the place") {
  const World world;
  write_bytes(world.folder / "file", "x");
  CHECK(wrong(world.train({"--out", world.path("file")}), 1, {"file"}) == "");
  CHECK(wrong(world.train({"--out", world.path("file/run")}), 1, {"file/run"}) == "");
  CHECK(wrong(world.train({"--out", "/proc/qmse-run"}), 1, {"/proc/qmse-run"}) == "");
  const Words trace = {"trace",        "--dataset", "mnist",    "--data", world.path(""),
                       "--batch-size", "2",         "--device", "cpu",    "--out"};
  for (const std::string& place :
       {world.path("no/such/folder/t"), world.path("mnist"), std::string("/dev/full")}) {
    CAPTURE(place);
    Words words = trace;
    words.push_back(place);
    CHECK(wrong(words, 1, {place}) == "");
  }
}

TEST_CASE("program: a loss that is not finite is a failure that names the layer") {
  const World world;
  CHECK(wrong(world.train({"--out", world.path("run"), "--lr", "1e30", "--batch-size", "8"}), 1,
              {"not finite", "first layer", "--on-nan"}) == "");
}

TEST_CASE(
    "program: what is printed line by line to a full disk, or to nobody, is a failure, and no file gets it") {
  const World world;
  for (const Output output : {Output::full_disk, Output::closed}) {
    CAPTURE(static_cast<int>(output));
    const std::string out = world.path(output == Output::closed ? "closed" : "full");
    const Result result = run_program(world.train({"--out", out}), output);
    CHECK(result.code == 1);
    CHECK(result.error == "qmse: cannot write to standard output\n");
    CHECK(json_lines(out + "/metrics.jsonl").size() == 1);  // each line an object: no notices among them
    CHECK(read_bytes(out + "/.lock").find("epoch") == std::string::npos);
  }
}

TEST_CASE("program: standard output that cannot be written is a failure") {
  for (const Words& words : {Words{"info"}, Words{"--help"}, Words{"train", "--print-config"}}) {
    CAPTURE(words[0]);
    const Result result = run_program(words, Output::full_disk);
    CHECK(result.code == 1);
    CHECK(result.error == "qmse: cannot write to standard output\n");
  }
}
