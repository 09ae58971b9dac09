#include "experiment/report/run_curves.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/in_quotes.h"

namespace qmse {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr std::int64_t kInsetFrom = 80, kInsetTo = 100;  // the paper's, epochs

bool is_accuracy(const std::string& measure) { return measure.find("accuracy") != std::string::npos; }

double number(const ConfigJson& epoch, const std::string& key) {
  const auto value = epoch.find(key);
  return value != epoch.end() && value->is_number() ? value->get<double>() : kNone;
}

// All keys with numbers, in the order of the records.
std::vector<std::string> measures_of(const std::vector<RunGroup>& groups) {
  std::vector<std::string> all;
  for (const RunGroup& group : groups) {
    for (const RunRecord& run : group.runs) {
      for (const ConfigJson& epoch : run.epochs) {
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

// x and y of one run, epoch by epoch.
struct Line {
  std::vector<double> x, y;
};

Line line(const RunRecord& run, CurveAxis axis, const std::string& measure) {
  Line line;
  double seconds = 0;
  for (const ConfigJson& epoch : run.epochs) {
    seconds += number(epoch, "seconds");
    line.x.push_back(axis == CurveAxis::seconds ? seconds
                                                : number(epoch, axis == CurveAxis::step ? "step" : "epoch"));
    line.y.push_back(number(epoch, measure) * (is_accuracy(measure) ? 100 : 1));
  }
  return line;
}

// The runs that a mean is of: those that were not ended by an error, as far as the longest of them goes. One
// that diverged or was stopped is none of them: a mean that loses its worst run half-way rises without
// reason.
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
  std::vector<Line> lines;
  Curve curve{label, {}, {}};
  for (const RunRecord& run : group.runs) {
    Line each = line(run, axis, measure);
    if (std::find(whole.begin(), whole.end(), &run) != whole.end()) {
      lines.push_back(std::move(each));
    } else if (!each.x.empty()) {
      curve.strands.push_back({std::move(each.x), std::move(each.y)});
    }
  }
  for (std::size_t i = 0; !lines.empty() && i < lines.front().x.size(); ++i) {
    double x = 0, sum = 0, low = INFINITY, high = -INFINITY;
    for (const Line& each : lines) {
      x += each.x[i];
      sum += each.y[i];  // one seed without a value leaves a gap: a mean over the others would hide it
      low = std::min(low, each.y[i]);
      high = std::max(high, each.y[i]);
    }
    const auto count = static_cast<double>(lines.size());
    curve.x.push_back(x / count);
    curve.mean.push_back(sum / count);
    if (lines.size() < 2) continue;
    curve.low.push_back(low);
    curve.high.push_back(high);
  }
  return curve;
}

// Groups whose curves share panels.
struct Row {
  ConfigJson key;
  std::vector<RunGroup> groups;
};

std::vector<Row> rows_of(const std::vector<RunGroup>& groups) {
  std::vector<Row> rows;
  for (const RunGroup& group : groups) {
    const ConfigJson key = panel_key(group);
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
  std::set<std::size_t> seeds;
  bool strands = false;
  for (const RunGroup& group : groups) {
    std::size_t begun = 0;
    for (const RunRecord& run : group.runs) begun += !run.epochs.empty();
    const std::size_t whole = whole_runs(group).size();
    if (whole > 0) seeds.insert(whole);
    strands = strands || whole < begun;
  }
  std::string text;
  if (seeds.empty()) {
    text = "No curve is a mean.";
  } else if (*seeds.rbegin() == 1) {
    text = "One seed for each curve.";
  } else {
    text = "Lines: the mean over " +
           (seeds.size() == 1 ? std::to_string(*seeds.begin())
                              : std::to_string(*seeds.begin()) + " to " + std::to_string(*seeds.rbegin())) +
           " seeds; bands: from the lowest to the highest seed.";
  }
  if (strands) {
    text +=
        " Thin lines with a cross: single runs that ended early, up to where they did; they are not in "
        "the mean.";
  }
  const auto during = [](const std::string& measure) {
    return measure.starts_with("train_") && measure != "train_accuracy_full";
  };
  if (std::any_of(measures.begin(), measures.end(), during)) {
    text += " Training values are counted during the epoch, while the weights change.";
  }
  if (has(measures, "train_accuracy_full")) {
    text += " Training accuracy is measured after the epoch, on all training images.";
  }
  return text;
}

}  // namespace

std::string measure_name(const std::string& measure) {
  if (measure == "train_accuracy_full") return "training accuracy";
  if (measure == "train_residual_sq") return "training mean of ‖r‖²";
  if (measure == "test_residual_sq") return "test mean of ‖r‖²";
  if (measure == "lr") return "learning rate";
  if (measure == "grad_norm") return "norm of the gradient";
  std::string words = measure.starts_with("train_") ? "training_" + measure.substr(6) : measure;
  std::replace(words.begin(), words.end(), '_', ' ');
  return words;
}

std::string train_accuracy_measure(const std::vector<RunGroup>& groups) {
  for (const RunGroup& group : groups) {
    for (const RunRecord& run : group.runs) {
      for (const ConfigJson& epoch : run.epochs) {
        if (!epoch.contains("train_accuracy_full")) return "train_accuracy";
      }
    }
  }
  return "train_accuracy_full";
}

Figure run_figure(const std::vector<RunGroup>& all, const CurveRequest& request) {
  std::vector<RunGroup> groups;
  for (const std::size_t place : leading_groups(all, kMostStyles)) groups.push_back(all[place]);
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
