// Each case plants one mistake of a program that uses CUDA and sees that the stand-in reports it; the same
// piece without the mistake runs clean.
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <sys/mman.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <vector>

#include "base/error.h"
#include "device/cuda_check.h"
#include "device/cuda_context.h"
#include "device/cuda_graph.h"
#include "device/cuda_library_check.h"
#include "kernels/gather_normalize/gather_normalize.h"
#include "kernels/reduce/reduce.h"
#include "tests/cuda_device/fill.h"
#include "tests/cuda_device/in_child.h"
#include "tests/support/catch.h"

using namespace qmse;
using namespace qmse::test;
using cuda_device::Settings;

namespace {

constexpr int kReported = cuda_device::kReported;

// Device memory of exactly so many floats, straight from cudaMalloc.
class Floats {
 public:
  explicit Floats(std::size_t count) {
    void* pointer = nullptr;
    QMSE_CUDA_CHECK(cudaMalloc(&pointer, count * sizeof(float)));
    data = static_cast<float*>(pointer);
  }
  ~Floats() { release(); }
  Floats(const Floats&) = delete;
  Floats& operator=(const Floats&) = delete;
  void release() {
    if (data != nullptr) cudaFree(data);
    data = nullptr;
  }
  float* data = nullptr;
};

struct World {
  CudaContext context{CudaOptions{}};
  cudaStream_t stream = context.stream();
  float read(const float* from) {
    float value = 0;
    device_to_host(context, &value, from, sizeof value);
    return value;
  }
};

// A product d [3, 2] = op(a) op(b) with k = 4, with every attribute open to be wrong.
struct Product {
  cublasOperation_t transpose_a = CUBLAS_OP_T, transpose_b = CUBLAS_OP_N;
  std::int64_t a_stride = 4;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  bool bias = false;
  std::size_t workspace_cut = 0;  // bytes too few
  std::size_t a_offset = 0;       // floats
  std::size_t a_count = 12;

  void run(World& world) const {
    cublasLtMatmulDesc_t operation = nullptr;
    cublasLtMatrixLayout_t layouts[3] = {};
    cublasLtMatmulPreference_t wish = nullptr;
    QMSE_CUDA_CHECK(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    const auto set = [&](cublasLtMatmulDescAttributes_t attribute, auto value) {
      QMSE_CUDA_CHECK(cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof value));
    };
    set(CUBLASLT_MATMUL_DESC_TRANSA, transpose_a);
    set(CUBLASLT_MATMUL_DESC_TRANSB, transpose_b);
    QMSE_CUDA_CHECK(cublasLtMatrixLayoutCreate(&layouts[0], CUDA_R_32F, 4, 3, a_stride));
    QMSE_CUDA_CHECK(cublasLtMatrixLayoutCreate(&layouts[1], CUDA_R_32F, 4, 2, 4));
    QMSE_CUDA_CHECK(cublasLtMatrixLayoutCreate(&layouts[2], CUDA_R_32F, 3, 2, 3));
    QMSE_CUDA_CHECK(cublasLtMatmulPreferenceCreate(&wish));
    const std::uint64_t most = 1 << 20;
    const std::uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_NONE;
    QMSE_CUDA_CHECK(cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                         &most, sizeof most));
    QMSE_CUDA_CHECK(cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                         &reductions, sizeof reductions));
    const Floats a(a_count), b(8), d(6), bias_there(3), workspace(1 << 18);
    fill(world.context, static_cast<std::int64_t>(a_count), 2, a.data);
    fill(world.context, 8, 3, b.data);
    fill(world.context, 3, 1, bias_there.data);
    cublasLtMatmulHeuristicResult_t results[8];
    int count = 0;
    cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(world.context.cublas_lt(), operation, layouts[0], layouts[1],
                                       layouts[2], layouts[2], wish, 8, results, &count);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<void*>(bias ? bias_there.data : nullptr));
    const float one = 1, zero = 0;
    for (int i = 0; i < count; ++i) {
      if (results[i].state != CUBLAS_STATUS_SUCCESS) continue;
      status =
          cublasLtMatmul(world.context.cublas_lt(), operation, &one, a.data + a_offset, layouts[0], b.data,
                         layouts[1], &zero, d.data, layouts[2], d.data, layouts[2], &results[i].algo,
                         workspace.data, results[i].workspaceSize - workspace_cut, world.stream);
      if (status == CUBLAS_STATUS_SUCCESS) break;
    }
    if (status == CUBLAS_STATUS_SUCCESS)
      std::fprintf(stderr, "d = %g\n", static_cast<double>(world.read(d.data + 5)));
    cublasLtMatmulPreferenceDestroy(wish);
    for (cublasLtMatrixLayout_t layout : layouts) cublasLtMatrixLayoutDestroy(layout);
    cublasLtMatmulDescDestroy(operation);
  }
};

