// The plain convolution: each image is unfolded into a matrix (im2col) and multiplied. Gradients in f32
// are SparseGradients.
#include <algorithm>

#include "base/build_config.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/sparse_gradients.h"
#include "kernels/cpu/simd.h"
#include "kernels/linear/gemm.h"

namespace qmse {

namespace {

// Gradients of the weights are summed within this many groups of images, then across them: enough groups for
// every thread, and the same ones whatever the number of threads.
constexpr std::int64_t kGradientGroups = 16;
constexpr std::int64_t kReduceElements = 4096;  // of the weights, per task of the last sum

// A worker's matrix of an image's unfolded neighbourhoods, [taps, pixels].
template <class T>
class Columns {
 public:
  Columns(CpuContext& context, const Conv2dShape& shape)
      : shape_(shape),
        pixels_(shape.out_height() * shape.out_width()),
        taps_(shape.in_channels * shape.kernel_height * shape.kernel_width),
        memory_(context.memory(), sizeof(T) * context.threads().size() * taps_ * pixels_, "conv2d columns") {}

  std::int64_t pixels() const { return pixels_; }
  std::int64_t taps() const { return taps_; }
  std::int64_t image() const { return shape_.in_channels * shape_.in_height * shape_.in_width; }
  T* of(int worker) const { return memory_.template as<T>() + worker * taps_ * pixels_; }

  // columns[(i, kh, kw), (oh, ow)] = x[i, oh * stride + kh - padding, ow * stride + kw - padding],
  // zero outside.
  void unfold(const T* x, T* columns) const {
    visit(
        [&](bool outside, std::int64_t in_row, std::int64_t out_row, std::int64_t first, std::int64_t last) {
          T* to = columns + out_row;
          if (outside) {
            std::fill_n(to, shape_.out_width(), T(0));
            return;
          }
          std::fill(to, to + first, T(0));
          if (shape_.stride == 1) {
            std::copy_n(x + in_row + first, last - first, to + first);
          } else {
            for (std::int64_t ow = first; ow < last; ++ow) to[ow] = x[in_row + ow * shape_.stride];
          }
          std::fill(to + last, to + shape_.out_width(), T(0));
        });
  }

  // The transpose of unfold().
  void fold(const T* columns, T* x) const {
    std::fill_n(x, image(), T(0));
    visit(
        [&](bool outside, std::int64_t in_row, std::int64_t out_row, std::int64_t first, std::int64_t last) {
          if (outside) return;
          const T* from = columns + out_row;
          for (std::int64_t ow = first; ow < last; ++ow) x[in_row + ow * shape_.stride] += from[ow];
        });
  }

 private:
  // The outputs [first, last) whose input, at output * stride + offset, is in [0, in).
  void inside(std::int64_t offset, std::int64_t in, std::int64_t out, std::int64_t& first,
              std::int64_t& last) const {
    const std::int64_t s = shape_.stride;
    first = std::min(out, offset >= 0 ? 0 : (-offset + s - 1) / s);
    last = std::max(first, std::min(out, offset >= in ? 0 : (in - 1 - offset) / s + 1));
  }

  // Calls row(outside, in_row, out_row, first, last) for every image row of the unfolded matrix: out_row is
  // where it starts in the matrix, in_row where its output column 0 reads the image (possibly left of it);
  // `outside` if it is above or below the image; [first, last) are the output columns inside the image.
  template <class F>
  void visit(const F& row) const {
    const Conv2dShape& s = shape_;
    std::int64_t out_row = 0;
    for (std::int64_t i = 0; i < s.in_channels; ++i) {
      for (std::int64_t kh = 0; kh < s.kernel_height; ++kh) {
        for (std::int64_t kw = 0; kw < s.kernel_width; ++kw) {
          std::int64_t first = 0, last = 0;
          inside(kw - s.padding, s.in_width, s.out_width(), first, last);
          for (std::int64_t oh = 0; oh < s.out_height(); ++oh, out_row += s.out_width()) {
            const std::int64_t h = oh * s.stride + kh - s.padding;
            const bool outside = h < 0 || h >= s.in_height;
            row(outside, (i * s.in_height + h) * s.in_width + kw - s.padding, out_row, first, last);
          }
        }
      }
    }
  }

  Conv2dShape shape_;
  std::int64_t pixels_, taps_;
  Buffer memory_;
};

// The gradients through the same matrix: dense products, with every term.
template <class T>
class ColumnGradients {
 public:
  ColumnGradients(CpuContext& context, const Conv2dShape& shape, const Columns<T>& columns)
      : context_(context),
        shape_(shape),
        columns_(columns),
        gemm_(QMSE_FOR_ISA(context.instruction_set(), gemm<T>)),
        groups_(std::min(shape.batch, kGradientGroups)),
        partials_(context.memory(), sizeof(T) * groups_ * shape.out_channels * (columns.taps() + 1),
                  "conv2d partial gradients") {}

  void backward_data(const T* w, const T* dy, T* dx) const {
    const std::int64_t outputs = shape_.out_channels, pixels = columns_.pixels(), taps = columns_.taps();
    context_.threads().run(shape_.batch, [&](std::int64_t n, int worker) {
      T* columns = columns_.of(worker);
      gemm_(taps, pixels, outputs, {w, 1, taps}, {dy + n * outputs * pixels, pixels, 1}, columns, pixels,
            false);
      columns_.fold(columns, dx + n * columns_.image());
    });
  }

