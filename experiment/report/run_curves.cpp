#include "experiment/report/run_curves.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/in_quotes.h"
#include "experiment/report/mean_curve.h"
#include "experiment/run/epoch_record.h"

namespace qmse {
namespace {

constexpr const char* kWholeTrainAccuracy = "train_accuracy_full";
constexpr std::int64_t kInsetFrom = 80, kInsetTo = 100;  // the paper's, epochs

bool is_accuracy(const std::string& measure) {
  const Metric* metric = find_metric(measure);
  return metric != nullptr && metric->kind == MetricKind::accuracy;
}

// All keys with numbers, in the order of the records.
std::vector<std::string> measures_of(const std::vector<RunGroup>& groups) {
  std::vector<std::string> all;
  for (const RunGroup& group : groups) {
    for (const RunRecord& run : group.runs) {
      for (const Json& epoch : run.epochs) {
        for (const auto& [key, value] : epoch.items()) {
          if ((value.is_number() || value.is_null()) && std::find(all.begin(), all.end(), key) == all.end())
            all.push_back(key);
        }
      }
    }
  }
  return all;
}

std::string axis_name(CurveAxis axis) {
  switch (axis) {
    case CurveAxis::epoch:
      return "epoch";
    case CurveAxis::step:
      return "step";
    case CurveAxis::seconds:
      return "seconds of training and evaluation";
  }
  return "";
}

// A run, epoch by epoch.
RunLine line(const RunRecord& run, CurveAxis axis, const std::string& measure) {
  RunLine line;
  double seconds = 0;
  for (const Json& epoch : run.epochs) {
    seconds += number_of(epoch, "seconds");
    line.x.push_back(
        axis == CurveAxis::seconds ? seconds : number_of(epoch, axis == CurveAxis::step ? "step" : "epoch"));
    line.y.push_back(number_of(epoch, measure) * (is_accuracy(measure) ? 100 : 1));
  }
  return line;
}

// The runs that a mean is of: those that were not ended by an error, as far as the longest of them goes. One
// that diverged or was stopped is none of them: a mean that loses
// its worst run half-way rises without reason.
std::vector<const RunRecord*> whole_runs(const RunGroup& group) {
  const auto goes_on = [](const RunRecord& run) {
    return run.outcome.end != RunEnd::diverged && run.outcome.end != RunEnd::failed;
  };
  std::size_t longest = 0;
  for (const RunRecord& run : group.runs) {
    if (goes_on(run)) longest = std::max(longest, run.epochs.size());
  }
  std::vector<const RunRecord*> whole;
  for (const RunRecord& run : group.runs) {
    if (goes_on(run) && run.epochs.size() == longest && longest > 0) whole.push_back(&run);
  }
  return whole;
}

Curve curve(const RunGroup& group, const std::string& label, CurveAxis axis, const std::string& measure) {
  const std::vector<const RunRecord*> whole = whole_runs(group);
  std::vector<RunLine> lines;
  for (const RunRecord& run : group.runs) {
    lines.push_back(line(run, axis, measure));
    lines.back().whole = std::find(whole.begin(), whole.end(), &run) != whole.end();
  }
  return mean_curve(label, lines);
}

// Groups whose curves share panels.
struct Row {
  Json key;
  std::vector<RunGroup> groups;
};

std::vector<Row> rows_of(const std::vector<RunGroup>& groups) {
  std::vector<Row> rows;
  for (const RunGroup& group : groups) {
    const Json key = panel_key(group);
    auto row = std::find_if(rows.begin(), rows.end(), [&](const Row& each) { return each.key == key; });
    if (row == rows.end()) row = rows.insert(rows.end(), Row{key, {}});
    row->groups.push_back(group);
  }
  return rows;
}

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string capitalised(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

std::size_t shortest(const std::vector<RunGroup>& groups) {
  std::size_t epochs = SIZE_MAX;
  for (const RunGroup& group : groups) {
    std::size_t longest = 0;
    for (const RunRecord& run : group.runs) longest = std::max(longest, run.epochs.size());
    epochs = std::min(epochs, longest);
  }
  return epochs;
}

// "QMSE: 2 of 3 diverged": for each group of a panel whose mean is not that of all its runs.
std::string note_of(const std::vector<RunGroup>& groups, const std::vector<std::string>& names) {
  std::string note;
  for (const RunGroup& group : groups) {
    const std::string missing = missing_text(group.runs);
    if (missing.empty()) continue;
    note += (note.empty() ? "" : "; ") + describe_settings(group.settings, names) + ": " + missing;
  }
  return note;
}

std::string caption(const std::vector<RunGroup>& groups, const std::vector<std::string>& measures) {
  std::vector<std::size_t> seeds;
  bool strands = false;
  for (const RunGroup& group : groups) {
    std::size_t begun = 0;
    for (const RunRecord& run : group.runs) begun += !run.epochs.empty();
    seeds.push_back(whole_runs(group).size());
    strands = strands || seeds.back() < begun;
  }
  std::string text = seeds_caption(seeds);
  if (strands) text += std::string(" ") + kStrandsCaption;
  const auto during = [](const std::string& measure) {
    const Metric* metric = find_metric(measure);
    return metric != nullptr && metric->during_epoch;
  };
  if (std::any_of(measures.begin(), measures.end(), during)) {
    text += " Training values are counted during the epoch, while the weights change.";
  }
  if (has(measures, kWholeTrainAccuracy)) {
    text += " Training accuracy is measured after the epoch, on all training images.";
  }
  return text;
}

}  // namespace

std::string measure_name(const std::string& measure) {
  if (const Metric* metric = find_metric(measure)) return std::string(metric->label);
  std::string words = measure;
  std::replace(words.begin(), words.end(), '_', ' ');
  return words;
}

std::string train_accuracy_measure(const std::vector<RunGroup>& groups) {
  for (const RunGroup& group : groups) {
    for (const RunRecord& run : group.runs) {
      for (const Json& epoch : run.epochs) {
        if (!epoch.contains(kWholeTrainAccuracy)) return "train_accuracy";
      }
    }
  }
  return kWholeTrainAccuracy;
}

Figure run_figure(const std::vector<RunGroup>& all, const CurveRequest& request) {
  std::vector<RunGroup> groups;
  for (const std::size_t place : leading_groups(all, kMaxStyles)) groups.push_back(all[place]);
  std::vector<std::string> measures = request.measures;
  if (measures.empty()) measures = {train_accuracy_measure(groups), "test_accuracy"};
  const std::vector<std::string> known = measures_of(groups);
  for (const std::string& measure : measures) {
    if (has(known, measure)) continue;
    std::string names;
    for (const std::string& name : known) names += (names.empty() ? "" : ", ") + name;
    if (names.empty()) throw DataError("these runs have no epoch yet: nothing to draw");
    throw ConfigError("no run has " + in_quotes(measure) + "; they have " + names);
  }

  const std::vector<std::string> differing = differing_settings(groups);
  const bool inset = request.x == CurveAxis::epoch && shortest(groups) >= kInsetTo;
  std::vector<std::string> shared;
  for (const char* name : {"dataset", "model", "optimizer", "lr", "momentum"}) {
    if (!has(differing, name)) shared.emplace_back(name);
  }
  Figure figure;
  figure.title = capitalised(describe_settings(groups.front().settings, shared));
  figure.columns = static_cast<int>(measures.size());
  figure.caption = caption(groups, measures);
  if (groups.size() < all.size()) {
    figure.caption += " Of " + std::to_string(all.size()) + " groups of runs the " +
                      std::to_string(groups.size()) +
                      " with the highest test accuracy at the end are drawn, in turn from each row.";
  }
  for (const Row& row : rows_of(groups)) {
    // The curves are named by what differs within the row, the row by what else differs between the groups.
    std::vector<std::string> within = differing_settings(row.groups), around;
    if (within.empty()) within = {"loss"};
    for (const std::string& name : differing) {
      if (!has(within, name)) around.push_back(name);
    }
    const std::string where = describe_settings(row.groups.front().settings, around);
    for (const std::string& measure : measures) {
      Panel panel;
      panel.title = capitalised(measure_name(measure)) + (where.empty() ? "" : ", " + where);
      panel.x_label = axis_name(request.x);
      panel.y_label = is_accuracy(measure) ? "accuracy (%)" : measure_name(measure);
      for (const RunGroup& group : row.groups) {
        panel.curves.push_back(curve(group, describe_settings(group.settings, within), request.x, measure));
      }
      panel.note = note_of(row.groups, within);
      if (inset && is_accuracy(measure)) panel.inset = Inset{kInsetFrom, kInsetTo};
      figure.panels.push_back(std::move(panel));
    }
  }
  return figure;
}

}  // namespace qmse
