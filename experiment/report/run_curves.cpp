#include "experiment/report/run_curves.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/words.h"
#include "experiment/report/mean_curve.h"
#include "experiment/run/metric_text.h"

namespace qmse {
namespace {

constexpr const char* kWholeTrainAccuracy = "train_accuracy_full";
constexpr std::int64_t kInsetFrom = 80, kInsetTo = 100;  // the paper's, epochs

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

// Where a run began: behind how much of the runs whose weights it began with.
struct Beginning {
  double epochs = 0, steps = 0, seconds = 0;
};

// Of all runs, by the hash of the weights that they began with.
class Beginnings {
 public:
  explicit Beginnings(const std::vector<RunGroup>& groups) {
    for (const RunGroup& group : groups) {
      for (const RunRecord& run : group.runs) {
        for (std::size_t i = 0; i < run.epochs.size(); ++i) {
          const Json hash = run.epochs[i].value("weights_sha256", Json());
          if (hash.is_string()) ends_.emplace(hash.get<std::string>(), End{&run, i});
        }
      }
    }
  }

  Beginning of(const RunRecord& run) const { return of(run, 0); }

 private:
  struct End {
    const RunRecord* run;
    std::size_t epoch;
  };

  Beginning of(const RunRecord& run, int depth) const {
    constexpr int kMaxDepth = 100;  // of records that were made up
    const auto end = ends_.find(started_from(run.environment));
    if (end == ends_.end() || end->second.run->directory == run.directory || depth == kMaxDepth) return {};
    const auto& [before, last] = end->second;
    Beginning begin = of(*before, depth + 1);
    begin.epochs += number_of(before->epochs[last], "epoch");
    begin.steps += number_of(before->epochs[last], "step");
    for (std::size_t i = 0; i <= last; ++i) begin.seconds += number_of(before->epochs[i], "seconds");
    return begin;
  }

