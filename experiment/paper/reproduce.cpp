#include "experiment/paper/reproduce.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/name_text.h"
#include "base/number_text.h"
#include "base/stopped.h"
#include "base/text_file.h"
#include "data/resident_dataset.h"
#include "engine/training_loop.h"
#include "experiment/paper/reproduce_figures.h"
#include "experiment/paper/reproduce_results.h"
#include "experiment/paper/temporary_folder.h"
#include "experiment/report/gnuplot.h"
#include "experiment/report/report.h"
#include "experiment/run/evaluation.h"
#include "experiment/run/file_lock.h"
#include "experiment/run/image_cache.h"
#include "experiment/run/model_description.h"
#include "experiment/run/plain_text.h"
#include "experiment/run/setup.h"
#include "experiment/run/training_run.h"

namespace qmse {
namespace {

constexpr std::int64_t kCalibrationImages = 40 * kBatchSize;

class Reproduction {
 public:
  Reproduction(const ReproduceRequest& request, const SweepEvents& events)
      : request_(request), plan_(request.plan), events_(events) {
    make_absolute(plan_.data);
  }

  ReproduceOutcome run() {
    try {
      return measure_and_run();
    } catch (const Stopped&) {
      ReproduceOutcome outcome;
      outcome.sweep.stopped = true;
      return outcome;
    }
  }

 private:
  ReproduceOutcome measure_and_run() {
    std::error_code error;
    std::filesystem::create_directories(request_.out, error);
    if (error) {
      throw IoError(in_quotes(request_.out) + ": cannot make the folder: " + error.message() +
                    "; check the path and its permissions, or choose another --out");
    }
    SweepRequest sweep;
    sweep.spec = make_spec(
        plan_, [this](const PaperFigure& figure, std::int64_t seed) { return initial_weight(figure, seed); });
    sweep.spec.base["device"] = request_.device;
    sweep.spec.base["threads"] = request_.threads;
    complete(sweep.spec, "reproduce");
    sweep.out = request_.out / "runs";
    sweep.jobs = request_.jobs;
    sweep.shard = request_.shard;
    notice("the paper gives no batch size: " + std::to_string(kBatchSize) + " is taken" +
           (plan_.paper_only ? "; nor its losses' scale: " + std::string(name(kPaperReduction)) + " is taken"
                             : ""));
    const bool pictures = has_gnuplot();
    if (!pictures) notice(kNoGnuplot);
    const SweepFolder folder(sweep.out, sweep.spec);
    if (!takes_cuda(sweep.spec.config(sweep.spec.members.front()))) estimate(folder);

    ReproduceOutcome outcome;
    outcome.sweep = run_sweep(sweep, events_);
    if (outcome.sweep.stopped) return outcome;
    const FileLock writing = FileLock::wait(request_.out / ".lock");
    if (folder.has_more()) {
      notice("the folder holds more runs than these: its tables are left to the command that has them all");
      return outcome;
    }
    const std::vector<FigureRuns> runs = collect(folder, plan_);
    count_unreadable(runs, outcome.sweep);
    std::vector<ReportSection> report = sections(runs, plan_);
    outcome.markdown = to_markdown(report);
    write_file_atomically(request_.out / "table.md", outcome.markdown);
    write_file_atomically(request_.out / "reproduction.json", json_text(to_json(runs, plan_)));
    for (std::size_t i = 0; pictures && i < runs.size(); ++i) {
      ReportSection& section = report[report.size() - runs.size() + i];
      section.figures.push_back(paper_figure(runs[i], plan_));
      write_figure(section.figures.back(), request_.out / runs[i].figure->name);
      if (plan_.paper_only) continue;
      section.figures.push_back(figure_of_all(runs[i]));
      write_figure(section.figures.back(), request_.out / (runs[i].figure->name + "-all"));
    }
    write_report({.folder = request_.out,
                  .title = "QMSE: the paper's experiments",
                  .sections = std::move(report),
                  .own_results = true});
    return outcome;
  }

  // A finished run without a record that can be read is as good as failed.
  static void count_unreadable(const std::vector<FigureRuns>& runs, SweepOutcome& outcome) {
    for (const FigureRuns& figure : runs) {
      for (const VariantRuns& row : figure.variants) {
        for (const SeedRun& run : row.runs) {
          if (run.status != MemberStatus::failed ||
              std::any_of(outcome.failed.begin(), outcome.failed.end(),
                          [&](const SweepOutcome::Failed& failed) { return failed.name == run.member; }))
            continue;
          outcome.failed.push_back({run.member, run.error});
          --outcome.finished;
        }
      }
    }
  }

  bool stop_requested() const { return events_.stop && events_.stop(); }

  void notice(const std::string& text) const {
    if (events_.notice) events_.notice(text);
  }

  // What members of this figure and seed start from.
  TrainConfig start_of(const PaperFigure& figure, std::int64_t seed) const {
    TrainConfig config;
    config.dataset = figure.dataset;
    config.data = plan_.data;
    config.train_limit = plan_.train_limit;
    config.loss = paper_losses().mse.name;
    config.seed = static_cast<std::uint64_t>(seed);
    config.device = request_.device;
    config.threads = request_.threads;
    resolve_defaults(config);
    return config;
  }

