#include "experiment/report/run_list.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <system_error>

#include "base/number_text.h"
#include "experiment/report/run_groups.h"
#include "experiment/run/file_lock.h"
#include "experiment/run/metric_text.h"
#include "experiment/run/plain_text.h"

namespace qmse {
namespace {

// "2026-11-24 17:30"
std::string started(const RunRecord& run) {
  const Json recorded = run.environment.value("started", Json());
  std::string text;
  if (recorded.is_string()) {
    text = plain_text(recorded.get<std::string>());
  } else {
    std::error_code error;
    const auto written = std::filesystem::last_write_time(run.directory / "config.json", error);
    if (error) return "";
    text = utc_text(std::chrono::time_point_cast<std::chrono::system_clock::duration>(
        std::chrono::file_clock::to_sys(written)));
  }
  text = text.substr(0, 16);
  std::replace(text.begin(), text.end(), 'T', ' ');
  return text;
}

std::string note_of(const RunRecord& run) {
  const Json note = run.environment.value("note", Json());
  return note.is_string() ? plain_text(note.get<std::string>()) : "";
}

std::string place_of(const RunRecord& run, const std::filesystem::path& folder) {
  return plain_text(run.directory.lexically_relative(folder).string());
}

// Those of these that some run has.
std::vector<std::string> figures_of(const std::vector<RunRecord>& runs) {
  std::vector<std::string> keys;
  for (const char* key :
       {"train_accuracy", "validation_accuracy", "test_accuracy", "train_r2", "validation_r2", "test_r2"}) {
    const bool any = std::any_of(runs.begin(), runs.end(), [&](const RunRecord& run) {
      return !run.epochs.empty() && run.epochs.back().contains(key);
    });
    if (any) keys.emplace_back(key);
  }
  if (keys.empty()) keys = {"train_loss", "test_loss"};
  return keys;
}

bool goes_on(const RunRecord& run) { return FileLock::is_held(run.directory / ".lock"); }

// A curve in eight heights, the last `length` of its values.
std::string sparkline(const RunRecord& run, const std::string& key, std::size_t length) {
  static constexpr std::array<const char*, 8> kBlocks = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::vector<double> values;
  for (const Json& epoch : run.epochs) values.push_back(number_of(epoch, key));
  if (values.size() > length)
    values.erase(values.begin(), values.end() - static_cast<std::ptrdiff_t>(length));
  double low = INFINITY, high = -INFINITY;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  std::string text;
  for (const double value : values) {
    if (!std::isfinite(value)) {
      text += ' ';
      continue;
    }
    const double share = high > low ? (value - low) / (high - low) : 0.5;
    text += kBlocks[static_cast<std::size_t>(std::min(7.0, std::floor(share * 8)))];
  }
  return text;
}

std::string figures_text(const RunRecord& run, const std::vector<std::string>& keys) {
  std::string text;
  for (const std::string& key : keys) {
    if (!run.epochs.back().contains(key)) continue;
    const double value = number_of(run.epochs.back(), key);
    text += (text.empty() ? "" : ", ") + measure_name(key) + " " + figure_in_words(key, value);
  }
  return text;
}

}  // namespace

ReportTable run_list(const RunsFound& found, const std::filesystem::path& folder, TableFormat format) {
  const std::vector<RunGroup> groups = group_runs(found.runs);
  const std::vector<std::string> names = telling_names(groups, differing_settings(groups));
  const std::vector<std::string> figures = figures_of(found.runs);
  const bool noted = std::any_of(found.runs.begin(), found.runs.end(),
                                 [](const RunRecord& run) { return !note_of(run).empty(); });
  ReportTable table{{"started (UTC)", "run", "settings", "seed", "state"}, {}};
  // A program gets keys and fractions, as in metrics.jsonl.
  const bool for_programs = format == TableFormat::csv;
  for (const std::string& key : figures) table.header.push_back(for_programs ? key : measure_heading(key));
  if (noted) table.header.emplace_back("note");
  for (const RunGroup& group : groups) {
    const std::string settings = describe_settings(group.settings, names);
    for (const auto* runs : {&group.runs, &group.repeats}) {
      for (const RunRecord& run : *runs) {
        const Json seed = run.config.value("seed", Json());
        std::vector<std::string> row = {
            started(run), place_of(run, folder),
            settings.empty() ? describe_settings(group.settings, {"loss"}) : settings,
            seed.is_null() ? "–" : seed.dump(), state_text(run)};
        for (const std::string& key : figures) {
          const double value = run.epochs.empty() ? NAN : number_of(run.epochs.back(), key);
          row.push_back(!for_programs       ? figure_text(key, value)
                        : std::isnan(value) ? ""
                                            : shortest_text(value));
        }
        if (noted) row.push_back(note_of(run));
        table.rows.push_back(std::move(row));
      }
    }
  }
  std::stable_sort(table.rows.begin(), table.rows.end(), [](const auto& a, const auto& b) {
    return std::pair(a[0], a[1]) < std::pair(b[0], b[1]);
  });
  std::vector<std::vector<std::string>> unreadable;
  for (const UnreadableRun& run : found.unreadable) {
    std::vector<std::string> row(table.header.size(), "–");
    row[1] = plain_text(run.directory.lexically_relative(folder).string());
    row[4] = "cannot be read: " + plain_text(run.reason);
    unreadable.push_back(std::move(row));
  }
  table.rows.insert(table.rows.begin(), unreadable.begin(), unreadable.end());
  return table;
}

RunsView look_at_runs(const std::filesystem::path& folder) {
  constexpr std::size_t kMaxLines = 20, kCurve = 60;
  const RunsFound found = find_runs(folder);
  RunsView view;
  std::size_t finished = 0, going = 0, eliminated = 0;
  for (const RunRecord& run : found.runs) {
    finished += run.finished;
    eliminated += run.outcome.end == RunEnd::eliminated;
    going += goes_on(run);
  }
  view.going_on = going > 0;
  const std::vector<std::string> figures = figures_of(found.runs);
  const auto line = [&](const RunRecord& run) {
    const std::string last = run.epochs.empty() ? "" : ": " + figures_text(run, figures);
    return state_text(run) + last;
  };
  if (found.runs.size() == 1) {
    const RunRecord& run = found.runs.front();
    view.lines = {line(run)};
    if (!run.epochs.empty())
      view.lines.push_back(measure_name(figures.back()) + "  " + sparkline(run, figures.back(), kCurve));
    return view;
  }
  view.lines.push_back(
      counted(found.runs.size(), "run") + ": " + std::to_string(finished) + " finished, " +
      std::to_string(going) + " going on" +
      (eliminated > 0 ? ", " + std::to_string(eliminated) + " eliminated" : "") +
      (found.unreadable.empty() ? "" : ", " + std::to_string(found.unreadable.size()) + " cannot be read"));
  for (const RunRecord& run : found.runs) {
    if (!goes_on(run)) continue;
    if (view.lines.size() > kMaxLines) {
      view.lines.emplace_back("...");
      break;
    }
    view.lines.push_back(place_of(run, folder) + "  " + line(run));
  }
  return view;
}

}  // namespace qmse
