#include "analysis/landscape/run.h"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <span>

#include "analysis/landscape/words.h"
#include "analysis/recheck.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/text_file.h"
#include "base/words.h"
#include "engine/context.h"
#include "engine/safetensors.h"
#include "experiment/report/figure.h"
#include "experiment/report/gnuplot.h"
#include "experiment/report/html.h"
#include "experiment/report/html_page.h"
#include "experiment/run/environment.h"
#include "experiment/run/file_lock.h"
#include "experiment/run/json_lines.h"
#include "experiment/run/plain_text.h"
#include "experiment/run/setup.h"

namespace qmse {
namespace {

// The folder of one experiment.
class LandscapeFolder {
 public:
  LandscapeFolder(std::filesystem::path path, const Json& identity) : path_(std::move(path)) {
    std::error_code error;
    std::filesystem::create_directories(path_, error);
    if (!std::filesystem::is_directory(path_))
      throw IoError(in_quotes(path_) + ": cannot make this folder" + (error ? ": " + error.message() : ""));
    const std::filesystem::path file = path_ / "settings.json";
    const bool begun = std::filesystem::exists(file);
    if (!begun && !empty_but_for_lock())
      throw ConfigError(in_quotes(path_) + " holds something else; take another --out");
    try {
      lock_ = FileLock::try_take(path_ / ".lock");
      if (!lock_.held())
        throw IoError(in_quotes(path_) + ": another process works here" + FileLock::holder(path_ / ".lock"));
    } catch (const NoLocks&) {
    }
    if (begun && read_json(file) != identity) {
      throw ConfigError(in_quotes(path_) +
                        " holds an experiment with other settings (settings.json); take another --out");
    }
    if (!begun) write("settings.json", json_text(identity));
  }

  std::filesystem::path file(const std::string& name) const { return path_ / name; }
  void write(const std::string& name, const std::string& bytes) const {
    write_file_atomically(file(name), bytes);
  }

  // The lines of members that are done, by member; a line that a kill left incomplete is cut off.
  std::map<std::string, Json> finished_members() const {
    std::map<std::string, Json> done;
    const std::filesystem::path log = file("members.jsonl");
    if (!std::filesystem::exists(log)) return done;
    std::string kept;
    read_lines(log, [&](std::int64_t number, std::string_view line) {
      Json entry = parse_json(line, in_quotes(log) + ", line " + std::to_string(number));
      if (!entry.is_object() || !entry.contains("member") || !entry.contains("record") ||
          !entry.contains("points"))
        throw DataError(in_quotes(log) + ", line " + std::to_string(number) +
                        ": is no member of an experiment");
      kept += std::string(line) + "\n";
      const std::string key = entry["member"].dump();
      done[key] = std::move(entry);
      return true;
    });
    write("members.jsonl", kept);
    return done;
  }

 private:
  bool empty_but_for_lock() const {
    return std::all_of(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator(),
                       [](const auto& entry) { return entry.path().filename() == ".lock"; });
  }

