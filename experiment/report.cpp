#include "experiment/report.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <utility>

#include "engine/atomic_file.h"
#include "engine/in_quotes.h"
#include "experiment/config_fields.h"
#include "experiment/html.h"
#include "experiment/plain_text.h"
#include "experiment/report_guide.h"
#include "experiment/report_style.h"
#include "experiment/run_curves.h"
#include "experiment/run_groups.h"
#include "experiment/run_summary.h"
#include "kernels/core/build_config.h"
#include "kernels/core/error.h"

namespace qmse {
namespace {

// What lies in the folder, readable or not.
struct Runs {
  std::vector<RunRecord> readable;
  std::vector<std::pair<std::filesystem::path, std::string>> damaged;  // and why
};

Runs read_runs(const std::filesystem::path& folder) {
  Runs runs;
  for (const std::filesystem::path& directory : find_run_directories(folder)) {
    try {
      runs.readable.push_back(read_run(directory));
    } catch (const Error& error) {
      runs.damaged.emplace_back(directory, error.what());
    }
  }
  if (runs.readable.empty()) {
    throw DataError(in_quotes(folder) + ": holds no run that can be read" +
                    (runs.damaged.empty() ? "" : "; the first that cannot: " + runs.damaged.front().second));
  }
  return runs;
}

std::string percent(const ConfigJson& epoch, const std::string& key) {
  const auto value = epoch.find(key);
  if (value == epoch.end() || !value->is_number()) return "–";
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "%.2f", 100 * value->get<double>());
  return text.data();
}

// A JSON value as a reader expects it: texts without their quotes.
std::string shown(const ConfigJson& value) {
  if (value.is_string()) return value.get<std::string>();
  return value.dump(-1, ' ', false, ConfigJson::error_handler_t::replace);
}

class Page {
 public:
  explicit Page(const ReportRequest& request)
      : request_(request), runs_(read_runs(request.folder)), groups_(group_runs(runs_.readable)) {}

  std::string html() {
    const std::string title = escape_html(request_.title.empty() ? folder_name() : request_.title);
    std::string sections;
    for (const ReportSection& section : request_.sections) sections += this->section(section);
    if (!request_.own_results) sections += results();
    sections += "<section>\n" + heading("What these words mean");
    sections += kReportGuide;
    sections += "</section>\n";
    for (const auto part : {&Page::runs, &Page::settings, &Page::environment}) sections += (this->*part)();
    const std::string body =
        "<header><h1>" + title + "</h1>\n" + summary() + contents() + "</header>\n" + sections + footer();
    return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\" />\n"
           "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" />\n"
           "<meta name=\"color-scheme\" content=\"light dark\" />\n"
           "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
           "'unsafe-inline'\" />\n<title>" +
           title + "</title>\n<style>\n" + kReportStyle + "</style>\n</head>\n<body>\n<main>\n" + body +
           "</main>\n</body>\n</html>\n";
  }

 private:
  // Of a section; contents() lists it.
  std::string heading(const std::string& text) {
    headings_.push_back(escape_html(text));
    return "<h2 id=\"s" + std::to_string(headings_.size()) + "\">" + headings_.back() + "</h2>\n";
  }
  std::string contents() const {
    std::string html = "<nav><ul>\n";
    for (std::size_t i = 0; i < headings_.size(); ++i)
      html += "<li><a href=\"#s" + std::to_string(i + 1) + "\">" + headings_[i] + "</a></li>\n";
    return html + "</ul></nav>\n";
  }
  static std::string warning(const std::string& text) {
    return "<p class=\"warning\">" + escape_html(text) + "</p>\n";
  }
  static std::string paragraph(const std::string& text) { return "<p>" + escape_html(text) + "</p>\n"; }

  std::string folder_name() const {
    const std::filesystem::path whole = std::filesystem::weakly_canonical(request_.folder);
    return "Runs in " + (whole.has_filename() ? whole.filename() : whole).string();
  }

