#include "analysis/inspect/jacobian.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "algebra/dense.h"
#include "base/error.h"
#include "engine/context.h"
#include "engine/tape.h"

namespace qmse {
namespace {

// A linear layer: its weights' rows are not kept.
struct LinearPart {
  std::size_t weight, bias;  // parameters
  Value input;
  std::int64_t inputs, outputs;
};

// One sample through the network, forward once and backward for each output. Every thread has one.
class SamplePass {
 public:
  SamplePass(const Sequential& model, const ParameterStore& weights)
      : context_(std::make_unique<CpuContext>(1)),
        store_(context_, DType::f64, model.parameters()),
        tape_(context_, {.dtype = DType::f64, .fuse = false}) {
    const auto* from = static_cast<const double*>(weights.weights());
    std::copy(from, from + weights.flat_size(), static_cast<double*>(store_.weights()));
    input_ = tape_.input("input", model.input_shape().with_batch(1));
    output_ = model.record(tape_, store_, input_);
    if (!tape_.needs_gradient(output_)) throw ShapeError("a network without parameters has no Jacobian");
    find_linear_layers();
  }

  void forward(std::span<const double> input) {
    std::copy(input.begin(), input.end(), tape_.data_as<double>(input_));
    tape_.forward();
  }
  void backward(std::int64_t output) {
    auto* seed = static_cast<double*>(tape_.gradient(output_));
    std::fill(seed, seed + outputs(), 0.0);
    seed[output] = 1;
    tape_.backward(output_);
  }
  std::int64_t outputs() const { return tape_.shape(output_).count(); }

  const std::vector<LinearPart>& linear() const { return linear_; }
  // Parameters of no linear layer.
  const std::vector<std::size_t>& others() const { return others_; }
  std::span<const double> gradient(std::size_t parameter) const {
    return {static_cast<const double*>(store_.gradients(parameter)), size(parameter)};
  }
  std::span<const double> value(Value value) const {
    return {tape_.data_as<double>(value), static_cast<std::size_t>(tape_.shape(value).count())};
  }
  std::size_t size(std::size_t parameter) const {
    return static_cast<std::size_t>(store_.spec(parameter).shape.count());
  }
  const ParameterStore& store() const { return store_; }

 private:
  // By name and shape: "fc1.weight" [out, in] with "fc1.bias" [out] belongs to the value "fc1", whose input is
  // the last value before it that is no parameter.
  void find_linear_layers() {
    std::vector<bool> taken(store_.size());
    Value before = input_;
    for (int id = input_.id + 1; id < tape_.value_count(); ++id) {
      const Value value{id};
      if (tape_.is_leaf(value)) continue;
      const std::optional<std::size_t> weight = find(tape_.name(value) + ".weight"),
                                       bias = find(tape_.name(value) + ".bias");
      if (weight && bias && store_.spec(*weight).shape.dimensions() == 2) {
        const Shape& shape = store_.spec(*weight).shape;
        linear_.push_back({*weight, *bias, before, shape[1], shape[0]});
        taken[*weight] = taken[*bias] = true;
      }
      before = value;
    }
    for (std::size_t i = 0; i < taken.size(); ++i) {
      if (!taken[i]) others_.push_back(i);
    }
  }
  std::optional<std::size_t> find(const std::string& name) const {
    for (std::size_t i = 0; i < store_.size(); ++i) {
      if (store_.spec(i).name == name) return i;
    }
    return std::nullopt;
  }

