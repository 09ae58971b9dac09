// The C interface as custom calls of XLA (qmse.jax registers them): qmse_xla_loss_* and qmse_xla_direction_*.
//
// Operands: outputs [B, c]; targets, labels [B] or dense [B, c]; sample ids [B]; the step as [2] 32-bit
// halves, the lower one first. Results: the loss, a number (the mean) or [B] by its shape, and the gradient
// [B, c]; or v [B, c].
#include <xla/ffi/api/ffi.h>
#include <cstdint>
#include <string>
#include <type_traits>

#include "capi/qmse_loss.h"

namespace {

namespace ffi = xla::ffi;
using Result = ffi::Result<ffi::AnyBuffer>;

// XLA calls with the stream's device as the current one.
constexpr int32_t kCurrentDevice = -1;

ffi::Error error_of(int32_t status) {
  if (status == QMSE_OK) return ffi::Error::Success();
  const bool internal = status == QMSE_ERROR_CUDA || status == QMSE_ERROR_MEMORY;
  return ffi::Error(internal ? ffi::ErrorCode::kInternal : ffi::ErrorCode::kInvalidArgument,
                    qmse_last_error());
}

int32_t dtype_of(const ffi::AnyBuffer& buffer) {
  switch (buffer.element_type()) {
    case ffi::DataType::F32:
      return QMSE_FLOAT32;
    case ffi::DataType::F64:
      return QMSE_FLOAT64;
    case ffi::DataType::S32:
      return QMSE_INT32;
    case ffi::DataType::S64:
      return QMSE_INT64;
    default:
      return -1;
  }
}

qmse_loss_args arguments(const ffi::AnyBuffer& outputs, const ffi::AnyBuffer& sample_ids,
                         const ffi::AnyBuffer& step, int64_t seed, int64_t distribution, int64_t scope) {
  qmse_loss_args args = {};
  args.size = sizeof(args);
  args.dtype = dtype_of(outputs);
  args.batch = outputs.dimensions()[0];
  args.classes = outputs.dimensions()[1];
  args.outputs = outputs.untyped_data();
  args.sample_ids = sample_ids.untyped_data();
  args.sample_id_dtype = dtype_of(sample_ids);
  args.step = static_cast<const uint64_t*>(step.untyped_data());
  args.seed = static_cast<uint64_t>(seed);
  args.v_distribution = static_cast<int32_t>(distribution);
  args.v_scope = static_cast<int32_t>(scope);
  return args;
}

qmse_loss_args loss_arguments(const ffi::AnyBuffer& outputs, const ffi::AnyBuffer& targets,
                              const ffi::AnyBuffer& sample_ids, const ffi::AnyBuffer& step, Result value,
                              Result gradient, int64_t loss, int64_t seed, int64_t distribution,
                              int64_t scope, int64_t q_gradient, double loss_scale, double gradient_scale) {
  qmse_loss_args args = arguments(outputs, sample_ids, step, seed, distribution, scope);
  args.loss = static_cast<int32_t>(loss);
  args.q_gradient = static_cast<int32_t>(q_gradient);
  args.loss_scale = loss_scale;
  args.gradient_scale = gradient_scale;
  if (targets.dimensions().size() == 1) {
    args.labels = targets.untyped_data();
    args.label_dtype = dtype_of(targets);
  } else {
    args.targets = targets.untyped_data();
  }
  args.gradient = gradient->untyped_data();
  (value->dimensions().size() == 0 ? args.mean_loss : args.sample_loss) = value->untyped_data();
  return args;
}

// QMSE of whatever outputs draws v.
qmse_loss_args direction_arguments(const ffi::AnyBuffer& like, const ffi::AnyBuffer& sample_ids,
                                   const ffi::AnyBuffer& step, Result v, int64_t seed, int64_t distribution) {
  qmse_loss_args args = arguments(like, sample_ids, step, seed, distribution, QMSE_V_PER_SAMPLE);
  args.loss = QMSE_LOSS_QMSE;
  args.targets = args.outputs;
  args.v = v->untyped_data();
  return args;
}

ffi::Error run_on_gpu(qmse_loss_args args, void* stream, ffi::ScratchAllocator scratch) {
  if (const int32_t status = qmse_loss_workspace_bytes(&args, &args.workspace_bytes); status != QMSE_OK) {
    return error_of(status);
  }
  const std::optional<void*> workspace = scratch.Allocate(args.workspace_bytes, 16);
  if (!workspace.has_value() && args.workspace_bytes > 0) {
    return ffi::Error(ffi::ErrorCode::kResourceExhausted,
                      "no memory for a workspace of " + std::to_string(args.workspace_bytes) + " bytes");
  }
  args.workspace = workspace.value_or(nullptr);
  return error_of(qmse_loss_cuda(&args, kCurrentDevice, stream));
}

ffi::Error loss_cpu(ffi::AnyBuffer outputs, ffi::AnyBuffer targets, ffi::AnyBuffer ids, ffi::AnyBuffer step,
                    Result value, Result gradient, int64_t loss, int64_t seed, int64_t distribution,
                    int64_t scope, int64_t q_gradient, double loss_scale, double gradient_scale) {
  const qmse_loss_args args = loss_arguments(outputs, targets, ids, step, value, gradient, loss, seed,
                                             distribution, scope, q_gradient, loss_scale, gradient_scale);
  return error_of(qmse_loss_cpu(&args));
}

ffi::Error loss_cuda(void* stream, ffi::ScratchAllocator scratch, ffi::AnyBuffer outputs,
                     ffi::AnyBuffer targets, ffi::AnyBuffer ids, ffi::AnyBuffer step, Result value,
                     Result gradient, int64_t loss, int64_t seed, int64_t distribution, int64_t scope,
                     int64_t q_gradient, double loss_scale, double gradient_scale) {
  return run_on_gpu(loss_arguments(outputs, targets, ids, step, value, gradient, loss, seed, distribution,
                                   scope, q_gradient, loss_scale, gradient_scale),
                    stream, std::move(scratch));
}

ffi::Error direction_cpu(ffi::AnyBuffer like, ffi::AnyBuffer ids, ffi::AnyBuffer step, Result v, int64_t seed,
                         int64_t distribution) {
  const qmse_loss_args args = direction_arguments(like, ids, step, v, seed, distribution);
  return error_of(qmse_loss_cpu(&args));
}

ffi::Error direction_cuda(void* stream, ffi::ScratchAllocator scratch, ffi::AnyBuffer like,
                          ffi::AnyBuffer ids, ffi::AnyBuffer step, Result v, int64_t seed,
                          int64_t distribution) {
  return run_on_gpu(direction_arguments(like, ids, step, v, seed, distribution), stream, std::move(scratch));
}

auto loss_operands(auto binding) {
  return std::move(binding)
      .template Arg<ffi::AnyBuffer>()
      .template Arg<ffi::AnyBuffer>()
      .template Arg<ffi::AnyBuffer>()
      .template Arg<ffi::AnyBuffer>()
      .template Ret<ffi::AnyBuffer>()
      .template Ret<ffi::AnyBuffer>()
      .template Attr<int64_t>("loss")
      .template Attr<int64_t>("seed")
      .template Attr<int64_t>("v_distribution")
      .template Attr<int64_t>("v_scope")
      .template Attr<int64_t>("q_gradient")
      .template Attr<double>("loss_scale")
      .template Attr<double>("gradient_scale");
}

auto direction_operands(auto binding) {
  return std::move(binding)
      .template Arg<ffi::AnyBuffer>()
      .template Arg<ffi::AnyBuffer>()
      .template Arg<ffi::AnyBuffer>()
      .template Ret<ffi::AnyBuffer>()
      .template Attr<int64_t>("seed")
      .template Attr<int64_t>("v_distribution");
}

auto on_gpu() { return ffi::Ffi::Bind().Ctx<ffi::PlatformStream<void*>>().Ctx<ffi::ScratchAllocator>(); }

}  // namespace

#pragma GCC visibility push(default)
XLA_FFI_DEFINE_HANDLER_SYMBOL(qmse_xla_loss_cpu, loss_cpu, loss_operands(ffi::Ffi::Bind()));
XLA_FFI_DEFINE_HANDLER_SYMBOL(qmse_xla_loss_cuda, loss_cuda, loss_operands(on_gpu()));
XLA_FFI_DEFINE_HANDLER_SYMBOL(qmse_xla_direction_cpu, direction_cpu, direction_operands(ffi::Ffi::Bind()));
XLA_FFI_DEFINE_HANDLER_SYMBOL(qmse_xla_direction_cuda, direction_cuda, direction_operands(on_gpu()));
#pragma GCC visibility pop