  // Measured once and kept: other rounding, on another processor, must not make it another sweep.
  double initial_weight(const PaperFigure& figure, std::int64_t seed) {
    const std::filesystem::path file = request_.out / "initialization.json";
    Json known = Json::object();
    if (std::filesystem::exists(file)) {
      known = read_json(file);
      if (!known.is_object()) throw DataError(in_quotes(file) + ": not a JSON object; remove it");
    }
    const std::string key =
        figure.dataset + ", " +
        (plan_.train_limit > 0 ? "first " + std::to_string(plan_.train_limit) : std::string("all")) +
        " images, seed " + std::to_string(seed);
    if (known.contains(key)) {
      const double weight = known[key].is_number() ? known[key].get<double>() : 0;
      if (!(weight > 0) || !std::isfinite(weight))
        throw DataError(in_quotes(file) + ": the entry " + in_quotes(key) + " is " + known[key].dump() +
                        ", no positive number; remove it, and it is measured again");
      return weight;
    }
    notice("measuring E||r||^2 at initialisation, " + key);
    const double weight = measure_initial_weight(start_of(figure, seed));
    known[key] = weight;
    write_file_atomically(file, json_text(known));
    return weight;
  }

  double measure_initial_weight(const TrainConfig& config) {
    const std::unique_ptr<Context> context = make_context(config);
    const std::shared_ptr<const TrainingImages> images =
        images_.get(config, [this] { return stop_requested(); });
    const ResidentDataset<float> data(*context, images->train, images->normalization);
    const Sequential model = make_model(describe_model(config, images->shape, images->train.classes()));
    ParameterStore store(*context, DType::f32, model.parameters());
    store.initialize(config.init, *config.seed_init);
    const std::unique_ptr<Loss> loss = make_loss(config);
    Evaluator<float> evaluator(
        *context, [&](Tape& tape, Value input) { return model.record(tape, store, input); }, data.view(),
        *loss, kEvaluationBatch);
    const auto metrics = evaluator.run([this](std::int64_t) { return !stop_requested(); });
    if (!metrics) throw Stopped("stopped while the runs were being prepared");
    return scores(*metrics).residual_sq + 1.0 / static_cast<double>(images->train.classes());
  }

  // Seconds that an epoch takes with all threads, from a short run.
  double seconds_an_epoch(const TrainConfig& member) {
    const std::shared_ptr<const TrainingImages> images =
        images_.get(member, [this] { return stop_requested(); });
    const TemporaryFolder folder("calibration");
    Json given = to_json(member);
    given["train_limit"] = std::min(kCalibrationImages, images->train.count);
    given["epochs"] = 1;
    given["evaluate_train"] = false;
    given["on_nan"] = name(OnNan::go_on);
    given["out"] = escape_name((folder / "run").native());
    EpochRecord record;
    TrainingRun(given, {.epoch = [&](const EpochRecord& measured, std::int64_t) { record = measured; },
                        .stop = [this] { return stop_requested(); },
                        .stop_loading = [this] { return stop_requested(); }})
        .run();
    if (stop_requested()) throw Stopped("stopped while the runs were being prepared");
    const auto trained = given["train_limit"].get<double>();
    const double training = 1 / record.images_per_second;
    const double evaluation =
        std::max(record.seconds - trained * training, 0.0) / static_cast<double>(images->test.count);
    return static_cast<double>(images->train.count) * (training + evaluation) +
           static_cast<double>(images->test.count) * evaluation;
  }

  void estimate(const SweepFolder& folder) {
    std::map<std::string, double> of_dataset;
    double seconds = 0;
    std::size_t left = 0;
    for (const SweepMember& member : folder.spec().members) {
      if (folder.status(member) == MemberStatus::finished) continue;
      if (const auto failure = folder.failure(member); failure && failure->final) continue;
      const TrainConfig config = folder.spec().config(member);
      if (of_dataset.count(config.dataset) == 0) of_dataset[config.dataset] = seconds_an_epoch(config);
      std::size_t done = 0;
      try {
        if (const std::optional<RunRecord> run = folder.record(member)) done = run->epochs.size();
      } catch (const Error&) {  // its run will say what is wrong
      }
      const double epochs = static_cast<double>(plan_.epochs) - static_cast<double>(done);
      seconds += std::max(epochs, 0.0) * of_dataset[config.dataset];
      ++left;
    }
    if (left == 0) return;
    std::string time = counted(std::llround(std::ceil(seconds / 60)), "minute");
    if (seconds >= 5400) time = fixed_text(seconds / 3600, 1) + " hours";
    notice(counted(left, "run") + " of " + counted(plan_.epochs, "epoch") + ": about " + time +
           " on this CPU, as measured just now" +
           (request_.shard.count > 1 ? ", shared with the other processes" : ""));
    notice(
        "--epochs, --train-limit, --seeds and --paper-only make it less; Ctrl-C stops it, and the same "
        "command goes on");
  }

  const ReproduceRequest& request_;
  ReproducePlan plan_;
  const SweepEvents& events_;
  ImageCache images_;
};

}  // namespace

ReproduceOutcome reproduce(const ReproduceRequest& request, const SweepEvents& events) {
  return Reproduction(request, events).run();
}

}  // namespace qmse