  Context context_;
  ParameterStore store_;
  Tape tape_;
  Value input_, output_;
  std::vector<LinearPart> linear_;
  std::vector<std::size_t> others_;
};

std::size_t input_size(const JacobianRequest& request) {
  const auto size = static_cast<std::size_t>(request.model->input_shape().count());
  if (request.samples < 1 || request.inputs.size() != size * static_cast<std::size_t>(request.samples)) {
    throw ShapeError("the Jacobian over " + std::to_string(request.samples) + " samples of " +
                     to_string(request.model->input_shape()) + " was given " +
                     std::to_string(request.inputs.size()) + " numbers");
  }
  return size;
}

// body(pass, n) for every sample n, which has been through the network.
template <class Body>
void for_samples(const JacobianRequest& request, ThreadPool& threads, const std::function<bool()>& stop,
                 const Body& body) {
  const std::size_t size = input_size(request);
  std::vector<std::unique_ptr<SamplePass>> passes(static_cast<std::size_t>(threads.size()));
  std::atomic<bool> stopped = false;
  threads.run(request.samples, [&](std::int64_t n, int worker) {
    if (worker == 0 && stop && stop()) stopped = true;
    if (stopped) return;
    std::unique_ptr<SamplePass>& pass = passes[static_cast<std::size_t>(worker)];
    if (!pass) pass = std::make_unique<SamplePass>(*request.model, *request.store);
    pass->forward(request.inputs.subspan(static_cast<std::size_t>(n) * size, size));
    body(*pass, n);
  });
}

void copy_to(std::span<const double> from, std::vector<double>& rows, std::int64_t row, std::int64_t columns,
             std::int64_t at = 0) {
  std::copy(from.begin(), from.end(), rows.begin() + row * columns + at);
}

}  // namespace

std::vector<double> jacobian_gram(const JacobianRequest& request, ThreadPool& threads,
                                  const std::function<bool()>& stop) {
  const SamplePass shapes(*request.model, *request.store);
  const std::int64_t c = shapes.outputs(), rows = request.samples * c;
  struct Factors {
    std::vector<double> delta, input;  // [N c][outputs], [N][inputs]
  };
  std::vector<Factors> linear;
  for (const LinearPart& part : shapes.linear()) {
    linear.push_back({std::vector<double>(static_cast<std::size_t>(rows * part.outputs)),
                      std::vector<double>(static_cast<std::size_t>(request.samples * part.inputs))});
  }
  std::int64_t columns = 0;
  for (const std::size_t parameter : shapes.others())
    columns += static_cast<std::int64_t>(shapes.size(parameter));
  std::vector<double> kept(static_cast<std::size_t>(rows * columns));
  std::atomic<std::int64_t> done = 0;
  for_samples(request, threads, stop, [&](SamplePass& pass, std::int64_t n) {
    for (std::size_t l = 0; l < linear.size(); ++l)
      copy_to(pass.value(pass.linear()[l].input), linear[l].input, n, pass.linear()[l].inputs);
    for (std::int64_t i = 0; i < c; ++i) {
      pass.backward(i);
      for (std::size_t l = 0; l < linear.size(); ++l)
        copy_to(pass.gradient(pass.linear()[l].bias), linear[l].delta, n * c + i, pass.linear()[l].outputs);
      std::int64_t at = 0;
      for (const std::size_t parameter : pass.others()) {
        copy_to(pass.gradient(parameter), kept, n * c + i, columns, at);
        at += static_cast<std::int64_t>(pass.size(parameter));
      }
    }
    ++done;
  });
  if (done < request.samples) return {};
  std::vector<double> gram = columns > 0 ? gram_matrix(kept, rows, columns, threads)
                                         : std::vector<double>(static_cast<std::size_t>(rows * rows));
  for (std::size_t l = 0; l < linear.size(); ++l) {
    const LinearPart& part = shapes.linear()[l];
    const std::vector<double> delta = gram_matrix(linear[l].delta, rows, part.outputs, threads),
                              input = gram_matrix(linear[l].input, request.samples, part.inputs, threads);
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t column = 0; column < rows; ++column) {
        const auto at = static_cast<std::size_t>(row * rows + column);
        gram[at] += delta[at] * (input[static_cast<std::size_t>(row / c * request.samples + column / c)] + 1);
      }
    }
  }
  return gram;
}

std::vector<double> jacobian_rows(const JacobianRequest& request, ThreadPool& threads) {
  const SamplePass shapes(*request.model, *request.store);
  const std::int64_t c = shapes.outputs(), columns = shapes.store().parameter_count();
  std::vector<double> rows(static_cast<std::size_t>(request.samples * c * columns));
  for_samples(request, threads, {}, [&](SamplePass& pass, std::int64_t n) {
    for (std::int64_t i = 0; i < c; ++i) {
      pass.backward(i);
      std::int64_t at = 0;
      for (std::size_t parameter = 0; parameter < pass.store().size(); ++parameter) {
        copy_to(pass.gradient(parameter), rows, n * c + i, columns, at);
        at += static_cast<std::int64_t>(pass.size(parameter));
      }
    }
  });
  return rows;
}

}  // namespace qmse
