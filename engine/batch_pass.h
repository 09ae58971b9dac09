// One batch through the network: gather and normalise, forward, loss and, for training, backward. Everything
// is recorded and allocated when the pass is made, for one batch size.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/loss.h"
#include "engine/tape.h"
#include "kernels/step_totals/step_totals.h"

namespace qmse {

// A labelled image set in device memory and how pixels become inputs, or a table. T is the tape's type.
template <class T>
struct ResidentData {
  std::int64_t samples = 0;
  Shape sample_shape;  // [C, H, W]
  std::int64_t classes = 0;
  const std::uint8_t* images = nullptr;  // [samples, C, H, W]
  const std::int32_t* labels = nullptr;  // [samples]
  const T* scale = nullptr;              // [C]; input = pixel * scale + shift
  const T* shift = nullptr;              // [C]
  // A table's, standardised, in place of the four above; C columns of one pixel, a target for each class.
  const T* columns = nullptr;  // [samples, C]
  const T* targets = nullptr;  // [samples, classes]
};

// Records a network on a tape: from the batch [B, C, H, W] to the outputs [B, classes].
using Network = std::function<Value(Tape& tape, Value input)>;

struct BatchPassOptions {
  bool gradients = true;           // false: forward and loss only
  bool fuse = true;                // see TapeOptions
  bool keep_loss_details = false;  // store what the loss can store beside its values (trace)
};

template <class T>
class BatchPass {
 public:
  using Options = BatchPassOptions;

  // `data` (what it points to) and `loss` must outlive the pass. Throws ShapeError where batch or samples are
  // empty, or the network's outputs are not [batch, data.classes].
  BatchPass(Context& context, const Network& network, const ResidentData<T>& data, const Loss& loss,
            std::int64_t batch, const Options& options);

  // The batch is order[*first .. *first + batch - 1]; pointers are to device memory. train() leaves the
  // gradients in the parameter store; evaluate() draws no random numbers (see LossBatch).
  void train(const std::uint32_t* order, const std::uint64_t* first, const std::uint64_t* step,
             const std::uint32_t* redraw = nullptr);  // LossBatch::redraw
  void evaluate(const std::uint32_t* order, const std::uint64_t* first);

  // train() in two parts, of which the second may be repeated with other losses, steps and draws: they go back
  // through the same forward pass.
  void forward(const std::uint32_t* order, const std::uint64_t* first);
  void backward(const Loss& loss, const std::uint64_t* step, const std::uint32_t* redraw = nullptr);

  // Adds the batch to the epoch and moves the counter on (kernels/step_totals). `args` has everything but the
  // batch itself.
  void total(StepTotalsArgs<T> args);

  std::int64_t batch() const { return batch_; }
  Tape& tape() { return tape_; }
  Value input() const { return input_; }
  Value output() const { return output_; }

  // Of the last batch, in device memory.
  const std::int32_t* labels() const {
    return labels_.template as<std::int32_t>();
  }                                                               // [B], or of a table null
  const T* targets() const { return targets_.template as<T>(); }  // [B, c] of a table
  const std::uint32_t* sample_ids() const { return sample_ids_.template as<std::uint32_t>(); }  // [B]
  const T* sample_loss() const { return sample_loss_.template as<T>(); }                        // [B]
  const T* residual_sq() const { return residual_sq_.template as<T>(); }                        // [B]
  std::span<const LossDetail> details() const { return details_; }  // [B, c] each; none unless kept

 private:
  void gather(const std::uint32_t* order, const std::uint64_t* first);
  void run_loss(const Loss& loss, const std::uint64_t* step, const std::uint32_t* redraw, void* gradient);

  Context* context_;
  ResidentData<T> data_;
  const Loss* loss_;
  std::int64_t batch_;
  bool gradients_;
  Tape tape_;
  Value input_;
  Value output_;
  Buffer labels_, targets_, sample_ids_, sample_loss_, residual_sq_, correct_, loss_workspace_;
  std::vector<Buffer> detail_buffers_;
  std::vector<LossDetail> details_;
};

}  // namespace qmse