  std::filesystem::path path_;
  FileLock lock_;
};

Json to_line(const Json& member, const MemberResult& result) {
  Json points = Json::array();
  for (const SavedPoint& point : result.points)
    points.push_back({{"name", point.name}, {"network", point.network}, {"weights", point.weights}});
  return {{"member", member}, {"record", result.record}, {"points", std::move(points)}};
}

// Each member that is not done, on any thread; appended as they finish. False where it was stopped.
bool run_members(const LandscapeStudy& study, const std::vector<Json>& members,
                 std::map<std::string, Json>& done, const LandscapeFolder& folder, ThreadPool& threads,
                 const LandscapeEvents& events) {
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (!done.contains(members[i].dump())) open.push_back(i);
  }
  const auto all = static_cast<std::int64_t>(members.size());
  JsonLines log(folder.file("members.jsonl"));
  std::mutex mutex;
  bool stopped = false;
  if (events.progress) events.progress(static_cast<std::int64_t>(done.size()), all);
  threads.run(static_cast<std::int64_t>(open.size()), [&](std::int64_t task, int) {
    const Json& member = members[open[static_cast<std::size_t>(task)]];
    {
      const std::lock_guard lock(mutex);
      stopped = stopped || (events.stop && events.stop());
      if (stopped) return;
    }
    // As it is read again, so that a resumed experiment has the same numbers.
    const Json line = to_line(member, study.run(member));
    Json read = parse_json(line.dump(), "a member's record");
    const std::lock_guard lock(mutex);
    log.append(line);
    done[member.dump()] = std::move(read);
    if (events.progress) events.progress(static_cast<std::int64_t>(done.size()), all);
  });
  log.sync();
  return done.size() >= members.size();
}

// The same on a GPU, in groups: what a stop costs at most.
bool run_members_on_gpu(const LandscapeStudy& study, const std::vector<Json>& members,
                        std::map<std::string, Json>& done, const LandscapeFolder& folder, CudaContext& gpu,
                        const LandscapeEvents& events) {
  constexpr std::size_t kGroup = 512;  // networks, a block each: some to every multiprocessor
  std::vector<Json> open;
  for (const Json& member : members) {
    if (!done.contains(member.dump())) open.push_back(member);
  }
  const auto all = static_cast<std::int64_t>(members.size());
  const auto go_on = [&] { return !(events.stop && events.stop()); };
  JsonLines log(folder.file("members.jsonl"));
  for (std::size_t begin = 0; begin < open.size(); begin += kGroup) {
    if (events.progress) events.progress(static_cast<std::int64_t>(done.size()), all);
    const std::span<const Json> now =
        std::span<const Json>(open).subspan(begin, std::min(kGroup, open.size() - begin));
    const std::vector<MemberResult> results = study.run_on_gpu(gpu, now, go_on);
    if (results.empty()) break;
    for (std::size_t k = 0; k < now.size(); ++k) {
      const Json line = to_line(now[k], results[k]);
      done[now[k].dump()] = parse_json(line.dump(), "a member's record");
      log.append(line);
    }
  }
  log.sync();
  if (events.progress) events.progress(static_cast<std::int64_t>(done.size()), all);
  return done.size() >= members.size();
}

// "width=3,seed=7" of a member {"width": 3, "seed": 7}.
std::string member_name(const Json& member) {
  std::vector<std::string> parts;
  for (const auto& [key, value] : member.items())
    parts.push_back(key + "=" + (value.is_string() ? value.get<std::string>() : value.dump()));
  return join(parts, "-");
}

void write_points(const LandscapeFolder& folder, const LandscapeStudy& study,
                  const std::vector<Json>& lines) {
  const Samples* samples = study.samples();
  if (samples == nullptr) return;
  SafetensorsMetadata metadata;
  std::vector<TensorToWrite> tensors;
  std::vector<std::vector<double>> storage;
  std::size_t arrays = 3;
  for (const Json& line : lines) arrays += line["points"].size();
  storage.reserve(arrays);  // tensors keep pointers into it
  const auto add = [&](const std::string& name, std::vector<std::int64_t> shape, std::vector<double> values) {
    storage.push_back(std::move(values));
    tensors.push_back({name, DType::f64, std::move(shape), storage.back().data()});
  };
  const auto dense = [&](std::span<const double> rows, std::int64_t count) {
    std::vector<double> values;
    for (std::int64_t row = 0; row < count; ++row) {
      const double* from = rows.data() + row * samples->stride;
      values.insert(values.end(), from, from + samples->count);
    }
    return values;
  };
  add("x", {samples->inputs, samples->count}, dense(samples->x, samples->inputs));
  add("y", {samples->outputs, samples->count}, dense(samples->y, samples->outputs));
  const std::size_t without_points = tensors.size() + (study.slope_factors().empty() ? 0 : 1);
  if (!study.slope_factors().empty()) {
    const auto units = static_cast<std::int64_t>(study.slope_factors().size()) / samples->stride;
    add("slope_factors", {units, samples->count}, dense(study.slope_factors(), units));
  }
  for (const Json& line : lines) {
    for (const Json& point : line["points"]) {
      const std::string name = member_name(line["member"]) + ":" + point["name"].get<std::string>();
      auto weights = point["weights"].get<std::vector<double>>();
      metadata["network:" + name] = point["network"].dump();
      const auto size = static_cast<std::int64_t>(weights.size());
      add(name, {size}, std::move(weights));
    }
  }
  if (tensors.size() == without_points) return;
  write_safetensors(folder.file("points.safetensors"), tensors, metadata);
  folder.write("recheck.py", kRecheck);
}

Json to_json(const LandscapeVerdict& verdict) {
  Json statistic = {{"name", verdict.statistic.name}, {"value", verdict.statistic.value}};
  statistic["low"] = verdict.statistic.interval ? Json(verdict.statistic.interval->low) : Json(nullptr);
  statistic["high"] = verdict.statistic.interval ? Json(verdict.statistic.interval->high) : Json(nullptr);
  statistic["n"] = verdict.statistic.n;
  return {{"claim", verdict.claim},
          {"verdict", std::string(name(verdict.finding))},
          {"sentence", verdict.sentence},
          {"statistic", statistic},
          {"criterion", verdict.criterion}};
}

ReportTable verdict_table(const Findings& findings) {
  ReportTable table{{"claim", "verdict", "what was found", "criterion"}, {}};
  for (const LandscapeVerdict& each : findings.verdicts)
    table.rows.push_back({each.claim, std::string(name(each.finding)), each.sentence, each.criterion});
  return table;
}

std::string settings_words(const Json& settings) {
  std::string words;
  for (const auto& [name, value] : settings.items()) {
    const std::string text = json_words(value);
    if (!text.empty()) words += (words.empty() ? "Settings: " : "; ") + name + " " + text;
  }
  return words + ".";
}

ReportTable settings_table(const Json& settings) {
  ReportTable table{{"setting", "value"}, {}};
  for (const auto& [name, value] : settings.items()) table.rows.push_back({name, json_words(value)});
  return table;
}

ReportSection section_of(const LandscapeExperiment& experiment, const Findings& findings) {
  ReportSection section{.title = experiment.name + ": " + experiment.summary};
  section.paragraphs = {experiment.statement, "Source: " + experiment.source};
  for (const std::string& note : findings.notes) section.paragraphs.push_back(note);
  section.tables = {verdict_table(findings)};
  section.tables.insert(section.tables.end(), findings.tables.begin(), findings.tables.end());
  section.figures = findings.figures;
  return section;
}

// What every page needs of the field's words. Each experiment explains its own.
ReportSection words_of_the_page() {
  return {
      .title = "Words",
      .tables = {ReportTable{
          {"word", "meaning"},
          {{"network f(x), layer",
            "inputs x are multiplied by weights and added to biases, which are weights too; each hidden unit "
            "applies a function s to such a sum; the outputs f(x) are weighted sums of the units plus "
            "biases. Units side by side are a layer; a network may have several hidden layers, one after the "
            "other"},
           {"target y, loss, training",
            "a sample is an input x with a target y; the loss says how far the outputs f(x) are from the "
            "targets, on average over the samples; training changes the weights to lower it"},
           {"exact", "a theorem or an identity that was checked to rounding"},
           {"holds, does not hold",
            "by a criterion that was fixed beforehand; it stands in the table of each experiment"},
           {"depends", "true under a condition that the sentence states"},
           {"not shown", "the interval is too wide, or nothing could be measured"},
           {"a [b, c]",
            "a measured number and its 95 % interval: of twenty such intervals some nineteen contain the "
            "true value"},
           {"Student's t, Clopper–Pearson, bootstrap",
            "where intervals come from: of a mean over runs; of a share of runs; by drawing from the runs "
            "again and again"},
           {"seed", "the number that a run's random draws come from: one run for each seed"},
           {"ln, E", "natural logarithm; mean over random draws, measured as a mean over steps and runs"},
           {"L, w, N, c", "the loss, averaged over N samples; all weights; the number of outputs"},
           {"∇L, Hessian H", "L's first derivatives by the weights, a vector; its second ones, a matrix"},
           {"step α or η, momentum β",
            "gradient descent takes w to w − α∇L; with momentum it adds β times its last change of w"},
           {"SGD, batch", "gradient descent with the mean gradient of a few random samples, the batch"},
           {"unit, pre-activation",
            "a hidden unit computes s(u) of its pre-activation u, a weighted sum of its inputs plus a bias"},
           {"tanh, ReLU, leaky ReLU, linear",
            "s(u) = tanh u; max(u, 0); u above 0 and a small multiple of u below; u itself"},
           {"r = y − f(x)", "a sample's residual: target less output"},
           {"D, D_n, Dᵀu",
            "the matrix of the outputs' derivatives by the weights, for all samples and for sample n alone; "
            "a gradient combines them: it is Dᵀu, with a number in u for each output of each sample"},
           {"critical point", "where ∇L = 0, here to 1e-10 after polishing, certified by its Hessian"},
           {"index, nullity", "numbers of negative and of zero eigenvalues of the Hessian"},
           {"saddle, strict", "a critical point that is no minimum; strict: with a negative eigenvalue"},
           {"gradient-flat",
            "a point with ∇L ≠ 0 but H∇L = 0. A search that lowers ‖∇L‖² stops there, since H∇L is the "
            "gradient of ½‖∇L‖²: it looks like a critical point and is none"},
           {"kink",
            "a point in the space of weights at which some sample's pre-activation at a (leaky) ReLU is "
            "exactly 0, its corner: L has no gradient there"},
           {"Clarke residual", "the shortest vector among the gradients on all sides of a kink"},
           {"d₀, d₁", "inputs and hidden units, so that d₀d₁ counts the first layer's weights"},
           {"QMSE",
            "½ rᵀQr, averaged over samples, with Q = (r + v)(r + v)ᵀ, v a random unit vector for each sample "
            "and step. Q is held constant: it is not differentiated. Averaged over v a sample's gradient is "
            "MSE's times ‖r‖² + 1/c, so samples with large residuals count more (QMSE's expected step); the "
            "rest is QMSE's noise"},
           {"the paper, the thesis",
            "the paper proposes QMSE: A theoretical framework for escaping local optima in MSE toward global "
            "convergence; the thesis is Fleischmann's, from which some of the statements are"},
           {"MSE", "½ ‖r‖², averaged over samples"},
           {"sharpness, ‖H‖",
            "the largest eigenvalue of the Hessian H; the largest absolute value of its eigenvalues"},
           {"Gauss–Newton part", "DᵀD / N: the Hessian without what the residuals add, its residual part"},
           {"labels",
            "random: ±1 by chance; parity: ±1 by the digit; class, classes:K: one output a "
            "class; projection:K: K random mixtures of the classes"},
           {"mnist-pca, N samples of d inputs",
            "pictures of handwritten digits (MNIST), each reduced to an input x of d numbers, its first "
            "principal components, each of variance 1; N of them"}},
          {}}}};
}

std::string page(const std::string& title, const std::string& summary,
                 const std::vector<ReportSection>& sections) {
  HtmlPage page;
  std::string body = page.section(words_of_the_page());
  for (const ReportSection& section : sections) body += page.section(section);
  // No line ends between a number and its "%".
  for (std::size_t at = body.find(" %"); at != std::string::npos; at = body.find(" %", at))
    body.replace(at, 1, "&#160;");
  return page.html(title, HtmlPage::paragraph(summary), body);
}

std::string count_words(const Json& result) {
  std::map<std::string, int> counts;
  for (const Json& verdict : result["verdicts"]) ++counts[verdict["verdict"].get<std::string>()];
  std::string words;
  for (const auto& [word, count] : counts)
    words += (words.empty() ? "" : ", ") + std::to_string(count) + " " + word;
  return words;
}

}  // namespace

