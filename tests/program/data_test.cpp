// Training and evaluation on the data sets that are no IDX files, as a person runs them.
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/build_config.h"
#include "base/name_text.h"
#include "data/image_file.h"
#include "experiment/run/config.h"
#include "tests/data/pictures.h"
#include "tests/data/tiny_cifar.h"
#include "tests/program/run_program.h"
#include "tests/support/catch.h"
#include "tests/support/idx_files.h"
#include "tests/support/local_server.h"

using namespace qmse;
using namespace qmse::test;

namespace {

struct World {
  std::string path(const std::string& name) const { return (folder / name).string(); }

  Words train(const std::string& dataset, const std::string& data, const std::string& out,
              const Words& more = {}) const {
    Words words = {"train", "--dataset",    dataset, "--data",  path(data), "--epochs", "1",      "--device",
                   "cpu",   "--mlp-widths", "4",     "--model", "mlp",      "--out",    path(out)};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Words evaluate(const std::string& dataset, const std::string& data, const std::string& run,
                 const Words& more = {}) const {
    Words words = {"evaluate", "--dataset", dataset,
                   "--data",   path(data),  "--device",
                   "cpu",      "--weights", path(run) + "/model.safetensors"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  TempDirectory folder;
};

}  // namespace

TEST_CASE("program: CIFAR-10 and both kinds of CIFAR-100's labels are trained on and evaluated") {
  const World world;
  write_cifar10(world.folder / "data/cifar-10-batches-bin", 10);
  write_cifar100(world.folder / "data/cifar-100-binary", 20);
  struct Case {
    const char *dataset, *labels;
    std::size_t classes;
  };
  for (const Case& each :
       {Case{"cifar10", "fine", 10}, Case{"cifar100", "fine", 100}, Case{"cifar100", "coarse", 20}}) {
    CAPTURE(each.dataset, each.labels);
    const std::string run = std::string(each.dataset) + "-" + each.labels;
    const Words labels = each.classes == 10 ? Words{} : Words{"--labels", each.labels};
    const Result trained = run_program(world.train(each.dataset, "data", run, labels));
    CHECK(trained.error == "");
    REQUIRE(trained.code == 0);
    CHECK(trained.out.find("cifar-10") != std::string::npos);  // the folder's name
    const Result evaluated = run_program({"evaluate", "--weights", world.path(run), "--device", "cpu"});
    REQUIRE(evaluated.code == 0);
    CHECK(nlohmann::json::parse(evaluated.out)["class_names"].size() == each.classes);
    const auto config = nlohmann::json::parse(read_bytes(world.folder / run / "config.json"));
    CHECK(config.value("labels", "fine") == each.labels);
  }
  const Result other =
      run_program(world.evaluate("cifar100", "data", "cifar100-coarse", {"--labels", "fine"}));
  CHECK(other.code == 1);
  CHECK(other.error.find("20 classes") != std::string::npos);
}

TEST_CASE("program: coarse labels of a data set that has none are a usage error") {
  const World world;
  const Result result = run_program(world.train("mnist", "data", "run", {"--labels", "coarse"}));
  CHECK(result.code == 2);
  CHECK(result.error == "qmse: --labels coarse is for --dataset cifar100; mnist has one kind of labels\n");
}

TEST_CASE("program: a folder of one's own is trained on and evaluated, with its own class names") {
  const World world;
  write_class_folders(world.folder / "own", 6);
  const Result trained = run_program(world.train("folder", "own", "run"));
  CHECK(trained.error == "");
  REQUIRE(trained.code == 0);
  CHECK(trained.out.find("12 training and 12 test images from " + world.path("own")) != std::string::npos);
  const Result evaluated = run_program(world.evaluate("folder", "own", "run"));
  REQUIRE(evaluated.code == 0);
  CHECK(nlohmann::json::parse(evaluated.out)["class_names"] == nlohmann::json::array({"a", "b"}));
  const auto config = nlohmann::json::parse(read_bytes(world.folder / "run/config.json"));
  CHECK(config["data"] == std::filesystem::canonical(world.path("own")).string());
  CHECK(run_program({"train", "--resume", "--epochs", "2", "--out", world.path("run")}).code == 0);

  for (const char* split : {"own/train", "own/test"})
    std::filesystem::rename(world.folder / split / "b", world.folder / split / "c");
  const Result renamed = run_program(world.evaluate("folder", "own", "run"));
  CHECK(renamed.code == 1);
  CHECK(renamed.error.find("classes of other names") != std::string::npos);

  Words nowhere = world.train("folder", "own", "other");
  nowhere.erase(nowhere.begin() + 3, nowhere.begin() + 5);  // --data and its folder
  const Result without = run_program(nowhere);
  CHECK(without.code == 2);
  CHECK(without.error.find("--data DIR") != std::string::npos);
}

TEST_CASE("program: labels that begin at 1 are told") {
  const World world;
  std::filesystem::create_directories(world.folder / "own");
  for (const char* prefix : {"train", "t10k"}) {
    write_idx_split(world.folder / "own", prefix, 20, 8, 5);
    const auto file = world.folder / "own" / (std::string(prefix) + "-labels-idx1-ubyte");
    std::string labels = read_bytes(file);
    for (std::size_t i = 8; i < labels.size(); ++i) ++labels[i];
    write_bytes(file, labels);
  }
  const Result result = run_program(world.train("folder", "own", "run"));
  CHECK(result.code == 0);
  CHECK(result.out.find("the training labels begin at 1: no image is of class '0'") != std::string::npos);
}

TEST_CASE("program: names of any bytes go through training, resumption, sweep and evaluation") {
  const World world;
  const std::string own = "caf\xe9\n\\x41", a = "\xff", b = "b\nb";
  write_class_folders(world.folder / own, 2);
  for (const char* split : {"train", "test"}) {
    std::filesystem::rename(world.folder / own / split / "a", world.folder / own / split / a);
    std::filesystem::rename(world.folder / own / split / "b", world.folder / own / split / b);
  }
  const std::string out = "run\xe9\n";
  const Result trained = run_program(world.train("folder", own, out, {"--log-format", "json"}));
  CHECK(trained.error == "");
  REQUIRE(trained.code == 0);
  const auto config = nlohmann::json::parse(read_bytes(world.folder / out / "config.json"));
  CHECK(unescape_name(config["data"].get<std::string>()) ==
        std::filesystem::canonical(world.path(own)).string());
  const std::string last = trained.out.substr(trained.out.rfind('\n', trained.out.size() - 2) + 1);
  CHECK(unescape_name(nlohmann::json::parse(last)["out"].get<std::string>()) == world.path(out));
  const Result resumed = run_program({"train", "--resume", "--epochs", "2", "--out", world.path(out)});
  CHECK(resumed.error == "");
  CHECK(resumed.code == 0);

  const Result evaluated = run_program(world.evaluate("folder", own, out));
  CHECK(evaluated.error == "");
  REQUIRE(evaluated.code == 0);
  CHECK(nlohmann::json::parse(evaluated.out)["class_names"] == nlohmann::json::array({"b\\x0ab", "\\xff"}));

  Json sweep = {{"base",
                 {{"dataset", "folder"},
                  {"data", config["data"]},
                  {"model", "mlp"},
                  {"mlp_widths", {4}},
                  {"epochs", 1}}},
                {"grid", {{"seed", {1, 2}}}}};
  write_bytes(world.folder / "sweep.json", sweep.dump());
  const Result swept =
      run_program({"sweep", world.path("sweep.json"), "--device", "cpu", "--out", world.path("sweep\xe9\n")});
  CHECK(swept.error == "");
  CHECK(swept.code == 0);
  const auto results = nlohmann::json::parse(read_bytes(world.folder / "sweep\xe9\n/results.json"));
  CHECK(results["finished"] == 2);
}

TEST_CASE("program: a run records what its data are, and says where they are not the official ones") {
  const World world;
  write_cifar10(world.folder / "data/cifar-10-batches-bin", 10);
  write_class_folders(world.folder / "own", 2);
  const auto recorded = [&](const std::string& run) {
    return nlohmann::json::parse(read_bytes(world.folder / run / "environment.json"))["data"];
  };
  const Result cifar = run_program(world.train("cifar10", "data", "cifar"));
  REQUIRE(cifar.code == 0);
  CHECK(cifar.out.find("not the official files of cifar10: differs in data_batch_1.bin") !=
        std::string::npos);
  CHECK(recorded("cifar")["name"] == "cifar10");
  CHECK(recorded("cifar")["content"].get<std::string>().find("differs in data_batch_1.bin") == 0);
  const Result own = run_program(world.train("folder", "own", "own-run"));
  REQUIRE(own.code == 0);
  CHECK(own.out.find("official") == std::string::npos);
  CHECK(recorded("own-run")["content"] == "no official data set");
  const auto before = recorded("own-run")["sha256"];
  CHECK(before.get<std::string>().size() == 64);
  write_bytes(world.folder / "own/test/a/0.ppm", pnm_bytes(picture(12, 12, 3, 99)));
  REQUIRE(run_program(world.train("folder", "own", "changed")).code == 0);
  CHECK(recorded("changed")["sha256"] != before);
}

TEST_CASE("program: data list, verify and show") {
  const World world;
  write_cifar10(world.folder / "data/cifar-10-batches-bin", 10);
  write_class_folders(world.folder / "own", 2);
  const char* former = std::getenv("QMSE_DATA");
  const std::string saved = former != nullptr ? former : "";
  REQUIRE(::setenv("QMSE_DATA", world.path("data").c_str(), 1) == 0);
  const Result list = run_program({"data", "list"});
  const Result verified = run_program({"data", "verify", "cifar10"});
  former != nullptr ? ::setenv("QMSE_DATA", saved.c_str(), 1) : ::unsetenv("QMSE_DATA");
  CHECK(list.code == 0);
  CHECK(list.out.find(world.path("data") + "/cifar-10-batches-bin") != std::string::npos);
  CHECK(list.out.find("qmse data fetch cifar100") != std::string::npos);
  CHECK(verified.code == 1);
  CHECK(verified.error == "");
  CHECK(verified.out.find("30730 bytes where the official file has 30730000") != std::string::npos);
  const Result own = run_program({"data", "verify", "folder", "--data", world.path("own")});
  CHECK(own.code == 0);
  CHECK(own.out.find("train: 4 images of 12 x 12, colour, in 2 classes, 2 of each") != std::string::npos);

  // What the files are is one question, whether a training could read them another.
  const Words verify = {"data", "verify", "cifar10", "--data", world.path("data")};
  write_bytes(world.folder / "data/cifar-10-batches-bin/train.bin", "of another set");
  const Result mixed = run_program(verify);
  CHECK(mixed.code == 1);
  CHECK(mixed.error.find("the folder mixes data sets") != std::string::npos);
  std::filesystem::remove(world.folder / "data/cifar-10-batches-bin/train.bin");
  write_bytes(world.folder / "data/cifar-10-batches-bin/batches.meta.txt", "one\ntwo\n");
  const Result misnamed = run_program(verify);
  CHECK(misnamed.code == 1);
  CHECK(misnamed.out.find("it does not list the official classes") != std::string::npos);
  CHECK(misnamed.error.find("it lists 2 class names") != std::string::npos);
  write_class_folders(world.folder / "two", 2);
  for (const char* file : {"train/a/0.ppm", "train/a/1.ppm", "train/b/0.ppm", "train/b/1.ppm"})
    write_bytes(world.folder / "two" / file, pnm_bytes(picture(10, 10, 3, 1)));
  const Result shapes = run_program({"data", "verify", "folder", "--data", world.path("two")});
  CHECK(shapes.code == 1);
  CHECK(shapes.error.find("training images are [3, 10, 10], test images [3, 12, 12]") != std::string::npos);
  write_bytes(world.folder / "own/test/a/0.ppm", "no picture");
  CHECK(run_program({"data", "verify", "folder", "--data", world.path("own")}).code == 1);
  write_bytes(world.folder / "own/test/a/0.ppm", pnm_bytes(picture(12, 12, 3, 99)));

  const std::string out = world.path("sheet.html");
  const Words show = {"data",    "show", "folder", "--data", world.path("own"), "--split", "test",
                      "--count", "3",    "--out",  out};
  const Result shown = run_program(show);
  if (!QMSE_DATA_TOOLS) {  // a build without libpng
    CHECK(shown.code == 2);
    return;
  }
  CHECK(shown.code == 0);
  CHECK(shown.out == "3 of 4 images in " + out + "\n");
  const std::string first = read_bytes(out);
  Words seeded = show;
  seeded.insert(seeded.end(), {"--seed", "5"});
  REQUIRE(run_program(seeded).code == 0);
  CHECK(read_bytes(out) != first);
  REQUIRE(run_program(show).code == 0);
  CHECK(read_bytes(out) == first);
}

TEST_CASE("program: wrong use of qmse data is one line and exit code 2") {
  const World world;
  write_class_folders(world.folder / "own", 2);
  const std::string own = world.path("own");
  struct Case {
    Words words;
    const char* part;
  };
  for (const Case& each :
       {Case{{"data"}, "list, verify"}, Case{{"data", "lists"}, "'lists'"},
        Case{{"data", "verify"}, "which data set"}, Case{{"data", "verify", "cifar"}, "known: mnist"},
        Case{{"data", "verify", "mnist", "x"}, "'x'"},
        Case{{"data", "verify", "mnist", "--dta", "x"},
             "did you mean '--data'?); see qmse data verify --help"},
        Case{{"data", "show", "mnist"}, "--out"},
        Case{{"data", "show", "folder", "--data", own, "--out", "x.png"}, "must end in .html"},
        Case{{"data", "fetch", "mnist", "--mirror", "ftp://x/"}, "must begin with http://"},
        Case{{"data", "fetch", "mnist", "--mirror", "file:///x/"}, "must begin with http://"},
        Case{{"data", "show", "folder", "--data", own, "--out", "x.html", "--count", "0"}, "--count"},
        Case{{"data", "show", "folder", "--data", own, "--out", "x.html", "--seed", "-1"}, "--seed"},
        Case{{"data", "show", "folder", "--data", own, "--out", "x.html", "--split", "both"}, "--split"},
        Case{{"data", "show", "folder", "--data", own, "--out", "x.html", "--labels", "coarse"},
             "--labels coarse"}}) {
    CAPTURE(each.part);
    const Result result = run_program(each.words);
    CHECK(result.code == 2);
    CHECK(result.error.find(each.part) != std::string::npos);
    CHECK(std::count(result.error.begin(), result.error.end(), '\n') == 1);
  }
}

TEST_CASE("program: data fetch says what went wrong, keeps nothing false, and can be stopped") {
  if (!QMSE_DATA_TOOLS) {
    CHECK(run_program({"data", "fetch", "mnist", "--out", "x"}).code == 2);
    return;
  }
  for (const char* name : {"http_proxy", "all_proxy", "ALL_PROXY"}) ::unsetenv(name);
  const World world;
  const auto words = [&](const LocalServer& server) {
    return Words{"data", "fetch", "mnist", "--mirror", server.url(), "--out", world.path("out")};
  };
  {
    const LocalServer lying([](const Request&) { return Answer{.body = "no such data"}; });
    const Result result = run_program(words(lying));
    CHECK(result.code == 1);
    CHECK(result.out.find(lying.url() + "train-images-idx3-ubyte.gz") != std::string::npos);
    CHECK(result.error.find("not the official data set") != std::string::npos);
    CHECK(std::count(result.error.begin(), result.error.end(), '\n') == 1);
    CHECK(std::filesystem::is_empty(world.folder / "out"));
  }
  const LocalServer stalling(
      [](const Request&) { return Answer{.body = std::string(9000, 'x'), .cut = 5000, .stall = true}; });
  // Without --out it goes where training will look.
  const char* former = std::getenv("QMSE_DATA");
  const std::string saved = former != nullptr ? former : "";
  REQUIRE(::setenv("QMSE_DATA", world.path("out").c_str(), 1) == 0);
  Process process({"data", "fetch", "mnist", "--mirror", stalling.url()}, world.folder / "stderr");
  REQUIRE(process.wait_for("train-images"));
  former != nullptr ? ::setenv("QMSE_DATA", saved.c_str(), 1) : ::unsetenv("QMSE_DATA");
  process.signal(SIGINT);
  CHECK(process.finish() == 130);
  CHECK(process.out.find("goes on from here") != std::string::npos);
  CHECK(read_bytes(world.folder / "stderr") == "");
  CHECK_FALSE(std::filesystem::exists(world.folder / "out/mnist"));
  CHECK(std::filesystem::exists(world.folder / "out"));
  CHECK(run_program({"data", "fetch", "cifar"}).code == 2);
  CHECK(run_program({"data", "fetch"}).code == 2);
}

TEST_CASE("program: data fetch brings the official MNIST of QMSE_DATA through a local server") {
  const char* data = std::getenv("QMSE_DATA");
  const std::filesystem::path folder = std::filesystem::path(data != nullptr ? data : "") / "mnist";
  if (!QMSE_DATA_TOOLS || !std::filesystem::exists(folder / "train-images-idx3-ubyte.gz")) {
    WARN("[skipped: QMSE_DATA names no folder that holds mnist, compressed]");
    return;
  }
  const World world;
  const LocalServer server(
      [&](const Request& request) { return Answer{.body = read_bytes(folder / request.target.substr(1))}; });
  const Result result =
      run_program({"data", "fetch", "mnist", "--mirror", server.url(), "--out", world.path("out")});
  CHECK(result.error == "");
  CHECK(result.code == 0);
  CHECK(result.out.find("official by SHA-256") != std::string::npos);
  CHECK(run_program({"data", "verify", "mnist", "--data", world.path("out")}).code == 0);
}