  std::string relative(const std::filesystem::path& directory) const {
    return directory.lexically_relative(request_.folder).string();
  }

  std::string figure(const Figure& figure) {
    std::string html = "<figure>\n";
    if (!figure.title.empty()) html += "<p class=\"figure-title\">" + escape_html(figure.title) + "</p>\n";
    html += "<div class=\"panels\" style=\"--columns: " + std::to_string(figure.columns) + "\">\n";
    const std::vector<DrawnFigure> pictures = draw_panels(figure);
    for (std::size_t i = 0; i < pictures.size(); ++i) {
      const Panel& panel = figure.panels[i];
      html += inline_svg(pictures[i].svg, "f" + std::to_string(++pictures_) + "-",
                         panel.title + ": " + panel.y_label + " over " + panel.x_label);
    }
    html += "</div>\n";
    if (!figure.caption.empty()) html += "<figcaption>" + escape_html(figure.caption) + "</figcaption>\n";
    return html + "</figure>\n";
  }

  std::string section(const ReportSection& section) {
    std::string html = "<section>\n" + heading(section.title);
    if (!section.warning.empty()) html += warning(section.warning);
    for (const std::string& text : section.paragraphs) html += paragraph(text);
    for (const ReportTable& table : section.tables) html += html_table(table);
    for (const Figure& each : section.figures) html += figure(each);
    return html + "</section>\n";
  }

  // What there is, and first of all what is wrong with it.
  std::string summary() const {
    std::size_t unfinished = 0, repeats = 0;
    for (const RunRecord& run : runs_.readable) unfinished += !run.finished;
    for (const RunGroup& group : groups_) repeats += group.repeats.size();
    std::string html =
        paragraph(counted(runs_.readable.size(), "training run") +
                  (request_.own_results ? "."
                                        : " in " + counted(groups_.size(), "group") +
                                              "; the runs of a group differ only in their random seeds."));
    std::string wrong;
    if (unfinished > 0) {
      wrong += " " + std::to_string(unfinished) + " of the runs " + (unfinished == 1 ? "is" : "are") +
               " not finished: still going on, stopped, or failed. The tables of results count finished runs "
               "only" +
               (request_.own_results ? "." : "; the curves show what there is.");
    }
    if (!runs_.damaged.empty()) {
      wrong += " " + counted(runs_.damaged.size(), "run") + " could not be read and " +
               (runs_.damaged.size() == 1 ? "is" : "are") + " only listed.";
    }
    if (repeats > 0) {
      wrong += " " + counted(repeats, "run") + " had the settings and seeds of another run and " +
               (repeats == 1 ? "counts" : "count") + " once only.";
    }
    if (!wrong.empty()) html += warning(wrong.substr(1));
    return html;
  }

  std::string results() {
    ReportSection section{.title = "Results", .tables = {summary_table(groups_)}};
    const bool any_epoch = std::any_of(runs_.readable.begin(), runs_.readable.end(),
                                       [](const RunRecord& run) { return !run.epochs.empty(); });
    if (any_epoch) {
      section.figures = {run_figure(groups_, {}),
                         run_figure(groups_, {.measures = {"train_residual_sq", "test_residual_sq"}})};
    }
    section.paragraphs = {
        "Mean ± standard deviation over the seeds of finished runs. Final: after the last epoch. Best: the "
        "highest of any epoch; chosen by looking at the result, it is too good for all, and most for "
        "those whose curves are noisy."};
    return this->section(section);
  }

