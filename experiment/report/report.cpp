#include "experiment/report/report.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/number_text.h"
#include "base/text_file.h"
#include "base/words.h"
#include "experiment/report/html.h"
#include "experiment/report/html_page.h"
#include "experiment/report/inspection_section.h"
#include "experiment/report/report_guide.h"
#include "experiment/report/run_curves.h"
#include "experiment/report/run_groups.h"
#include "experiment/report/run_summary.h"
#include "experiment/report/tuning_report.h"
#include "experiment/run/config_fields.h"
#include "experiment/run/environment.h"
#include "experiment/run/epoch_record.h"
#include "experiment/run/plain_text.h"

namespace qmse {
namespace {

// What a reader can look through, and a browser show: a sweep may have 100,000 members.
constexpr std::size_t kMaxGroups = 500, kMaxRuns = 2000, kMaxValues = 50, kMaxMachines = 20,
                      kMaxInspections = 20;

RunsFound read_runs(const std::filesystem::path& folder) {
  RunsFound found = find_runs(folder);
  if (found.runs.empty()) {
    throw DataError(
        in_quotes(folder) + ": holds no run that can be read" +
        (found.unreadable.empty() ? "" : "; the first that cannot: " + found.unreadable.front().reason));
  }
  return found;
}

// "The first 2000 of 5000 runs"
std::string first_of(std::size_t shown, std::size_t all, const std::string& what) {
  return "The first " + std::to_string(shown) + " of " + counted(all, what);
}

// A JSON value as it stands in files, but for a text's quotes.
std::string shown(const Json& value) {
  return value.is_string() ? value.get<std::string>() : json_line(value);
}

class Page {
 public:
  explicit Page(const ReportRequest& request)
      : request_(request), found_(read_runs(request.folder)), groups_(group_runs(found_.runs)) {}

  std::string html() {
    std::string sections;
    for (const ReportSection& section : request_.sections) sections += page_.section(section);
    if (!request_.own_results) {
      sections += comparison();
      sections += results();
    }
    sections += inspections();
    sections += "<section>\n" + page_.heading("What these words mean");
    sections += kReportGuide;
    sections += "</section>\n";
    for (const auto part : {&Page::runs, &Page::images, &Page::settings, &Page::environment})
      sections += (this->*part)();
    return page_.html(title(), summary(), sections);
  }

 private:
  std::string title() const { return request_.title.empty() ? folder_name() : request_.title; }

  std::string folder_name() const {
    const std::filesystem::path whole = std::filesystem::weakly_canonical(request_.folder);
    return "Runs in " + (whole.has_filename() ? whole.filename() : whole).string();
  }

  std::string relative(const std::filesystem::path& directory) const {
    return directory.lexically_relative(request_.folder).string();
  }

  // What there is, and first of all what is wrong with it.
  std::string summary() const {
    std::size_t repeats = 0;
    for (const RunGroup& group : groups_) repeats += group.repeats.size();
    std::string html = HtmlPage::paragraph(
        counted(found_.runs.size(), "training run") +
        (request_.own_results ? "."
                              : " in " + counted(groups_.size(), "group") +
                                    "; the runs of a group differ only in their random seeds."));
    std::string wrong;
    if (const std::string missing = missing_text(found_.runs); !missing.empty()) {
      wrong += " Of the runs, " + missing + ". The tables of results count finished runs only" +
               (request_.own_results ? "." : "; the curves show the others up to where they end.");
    }
    if (!found_.unreadable.empty()) {
      wrong += " " + counted(found_.unreadable.size(), "run") + " could not be read and " +
               (found_.unreadable.size() == 1 ? "is" : "are") + " only listed.";
    }
    if (repeats > 0) {
      wrong += " " + counted(repeats, "run") + " had the settings and seeds of another run and " +
               (repeats == 1 ? "counts" : "count") + " once only.";
    }
    if (!wrong.empty()) html += HtmlPage::warning(wrong.substr(1));
    return html;
  }

  // Which setting is best for each loss: where there is something to compare.
  std::string comparison() {
    const bool any = std::any_of(found_.runs.begin(), found_.runs.end(),
                                 [](const RunRecord& run) { return run.finished; });
    if (groups_.size() < 2 || groups_.size() > kMaxGroups || !any) return "";
    const Tuning tuning = tune(groups_, {});
    ReportSection section{.title = "The best setting of each",
                          .paragraphs = tuning_notes(tuning),
                          .tables = {tuning_table(tuning)}};
    for (const std::string& warning : tuning_warnings(tuning))
      section.warning += (section.warning.empty() ? "" : "\n") + warning;
    std::vector<ReportTable> maps = tuning_maps(tuning);
    section.tables.insert(section.tables.end(), std::make_move_iterator(maps.begin()),
                          std::make_move_iterator(maps.end()));
    section.paragraphs.push_back(cost());
    if (Figure figure = tuning_figure(tuning); !figure.panels.empty())
      section.figures.push_back(std::move(figure));
    return page_.section(section);
  }

