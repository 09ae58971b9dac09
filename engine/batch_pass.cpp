#include "engine/batch_pass.h"

#include <stdexcept>

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
  labels_ = Buffer(memory, n * sizeof(std::int32_t), "batch labels");
  sample_ids_ = Buffer(memory, n * sizeof(std::uint32_t), "batch sample ids");
  sample_loss_ = Buffer(memory, n * sizeof(T), "batch losses");
  residual_sq_ = Buffer(memory, n * sizeof(T), "batch squared residuals");
  correct_ = Buffer(memory, n * sizeof(std::int32_t), "batch correct predictions");
  if (context.is_cuda()) {
    loss_workspace_ = Buffer(memory, row_loss_workspace_bytes(batch, data.classes), "workspace of the loss");
  }
  if (options.keep_loss_details) {
    const std::size_t bytes = static_cast<std::size_t>(expected.count()) * sizeof(T);
    residual_ = Buffer(memory, bytes, "batch residuals");
    if (loss.draws_direction()) v_ = Buffer(memory, bytes, "batch directions v");
  }
}

template <class T>
void BatchPass<T>::gather(const std::uint32_t* order, const std::uint64_t* first) {
  GatherArgs<T> args;
  args.batch = batch_;
  args.channels = data_.sample_shape[0];
  args.inner = data_.sample_shape.count() / args.channels;
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
LossBatch<T> BatchPass<T>::loss_batch(const std::uint64_t* step) {
  LossBatch<T> batch;
  batch.row.batch = batch_;
  batch.row.classes = data_.classes;
  batch.row.output = tape_.data_as<T>(output_);
  batch.row.labels = labels_.as<std::int32_t>();
  batch.row.sample_loss = sample_loss_.as<T>();
  batch.row.residual_sq = residual_sq_.as<T>();
  batch.row.correct = correct_.as<std::int32_t>();
  batch.row.residual = residual_.as<T>();
  batch.row.workspace = loss_workspace_.data();
  batch.sample_ids = sample_ids_.as<std::uint32_t>();
  batch.step = step;
  batch.v = v_.as<T>();
  return batch;
}

template <class T>
void BatchPass<T>::train(const std::uint32_t* order, const std::uint64_t* first, const std::uint64_t* step,
                         const std::uint32_t* redraw) {
  if (!gradients_) throw std::logic_error("a pass made without gradients cannot train");
  gather(order, first);
  tape_.forward();
  LossBatch<T> batch = loss_batch(step);
  batch.row.gradient = static_cast<T*>(tape_.gradient(output_));
  batch.redraw = redraw;
  loss_->train(*context_, batch);
  tape_.backward(output_);
}

template <class T>
void BatchPass<T>::evaluate(const std::uint32_t* order, const std::uint64_t* first) {
  gather(order, first);
  tape_.forward();
  loss_->evaluate(*context_, loss_batch(nullptr));
}

template <class T>
void BatchPass<T>::total(StepTotalsArgs<T> args) {
  args.batch = batch_;
  args.sample_loss = sample_loss();
  args.residual_sq = residual_sq_.as<T>();
  args.correct = correct_.as<std::int32_t>();
  with_context<T>(*context_, [&](auto& backend) { step_totals(backend, args); });
}

template class BatchPass<float>;
template class BatchPass<double>;

}  // namespace qmse
