#include "experiment/run/run_diff.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <string_view>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/text_file.h"
#include "engine/safetensors.h"
#include "experiment/run/config_fields.h"
#include "experiment/run/environment.h"
#include "experiment/run/epoch_record.h"
#include "experiment/run/run_record.h"

namespace qmse {
namespace {

namespace fs = std::filesystem;

// Where data lie changes nothing; what they are is in environment.json.
bool changes_results(const std::string& setting) {
  const ConfigField* field = find_field(setting);
  return setting != "data" && setting != "epochs" && (field == nullptr || !field->rule.free_on_resume) &&
         setting != "snapshot_every" && setting != "log_steps" && setting != "keep_best";
}

// The keys of both, those of `a` first.
std::vector<std::string> keys_of(const Json& a, const Json& b) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : a.items()) keys.push_back(key);
  for (const auto& [key, value] : b.items()) {
    if (!a.contains(key)) keys.push_back(key);
  }
  return keys;
}

Json value_or_null(const Json& object, const std::string& key) {
  return object.contains(key) ? object[key] : Json();
}

// Leaves of two trees that differ: "libraries.oneDNN.loaded".
void compare_trees(const Json& a, const Json& b, const std::string& name,
                   std::vector<ValueDifference>& differences) {
  if (a == b) return;
  if (!a.is_object() || !b.is_object()) {
    differences.push_back({name, a, b});
    return;
  }
  for (const std::string& key : keys_of(a, b))
    compare_trees(value_or_null(a, key), value_or_null(b, key), (name.empty() ? "" : name + ".") + key,
                  differences);
}

// steps.jsonl, by step. A last line without its end is left out: the run may be going on.
std::map<std::int64_t, Json> read_steps(const fs::path& file) {
  std::map<std::int64_t, Json> steps;
  read_lines(file, [&](std::int64_t number, std::string_view text) {
    const std::string where = in_quotes(file) + ": line " + std::to_string(number);
    const Json line = parse_json(text, where);
    if (!line.is_object() || !line.contains("step") || !line["step"].is_number_integer() ||
        !line.contains("epoch") || !line["epoch"].is_number_integer()) {
      throw DataError(where + " is not a JSON object with whole numbers 'step' and 'epoch'");
    }
    steps[line["step"].get<std::int64_t>()] = line;
    return true;
  });
  return steps;
}

std::string text_of(const ValueDifference& value) {
  return value.name + " " + value.first.dump() + " and " + value.second.dump();
}

class Comparison {
 public:
  Comparison(const fs::path& first, const fs::path& second) : a_(read_run(first)), b_(read_run(second)) {}

  RunDiff run() {
    compare_settings();
    compare_steps();
    compare_epochs();
    compare_snapshots();
    compare_weights();
    std::stable_sort(diff_.results.begin(), diff_.results.end(),
                     [](const ResultDifference& a, const ResultDifference& b) { return a.step < b.step; });
    return std::move(diff_);
  }

 private:
  void not_compared(const std::string& text) { diff_.not_compared.push_back(text); }

  // "only A has it" for what one of two lacks; "" where both have it.
  std::string lacking(bool a, bool b) const {
    if (a && b) return "";
    if (!a && !b) return "neither run has it";
    return "only " + in_quotes((a ? a_ : b_).directory) + " has it";
  }

  void compare_settings() {
    for (const std::string& key : keys_of(a_.config, b_.config)) {
      const ValueDifference value{key, value_or_null(a_.config, key), value_or_null(b_.config, key)};
      if (value.first == value.second) continue;
      (changes_results(key) && !known_start(key) ? diff_.settings : diff_.surroundings).push_back(value);
    }
    std::vector<ValueDifference> environment;
    compare_trees(a_.environment, b_.environment, "", environment);
    for (const ValueDifference& value : environment) {
      const auto starts = start_keys();
      if (value.name == "threads" || value.name == "resumed" ||
          std::find(starts.begin(), starts.end(), value.name) != starts.end())
        continue;
      // Other images or first weights are another experiment, wherever they lie.
      (value.name == "data.sha256" || value.name == "init_from.sha256" ? diff_.settings : diff_.surroundings)
          .push_back(value);
    }
  }