Ending product(const Product& p) {
  return in_child([&] {
    World world;
    p.run(world);
  });
}

// The weight gradient of a 3x3 convolution by one given algorithm.
void weight_gradient(World& world, cudnnConvolutionBwdFilterAlgo_t algorithm, std::size_t cut) {
  cudnnTensorDescriptor_t x_form = nullptr, y_form = nullptr;
  cudnnFilterDescriptor_t w_form = nullptr;
  cudnnConvolutionDescriptor_t conv = nullptr;
  cudnnCreateTensorDescriptor(&x_form);
  cudnnCreateTensorDescriptor(&y_form);
  cudnnCreateFilterDescriptor(&w_form);
  cudnnCreateConvolutionDescriptor(&conv);
  QMSE_CUDA_CHECK(cudnnSetTensor4dDescriptor(x_form, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 2, 1, 4, 4));
  QMSE_CUDA_CHECK(cudnnSetTensor4dDescriptor(y_form, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 2, 3, 4, 4));
  QMSE_CUDA_CHECK(cudnnSetFilter4dDescriptor(w_form, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, 3, 1, 3, 3));
  QMSE_CUDA_CHECK(
      cudnnSetConvolution2dDescriptor(conv, 1, 1, 1, 1, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
  QMSE_CUDA_CHECK(cudnnSetConvolutionMathType(conv, CUDNN_FMA_MATH));
  std::size_t bytes = 0;
  cudnnGetConvolutionBackwardFilterWorkspaceSize(world.context.cudnn(), x_form, y_form, conv, w_form,
                                                 algorithm, &bytes);
  const Floats x(32), dy(96), dw(27), workspace(1 << 16);
  fill(world.context, 32, 1, x.data);
  fill(world.context, 96, 1, dy.data);
  const float one = 1, zero = 0;
  const cudnnStatus_t status =
      cudnnConvolutionBackwardFilter(world.context.cudnn(), &one, x_form, x.data, y_form, dy.data, conv,
                                     algorithm, workspace.data, bytes - cut, &zero, w_form, dw.data);
  if (status == CUDNN_STATUS_SUCCESS)
    std::fprintf(stderr, "dw = %g\n", static_cast<double>(world.read(dw.data + 4)));
  cudnnDestroyConvolutionDescriptor(conv);
  cudnnDestroyFilterDescriptor(w_form);
  cudnnDestroyTensorDescriptor(y_form);
  cudnnDestroyTensorDescriptor(x_form);
}

}  // namespace

TEST_CASE("stand-in: a program without a mistake ends clean", "[planted]") {
  const Ending ending = in_child([] {
    World world;
    const Floats x(10);
    fill(world.context, 10, 4, x.data);
    CudaGraph graph(world.context, [&] { fill(world.context, 10, 5, x.data); });
    graph.launch();
    std::fprintf(stderr, "x = %g\n", static_cast<double>(world.read(x.data + 9)));
  });
  CAPTURE(ending.text);
  CHECK(ending.status == 0);
  CHECK(ending.text == "x = 5\n");
}

TEST_CASE(
    "stand-in: without a synchronisation the host reads old bytes, and a copy nobody waits for is reported",
    "[planted]") {
  for (const bool waits : {true, false}) {
    CAPTURE(waits);
    const Ending ending = in_child([&] {
      World world;
      const Floats x(1);
      fill(world.context, 1, 4, x.data);
      float value = -1;
      cudaMemcpyAsync(&value, x.data, sizeof value, cudaMemcpyDeviceToHost, world.stream);
      std::fprintf(stderr, "before %g\n", static_cast<double>(value));
      if (waits) synchronize(world.context);
      std::fprintf(stderr, "after %g\n", static_cast<double>(value));
      if (!waits) cudaStreamDestroy(world.stream);
      if (!waits) _exit(cuda_device::reports().empty() ? 0 : kReported);
    });
    CAPTURE(ending.text);
    CHECK(ending.says("before -1\n"));
    CHECK(ending.says(waits ? "after 4\n" : "after -1\n"));
    CHECK(ending.says("a copy to the host that nobody waits for") == !waits);
    CHECK(ending.status == (waits ? 0 : kReported));
  }
}

TEST_CASE("stand-in: host code that reads a device pointer", "[planted]") {
  const Ending ending = in_child([] {
    World world;
    const Floats x(4);
    fill(world.context, 4, 1, x.data);
    synchronize(world.context);
    std::fprintf(stderr, "%g\n", static_cast<double>(*static_cast<volatile float*>(x.data + 2)));
  });
  CAPTURE(ending.text);
  CHECK(ending.status == kReported);
  CHECK(ending.says("host code touches device memory: device memory, byte 8 of the 16 bytes"));
  CHECK(ending.says("planted_bugs_test.cpp:"));  // the place
}

TEST_CASE("stand-in: a kernel that is given a host pointer", "[planted]") {
  const Ending ending = in_child([] {
    World world;
    std::vector<float> host(4);
    fill(world.context, 4, 1, host.data());
  });
  CAPTURE(ending.text);
  CHECK(ending.status == kReported);
  CHECK(ending.says("of kernel fill_kernel: it points to host memory"));
}

TEST_CASE("stand-in: a copy whose sides are swapped", "[planted]") {
  const Ending ending = in_child([] {
    World world;
    const Floats x(4);
    std::vector<float> host(4);
    cudaMemcpyAsync(host.data(), x.data, 16, cudaMemcpyHostToDevice, world.stream);
  });
  CAPTURE(ending.text);
  CHECK(ending.status == kReported);
  CHECK(ending.says("the destination is host memory"));
}

TEST_CASE("stand-in: the host's buffer of a copy is changed, or freed, before the copy runs", "[planted]") {
  const Ending changed = in_child([] {
    World world;
    const Floats x(4);
    std::vector<float> host(4);
    cudaMemcpyAsync(x.data, host.data(), 16, cudaMemcpyHostToDevice, world.stream);
    host[3] = 1;
    synchronize(world.context);
  });
  CAPTURE(changed.text);
  CHECK(changed.status == kReported);
  CHECK(changed.says("changed before it ran"));
  const Ending freed = in_child([] {
    World world;
    const Floats x(1 << 20);
    void* const host = mmap(nullptr, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cudaMemcpyAsync(x.data, host, 4 << 20, cudaMemcpyHostToDevice, world.stream);
    munmap(host, 4 << 20);
    synchronize(world.context);
  });
  CAPTURE(freed.text);
  CHECK(freed.status == kReported);
  CHECK(freed.says("freed before it ran"));
}

TEST_CASE("stand-in: a host value that is captured is the old one at the second replay", "[planted]") {
  const Ending ending = in_child([] {
    World world;
    const Floats x(1);
    float value = 1;
    fill(world.context, 1, 0, x.data);
    CudaGraph graph(world.context, [&] { fill(world.context, 1, value, x.data); });
    graph.launch();
    value = 2;
    graph.launch();
    std::fprintf(stderr, "x = %g\n", static_cast<double>(world.read(x.data)));
  });
  CAPTURE(ending.text);
  CHECK(ending.says("x = 1\n"));
}

TEST_CASE("stand-in: a copy of host memory that is captured", "[planted]") {
  const Ending ending = in_child([] {
    World world;
    const Floats x(1);
    const float value = 1;
    CudaGraph graph(world.context, [&] {
      QMSE_CUDA_CHECK(cudaMemcpyAsync(x.data, &value, sizeof value, cudaMemcpyHostToDevice, world.stream));
    });
  });
  CAPTURE(ending.text);
  CHECK(ending.status == kReported);
  CHECK(ending.says("a copy of host memory is captured"));
}

TEST_CASE("stand-in: allocating, waiting or a first launch makes a capture void", "[planted]") {
  const auto captured = [](const std::function<void(World&, float*)>& work) {
    return in_child([&] {
      World world;
      const Floats x(4);
      world.context.cublas_lt();
      const CudaGraph graph(world.context, [&] {
        work(world, x.data);
        cudaGetLastError();
      });
    });
  };
  const Ending allocation = captured([](World&, float*) {
    void* pointer = nullptr;
    cudaMalloc(&pointer, 16);
  });
  CAPTURE(allocation.text);
  CHECK(allocation.says("cudaMalloc is not allowed while a stream is captured"));
  CHECK(allocation.says("exception: cudaStreamEndCapture"));
  CHECK(allocation.says("cudaErrorStreamCaptureInvalidated"));
  CHECK(allocation.status == 0);  // the program was told by a status
  const Ending wait = captured([](World& world, float*) { cudaStreamSynchronize(world.stream); });
  CHECK(wait.says("cudaErrorStreamCaptureInvalidated"));
  const Ending first = captured([](World& world, float* x) {
    try {
      fill(world.context, 4, 1, x);
    } catch (const CudaError&) {
    }
  });
  CAPTURE(first.text);
  CHECK(first.says("the first launch of fill_kernel"));
  CHECK(first.says("cudaErrorStreamCaptureInvalidated"));
}

TEST_CASE("stand-in: a graph that outlives the memory it uses", "[planted]") {
  const Ending ending = in_child([] {
    World world;
    Floats x(4);
    fill(world.context, 4, 1, x.data);
    CudaGraph graph(world.context, [&] { fill(world.context, 4, 2, x.data); });
    graph.launch();
    synchronize(world.context);
    x.release();
    graph.launch();
  });
  CAPTURE(ending.text);
  CHECK(ending.status == kReported);
  CHECK(ending.says("a live graph holds (kernel fill_kernel): a kernel's argument is freed device memory"));
}

TEST_CASE("stand-in: a kernel that reads or writes beyond its memory", "[planted]") {
  const Ending near = in_child([] {
    World world;
    const Floats x(4);
    fill(world.context, 5, 1, x.data);
    synchronize(world.context);
  });
  CAPTURE(near.text);
  CHECK(near.status == kReported);
  CHECK(near.says("device work wrote outside of its memory: device memory outside, byte 16 of the 16 bytes"));
  const Ending far = in_child([] {
    World world;
    const Floats x(64);
    fill(world.context, 65, 1, x.data);
    synchronize(world.context);
  });
  CAPTURE(far.text);
  CHECK(far.status == kReported);
  CHECK(far.says("device work (kernel fill_kernel) touches device memory outside"));
}

TEST_CASE("stand-in: the graph of whole batches run for the last, smaller one", "[planted]") {
  const Ending ending = in_child([] {
    World world;
    constexpr std::int64_t kSamples = 22, kBatch = 16, kPixels = 16;
    Buffer images(world.context.memory(), kSamples * kPixels, "images");
    fill_zero(world.context, images.data(), images.bytes());
    const Floats labels(kSamples), order(kSamples), scale(1), shift(1), x(kBatch * kPixels),
        batch_labels(kBatch), ids(kBatch), first(2);
    for (const Floats* zero : {&labels, &order, &scale, &shift}) fill(world.context, 1, 0, zero->data);
    fill_zero(world.context, order.data, kSamples * 4);
    fill_zero(world.context, labels.data, kSamples * 4);
    GatherArgs<float> args;
    args.batch = kBatch;
    args.channels = 1;
    args.inner = kPixels;
    args.images = images.as<std::uint8_t>();
    args.labels = reinterpret_cast<std::int32_t*>(labels.data);
    args.order = reinterpret_cast<std::uint32_t*>(order.data);
    args.first = reinterpret_cast<std::uint64_t*>(first.data);
    args.scale = scale.data;
    args.shift = shift.data;
    args.x = x.data;
    args.batch_labels = reinterpret_cast<std::int32_t*>(batch_labels.data);
    args.sample_ids = reinterpret_cast<std::uint32_t*>(ids.data);
    for (const std::uint64_t start : {0, 16}) {  // 6 samples are left the second time
      host_to_device(world.context, first.data, &start, sizeof start);
      gather_normalize(world.context, args);
      synchronize(world.context);
    }
  });
  CAPTURE(ending.text);
  CHECK(ending.status == kReported);
  CHECK(ending.says("device work (kernel gather"));
  CHECK(ending.says("touches"));
}

TEST_CASE("stand-in: memory that was never written is a NaN", "[planted]") {
  const Ending ending = in_child([] {
    World world;
    const Floats x(4), sum(4);
    fill(world.context, 4, 1, sum.data);
    add(world.context, 4, x.data, sum.data);
    std::fprintf(stderr, std::isnan(world.read(sum.data)) ? "a NaN\n" : "a number\n");
  });
  CAPTURE(ending.text);
  CHECK(ending.text == "a NaN\n");
}

TEST_CASE("stand-in: a product without a mistake, and the same with one", "[planted]") {
  Product p;
  p.bias = true;
  p.epilogue = CUBLASLT_EPILOGUE_BIAS;
  const Ending good = product(p);
  CAPTURE(good.text);
  CHECK(good.status == 0);
  CHECK(good.says("d = 25\n"));

  SECTION("a bias pointer where none belongs") {
    p.epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    CHECK(product(p).says("a bias pointer under an epilogue that has none"));
  }
  SECTION("a bias that is missing") {
    p.bias = false;
    CHECK(product(p).says("the epilogue needs a bias pointer"));
  }
  SECTION("a swapped transposition") {
    std::swap(p.transpose_a, p.transpose_b);
    CHECK(product(p).says("the inner sizes of a and b are 3 and 2"));
  }
  SECTION("a wrong leading dimension") {
    p.a_stride = 3;
    CHECK(product(p).says("a leading dimension of 3 under 4 rows"));
    p.a_stride = 5;  // the last column ends behind the memory
    const Ending ending = product(p);
    CAPTURE(ending.text);
    CHECK(ending.says("a needs 56 bytes"));
    CHECK(ending.status == kReported);
  }
  SECTION("a workspace that is too small") {
    p.workspace_cut = 1;
    CHECK(product(p).says("bytes where the algorithm needs"));
  }
  SECTION("an address that is less aligned than planned") {
    p.a_offset = 1;
    p.a_count = 13;
    CHECK(product(p).says("a is not aligned to the 256 bytes that were planned"));
  }
}

TEST_CASE("stand-in: a convolution without a mistake, and the same with one", "[planted]") {
  const auto run = [](cudnnConvolutionBwdFilterAlgo_t algorithm, std::size_t cut) {
    return in_child([=] {
      World world;
      weight_gradient(world, algorithm, cut);
    });
  };
  const Ending good = run(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, 0);
  CAPTURE(good.text);
  CHECK(good.status == 0);
  CHECK(good.says("dw = 32\n"));
  const Ending undetermined = run(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0, 0);
  CHECK(undetermined.status == kReported);
  CHECK(undetermined.says("gives other bits in every run"));
  const Ending cut = run(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, 1);
  CHECK(cut.status == kReported);
  CHECK(cut.says("a workspace of"));
}

TEST_CASE("stand-in: what is left at the end", "[planted]") {
  const Ending ending = in_child([] {
    void* pointer = nullptr;
    cudaMalloc(&pointer, 16);
    cudaStream_t stream = nullptr;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    cudnnTensorDescriptor_t descriptor = nullptr;
    cudnnCreateTensorDescriptor(&descriptor);
  });
  CAPTURE(ending.text);
  CHECK(ending.status == kReported);
  for (const char* what :
       {"a device allocation is left", "a stream is left", "a cuDNN tensor descriptor is left"}) {
    CHECK(ending.says(what));
  }
}

TEST_CASE("stand-in: destroyed twice, or in the wrong order", "[planted]") {
  const Ending twice = in_child([] {
    void* pointer = nullptr;
    cudaMalloc(&pointer, 16);
    cudaFree(pointer);
    cudaFree(pointer);
  });
  CHECK(twice.says("cudaFree of what is no allocation: freed device memory"));
  const Ending order = in_child([] {
    cudaStream_t stream = nullptr;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    cudnnHandle_t handle = nullptr;
    cudnnCreate(&handle);
    cudnnSetStream(handle, stream);
    cudaStreamDestroy(stream);
    cudnnDestroy(handle);
  });
  CHECK(order.says("a cuDNN handle is destroyed after the stream that it works on"));
}

TEST_CASE("stand-in: memory of one device used on another", "[planted]") {
  Settings two;
  two.devices.resize(2);
  const Ending ending = in_child(
      [] {
        World world;
        cudaSetDevice(1);
        const Floats there(4);
        cudaSetDevice(0);
        fill(world.context, 4, 1, there.data);
      },
      two);
  CAPTURE(ending.text);
  CHECK(ending.status == kReported);
  CHECK(ending.says("is another device's"));
}

TEST_CASE("stand-in: a launch on a device that is not the thread's current one", "[planted]") {
  Settings two;
  two.devices.resize(2);
  const Ending ending = in_child(
      [] {
        World world;
        const Floats x(4);
        cudaSetDevice(1);
        fill(world.context, 4, 1, x.data);
      },
      two);
  CAPTURE(ending.text);
  CHECK(ending.says("a device that is not the thread's current one"));
}

TEST_CASE("stand-in: a launch asks for more than 48 KiB of shared memory, and gets 64 at most", "[planted]") {
  const Ending ending = in_child([] {
    World world;
    const Floats x(4);
    fill(world.context, 4, 7, x.data, std::size_t{64} * 1024);
    std::fprintf(stderr, "x is %g\n", static_cast<double>(world.read(x.data)));
    try {
      fill(world.context, 4, 8, x.data, std::size_t{64} * 1024 + 16);
    } catch (const CudaError& error) {
      std::fprintf(stderr, "%s\n", error.what());
    }
    std::fprintf(stderr, "still %g\n", static_cast<double>(world.read(x.data)));
  });
  CAPTURE(ending.text);
  CHECK(ending.status == 0);
  CHECK(ending.says("x is 7"));
  CHECK(ending.says("65552 bytes of dynamic shared memory: cudaErrorInvalidValue"));
  CHECK(ending.says("still 7"));
}

TEST_CASE("stand-in: the legacy stream", "[planted]") {
  const Ending ending = in_child([] {
    const Floats x(4);
    cudaMemsetAsync(x.data, 0, 16, nullptr);
  });
  CHECK(ending.says("cudaMemsetAsync on the legacy"));
}
