// qmse data: what data sets there are, whether they are the official ones, what they look like.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <numeric>

#include "apps/commands.h"
#include "apps/options.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/name_text.h"
#include "data/content.h"
#include "data/registry.h"
#include "experiment/report/contact_sheet.h"
#include "experiment/run/config.h"
#include "experiment/run/plain_text.h"
#include "random/shuffle.h"

namespace qmse::app {
namespace {

constexpr std::int64_t kMaxShown = 2000;  // images on a contact sheet

std::string text_of(const CLI::Option* option, const std::string& otherwise) {
  return option->count() > 0 ? option->as<std::string>() : otherwise;
}

CLI::Option* add_data_option(CLI::App& command) {
  return add_text_option(command, "--data", "DIR", "Options",
                         "folder that holds the data set's folder, as for qmse train");
}

int list_datasets() {
  std::printf("%-14s %-16s %-16s %6s %6s  %s\n", "name", "images", "classes", "train", "test", "where");
  for (const std::string& name : dataset_names()) {
    const DatasetInfo& info = dataset_info(name);
    if (info.is_own()) {
      std::printf("%-14s %-16s %-16s %6s %6s  one's own: --dataset %s --data %s\n", info.name, info.images,
                  info.classes, "any", "any", info.name, info.table ? "FILE" : "DIR");
      continue;
    }
    std::string where;
    try {
      where = find_data_directory(name, "").string();
    } catch (const IoError&) {
      where = "not found; qmse data fetch " + name + " gets it";
    }
    std::printf("%-14s %-16s %-16s %6lld %6lld  %s\n", info.name, info.images, info.classes,
                static_cast<long long>(info.train), static_cast<long long>(info.test), where.c_str());
  }
  return 0;
}

// How many images of which size, and how many of each class.
void sum_up(const ImageDataset& set) {
  if (set.is_table()) {
    std::cout << qmse::name(set.split) << ": " << counted(set.count, "row") << ", "
              << counted(set.column_names.size(), "column") << " to learn from and "
              << counted(set.class_names.size(), "target") << ", " << printable(set.class_names.front())
              << (set.classes() > 1 ? ", ...\n" : "\n");
    return;
  }
  std::vector<std::int64_t> counts(set.class_names.size(), 0);
  for (const std::int32_t label : set.labels) ++counts[static_cast<std::size_t>(label)];
  const auto [fewest, most] = std::minmax_element(counts.begin(), counts.end());
  std::cout << qmse::name(set.split) << ": " << counted(set.count, "image") << " of " << set.width << " x "
            << set.height << (set.channels == 1 ? ", grey, in " : ", colour, in ") << set.classes()
            << " classes, " << *fewest << (*fewest == *most ? "" : " to " + std::to_string(*most))
            << " of each\n";
}

int verify(const std::string& name, const std::string& data) {
  const std::filesystem::path directory = find_data_directory(name, data);
  const ContentReport report = examine_content(name, directory);
  std::cout << name << " in " << directory.string() << '\n';
  std::vector<FileContent> files = report.files;
  files.insert(files.end(), report.class_names.begin(), report.class_names.end());
  constexpr std::size_t kListed = 20;
  if (report.kind == ContentKind::own && files.size() > kListed) {
    std::uint64_t bytes = 0;
    for (const FileContent& file : files) bytes += file.bytes;
    std::cout << "  " << counted(files.size(), "file") << ", " << bytes << " bytes\n";
    files.clear();
  }
  for (const FileContent& file : files) {
    std::cout << "  " << file.name << "  " << file.bytes << " bytes";
    if (!file.sha256.empty()) std::cout << "  SHA-256 " << file.sha256;
    if (report.kind != ContentKind::own)
      std::cout << "  " << (file.difference.empty() ? "as the official file" : "differs");
    std::cout << '\n';
    if (!file.difference.empty()) std::cout << "    " << file.difference << '\n';
  }
  if (!report.sha256.empty()) std::cout << "SHA-256 of all: " << report.sha256 << '\n';
  std::cout << report.summary << '\n';
  // Whether qmse can read it is another question: labels, class names, files of other sets.
  const ImageDataset train = load_dataset(name, directory, Split::train),
                     test = load_dataset(name, directory, Split::test);
  for (const ImageDataset* set : {&train, &test}) sum_up(*set);
  check_same_shape(train, test, in_quotes(directory));
  return report.kind == ContentKind::official || report.kind == ContentKind::own ? 0 : 1;
}

struct Show {
  CLI::Option *name, *data, *labels, *split, *count, *seed, *out;