  std::string runs() {
    ReportTable table{{"run", "group", "seed", "state", "training accuracy, %", "test accuracy, %"}, {}};
    const std::vector<std::string> names = differing_settings(groups_);
    const std::string train = train_accuracy_measure(groups_);
    for (const RunGroup& group : groups_) {
      std::string label = describe_settings(group.settings, names);
      if (label.empty()) label = describe_settings(group.settings, {"loss"});
      const auto add = [&](const RunRecord& run, const std::string& remark) {
        const std::string of =
            std::to_string(run.epochs.size()) + " of " + shown(run.config["epochs"]) + " epochs";
        const ConfigJson last = run.epochs.empty() ? ConfigJson::object() : run.epochs.back();
        table.rows.push_back({relative(run.directory), label, shown(run.config.value("seed", ConfigJson())),
                              (run.finished ? "finished" : "not finished, " + of) + remark,
                              percent(last, train), percent(last, "test_accuracy")});
      };
      for (const RunRecord& run : group.runs) add(run, "");
      for (const RunRecord& run : group.repeats) add(run, ", repeats another run");
    }
    for (const auto& [directory, reason] : runs_.damaged)
      table.rows.push_back({relative(directory), "–", "–", "cannot be read: " + reason, "–", "–"});
    return "<section>\n" + heading("Every run") +
           paragraph(
               "Accuracies after the last epoch there is. A run is repeated, bit for bit on the same "
               "processor type, by qmse train --config RUN/config.json --out NEW.") +
           "<details><summary>All " + counted(table.rows.size(), "run") + "</summary>\n" + html_table(table) +
           "</details>\n</section>\n";
  }

  std::string settings() {
    const ConfigJson& first = runs_.readable.front().config;
    ReportTable table{{"setting", "value", "meaning"}, {}};
    for (const auto& [name, value] : first.items()) {
      std::vector<std::string> values;
      for (const RunRecord& run : runs_.readable) {
        const std::string text = shown(run.config.value(name, ConfigJson()));
        if (std::find(values.begin(), values.end(), text) == values.end()) values.push_back(text);
      }
      std::string all;
      for (const std::string& text : values) all += (all.empty() ? "" : "; ") + text;
      const ConfigField* field = find_field(name);
      table.rows.push_back(
          {name, shorten(plain_text(all), 200), field == nullptr ? "" : std::string(field->help)});
    }
    return "<section>\n" + heading("Settings") +
           "<details><summary>All settings, with every value they have in these runs</summary>\n" +
           html_table(table) + "</details>\n</section>\n";
  }

  std::string environment() {
    std::vector<std::pair<ConfigJson, std::size_t>> distinct;
    for (const RunRecord& run : runs_.readable) {
      ConfigJson environment = run.environment;
      for (const char* changing : {"resumed", "algorithms", "resumed_at_step"}) environment.erase(changing);
      const auto same = std::find_if(distinct.begin(), distinct.end(),
                                     [&](const auto& each) { return each.first == environment; });
      if (same == distinct.end()) {
        distinct.emplace_back(std::move(environment), 1);
      } else {
        ++same->second;
      }
    }
    std::string html = "<section>\n" + heading("Environment");
    for (const auto& [environment, count] : distinct) {
      ReportTable table{{"what", "value"}, {}};
      for (const auto& [name, value] : environment.items()) {
        if (name == "libraries" && value.is_object()) {
          for (const auto& [library, versions] : value.items()) {
            table.rows.push_back(
                {library, shown(versions.is_object() ? versions.value("loaded", ConfigJson()) : versions)});
          }
          continue;
        }
        std::string words = name;
        std::replace(words.begin(), words.end(), '_', ' ');
        table.rows.push_back({words, shown(value)});
      }
      html += paragraph(counted(count, "run") + (distinct.size() == 1 ? ", all of them:" : ":")) +
              html_table(table);
    }
    return html + "</section>\n";
  }

  static std::string footer() {
    return "<footer>Written by qmse " + escape_html(QMSE_VERSION) +
           ". This page is one file and loads nothing.</footer>\n";
  }

  const ReportRequest& request_;
  Runs runs_;
  std::vector<RunGroup> groups_;
  std::vector<std::string> headings_;
  int pictures_ = 0;
};

}  // namespace

void write_report(const ReportRequest& request) {
  const std::filesystem::path out = request.out.empty() ? request.folder / "report.html" : request.out;
  write_file_atomically(out, Page(request).html());
}

}  // namespace qmse
