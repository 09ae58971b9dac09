// The C interface on the CPU.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "capi/qmse_loss.h"
#include "capi/request.h"
#include "device/context.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/mse_noise/mse_noise.h"
#include "kernels/qmse/qmse.h"
#include "kernels/residual_loss/rules.h"
#include "random/direction.h"
#include "random/shuffle.h"

namespace qmse::capi {
namespace {

// Outputs of a batch from which on starting threads costs less than they save.
constexpr std::int64_t kWorthThreads = std::int64_t{1} << 18;

// Whole numbers [count] as T, each in [0, limit); RangeError names the first that is not. Those that have T's
// size already stay where they are.
template <class T>
const T* in_range(const void* given, std::int32_t dtype, std::int64_t count, std::int64_t limit,
                  const char* name, std::vector<T>& converted) {
  const bool wide = dtype == QMSE_INT64;
  if (wide) converted.resize(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t value =
        wide ? static_cast<const std::int64_t*>(given)[i] : static_cast<const std::int32_t*>(given)[i];
    if (value < 0 || value >= limit) {
      throw RangeError(std::string(name) + "[" + std::to_string(i) + "] is " + std::to_string(value) +
                       ", must be 0 to " + std::to_string(limit - 1));
    }
    if (wide) converted[static_cast<std::size_t>(i)] = static_cast<T>(value);
  }
  return wide ? converted.data() : static_cast<const T*>(given);
}

// `wanted`, or scratch memory where it is null: the kernels always write these.
template <class T>
T* or_scratch(void* wanted, std::int64_t count, std::vector<T>& scratch) {
  if (wanted != nullptr) return static_cast<T*>(wanted);
  scratch.resize(static_cast<std::size_t>(count));
  return scratch.data();
}

template <class T>
void run(CpuContext& context, const qmse_loss_args& args) {
  std::vector<T> loss_scratch, residual_scratch;
  std::vector<std::int32_t> labels, correct_scratch;
  std::vector<std::uint32_t> sample_ids;
  RowLossArgs<T> row;
  row.batch = args.batch;
  row.classes = args.classes;
  row.output = static_cast<const T*>(args.outputs);
  row.targets = static_cast<const T*>(args.targets);
  if (args.labels != nullptr) {
    row.labels = in_range(args.labels, args.label_dtype, args.batch, args.classes, "labels", labels);
  }
  row.scale = args.loss_scale;
  row.gradient_scale = args.gradient_scale;
  row.gradient = static_cast<T*>(args.gradient);
  row.sample_loss = or_scratch(args.sample_loss, args.batch, loss_scratch);
  row.residual_sq = or_scratch(args.residual_sq, args.batch, residual_scratch);
  row.correct = or_scratch(args.correct, args.batch, correct_scratch);
  switch (args.loss) {
    case QMSE_LOSS_MSE:
      residual_loss<MseRule>(context, row);
      break;
    case QMSE_LOSS_QMSE_EXPECTED:
      residual_loss<QmseExpectedRule>(context, row);
      break;
    case QMSE_LOSS_CROSS_ENTROPY:
      cross_entropy_loss(context, row);
      break;
    default: {
      QmseArgs<T> qmse;
      qmse.row = row;
      qmse.options = qmse_options(args.v_distribution, args.v_scope, args.q_gradient, args.seed);
      qmse.step = args.step;
      qmse.v = static_cast<T*>(args.v);
      if (needs_sample_ids(args)) {
        if (args.sample_ids != nullptr) {
          qmse.sample_ids = in_range(args.sample_ids, args.sample_id_dtype, args.batch,
                                     std::int64_t{kWholeBatch}, "sample_ids", sample_ids);
        } else {
          for (std::int64_t i = 0; i < args.batch; ++i) sample_ids.push_back(static_cast<std::uint32_t>(i));
          qmse.sample_ids = sample_ids.data();
        }
      }
      if (args.loss == QMSE_LOSS_MSE_NOISE) {
        mse_noise_loss(context, qmse);
      } else {
        qmse_loss(context, qmse);
      }
    }
  }
  if (args.mean_loss != nullptr) {
    double sum = 0;
    for (std::int64_t i = 0; i < args.batch; ++i) sum += static_cast<double>(row.sample_loss[i]);
    *static_cast<T*>(args.mean_loss) = static_cast<T>(sum / static_cast<double>(args.batch));
  }
}

template <class T>
void run(const qmse_loss_args& args) {
  if (args.batch == 0) {
    if (args.mean_loss != nullptr) *static_cast<T*>(args.mean_loss) = std::numeric_limits<T>::quiet_NaN();
  } else if (args.threads > 1 && args.batch * args.classes >= kWorthThreads) {
    CpuContext several(args.threads);
    run<T>(several, args);
  } else {
    thread_local CpuContext one(1);
    run<T>(one, args);
  }
}

}  // namespace
}  // namespace qmse::capi

using namespace qmse;
using namespace qmse::capi;

int32_t qmse_loss_cpu(const qmse_loss_args* given) {
  return guarded([&] {
    const qmse_loss_args args = checked(given);
    if (args.dtype == QMSE_FLOAT32) {
      run<float>(args);
    } else {
      run<double>(args);
    }
  });
}

int32_t qmse_draw_direction(int32_t v_distribution, uint64_t seed, uint64_t step, const int64_t* sample_ids,
                            int64_t count, int64_t classes, float* v) {
  return guarded([&] {
    const DirectionDistribution distribution =
        qmse_options(v_distribution, QMSE_V_PER_SAMPLE, QMSE_Q_CONSTANT, seed).distribution;
    if (count < 0) throw ShapeError("qmse_draw_direction: count is " + std::to_string(count));
    if (classes < 1 || classes > std::int64_t{1} << 30) {
      throw ShapeError("qmse_draw_direction: classes is " + std::to_string(classes) + ", must be 1 to 2^30");
    }
    if (v == nullptr && count > 0) throw ShapeError("qmse_draw_direction: v is null");
    std::vector<std::uint32_t> ids(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) ids[static_cast<std::size_t>(i)] = static_cast<std::uint32_t>(i);
    if (sample_ids != nullptr) {
      in_range(sample_ids, QMSE_INT64, count, std::int64_t{kWholeBatch}, "sample_ids", ids);
    }
    for (std::int64_t i = 0; i < count; ++i) {
      draw_direction(distribution, seed, static_cast<std::uint32_t>(step), ids[static_cast<std::size_t>(i)],
                     classes, v + i * classes);
    }
  });
}

int32_t qmse_epoch_order(uint64_t seed, uint32_t epoch, int64_t count, uint32_t* order) {
  return guarded([&] {
    if (order == nullptr && count > 0) throw ShapeError("qmse_epoch_order: order is null");
    shuffled_order(seed, epoch, count, order);
  });
}