  // Whether both say what lay at their --init-from: then that counts, and not the path.
  bool known_start(const std::string& key) const {
    return key == "init_from" && !started_from(a_.environment).empty() &&
           !started_from(b_.environment).empty();
  }

  void compare_steps() {
    const fs::path a = a_.directory / "steps.jsonl", b = b_.directory / "steps.jsonl";
    if (const std::string why = lacking(fs::exists(a), fs::exists(b)); !why.empty())
      return not_compared("steps.jsonl: " + why + " (--log-steps)");
    const std::map<std::int64_t, Json> first = read_steps(a), second = read_steps(b);
    bool common = false;
    for (const auto& [step, line] : first) {
      const auto other = second.find(step);
      if (other == second.end()) continue;
      common = true;
      if (compare_lines("steps.jsonl", line, other->second)) return;
    }
    if (!common) not_compared("steps.jsonl: the runs logged no step in common");
  }

  // Adds the values that differ; false where none do.
  bool compare_lines(const char* file, const Json& a, const Json& b) {
    ResultDifference difference{.file = file};
    for (const std::string& key : keys_of(without_times(a), without_times(b))) {
      if (!a.contains(key) || !b.contains(key)) {
        if (said_.insert(key).second)
          not_compared(std::string(file) + ": " + key + ": " + lacking(a.contains(key), b.contains(key)));
        continue;
      }
      if (a[key] == b[key]) continue;
      difference.values.push_back({key, a[key], b[key]});
      difference.text += (difference.text.empty() ? "" : ", ") + text_of(difference.values.back());
    }
    if (difference.values.empty()) return false;
    difference.epoch = a.value("epoch", std::int64_t{0});
    difference.step = a.value("step", std::int64_t{0});
    diff_.results.push_back(std::move(difference));
    return true;
  }

  void compare_epochs() {
    const std::size_t common = std::min(a_.epochs.size(), b_.epochs.size());
    for (std::size_t i = 0; i < common; ++i) {
      if (compare_lines("metrics.jsonl", a_.epochs[i], b_.epochs[i])) break;
    }
    if (a_.epochs.size() == b_.epochs.size()) return;
    const RunRecord& longer = a_.epochs.size() > common ? a_ : b_;
    ResultDifference difference{.file = "metrics.jsonl"};
    difference.epoch = static_cast<std::int64_t>(common) + 1;
    difference.step = step_after(longer, difference.epoch);
    difference.text = "only " + in_quotes(longer.directory) + " has this epoch";
    diff_.results.push_back(std::move(difference));
  }

  // Where the log does not say, as far as it goes.
  static std::int64_t step_after(const RunRecord& run, std::int64_t epoch) {
    if (run.epochs.empty()) return 0;
    const auto index =
        std::min(run.epochs.size(), static_cast<std::size_t>(std::max<std::int64_t>(epoch, 1)));
    return run.epochs[index - 1].value("step", std::int64_t{0});
  }