  int operator()() const {
    const std::string dataset = dataset_name(*name);
    if (out->count() == 0) throw ConfigError("--out FILE.html is missing: where the page goes");
    const std::string file = out->as<std::string>();
    if (!file.ends_with(".html")) throw ConfigError("--out must end in .html, not be " + in_quotes(file));
    const Split which = chosen(*split, Split::train);
    const std::int64_t wanted =
        count->count() > 0 ? static_cast<std::int64_t>(whole_number(*count, 1, kMaxShown)) : 64;
    if (dataset_info(dataset).table) throw ConfigError("qmse data show shows images; a table has none");
    const bool at_random = seed->count() > 0;
    const std::uint64_t random_seed = at_random ? whole_number(*seed, 0, ~std::uint64_t{0}) : 0;
    const auto kind = chosen(*labels, LabelKind::fine);
    check_label_kind(kind, dataset);
    if (labels->count() > 0) {
      const Json given = {{"dataset", dataset}, {"labels", labels->as<std::string>()}};
      check_layer(given, "qmse data show");
      TrainConfig config;
      apply_layer(config, given);
      check_used(given, config);
    }
    const ImageDataset images =
        load_dataset(dataset, find_data_directory(dataset, text_of(data, "")), which, kind);
    std::vector<std::uint32_t> order(static_cast<std::size_t>(images.count));
    if (at_random) {
      shuffled_order(random_seed, 0, images.count, order.data());
    } else {
      std::iota(order.begin(), order.end(), 0u);
    }
    const std::vector<std::int64_t> chosen(order.begin(), order.begin() + std::min(wanted, images.count));
    write_file_atomically(file, contact_sheet(images, chosen));
    std::cout << chosen.size() << " of " << images.count << " images in " << file << '\n';
    return 0;
  }
};

}  // namespace

Command data_command() {
  Command list = make_command("qmse data list", "What data sets there are, and where they lie");
  list.action = list_datasets;

  Command verifier = make_command("qmse data verify",
                                  "Say whether a data set is the official one, and if not, where it differs");
  const CLI::Option* verified = add_dataset_name(*verifier.parser);
  const CLI::Option* verified_data = add_data_option(*verifier.parser);
  verifier.parser->footer(
      "Exit code 0: official (or one's own folder, whose SHA-256 is printed), 1: it differs.");
  verifier.action = [=] { return verify(dataset_name(*verified), text_of(verified_data, "")); };

  Command show = make_command("qmse data show", "Show images with their labels on an HTML page");
  CLI::App& options = *show.parser;
  Show shown{};
  shown.name = add_dataset_name(options);
  shown.data = add_data_option(options);
  shown.labels =
      add_choice_option<LabelKind>(options, "--labels", "Options", "cifar100: which labels [fine]");
  shown.split = add_choice_option<Split>(options, "--split", "Options", "which images [train]");
  shown.count = add_text_option(options, "--count", "N", "Options", "how many images [64]");
  shown.seed = add_text_option(options, "--seed", "N", "Options",
                               "choose them at random by this seed; without it the first ones");
  shown.out = add_text_option(options, "--out", "FILE.html", "Options", "where the page goes (required)");
  show.action = shown;

  return {.name = "data",
          .summary = "List, check, show and fetch data sets",
          .footer =
              "Example\n  qmse data fetch cifar10\n"
              "  qmse data show cifar10 --count 40 --seed 1 --out cifar10.html",
          .commands = {std::move(list), std::move(verifier), std::move(show), data_fetch_command()}};
}

}  // namespace qmse::app
