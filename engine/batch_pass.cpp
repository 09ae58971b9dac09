#include "engine/batch_pass.h"

#include <stdexcept>

#include "device/range.h"
#include "engine/with_context.h"
#include "kernels/gather_normalize/gather_normalize.h"

namespace qmse {

template <class T>
BatchPass<T>::BatchPass(Context& context, const Network& network, const ResidentData<T>& data,
                        const Loss& loss, std::int64_t batch, const Options& options)
    : context_(&context),
      data_(data),
      loss_(&loss),
      batch_(batch),
      gradients_(options.gradients),
      tape_(context, {.dtype = dtype_of<T>(), .gradients = options.gradients, .fuse = options.fuse}) {
  if (batch < 1) throw ShapeError("a batch needs at least one sample, not " + std::to_string(batch));
  if (data.sample_shape.dimensions() < 1 || data.sample_shape.count() < 1) {
    throw ShapeError("samples need at least one channel and one pixel, not the shape " +
                     to_string(data.sample_shape));
  }
  input_ = tape_.input("input", data.sample_shape.with_batch(batch));
  output_ = network(tape_, input_);
  const Shape expected{batch, data.classes};
  if (tape_.shape(output_) != expected) {
    throw ShapeError("the network's outputs are " + to_string(tape_.shape(output_)) +
                     " where the data set's classes need " + to_string(expected));
  }
  MemoryResource& memory = context.memory();
  const auto n = static_cast<std::size_t>(batch);
  if (data.targets != nullptr) {
    targets_ = Buffer(memory, static_cast<std::size_t>(expected.count()) * sizeof(T), "batch targets");
  } else {
    labels_ = Buffer(memory, n * sizeof(std::int32_t), "batch labels");
  }
  sample_ids_ = Buffer(memory, n * sizeof(std::uint32_t), "batch sample ids");
  sample_loss_ = Buffer(memory, n * sizeof(T), "batch losses");
  residual_sq_ = Buffer(memory, n * sizeof(T), "batch squared residuals");
  correct_ = Buffer(memory, n * sizeof(std::int32_t), "batch correct predictions");
  if (context.is_cuda()) {
    loss_workspace_ = Buffer(memory, row_loss_workspace_bytes(batch, data.classes), "workspace of the loss");
  }
  if (!options.keep_loss_details) return;
  for (const std::string_view name : loss.details()) {
    detail_buffers_.emplace_back(memory, static_cast<std::size_t>(expected.count()) * sizeof(T),
                                 "the loss's " + std::string(name));
    details_.push_back({name, detail_buffers_.back().data()});
  }
}

template <class T>
void BatchPass<T>::gather(const std::uint32_t* order, const std::uint64_t* first) {
  const Range phase("gather");
  GatherArgs<T> args;
  args.batch = batch_;
  args.channels = data_.sample_shape[0];
  args.inner = data_.sample_shape.count() / args.channels;
  args.columns = data_.columns;
  args.targets = data_.targets;
  args.target_count = data_.classes;
  args.batch_targets = targets_.as<T>();
  args.images = data_.images;
  args.labels = data_.labels;
  args.order = order;
  args.first = first;
  args.scale = data_.scale;
  args.shift = data_.shift;
  args.x = tape_.data_as<T>(input_);
  args.batch_labels = labels_.as<std::int32_t>();
  args.sample_ids = sample_ids_.as<std::uint32_t>();
  with_context<T>(*context_, [&](auto& backend) { gather_normalize(backend, args); });
}

template <class T>
void BatchPass<T>::run_loss(const Loss& loss, const std::uint64_t* step, const std::uint32_t* redraw,
                            void* gradient) {
  const Range phase("loss");
  LossBatch batch;
  batch.dtype = dtype_of<T>();
  batch.batch = batch_;
  batch.classes = data_.classes;
  batch.output = tape_.data(output_);
  batch.labels = labels_.as<std::int32_t>();
  batch.targets = targets_.data();
  batch.sample_loss = sample_loss_.data();
  batch.residual_sq = residual_sq_.data();
  batch.correct = correct_.as<std::int32_t>();
  batch.gradient = gradient;
  batch.workspace = loss_workspace_.data();
  batch.details = details_;
  batch.step = step;
  batch.sample_ids = sample_ids_.as<std::uint32_t>();
  batch.redraw = redraw;
  loss.run(*context_, batch);
}

template <class T>
void BatchPass<T>::train(const std::uint32_t* order, const std::uint64_t* first, const std::uint64_t* step,
                         const std::uint32_t* redraw) {
  forward(order, first);
  backward(*loss_, step, redraw);
}

template <class T>
void BatchPass<T>::forward(const std::uint32_t* order, const std::uint64_t* first) {
  gather(order, first);
  tape_.forward();
}

template <class T>
void BatchPass<T>::backward(const Loss& loss, const std::uint64_t* step, const std::uint32_t* redraw) {
  if (!gradients_) throw std::logic_error("a pass made without gradients cannot train");
  run_loss(loss, step, redraw, tape_.gradient(output_));
  tape_.backward(output_);
}

template <class T>
void BatchPass<T>::evaluate(const std::uint32_t* order, const std::uint64_t* first) {
  forward(order, first);
  run_loss(*loss_, nullptr, nullptr, nullptr);
}

template <class T>
void BatchPass<T>::total(StepTotalsArgs<T> args) {
  const Range phase("totals");
  args.batch = batch_;
  args.sample_loss = sample_loss();
  args.residual_sq = residual_sq();
  args.correct = correct_.as<std::int32_t>();
  with_context<T>(*context_, [&](auto& backend) { step_totals(backend, args); });
}

template class BatchPass<float>;
template class BatchPass<double>;

}  // namespace qmse