LandscapeOutcome run_landscape(const LandscapeRequest& request, const LandscapeEvents& events) {
  const LandscapeExperiment& experiment = landscape_experiment(request.experiment);
  const Json settings =
      complete_settings(experiment.options, experiment.presets, request.preset, request.quick, request.given);
  const std::unique_ptr<LandscapeStudy> study = experiment.make(settings, request.data);
  const std::vector<Json> members = study->members();
  const Json identity = {{"experiment", experiment.name}, {"settings", settings}, {"data", study->data()}};
  TrainConfig machine;
  machine.device = request.device;
  machine.threads = request.threads;
  const std::unique_ptr<Context> context = make_context(machine);
  if (context->is_cuda() && !experiment.gpu) {
    throw ConfigError("qmse landscape " + experiment.name + " runs on the CPU alone, not on " +
                      context->device_name());
  }
  const LandscapeFolder folder(request.out, identity);  // after all that may refuse
  folder.write("environment.json", json_text(environment(*context)));

  std::map<std::string, Json> done = folder.finished_members();
  LandscapeOutcome outcome;
  const bool finished = context->is_cuda()
                            ? run_members_on_gpu(*study, members, done, folder, *context->cuda(), events)
                            : run_members(*study, members, done, folder, context->cpu()->threads(), events);
  if (!finished) return outcome;
  std::vector<Json> lines, records;
  for (const Json& member : members) {
    lines.push_back(done.at(member.dump()));
    records.push_back(lines.back()["record"]);
  }
  Findings findings = study->conclude(records);
  if (!has_gnuplot()) {
    findings.figures.clear();
    if (events.notice) events.notice(kNoGnuplot);
  }
  Json verdicts = Json::array();
  for (const LandscapeVerdict& verdict : findings.verdicts) verdicts.push_back(to_json(verdict));
  outcome.result = {{"experiment", experiment.name}, {"statement", experiment.statement},
                    {"source", experiment.source},   {"settings", settings},
                    {"data", study->data()},         {"summary", findings.summary},
                    {"verdicts", verdicts},          {"notes", findings.notes}};
  write_points(folder, *study, lines);
  for (std::size_t i = 0; i < findings.figures.size(); ++i)
    write_figure(findings.figures[i], folder.file("figure-" + std::to_string(i + 1)));
  outcome.sections = {section_of(experiment, findings)};
  std::vector<ReportSection> sections = outcome.sections;
  sections.push_back({.title = "Settings", .tables = {settings_table(settings)}});
  folder.write("report.html", page("Landscape: " + experiment.name,
                                   "Verdicts: " + count_words(outcome.result) + ".", sections));
  folder.write("result.json", json_text(outcome.result));  // last: where it is, all is
  outcome.finished = true;
  return outcome;
}