  // What all runs took, and how they are made again.
  std::string cost() const {
    double seconds = 0;
    std::size_t epochs = 0;
    for (const RunRecord& run : found_.runs) {
      epochs += run.epochs.size();
      for (const Json& epoch : run.epochs) {
        const double value = number_of(epoch, "seconds");
        seconds += std::isfinite(value) ? value : 0;
      }
    }
    std::string text =
        "All runs together are " + counted(epochs, "epoch") + " and " +
        (seconds < 120    ? significant_text(seconds, 3) + " seconds"
         : seconds < 7200 ? significant_text(seconds / 60, 3) + " minutes"
                          : significant_text(seconds / 3600, 3) + " hours") +
        " of training and measuring, added up over all runs, also those that were trained at the same time.";
    std::error_code none;
    if (std::filesystem::exists(request_.folder / "sweep.json", none))
      text += " They are made again by: qmse sweep " + folder_text() + "sweep.json --out NEW";
    return text;
  }

  std::string folder_text() const {
    return plain_text((std::filesystem::weakly_canonical(request_.folder) / "").string());
  }

  std::string results() {
    std::vector<RunGroup> shown;
    for (const std::size_t place : leading_groups(groups_, kMaxGroups)) shown.push_back(groups_[place]);
    ReportSection section{.title = "Results", .tables = {summary_table(shown)}};
    const bool any_epoch = std::any_of(found_.runs.begin(), found_.runs.end(),
                                       [](const RunRecord& run) { return !run.epochs.empty(); });
    if (any_epoch) {
      section.figures = {run_figure(groups_, {}),
                         run_figure(groups_, {.measures = {"train_residual_sq", "test_residual_sq"}})};
    }
    section.paragraphs = {
        "Mean ± standard deviation over the seeds of finished runs. Final: after the last epoch. Best: the "
        "highest of any epoch; chosen by looking at the result, it is too good for all, and most for "
        "those whose curves are noisy."};
    if (shown.size() < groups_.size()) {
      section.warning = "The table shows " + std::to_string(shown.size()) + " of " +
                        counted(groups_.size(), "group") +
                        ", those with the highest test accuracy at the end, in turn from each data set and "
                        "momentum; the curves show fewer still. A page about fewer runs, a folder within "
                        "this one, shows all of them.";
    }
    return page_.section(section);
  }

  // Of runs that qmse inspect has looked at.
  std::string inspections() {
    std::string html;
    std::size_t all = 0;
    for (const RunRecord& run : found_.runs) {
      const std::filesystem::path file = run.directory / kInspectionFolder / kInspectionFile;
      std::error_code none;
      if (!std::filesystem::exists(file, none) || ++all > kMaxInspections) continue;
      const std::string title = "Inspection of the weights of " + relative(run.directory);
      try {
        html += page_.section(inspection_section(read_json(file), title, in_quotes(file)));
      } catch (const DataError& error) {  // one damaged file hides no other
        html += page_.section({.title = title, .warning = error.what()});
      }
    }
    if (all > kMaxInspections)
      html += HtmlPage::warning(first_of(kMaxInspections, all, "inspection") + " are shown.");
    return html;
  }

  std::string runs() {
    ReportTable table{{"run", "group", "seed", "state"}, {}};
    const std::vector<std::string> usual = usual_measures(groups_);
    for (const std::string& measure : usual) table.header.push_back(measure_heading(measure));
    const std::vector<std::string> names = telling_names(groups_, differing_settings(groups_));
    std::size_t all = 0;
    for (const UnreadableRun& run : found_.unreadable) {
      if (++all <= kMaxRuns)
        table.rows.push_back({relative(run.directory), "–", "–", "cannot be read: " + run.reason, "–", "–"});
    }
    for (const RunGroup& group : groups_) {
      std::string label = describe_settings(group.settings, names);
      if (label.empty()) label = describe_settings(group.settings, {"loss"});
      const auto add = [&](const RunRecord& run, const std::string& remark) {
        if (++all > kMaxRuns) return;
        const Json last = run.epochs.empty() ? Json::object() : run.epochs.back();
        table.rows.push_back({relative(run.directory), label, shown(run.config.value("seed", Json())),
                              state_text(run) + remark});
        for (const std::string& measure : usual)
          table.rows.back().push_back(figure_text(measure, number_of(last, measure)));
      };
      for (const RunRecord& run : group.runs) add(run, "");
      for (const RunRecord& run : group.repeats) add(run, ", repeats another run");
    }
    return "<section>\n" + page_.heading("Every run") +
           HtmlPage::paragraph(
               "Figures are after the last epoch there is. A run is repeated, bit for bit on the same "
               "processor type, by qmse train --config RUN/config.json --out NEW.") +
           "<details><summary>" +
           (all > kMaxRuns ? first_of(kMaxRuns, all, "run") : "All " + counted(all, "run")) + "</summary>\n" +
           html_table(table) + "</details>\n</section>\n";
  }