  static std::set<std::string> snapshots(const RunRecord& run) {
    std::set<std::string> names;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(run.directory / "snapshots", ignored)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("epoch-") && name.ends_with(".safetensors")) names.insert(name);
    }
    return names;
  }

  static std::int64_t epoch_of(const std::string& snapshot) {
    return std::atoll(snapshot.c_str() + std::strlen("epoch-"));
  }

  void compare_snapshots() {
    const std::set<std::string> first = snapshots(a_), second = snapshots(b_);
    std::vector<std::string> common;
    std::set_intersection(first.begin(), first.end(), second.begin(), second.end(),
                          std::back_inserter(common));
    std::sort(common.begin(), common.end(),
              [](const std::string& a, const std::string& b) { return epoch_of(a) < epoch_of(b); });
    if (common.empty())
      return not_compared("snapshots: the runs kept none of the same epoch (--snapshot-every)");
    for (const std::string& name : common) {
      if (compare_files("snapshots/" + name, epoch_of(name))) return;
    }
  }

  void compare_weights() {
    const bool a = fs::exists(a_.directory / "model.safetensors"),
               b = fs::exists(b_.directory / "model.safetensors");
    const auto epochs = static_cast<std::int64_t>(std::max(a_.epochs.size(), b_.epochs.size()));
    if (a && b) {
      compare_files("model.safetensors", epochs);
    } else if (a != b) {
      ResultDifference difference{.file = "model.safetensors", .epoch = epochs};
      difference.step = step_after(a ? a_ : b_, epochs);
      difference.text = lacking(a, b);
      diff_.results.push_back(std::move(difference));
    } else {
      not_compared("model.safetensors: neither run is finished");
    }
  }

  // Adds the first tensor that differs; false where none does.
  bool compare_files(const std::string& name, std::int64_t epoch) {
    const SafetensorsFile a(a_.directory / name), b(b_.directory / name);
    ResultDifference difference{
        .file = name, .epoch = epoch, .step = std::max(step_after(a_, epoch), step_after(b_, epoch))};
    std::vector<std::string> names = a.names();
    for (const std::string& other : b.names()) {
      if (!a.contains(other)) names.push_back(other);
    }
    std::size_t count = 0;
    for (const std::string& tensor : names) {
      const std::string text = compare_tensors(a, b, tensor);
      if (text.empty()) continue;
      ++count;
      if (count > 1) continue;
      difference.tensor = tensor;
      difference.text = text;
    }
    if (count == 0) return false;
    if (count > 1)
      difference.text +=
          "; " + std::to_string(count - 1) + " more of " + std::to_string(names.size()) + " tensors differ";
    diff_.results.push_back(std::move(difference));
    return true;
  }

  std::string compare_tensors(const SafetensorsFile& a, const SafetensorsFile& b,
                              const std::string& tensor) const {
    if (const std::string why = lacking(a.contains(tensor), b.contains(tensor)); !why.empty()) return why;
    const TensorInfo &first = a.info(tensor), &second = b.info(tensor);
    if (first.dtype != second.dtype) return "another type";
    if (first.shape != second.shape) return "another shape";
    std::vector<std::byte> x(first.end - first.begin), y(x.size());
    a.read(tensor, first.dtype, first.shape, x.data());
    b.read(tensor, second.dtype, second.shape, y.data());
    if (x == y) return "";
    const std::size_t width = size_of(first.dtype), elements = x.size() / width;
    std::size_t different = 0;
    double largest = 0;
    std::size_t not_numbers = 0;
    for (std::size_t i = 0; i < elements; ++i) {
      if (std::memcmp(x.data() + i * width, y.data() + i * width, width) == 0) continue;
      ++different;
      if (first.dtype != DType::f32) continue;
      std::array<float, 2> values{};
      std::memcpy(&values[0], x.data() + i * width, width);
      std::memcpy(&values[1], y.data() + i * width, width);
      const double distance = std::fabs(static_cast<double>(values[0]) - values[1]);
      if (std::isnan(distance)) ++not_numbers;
      largest = std::fmax(largest, distance);  // which leaves NaN out
    }
    std::string text = std::to_string(different) + " of " + std::to_string(elements) + " elements differ";
    if (not_numbers > 0) text += ", " + std::to_string(not_numbers) + " of them where one is not a number";
    if (first.dtype == DType::f32 && different > not_numbers)
      text += ", by at most " + (std::isfinite(largest) ? Json(largest).dump() : "infinity");
    return text;
  }

  RunRecord a_, b_;
  RunDiff diff_;
  std::set<std::string> said_;
};

Json to_json(const std::vector<ValueDifference>& values) {
  Json list = Json::array();
  for (const ValueDifference& value : values)
    list.push_back({{"name", value.name}, {"first", value.first}, {"second", value.second}});
  return list;
}

}  // namespace

RunDiff diff_runs(const fs::path& first, const fs::path& second) { return Comparison(first, second).run(); }

Json to_json(const RunDiff& diff) {
  Json results = Json::array();
  for (const ResultDifference& difference : diff.results) {
    Json entry = {{"file", difference.file}, {"epoch", difference.epoch}, {"step", difference.step}};
    if (!difference.tensor.empty()) entry["tensor"] = difference.tensor;
    if (!difference.values.empty()) entry["values"] = to_json(difference.values);
    entry["text"] = difference.text;
    results.push_back(std::move(entry));
  }
  return {{"equal", diff.equal()},
          {"settings", to_json(diff.settings)},
          {"results", std::move(results)},
          {"surroundings", to_json(diff.surroundings)},
          {"not_compared", diff.not_compared}};
}

}  // namespace qmse
