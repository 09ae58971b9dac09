// oneDNN 2.6 and 3.x behind one face: what differs between them (3.x dropped the operation descriptors) is
// here, and so is the rule that every primitive is created and run with one OpenMP thread. The threads are
// those of the project's pool, each with its own primitive call: oneDNN's results then do not depend on how
// many there are.
#pragma once

#include <omp.h>

#include <oneapi/dnnl/dnnl.hpp>
#include <string>

#include "base/error.h"

namespace qmse::onednn {

// While it lives, oneDNN calls made on this thread use no other thread.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

inline const dnnl::engine& cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

// Channels in a block of the blocked layouts on this processor: nChw16c or nChw8c.
inline int channel_block() { return dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core ? 16 : 8; }

struct ConvolutionShape {
  dnnl::memory::desc src, weights, dst;
  dnnl::memory::dims strides, padding;  // padding on every side
};

namespace detail {

inline dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

}  // namespace detail

inline dnnl::convolution_forward::primitive_desc convolution_forward(const ConvolutionShape& s) {
  const auto kind = dnnl::prop_kind::forward_training;
  const auto algorithm = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  return {cpu_engine(), kind,      algorithm, s.src,     s.weights,
          s.dst,        s.strides, s.padding, s.padding, detail::user_scratchpad()};
#else
  return {{kind, algorithm, s.src, s.weights, s.dst, s.strides, s.padding, s.padding},
          detail::user_scratchpad(),
          cpu_engine()};
#endif
}

inline dnnl::reorder::primitive_desc reorder(const dnnl::memory::desc& from, const dnnl::memory::desc& to) {
  return {cpu_engine(), from, cpu_engine(), to, detail::user_scratchpad()};
}

// Runs a primitive on arguments prepared beforehand; the C interface takes them as an array, so that nothing
// is built per call.
template <std::size_t n>
void execute(const dnnl::primitive& primitive, const dnnl::stream& stream, const dnnl_exec_arg_t (&args)[n]) {
  const dnnl_status_t status =
      dnnl_primitive_execute(primitive.get(), stream.get(), static_cast<int>(n), args);
  if (status != dnnl_success)
    throw Error("oneDNN could not run a primitive (status " + std::to_string(status) + ")");
}

}  // namespace qmse::onednn
