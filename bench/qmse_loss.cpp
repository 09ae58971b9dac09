// The fused QMSE loss, value and gradient: answers "<n>" with the time of n calls (bench/protocol.h). With
// --export it writes a small case of the same row length, v included, for peers to agree with first.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <random>

#include "base/parse_choice.h"
#include "bench/protocol.h"
#include "engine/safetensors.h"
#include "engine/with_context.h"
#include "experiment/run/setup.h"
#include "kernels/qmse/qmse.h"

namespace {

using namespace qmse;

struct Arguments {
  TrainConfig config;
  std::string targets = "labels";
  std::string distribution = "sphere";
  std::string export_file;
  std::int64_t batch = 4096;
  std::int64_t classes = 10;
};

constexpr std::int64_t kExportedOutputs = std::int64_t{1} << 20;  // at most, but one row at least
constexpr std::int64_t kPart = std::int64_t{1} << 20;             // random numbers drawn; then they repeat

// The loss over `batch` rows of random outputs and targets.
class LossCase {
 public:
  LossCase(Context& context, const Arguments& arguments, std::int64_t batch, bool keep_v)
      : context_(&context), outputs_(batch * arguments.classes) {
    args_.row.batch = batch;
    args_.row.classes = arguments.classes;
    args_.row.output = upload(random_numbers(1));
    if (arguments.targets == "dense") {
      args_.row.targets = upload(random_numbers(2));
    } else {
      std::vector<std::int32_t> labels(static_cast<std::size_t>(batch));
      std::mt19937 generator(3);
      for (std::int32_t& label : labels)
        label = static_cast<std::int32_t>(generator() % static_cast<std::uint32_t>(arguments.classes));
      args_.row.labels = upload(labels);
    }
    std::vector<std::uint32_t> ids(static_cast<std::size_t>(batch));
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::uint32_t>(i);
    args_.sample_ids = upload(ids);
    args_.step = upload(std::vector<std::uint64_t>{0});
    args_.options.distribution = parse_choice<DirectionDistribution>(arguments.distribution, "distribution");
    args_.options.seed = 1;
    args_.row.gradient = take<float>(outputs_);
    args_.row.sample_loss = take<float>(batch);
    args_.row.residual_sq = take<float>(batch);
    args_.row.correct = take<std::int32_t>(batch);
    if (keep_v) args_.v = take<float>(outputs_);
    const std::size_t workspace = row_loss_workspace_bytes(batch, arguments.classes);
    if (context.is_cuda() && workspace > 0)
      args_.row.workspace = take<char>(static_cast<std::int64_t>(workspace));
  }

  void run() {
    with_context<float>(*context_, [this](auto& backend) { qmse_loss(backend, args_); });
  }

  void write(const std::string& path) const {
    const std::int64_t batch = args_.row.batch;
    const std::int64_t classes = args_.row.classes;
    const auto output = read(args_.row.output, outputs_);
    const auto gradient = read(args_.row.gradient, outputs_);
    const auto v = read(args_.v, outputs_);
    const auto loss = read(args_.row.sample_loss, batch);
    std::vector<TensorToWrite> tensors{{"output", DType::f32, {batch, classes}, output.data()},
                                       {"gradient", DType::f32, {batch, classes}, gradient.data()},
                                       {"v", DType::f32, {batch, classes}, v.data()},
                                       {"sample_loss", DType::f32, {batch}, loss.data()}};
    std::vector<std::int32_t> labels;
    std::vector<float> targets;
    if (args_.row.labels != nullptr) {
      labels = read(args_.row.labels, batch);
      tensors.push_back({"labels", DType::i32, {batch}, labels.data()});
    } else {
      targets = read(args_.row.targets, outputs_);
      tensors.push_back({"targets", DType::f32, {batch, classes}, targets.data()});
    }
    write_safetensors(path, tensors, {});
  }

 private:
  std::vector<float> random_numbers(unsigned seed) const {
    std::vector<float> values(static_cast<std::size_t>(outputs_));
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    const auto drawn = std::min<std::size_t>(values.size(), kPart);
    for (std::size_t i = 0; i < drawn; ++i) values[i] = normal(generator);
    for (std::size_t i = drawn; i < values.size(); ++i) values[i] = values[i - drawn];
    return values;
  }

  template <class T>
  T* take(std::int64_t count) {
    Buffer& buffer = buffers_.emplace_back(context_->memory(), static_cast<std::size_t>(count) * sizeof(T),
                                           "benchmark data");
    fill_zero(*context_, buffer.data(), buffer.bytes());
    return buffer.as<T>();
  }

  template <class T>
  T* upload(const std::vector<T>& values) {
    T* data = take<T>(static_cast<std::int64_t>(values.size()));
    host_to_device(*context_, data, values.data(), values.size() * sizeof(T));
    return data;
  }

  template <class T>
  std::vector<T> read(const T* data, std::int64_t count) const {
    std::vector<T> values(static_cast<std::size_t>(count));
    device_to_host(*context_, values.data(), data, values.size() * sizeof(T));
    return values;
  }

  Context* context_;
  std::int64_t outputs_;
  std::vector<Buffer> buffers_;
  QmseArgs<float> args_;
};

int measure(const Arguments& arguments) {
  const std::unique_ptr<Context> context = make_context(arguments.config);
  if (!arguments.export_file.empty()) {
    const std::int64_t rows = std::max<std::int64_t>(1, kExportedOutputs / arguments.classes);
    LossCase small(*context, arguments, std::min(arguments.batch, rows), true);
    small.run();
    small.write(arguments.export_file);
  }
  LossCase loss(*context, arguments, arguments.batch, false);
  bench::serve([&](const std::string& request) -> nlohmann::json {
    const int calls = std::stoi(request);
    const bench::Stopwatch watch;
    for (int i = 0; i < calls; ++i) loss.run();
    synchronize(*context);
    return {{"seconds", watch.seconds()}, {"steps", calls}};
  });
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Times the fused QMSE loss: reads numbers of calls, answers each with one JSON object a line.");
  Arguments arguments;
  TrainConfig& config = arguments.config;
  config.device = "cpu";
  config.threads = 1;
  app.add_option("--device", config.device, "cpu, cuda or cuda:N");
  app.add_option("--threads", config.threads, "threads on the CPU; 0 takes all")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--batch", arguments.batch, "rows")->check(CLI::PositiveNumber);
  app.add_option("--classes", arguments.classes, "outputs of a row")->check(CLI::PositiveNumber);
  app.add_option("--targets", arguments.targets, "kind of targets")
      ->check(CLI::IsMember({"labels", "dense"}));
  app.add_option("--distribution", arguments.distribution, "of v")
      ->check(CLI::IsMember({"sphere", "rademacher"}));
  app.add_option("--export", arguments.export_file, "write a small case to this safetensors file");
  CLI11_PARSE(app, argc, argv);
  try {
    return measure(arguments);
  } catch (const std::exception& error) {
    std::cerr << "qmse_loss: " << error.what() << '\n';
    return 1;
  }
}
