#include "kernels/row_loss/row_loss.h"

#include <cmath>
#include <string>

#include "base/error.h"
#include "kernels/row_loss/row_loss_math.h"

namespace qmse {

std::size_t row_loss_workspace_bytes(std::int64_t batch, std::int64_t classes) {
  if (classes <= kMaxBlockRow) return 0;
  const auto rows = static_cast<std::size_t>(batch);
  const std::size_t slabs = rows * static_cast<std::size_t>(row_slabs(classes));
  return slabs * (kPartialBytes + sizeof(std::uint32_t)) + (rows + 1) * sizeof(std::uint32_t);
}

template <class T>
void check_row_loss_args(const char* name, const RowLossArgs<T>& args) {
  const auto fail = [name](const std::string& what) { throw ShapeError(std::string(name) + ": " + what); };
  if (args.batch < 1) fail("batch is " + std::to_string(args.batch) + ", must be at least 1");
  if (const std::int64_t classes = args.classes; classes < 1 || classes > kMaxRow) {
    fail("a row has " + std::to_string(classes) + " outputs, must be 1 to 2^30");
  }
  if (args.output == nullptr) fail("no outputs given");
  if ((args.labels == nullptr) == (args.targets == nullptr)) fail("give either labels or dense targets");
  if (args.sample_loss == nullptr || args.residual_sq == nullptr || args.correct == nullptr) {
    fail("sample_loss, residual_sq and correct must point to memory for one value a sample");
  }
  if (!std::isfinite(args.scale)) fail("scale is not finite");
  if (!std::isfinite(gradient_scale(args))) fail("gradient_scale is not finite");
}

template void check_row_loss_args(const char*, const RowLossArgs<float>&);
template void check_row_loss_args(const char*, const RowLossArgs<double>&);

}  // namespace qmse
