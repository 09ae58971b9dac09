#include "data/registry.h"

#include <cmath>
#include <cstdlib>
#include <iostream>
#include <string>

#include "base/error.h"
#include "data/normalization.h"
#include "tests/data/tiny_idx.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"

namespace qmse {
namespace {

namespace fs = std::filesystem;
using test::mentions;
using test::message_of;
using test::TempDirectory;
using test::TinySet;

// Four places, each with a folder of its own; only some hold data.
struct Places {
  TempDirectory root;
  DataPlaces places{(root / "variable").string(), (root / "cache").string(), (root / "system").string()};

  fs::path put(const std::string& place, const std::string& name) const {
    fs::create_directories(root / place / name);
    TinySet().write(root / place / name);
    return root / place / name;
  }
};

TEST_CASE("registry: names and unknown names") {
  CHECK(dataset_names() ==
        std::vector<std::string>{"mnist", "fashion-mnist", "cifar10", "cifar100", "folder", "table"});
  const std::string expected =
      "unknown data set 'fashion_mnist'; known: mnist, fashion-mnist, cifar10, cifar100, folder, table";
  CHECK(message_of<ConfigError>([] { find_data_directory("fashion_mnist", ""); }) == expected);
  CHECK(message_of<ConfigError>([] { load_dataset("fashion_mnist", ".", Split::train); }) == expected);
}

TEST_CASE("registry: the option wins, then the variable, then cache and system") {
  Places p;
  const auto find = [&](const std::string& option) { return find_data_directory("mnist", option, p.places); };
  const fs::path option = p.put("option", "mnist");
  const fs::path variable = p.put("variable", "mnist");
  const fs::path cache = p.put("cache", "mnist");
  const fs::path system = p.put("system", "mnist");
  CHECK(find((p.root / "option").string()) == option);
  CHECK(find("") == variable);
  p.places.variable.clear();
  CHECK(find("") == cache);
  fs::remove_all(cache);
  CHECK(find("") == system);
  p.places.cache.clear();
  CHECK(find("") == system);
}

TEST_CASE("registry: a given folder is the only one looked at") {
  Places p;
  p.put("cache", "mnist");
  p.put("system", "mnist");
  p.put("variable", "fashion-mnist");
  const std::string option = (p.root / "option").string();
  CHECK(message_of<IoError>([&] { find_data_directory("mnist", option, p.places); }) ==
        "data set mnist not found: there is no readable folder '" + option +
            "/mnist'; --data must name the folder that holds 'mnist'");
  CHECK(message_of<IoError>([&] { find_data_directory("mnist", "", p.places); }) ==
        "data set mnist not found: there is no readable folder '" + p.places.variable +
            "/mnist'; QMSE_DATA must name the folder that holds 'mnist'");
}

TEST_CASE("registry: CIFAR's Python version is not taken for the binary one, and named") {
  Places p;
  p.put("variable", "cifar-10-batches-py");
  for (const char* option :
       {"variable", "variable/", "variable/cifar-10-batches-py", "variable/cifar-10-batches-py/"}) {
    CAPTURE(option);
    CHECK(mentions(
        message_of<IoError>([&] { find_data_directory("cifar10", (p.root / option).string(), p.places); }),
        "cifar-10-batches-py"));
    CHECK(mentions(
        message_of<IoError>([&] { find_data_directory("cifar10", (p.root / option).string(), p.places); }),
        "is the Python version, which is not read: unpack cifar-10-binary.tar.gz"));
  }
  CHECK_FALSE(mentions(
      message_of<IoError>([&] { find_data_directory("mnist", p.places.variable, p.places); }), "Python"));
}

TEST_CASE("registry: the error lists every place looked at and what to do") {
  Places p;
  p.places.variable.clear();
  const std::string message =
      message_of<IoError>([&] { find_data_directory("fashion-mnist", "", p.places); });
  CHECK(mentions(message, "'" + p.places.cache + "/fashion-mnist', '" + p.places.system + "/fashion-mnist'"));
  CHECK(mentions(message, "install Debian's package dataset-fashion-mnist"));
  CHECK(mentions(message, "with --data or QMSE_DATA"));
}

TEST_CASE("registry: the environment is read in one place") {
  const auto with = [](const char* variable, const char* value, auto check) {
    const char* former = std::getenv(variable);
    const std::string saved = former == nullptr ? "" : former;
    value == nullptr ? ::unsetenv(variable) : ::setenv(variable, value, 1);
    check(data_places_from_environment());
    former == nullptr ? ::unsetenv(variable) : ::setenv(variable, saved.c_str(), 1);
  };
  with("QMSE_DATA", "/some/where", [](const DataPlaces& places) { CHECK(places.variable == "/some/where"); });
  with("QMSE_DATA", nullptr, [](const DataPlaces& places) { CHECK(places.variable.empty()); });
  ::unsetenv("XDG_CACHE_HOME");
  with("HOME", "/home/me", [](const DataPlaces& places) { CHECK(places.cache == "/home/me/.cache/qmse"); });
  // The XDG base directory specification.
  with("XDG_CACHE_HOME", "/fast/cache",
       [](const DataPlaces& places) { CHECK(places.cache == "/fast/cache/qmse"); });
  with("HOME", nullptr, [](const DataPlaces& places) { CHECK(places.cache.empty()); });
  with("HOME", "", [](const DataPlaces& places) { CHECK(places.cache.empty()); });
  for (const char* ignored : {"", "relative/cache"}) {
    with("XDG_CACHE_HOME", ignored, [&](const DataPlaces& places) {
      CHECK(places.cache == std::string(std::getenv("HOME")) + "/.cache/qmse");
    });
  }
  CHECK(data_places_from_environment().system == "/usr/share/datasets");
}

TEST_CASE("registry: loads by name, with the class names") {
  Places p;
  const ImageDataset mnist = load_dataset("mnist", p.put("option", "mnist"), Split::train);
  CHECK(mnist.name == "mnist");
  CHECK(mnist.count == 5);
  CHECK(mnist.class_names.front() == "0");
  CHECK(mnist.class_names.back() == "9");
  CHECK(mnist.classes() == 10);
  const ImageDataset fashion = load_dataset("fashion-mnist", p.put("option", "fashion-mnist"), Split::train);
  CHECK(fashion.name == "fashion-mnist");
  CHECK(fashion.class_names[0] == "T-shirt/top");
  CHECK(fashion.class_names[9] == "Ankle boot");
  CHECK(fashion.classes() == 10);
  CHECK(
      mentions(message_of<IoError>([&] { load_dataset("mnist", p.root / "option" / "mnist", Split::test); }),
               "t10k-images-idx3-ubyte"));
}

// Published facts about a set: 60 000 and 10 000 images of 28 x 28, balanced
// or not, mean and deviation to 4 digits.
void check_published(const std::string& name, const fs::path& folder, double mean, double stddev) {
  const ImageDataset train = load_dataset(name, folder, Split::train);
  const ImageDataset test = load_dataset(name, folder, Split::test);
  CHECK(train.count == 60'000);
  CHECK(test.count == 10'000);
  for (const ImageDataset* set : {&train, &test}) {
    CHECK(set->channels == 1);
    CHECK(set->height == 28);
    CHECK(set->width == 28);
  }
  const ChannelStatistics statistics = channel_statistics(train);
  CHECK(std::abs(statistics.mean.at(0) - mean) < 5e-5);
  CHECK(std::abs(statistics.stddev.at(0) - stddev) < 5e-5);
}

TEST_CASE("registry: Fashion-MNIST as Debian installs it") {
  const fs::path folder = "/usr/share/datasets/fashion-mnist";
  if (!fs::is_directory(folder)) {
    std::cout << "[skipped: " << folder
              << " is not there; Debian's package dataset-fashion-mnist installs it]\n";
    return;
  }
  check_published("fashion-mnist", folder, 0.2860, 0.3530);
}

TEST_CASE("registry: MNIST in QMSE_DATA") {
  const std::string data = data_places_from_environment().variable;
  const fs::path folder = fs::path(data) / "mnist";
  if (data.empty() || !fs::is_directory(folder)) {
    std::cout << "[skipped: QMSE_DATA names no folder that holds mnist]\n";
    return;
  }
  check_published("mnist", folder, 0.1307, 0.3081);
}

}  // namespace
}  // namespace qmse