LandscapeOutcome run_all_landscapes(const LandscapeRequest& request, const LandscapeEvents& events) {
  LandscapeOutcome all;
  all.result = {{"experiments", Json::array()}};
  ReportSection summary{.title = "All statements"};
  summary.paragraphs = {
      "Each experiment has a section below, which explains its letters and words: its name leads there."};
  summary.tables = {ReportTable{{"experiment", "claim", "verdict", "what was found"}, {}}};
  for (const LandscapeExperiment& experiment : landscape_experiments()) {
    LandscapeRequest one = request;
    one.experiment = experiment.name;
    one.given = Json::object();
    one.preset.clear();
    one.out = request.out / experiment.name;
    if (events.notice) events.notice(experiment.name + ": " + experiment.summary);
    LandscapeOutcome outcome = run_landscape(one, events);
    if (!outcome.finished) return all;
    if (events.notice) {
      for (const std::string& line : verdict_lines(outcome.result)) events.notice("  " + line);
    }
    for (const Json& verdict : outcome.result["verdicts"]) {
      summary.tables.front().rows.push_back({experiment.name, verdict["claim"].get<std::string>(),
                                             verdict["verdict"].get<std::string>(),
                                             verdict["sentence"].get<std::string>()});
      // The page numbers its sections; Words and this summary are the first two.
      summary.tables.front().links.push_back("#s" + std::to_string(all.sections.size() + 3));
    }
    for (ReportSection& section : outcome.sections) {
      section.paragraphs.push_back(settings_words(outcome.result["settings"]));
      all.sections.push_back(std::move(section));
    }
    all.result["experiments"].push_back(std::move(outcome.result));
  }
  all.sections.insert(all.sections.begin(), std::move(summary));
  write_file_atomically(
      request.out / "report.html",
      page("Loss landscapes",
           "What is said about the loss landscapes of networks and about where training stops, each "
           "statement measured on small networks beside what theory predicts. QMSE is the loss that this "
           "program studies: MSE whose steps are weighted by the size of the residual, plus noise; some "
           "experiments ask whether it does better than MSE.",
           all.sections));
  write_file_atomically(request.out / "result.json", json_text(all.result));
  all.finished = true;
  return all;
}

std::vector<std::string> verdict_lines(const Json& result) {
  std::vector<std::string> lines;
  for (const Json& verdict : result["verdicts"])
    lines.push_back(verdict["verdict"].get<std::string>() + ": " + verdict["sentence"].get<std::string>());
  return lines;
}

}  // namespace qmse
