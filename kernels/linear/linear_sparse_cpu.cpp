// Fully connected layer whose products leave zeros out where there are many: in x behind a max-pool with ReLU,
// and in the gradient before a ReLU of its own.
#include <algorithm>
#include <memory>
#include <vector>

#include "kernels/cpu/simd.h"
#include "kernels/linear/linear_cpu.h"
#include "kernels/linear/sparse_gemm.h"

namespace qmse {

namespace {

// With more than this share of a factor's elements the dense product is faster.
constexpr double kShare = 0.5;
// One image of x in so many is looked at.
constexpr std::int64_t kLookedAt = 8;
// Images whose lists are made at a time in the forward pass.
constexpr std::int64_t kImages = 64;
// Outputs of a task of the forward pass, so that there are tasks for several threads.
constexpr std::int64_t kOutputs = 64;
// Layers with fewer inputs or outputs stay dense: they would leave most of a panel empty.
constexpr std::int64_t kLeast = 64;

std::int64_t nonzeros(const float* x, std::int64_t n) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < n; ++i) count += x[i] != 0 ? 1 : 0;
  return count;
}

// Lists of a matrix's rows, block by block of its columns.
class SparseMatrix {
 public:
  SparseMatrix(MemoryResource& memory, std::int64_t rows, std::int64_t columns)
      : rows_(rows),
        columns_(columns),
        buffer_(memory, sizeof(float) * quotient_up(columns, kSparseDepth) * rows * (2 * kSparseDepth + 1),
                "linear layer's lists") {}

  std::int64_t depth(std::int64_t block) const {
    return std::min(kSparseDepth, columns_ - block * kSparseDepth);
  }
  // From row `first` on.
  SparseBlock block(std::int64_t block, std::int64_t first = 0) const {
    auto* values = buffer_.as<float>() + block * rows_ * (2 * kSparseDepth + 1);
    auto* columns = reinterpret_cast<std::int32_t*>(values + rows_ * kSparseDepth);
    return {values + first * kSparseDepth, columns + first * kSparseDepth,
            columns + rows_ * kSparseDepth + first};
  }
  std::int64_t blocks() const { return quotient_up(columns_, kSparseDepth); }

 private:
  std::int64_t rows_, columns_;
  Buffer buffer_;
};

class SparseLinear final : public Linear<float> {
 public:
  SparseLinear(CpuContext& context, const LinearShape& shape)
      : context_(context),
        shape_(shape),
        dense_(*QMSE_FOR_ISA(context.instruction_set(), gemm<float>)),
        gemm_(*QMSE_FOR_ISA(context.instruction_set(), sparse_gemm)),
        gradient_(context.memory(),
                  shape.activation == Activation::relu ? sizeof(float) * shape.batch * shape.out_features : 0,
                  "linear gradient before the activation"),
        transposed_(context.memory(), sizeof(float) * shape.batch * shape.out_features,
                    "linear gradient, transposed"),
        panels_(context.memory(), sizeof(float) * context.threads().size() * kSparseDepth * gemm_.width,
                "linear layer's panels"),
        of_images_(context.memory(), shape.batch, shape.out_features),
        of_outputs_(context.memory(), shape.out_features, shape.batch) {
    for (int i = 0; i < context.threads().size(); ++i)
      inputs_.emplace_back(context.memory(), std::min(shape.batch, kImages), kSparseDepth);
  }

  void forward(const float* x, const float* w, const float* bias, float* y) override {
    const std::int64_t batch = shape_.batch, in = shape_.in_features, out = shape_.out_features;
    std::int64_t found = 0;
    for (std::int64_t n = 0; n < batch; n += kLookedAt) found += nonzeros(x + n * in, in);
    if (static_cast<double>(found) > kShare * static_cast<double>(quotient_up(batch, kLookedAt) * in))
      return forward_dense(context_, shape_, dense_, x, w, bias, y);
    const std::int64_t width = std::min(gemm_.width, kOutputs), blocks = quotient_up(out, width);
    context_.threads().run(quotient_up(batch, kImages) * blocks, [&](std::int64_t item, int worker) {
      const std::int64_t image = item / blocks * kImages, images = std::min(batch - image, kImages);
      const std::int64_t first = item % blocks * width, last = std::min(out, first + width);
      const SparseBlock lists = inputs_[static_cast<std::size_t>(worker)].block(0);
      for (std::int64_t k = 0; k < in; k += kSparseDepth) {
        const std::int64_t depth = std::min(kSparseDepth, in - k);
        gemm_.list(images, depth, x + image * in + k, in, lists);
        gemm_.multiply(images, last - first, depth, lists, {w + first * in + k, 1, in}, panel(worker),
                       y + image * out + first, out, k > 0);
      }
      add_bias_and_activate(shape_, images, first, last, bias, y + image * out);
    });
  }

