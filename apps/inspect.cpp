#include "analysis/inspect/inspection.h"

#include <iostream>
#include <memory>

#include "apps/commands.h"
#include "apps/options.h"
#include "apps/stop_signal.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/stopped.h"
#include "experiment/report/gnuplot.h"
#include "experiment/report/html_page.h"
#include "experiment/report/inspection_section.h"

namespace qmse::app {
namespace {

std::string page(const Json& inspection, const std::string& weights, bool pictures) {
  HtmlPage html;
  ReportSection section = inspection_section(inspection, "What was found", weights);
  if (!pictures) section.figures.clear();
  const std::string body = html.section(section);
  return html.html("Inspection of " + weights,
                   HtmlPage::paragraph("What theory says of these weights: docs/inspect.md of qmse."), body);
}

void write_all(const Json& inspection, const std::filesystem::path& out, const std::string& weights) {
  std::error_code error;
  std::filesystem::create_directories(out, error);
  if (!std::filesystem::is_directory(out))
    throw IoError(in_quotes(out) + ": cannot make this folder" + (error ? ": " + error.message() : ""));
  const bool pictures = has_gnuplot();
  if (pictures) {
    write_figure(inspection_figure(inspection), out / "inspection");
  } else {
    std::cerr << "note: " << kNoGnuplot << '\n';
  }
  write_file_atomically(out / "report.html", page(inspection, weights, pictures));
  write_file_atomically(out / kInspectionFile, json_text(inspection));
}

}  // namespace

Command inspect_command() {
  Command command = make_command(
      "qmse inspect", "What theory says of trained weights: stationarity, certificate, units, noise, steps");
  CLI::Option* weights = command.parser->add_option("RUN")
                             ->description(wrap_help("a run directory, for its final weights, or a weights "
                                                     "file or checkpoint (required)"))
                             ->type_name(" ");
  CLI::Option* out = add_text_option(*command.parser, "--out", "DIR", "Inspection",
                                     "where inspection.json, the picture and report.html go [of a run: its "
                                     "folder inspection, which qmse report shows; else nowhere]");
  CLI::Option* split = add_choice_option<Split>(*command.parser, "--split", "Data", "which images [train]");
  CLI::Option* samples =
      add_text_option(*command.parser, "--samples", "N", "Inspection", "look at the first N images [64]");
  CLI::Option* unit_samples = add_text_option(*command.parser, "--unit-samples", "N", "Inspection",
                                              "count units over the first N images [1000]");
  CLI::Option* jacobian = add_text_option(
      *command.parser, "--jacobian", "FILE", "Inspection",
      "also write the Jacobian of the outputs, with inputs and outputs, to this safetensors file");
  CLI::Option* json = command.parser->add_flag("--json")
                          ->description(wrap_help("print the JSON instead of sentences"))
                          ->group("Inspection");
  const auto options = std::make_shared<ConfigOptions>(
      *command.parser, kEvaluate, std::vector<std::string>{"device", "math", "workspace_mib"});
  command.parser->footer(
      "Examples\n"
      "  qmse inspect runs/qmse\n"
      "  qmse inspect model.safetensors --data ~/data --samples 128 --out inspection\n"
      "\n" +
      wrap_help("In f64 on the CPU, over the first images of the split alone: a certificate is one for these "
                "images. Batch size, learning rate, momentum and v are the run's where its record is there.",
                kFooterWidth));
  command.action = [=] {
    InspectionRequest request;
    request.given = options->given();
    if (weights->count() == 0)
      throw ConfigError("RUN is missing: a run directory, a weights file or a checkpoint");
    request.weights = weights->as<std::string>();
    request.split = chosen(*split, Split::train);
    if (samples->count() > 0) request.samples = static_cast<std::int64_t>(whole_number(*samples, 1, 1 << 20));
    if (unit_samples->count() > 0)
      request.unit_samples = static_cast<std::int64_t>(whole_number(*unit_samples, 1, 1 << 30));
    if (jacobian->count() > 0) request.jacobian = jacobian->as<std::string>();
    catch_stop_signals();
    request.stop = [] { return stop_signal() != 0; };
    try {
      const Json found = inspect(request);
      std::filesystem::path folder;
      if (out->count() > 0) {
        folder = out->as<std::string>();
      } else if (std::filesystem::is_directory(request.weights)) {
        folder = request.weights / kInspectionFolder;
      }
      if (!folder.empty()) write_all(found, folder, request.weights.string());
      if (json->count() > 0) {
        std::cout << json_line(found) << '\n';
        return 0;
      }
      for (const Json& sentence : found["sentences"]) std::cout << sentence.get<std::string>() << '\n';
      if (!folder.empty()) std::cout << "page, picture and numbers are in " << folder.string() << '\n';
      return 0;
    } catch (const Stopped&) {
      return 128 + stop_signal();
    }
  };
  return command;
}

}  // namespace qmse::app