  // What the runs were trained on.
  std::string images() {
    struct Images {
      const RunRecord* first;
      std::size_t runs;
    };
    std::map<std::string, Images> distinct;
    for (const RunGroup& group : groups_) {
      for (const auto* runs : {&group.runs, &group.repeats}) {
        for (const RunRecord& run : *runs)
          ++distinct.emplace(describe_settings(group.settings, {"data"}), Images{&run, 0}).first->second.runs;
      }
    }
    ReportTable table{{"images", "data set", "training", "test", "shape", "content", "runs", "such as from"},
                      {}};
    for (const auto& [label, images] : distinct) {
      if (table.rows.size() == kMaxValues) break;
      const RunRecord& run = *images.first;
      const Json data = run.environment.value("data", Json::object());
      const Json numbers = data.is_object() ? data.value("images", Json()) : Json();
      const auto number = [&](const char* key) {
        return numbers.is_object() && numbers.contains(key) ? shown(numbers[key]) : "–";
      };
      const Json content = data.is_object() ? data.value("content", Json("–")) : Json("–");
      table.rows.push_back({label, shown(run.config.value("dataset", Json("–"))), number("train"),
                            number("test"), number("shape"), shown(content), std::to_string(images.runs),
                            shown(run.config.value("data", Json("–")))});
    }
    return "<section>\n" + page_.heading("Images") +
           HtmlPage::paragraph(
               distinct.size() == 1
                   ? "All runs were trained and tested on the same images. They are named by the "
                     "beginning of their files' SHA-256, as qmse data verify prints it."
                   : "Runs on different images are different runs, whatever the path they were given. "
                     "Images are named by the beginning of their files' SHA-256, as qmse data verify "
                     "prints it.") +
           (distinct.size() > kMaxValues
                ? HtmlPage::paragraph(first_of(kMaxValues, distinct.size(), "set") + ".")
                : "") +
           html_table(table) + "</section>\n";
  }

  std::string settings() {
    const Json& first = found_.runs.front().config;
    ReportTable table{{"setting", "value", "meaning"}, {}};
    for (const auto& [name, value] : first.items()) {
      std::set<std::string> values;
      std::string all;
      for (const RunRecord& run : found_.runs) {
        const auto [text, fresh] = values.insert(shown(run.config.value(name, Json())));
        if (fresh && values.size() <= kMaxValues) all += (all.empty() ? "" : "; ") + *text;
      }
      if (values.size() > kMaxValues) all = std::to_string(values.size()) + " values: " + all + "; ...";
      const ConfigField* field = find_field(name);
      table.rows.push_back(
          {name, shorten(plain_text(all), 200), field == nullptr ? "" : std::string(field->help)});
    }
    return "<section>\n" + page_.heading("Settings") +
           "<details><summary>All settings, with every value they have in these runs</summary>\n" +
           html_table(table) + "</details>\n</section>\n";
  }

  std::string environment() {
    std::vector<std::pair<Json, std::size_t>> distinct;
    std::map<std::string, std::size_t> places;
    for (const RunRecord& run : found_.runs) {
      Json environment = run.environment;
      for (const char* changing : {"resumed", "algorithms", "resumed_at_step", "data"})
        environment.erase(changing);
      for (const std::string_view key : start_keys()) environment.erase(std::string(key));
      const auto [place, fresh] = places.emplace(shown(environment), distinct.size());
      if (fresh) distinct.emplace_back(std::move(environment), 0);
      ++distinct[place->second].second;
    }
    std::string html = "<section>\n" + page_.heading("Environment");
    if (distinct.size() > kMaxMachines) {
      html += HtmlPage::paragraph(first_of(kMaxMachines, distinct.size(), "environment") + ".");
      distinct.resize(kMaxMachines);
    }
    for (const auto& [environment, count] : distinct) {
      ReportTable table{{"what", "value"}, {}};
      for (const auto& [name, value] : environment.items()) {
        if (name == "libraries" && value.is_object()) {
          for (const auto& [library, versions] : value.items()) {
            table.rows.push_back(
                {library, shown(versions.is_object() ? versions.value("loaded", Json()) : versions)});
          }
          continue;
        }
        table.rows.push_back({with_spaces(name), shown(value)});
      }
      html += HtmlPage::paragraph(counted(count, "run") + (distinct.size() == 1 ? ", all of them:" : ":")) +
              html_table(table);
    }
    return html + "</section>\n";
  }

  const ReportRequest& request_;
  RunsFound found_;
  std::vector<RunGroup> groups_;
  HtmlPage page_;
};

}  // namespace

void write_report(const ReportRequest& request) {
  const std::filesystem::path out = request.out.empty() ? request.folder / "report.html" : request.out;
  write_file_atomically(out, Page(request).html());
}

}  // namespace qmse
