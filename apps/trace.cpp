#include "experiment/run/trace.h"

#include <array>
#include <iostream>
#include <memory>

#include "apps/commands.h"
#include "apps/options.h"
#include "base/error.h"
#include "base/number_text.h"

namespace qmse::app {
namespace {

enum class Arithmetic { f32, f64 };
constexpr std::array<Choice<Arithmetic>, 2> choices(Arithmetic) {
  return {{{Arithmetic::f32, name(DType::f32)}, {Arithmetic::f64, name(DType::f64)}}};
}

}  // namespace

Command trace_command() {
  Command command = make_command(
      "qmse trace", "Write one training step, with every activation and gradient, to a safetensors file");
  CLI::Option* out =
      add_text_option(*command.parser, "--out", "FILE", "Trace", "the file to write (required)");
  CLI::Option* weights =
      add_text_option(*command.parser, "--weights", "FILE|RUN", "Trace",
                      "weights to start from, or a run directory for its model.safetensors; without it the "
                      "initial weights of --init and --seed");
  CLI::Option* dtype = add_choice_option<Arithmetic>(*command.parser, "--dtype", "Trace",
                                                     "arithmetic; f64 runs on the CPU [f32]");
  CLI::Option* step = add_text_option(*command.parser, "--step", "N", "Trace",
                                      "draw v as step N of the training does, counted from 1 [1]");
  const auto options = std::make_shared<ConfigOptions>(*command.parser, kTrace);
  command.parser->footer(
      "Example\n"
      "  qmse trace --model cnn --dataset mnist --data ~/data --loss qmse --batch-size 8 --dtype f64 --out "
      "step.safetensors\n"
      "\n" +
      wrap_help("The batch, v and weights are those of the first step of qmse train with the same options; "
                "--step takes the v of a later one. Tensors: input, target, output, residual, v, "
                "sample_loss, loss, grad.output, param.<name>, grad.<name>, activation.<layer>. Exit codes: "
                "0 done, "
                "1 failure, 2 wrong usage.",
                kFooterWidth));
  command.action = [=] {
    TraceRequest request;
    request.given = options->given();
    if (out->count() == 0) throw ConfigError("--out FILE is missing: where the trace goes");
    request.out = out->as<std::string>();
    if (weights->count() > 0) request.weights = weights->as<std::string>();
    request.dtype = chosen(*dtype, Arithmetic::f32) == Arithmetic::f64 ? DType::f64 : DType::f32;
    if (step->count() > 0)
      request.step = static_cast<std::int64_t>(whole_number(*step, 1, std::uint64_t{1} << 32));
    const TraceSummary summary = write_trace(request);
    if (!summary.stale.empty()) std::cerr << "note: " << summary.stale << '\n';
    std::cout << request.out.string() << ": " << summary.tensors.size() << " tensors, loss "
              << significant_text(summary.loss, 6) << ", calculated in " << name(request.dtype) << " on "
              << summary.device << '\n';
    return 0;
  };
  return command;
}

}  // namespace qmse::app