  void backward(const float* x, const float* w, const float* y, const float* dy, float* dx, float* dw,
                float* db) override {
    const float* dz = gradient_before_activation(context_, shape_, y, dy, gradient_.as<float>());
    const std::int64_t elements = shape_.batch * shape_.out_features;
    if (static_cast<double>(nonzeros(dz, elements)) > kShare * static_cast<double>(elements)) {
      gradients_dense(context_, shape_, dense_, x, w, dz, dx, dw);
    } else {
      sparse_gradients(x, w, dz, dx, dw);
    }
    if (db != nullptr) sum_bias_gradient(context_, shape_, dz, db);
  }

  const char* algorithm() const override { return "plain, many zeros left out"; }

 private:
  void sparse_gradients(const float* x, const float* w, const float* dz, float* dx, float* dw) {
    const std::int64_t batch = shape_.batch, in = shape_.in_features, out = shape_.out_features;
    list(dz, dx != nullptr);
    context_.threads().run(quotient_up(in, gemm_.width), [&](std::int64_t item, int worker) {
      const std::int64_t first = item * gemm_.width, width = std::min(in - first, gemm_.width);
      for (std::int64_t k = 0; k < of_outputs_.blocks(); ++k) {
        gemm_.multiply(out, width, of_outputs_.depth(k), of_outputs_.block(k),
                       {x + k * kSparseDepth * in + first, in, 1}, panel(worker), dw + first, in, k > 0);
      }
      for (std::int64_t k = 0; k < of_images_.blocks() && dx != nullptr; ++k) {
        gemm_.multiply(batch, width, of_images_.depth(k), of_images_.block(k),
                       {w + k * kSparseDepth * in + first, in, 1}, panel(worker), dx + first, in, k > 0);
      }
    });
  }

  // dz by outputs and, where asked for, by images.
  void list(const float* dz, bool by_images) {
    const std::int64_t batch = shape_.batch, out = shape_.out_features;
    auto* transposed = transposed_.as<float>();
    context_.threads().run(quotient_up(out, kSparseDepth), [&](std::int64_t item, int) {
      const std::int64_t first = item * kSparseDepth, outputs = of_images_.depth(item);
      if (by_images) gemm_.list(batch, outputs, dz + first, out, of_images_.block(item));
      simd_transpose(batch, outputs, dz + first, out, transposed + first * batch, batch);
      for (std::int64_t k = 0; k < of_outputs_.blocks(); ++k) {
        gemm_.list(outputs, of_outputs_.depth(k), transposed + first * batch + k * kSparseDepth, batch,
                   of_outputs_.block(k, first));
      }
    });
  }

  float* panel(int worker) { return panels_.as<float>() + worker * kSparseDepth * gemm_.width; }

  CpuContext& context_;
  LinearShape shape_;
  Gemm<float>& dense_;
  const SparseGemm& gemm_;
  Buffer gradient_, transposed_, panels_;
  SparseMatrix of_images_, of_outputs_;
  std::vector<SparseMatrix> inputs_;  // one a worker
};

}  // namespace

// Also with oneDNN at hand: on the network's shapes the dense forward is faster than its sgemm, and the
// backward within a quarter of it, too little for a second path.
std::unique_ptr<Linear<float>> make_linear(CpuContext& context, Precision<float>, const LinearShape& shape,
                                           BackwardNeeds) {
  check(shape);
  if (std::min(shape.in_features, shape.out_features) < kLeast)
    return make_plain_linear<float>(context, shape);
  return std::make_unique<SparseLinear>(context, shape);
}

}  // namespace qmse