  void backward_weights(const T* x, const T* dy, T* dw, T* db) const {
    const std::int64_t outputs = shape_.out_channels, pixels = columns_.pixels(), taps = columns_.taps();
    const std::int64_t weights = outputs * taps;
    T* partial_dw = partials_.template as<T>();
    T* partial_db = partial_dw + groups_ * weights;
    context_.threads().run(groups_, [&](std::int64_t group, int worker) {
      T* columns = columns_.of(worker);
      const std::int64_t first = shape_.batch * group / groups_, last = shape_.batch * (group + 1) / groups_;
      for (std::int64_t n = first; n < last; ++n) {
        const T* dy_image = dy + n * outputs * pixels;
        columns_.unfold(x + n * columns_.image(), columns);
        gemm_(outputs, taps, pixels, {dy_image, pixels, 1}, {columns, 1, pixels},
              partial_dw + group * weights, taps, n > first);
        for (std::int64_t o = 0; o < outputs; ++o) {
          const T sum = simd_sum(dy_image + o * pixels, pixels);
          T& total = partial_db[group * outputs + o];
          total = n > first ? total + sum : sum;
        }
      }
    });
    add_groups(partial_dw, weights, dw);
    if (db != nullptr) add_groups(partial_db, outputs, db);
  }

 private:
  void add_groups(const T* partials, std::int64_t n, T* total) const {
    context_.threads().run((n + kReduceElements - 1) / kReduceElements, [&](std::int64_t task, int) {
      const std::int64_t first = task * kReduceElements, last = std::min(n, first + kReduceElements);
      std::copy(partials + first, partials + last, total + first);
      for (std::int64_t group = 1; group < groups_; ++group) {
        const T* partial = partials + group * n;
        for (std::int64_t k = first; k < last; ++k) total[k] += partial[k];
      }
    });
  }

  CpuContext& context_;
  Conv2dShape shape_;
  const Columns<T>& columns_;
  Gemm<T>* gemm_;
  std::int64_t groups_;
  Buffer partials_;
};

template <class T>
struct GradientsOf {
  using type = ColumnGradients<T>;
  static constexpr const char* kName = "";
  static type make(CpuContext& context, const Conv2dShape& shape, const Columns<T>& columns) {
    return type(context, shape, columns);
  }
};
template <>
struct GradientsOf<float> {
  using type = SparseGradients;
  static constexpr const char* kName = ", sparse gradients";
  static type make(CpuContext& context, const Conv2dShape& shape, const Columns<float>&) {
    return type(context, shape, Layout::plain, SparseGradients::kLanes);
  }
};

template <class T>
class PlainConv2d final : public Conv2d<T> {
 public:
  PlainConv2d(CpuContext& context, const Conv2dShape& shape, const std::string& reason)
      : context_(context),
        shape_(shape),
        columns_(context, shape),
        gemm_(QMSE_FOR_ISA(context.instruction_set(), gemm<T>)),
        gradients_(GradientsOf<T>::make(context, shape, columns_)),
        algorithm_((reason.empty() ? std::string("plain") : "plain (" + reason + ")") +
                   GradientsOf<T>::kName),
        slow_(!reason.empty()) {}

  void forward(const T* x, const T* w, const T* bias, T* y) override {
    const std::int64_t outputs = shape_.out_channels, pixels = columns_.pixels(), taps = columns_.taps();
    context_.threads().run(shape_.batch, [&](std::int64_t n, int worker) {
      T* columns = columns_.of(worker);
      columns_.unfold(x + n * columns_.image(), columns);
      T* image = y + n * outputs * pixels;
      gemm_(outputs, pixels, taps, {w, taps, 1}, {columns, pixels, 1}, image, pixels, false);
      if (bias == nullptr) return;
      for (std::int64_t o = 0; o < outputs; ++o) {
        for (std::int64_t p = 0; p < pixels; ++p) image[o * pixels + p] += bias[o];
      }
    });
  }

  void backward_data(const T* w, const T* dy, T* dx) override { gradients_.backward_data(w, dy, dx); }

  void backward_weights(const T* x, const T* dy, T* dw, T* db) override {
    gradients_.backward_weights(x, dy, dw, db);
  }

  const char* algorithm() const override { return algorithm_.c_str(); }
  bool slow() const override { return slow_; }

 private:
  CpuContext& context_;
  Conv2dShape shape_;
  Columns<T> columns_;
  Gemm<T>* gemm_;
  typename GradientsOf<T>::type gradients_;
  std::string algorithm_;
  bool slow_;
};

}  // namespace

template <class T>
std::unique_ptr<Conv2d<T>> make_plain_conv2d(CpuContext& context, const Conv2dShape& shape,
                                             const std::string& reason) {
  check(shape);
  return std::make_unique<PlainConv2d<T>>(context, shape, reason);
}

template std::unique_ptr<Conv2d<float>> make_plain_conv2d(CpuContext&, const Conv2dShape&,
                                                          const std::string&);
template std::unique_ptr<Conv2d<double>> make_plain_conv2d(CpuContext&, const Conv2dShape&,
                                                           const std::string&);

std::unique_ptr<Conv2d<double>> make_conv2d(CpuContext& context, Precision<double>, const Conv2dShape& shape,
                                            BackwardNeeds) {
  return make_plain_conv2d<double>(context, shape);
}

#if !QMSE_ONEDNN
std::unique_ptr<Conv2d<float>> make_conv2d(CpuContext& context, Precision<float>, const Conv2dShape& shape,
                                           BackwardNeeds) {
  return make_plain_conv2d<float>(context, shape);
}
#endif

}  // namespace qmse