  std::map<std::string, End> ends_;
};

// Of each epoch, whether a run of the group has the measure then: --diagnose has some every so many epochs.
std::vector<bool> epochs_with(const RunGroup& group, const std::string& measure) {
  std::vector<bool> has;
  for (const RunRecord& run : group.runs) {
    has.resize(std::max(has.size(), run.epochs.size()));
    for (std::size_t i = 0; i < run.epochs.size(); ++i) has[i] = has[i] || run.epochs[i].contains(measure);
  }
  return has;
}

// A run, epoch by epoch, as far as `drawn` says.
RunLine line(const RunRecord& run, const Beginning& begin, CurveAxis axis, const std::string& measure,
             const std::vector<bool>& drawn) {
  RunLine line;
  double seconds = begin.seconds;
  for (std::size_t i = 0; i < run.epochs.size(); ++i) {
    const Json& epoch = run.epochs[i];
    seconds += number_of(epoch, "seconds");
    if (!drawn[i]) continue;
    line.x.push_back(axis == CurveAxis::seconds ? seconds
                     : axis == CurveAxis::step  ? begin.steps + number_of(epoch, "step")
                                                : begin.epochs + number_of(epoch, "epoch"));
    line.y.push_back(unit_of(measure).factor * number_of(epoch, measure));
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

Curve curve(const RunGroup& group, const Beginnings& beginnings, const std::string& label, CurveAxis axis,
            const std::string& measure) {
  const std::vector<const RunRecord*> whole = whole_runs(group);
  const std::vector<bool> drawn = epochs_with(group, measure);
  std::vector<RunLine> lines;
  for (const RunRecord& run : group.runs) {
    lines.push_back(line(run, beginnings.of(run), axis, measure, drawn));
    lines.back().whole = std::find(whole.begin(), whole.end(), &run) != whole.end();
  }
  return mean_curve(label, lines);
}

// Groups whose curves share panels.
struct Row {
  Json key;
  std::vector<RunGroup> groups;
  std::vector<std::string> differing = {}, names = {};  // settings, of its groups; those that tell them apart
};

std::vector<Row> rows_of(const std::vector<RunGroup>& groups) {
  std::vector<Row> rows;
  for (const RunGroup& group : groups) {
    const Json key = panel_key(group);
    auto row = std::find_if(rows.begin(), rows.end(), [&](const Row& each) { return each.key == key; });
    if (row == rows.end()) row = rows.insert(rows.end(), Row{key, {}, {}, {}});
    row->groups.push_back(group);
  }
  return rows;
}

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
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

// What a curve's style follows: the first setting that names it, and all others.
struct Factors {
  std::string label;
  Json first, others;
};

Factors factors_of(const RunGroup& group, const std::vector<std::string>& names) {
  Factors factors{describe_settings(group.settings, names), {}, Json::array()};
  for (const std::string& name : names) {
    Json value = {name, group.settings.value(name, Json())};
    if (name == names.front()) {
      factors.first = std::move(value);
    } else {
      factors.others.push_back(std::move(value));
    }
  }
  return factors;
}

std::size_t place_of(std::vector<Json>& all, const Json& value) {
  const auto at = std::find(all.begin(), all.end(), value);
  const auto place = static_cast<std::size_t>(at - all.begin());
  if (at == all.end()) all.push_back(value);
  return place;
}

using Styles = std::map<std::string, CurveStyle>;  // by the curve's label

// Colours by the first, dashes by the others; where there are too many of these, dashes count the curves of a
// colour. Nothing where no style would be left for one of its own.
Styles styles_of(const std::vector<Factors>& curves) {
  for (const bool counted : {false, true}) {
    Styles styles;
    std::set<std::pair<std::size_t, std::size_t>> used;
    std::vector<Json> firsts, others;
    std::map<std::size_t, std::size_t> of_colour;
    bool fit = true;
    for (const Factors& curve : curves) {
      if (styles.contains(curve.label)) continue;
      const std::size_t colour = place_of(firsts, curve.first);
      const CurveStyle style{colour, counted ? of_colour[colour]++ : place_of(others, curve.others)};
      fit = fit && style.colour < kColours && style.dash < kDashes &&
            used.emplace(style.colour, style.dash).second;
      styles[curve.label] = style;
    }
    if (fit) return styles;
  }
  return {};
}

// Of all rows of panels. Where there are too many curves for styles of their own, colours are the same in all
// rows, and a dash is one curve's within its row.
Styles styles_of_rows(const std::vector<std::vector<Factors>>& rows) {
  std::vector<Factors> all;
  for (const std::vector<Factors>& row : rows) all.insert(all.end(), row.begin(), row.end());
  Styles styles = styles_of(all);
  if (!styles.empty()) return styles;
  std::vector<Json> firsts;
  for (const std::vector<Factors>& row : rows) {
    std::set<std::pair<std::size_t, std::size_t>> used;
    for (const Factors& curve : row) {
      if (const auto known = styles.find(curve.label); known != styles.end())
        used.emplace(known->second.colour, known->second.dash);
    }
    std::vector<Json> others;
    for (const Factors& curve : row) {
      const std::size_t first = place_of(others, curve.others);
      if (styles.contains(curve.label)) continue;
      CurveStyle style{place_of(firsts, curve.first), first};
      for (std::size_t tried = 0; tried < kDashes && used.contains({style.colour, style.dash % kDashes});
           ++tried)
        ++style.dash;
      style.dash %= kDashes;
      if (style.colour >= kColours || !used.emplace(style.colour, style.dash).second) return {};
      styles[curve.label] = style;
    }
  }
  return styles;
}

// Whether it is a loss, whose heights depend on which one it is.
bool is_loss(const std::string& measure) { return measure == "loss" || measure.ends_with("_loss"); }

bool differ_in(const std::vector<RunGroup>& groups, const char* name) {
  return std::any_of(groups.begin(), groups.end(), [&](const RunGroup& group) {
    return group.settings.value(name, Json()) != groups.front().settings.value(name, Json());
  });
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

std::vector<std::string> usual_measures(const std::vector<RunGroup>& groups) {
  if (has(measures_of(groups), "test_accuracy")) return {train_accuracy_measure(groups), "test_accuracy"};
  if (has(measures_of(groups), "test_r2")) return {"train_r2", "test_r2"};
  return {"train_loss", "test_loss"};
}

Figure run_figure(const std::vector<RunGroup>& groups, const CurveRequest& request) {
  constexpr std::size_t kMaxRows = 24;
  const Beginnings beginnings(groups);
  const std::vector<std::string> known = measures_of(groups);
  if (known.empty()) throw DataError("these runs have no epoch yet: nothing to draw");
  const std::vector<std::string> measures =
      request.measures.empty() ? usual_measures(groups) : request.measures;
  for (const std::string& measure : measures) {
    if (has(known, measure)) continue;
    throw ConfigError("no run has " + in_quotes(measure) + "; they have " + join(known, ", "));
  }
  const std::vector<std::string> differing = differing_settings(groups);
  std::vector<Row> rows = rows_of(groups);
  const std::size_t all_rows = rows.size();
  if (rows.size() > kMaxRows) rows.resize(kMaxRows);
  std::vector<RunGroup> drawn;
  bool fewer = false;
  for (Row& row : rows) {
    std::vector<RunGroup> leading;
    const auto loss = [](const RunGroup& group) { return group.settings.value("loss", Json()); };
    for (const std::size_t place : leading_groups(row.groups, kMaxCurves, loss))
      leading.push_back(row.groups[place]);
    fewer = fewer || leading.size() < row.groups.size();
    row.groups = std::move(leading);
    drawn.insert(drawn.end(), row.groups.begin(), row.groups.end());
  }

  const bool inset =
      request.x == CurveAxis::epoch && !request.log_x && !request.log_y && shortest(drawn) >= kInsetTo;
  std::vector<std::string> shared;
  for (const char* name : {"dataset", "model", "optimizer", "lr", "momentum"}) {
    if (!has(differing, name)) shared.emplace_back(name);
  }
  Figure figure;
  figure.title = capitalised(describe_settings(groups.front().settings, shared));
  figure.columns = static_cast<int>(measures.size());
  figure.caption = caption(drawn, measures);
  if (fewer) {
    figure.caption +=
        " Panels show " + std::to_string(kMaxCurves) + " of their " +
        "groups of runs at most, those with the highest test accuracy at the end, in turn from each "
        "loss: " +
        std::to_string(drawn.size()) + " of " + std::to_string(groups.size()) + ".";
  }
  if (rows.size() < all_rows) {
    figure.caption += " Of " + std::to_string(all_rows) + " rows of panels the first " +
                      std::to_string(rows.size()) + " are drawn.";
  }
  std::vector<std::vector<Factors>> factors;
  std::vector<RunGroup> firsts;
  for (Row& row : rows) {
    row.differing = differing_settings(row.groups);
    row.names = telling_names(row.groups, row.differing);
    if (row.names.empty()) row.names = {"loss"};
    factors.emplace_back();
    for (const RunGroup& group : row.groups) factors.back().push_back(factors_of(group, row.names));
    firsts.push_back(row.groups.front());
  }
  const Styles styles = styles_of_rows(factors);
  for (const Row& row : rows) {
    // The curves are named by what differs within the row, the row by what else differs between the groups, as
    // far as it tells the rows apart.
    const std::vector<std::string>& within = row.names;
    std::vector<std::string> around;
    for (const std::string& name : differing) {
      if (!has(row.differing, name) && !has(within, name)) around.push_back(name);
    }
    // What rows are made by comes first.
    std::vector<std::string> telling = around;
    std::stable_partition(telling.begin(), telling.end(), [](const std::string& name) {
      return name == "dataset" || name == "data" || name == "model" || name == "momentum";
    });
    telling = telling_names(firsts, telling);
    std::erase_if(around, [&](const std::string& name) { return !has(telling, name); });
    const std::string where = describe_settings(row.groups.front().settings, around);
    for (const std::string& measure : measures) {
      Panel panel;
      panel.title = capitalised(measure_name(measure)) + (where.empty() ? "" : ", " + where);
      panel.x_label = axis_name(request.x);
      panel.y_label = measure_axis(measure);
      panel.log_x = request.log_x;
      panel.log_y = request.log_y;
      for (std::size_t i = 0; i < row.groups.size(); ++i) {
        panel.curves.push_back(curve(row.groups[i], beginnings,
                                     describe_settings(row.groups[i].settings, within), request.x, measure));
        if (const auto style = styles.find(panel.curves.back().label); style != styles.end())
          panel.curves.back().style = style->second;
      }
      panel.note = note_of(row.groups, within);
      if (is_loss(measure) && (differ_in(row.groups, "loss") || differ_in(row.groups, "reduction"))) {
        panel.note += std::string(panel.note.empty() ? "" : "; ") +
                      "losses of different kinds: their heights cannot be compared";
      }
      if (inset && is_accuracy(measure)) panel.inset = Inset{kInsetFrom, kInsetTo};
      figure.panels.push_back(std::move(panel));
    }
  }
  return figure;
}

}  // namespace qmse
