// The calls of the CUDA runtime that the project makes, beside streams and graphs (stream.cpp) and
// launches (launch.cpp).
#include <sys/uio.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "tests/cuda_device/stand_in.h"

using namespace qmse::cuda_device;

namespace {

constexpr int kMultiprocessors = 4;

// Whether CUDA can be used at all; counting devices needs no context.
cudaError_t driver_status() {
  if (settings().driver_version < CUDART_VERSION / 1000 * 1000) return cudaErrorInsufficientDriver;
  return settings().devices.empty() ? cudaErrorNoDevice : cudaSuccess;
}

// Reads memory of this process that may not be there.
bool read_host(const void* from, void* to, std::size_t bytes) {
  const iovec local{to, bytes};
  const iovec remote{const_cast<void*>(from), bytes};
  return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes);
}
bool write_host(void* to, const void* from, std::size_t bytes) {
  const iovec local{const_cast<void*>(from), bytes};
  const iovec remote{to, bytes};
  return process_vm_writev(getpid(), &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes);
}

// The host's bytes are taken at the call, and looked at again when the copy runs: CUDA may take them then.
Operation copy_to_device(void* to, const void* from, std::size_t bytes) {
  std::vector<char> taken(bytes);
  std::memcpy(taken.data(), from, bytes);
  return {
      "copy to the device",
      here(),
      {{to, bytes, "the copy's destination"}},
      [to, from, taken = std::move(taken)] {
        std::vector<char> now(taken.size());
        if (!read_host(from, now.data(), now.size())) {
          report("the host memory of a copy to the device was freed before it ran; queued", running->place);
        } else if (now != taken) {
          report("the host memory of a copy to the device was changed before it ran; queued", running->place);
        }
        std::memcpy(to, taken.data(), taken.size());
      }};
}

Operation copy_to_host(void* to, const void* from, std::size_t bytes) {
  return {kCopyToHost, here(), {{from, bytes, "the copy's source"}}, [to, from, bytes] {
            const std::vector<char> bytes_there(static_cast<const char*>(from),
                                                static_cast<const char*>(from) + bytes);
            if (!write_host(to, bytes_there.data(), bytes)) {
              report("the host memory of a copy from the device was freed before it ran; queued",
                     running->place);
            }
          }};
}

}  // namespace

extern "C" {

const char* cudaGetErrorName(cudaError_t status) {
  switch (status) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorDevicesUnavailable:
      return "cudaErrorDevicesUnavailable";
    case cudaErrorInvalidDeviceFunction:
      return "cudaErrorInvalidDeviceFunction";
    case cudaErrorNoKernelImageForDevice:
      return "cudaErrorNoKernelImageForDevice";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorLaunchOutOfResources:
      return "cudaErrorLaunchOutOfResources";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorIllegalState:
      return "cudaErrorIllegalState";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorStreamCaptureWrongThread:
      return "cudaErrorStreamCaptureWrongThread";
    case cudaErrorStreamCaptureUnjoined:
      return "cudaErrorStreamCaptureUnjoined";
    case cudaErrorStreamCaptureUnmatched:
      return "cudaErrorStreamCaptureUnmatched";
    case cudaErrorStreamCaptureIsolation:
      return "cudaErrorStreamCaptureIsolation";
    case cudaErrorStreamCaptureMerge:
      return "cudaErrorStreamCaptureMerge";
    default:
      return "cudaErrorUnknown";
  }
}

const char* cudaGetErrorString(cudaError_t status) {
  switch (status) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorDevicesUnavailable:
      return "CUDA-capable device(s) is/are busy or unavailable";
    case cudaErrorNoKernelImageForDevice:
      return "no kernel image is available for execution on the device";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    case cudaErrorStreamCaptureUnjoined:
      return "capturing stream has unjoined work";
    case cudaErrorStreamCaptureIsolation:
      return "dependency created on uncaptured work in another stream";
    default:
      return "an error of the stand-in";
  }
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = settings().driver_version;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  const auto lock = locked();
  *count = 0;
  if (const cudaError_t status = driver_status()) return remember(status);
  *count = static_cast<int>(settings().devices.size());
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  const auto lock = locked();
  if (const cudaError_t status = driver_status()) return remember(status);
  if (device < 0 || device >= static_cast<int>(settings().devices.size()))
    return remember(cudaErrorInvalidDevice);
  if (attribute == cudaDevAttrMultiProcessorCount) {
    *value = kMultiprocessors;
    return cudaSuccess;
  }
  if (attribute != cudaDevAttrComputeMode) {
    report("cudaDeviceGetAttribute for an attribute that nobody needs here");
    return remember(cudaErrorInvalidValue);
  }
  const DeviceSettings& from = settings().devices[static_cast<std::size_t>(device)];
  *value = from.prohibited ? cudaComputeModeProhibited
           : from.busy     ? cudaComputeModeExclusiveProcess
                           : cudaComputeModeDefault;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* bus, int bytes, int device) {
  const auto lock = locked();
  if (const cudaError_t status = driver_status()) return remember(status);
  if (device < 0 || device >= static_cast<int>(settings().devices.size()))
    return remember(cudaErrorInvalidDevice);
  std::snprintf(bus, static_cast<std::size_t>(bytes), "0000:%02X:00.0", device);
  return cudaSuccess;
}

// Since CUDA 12 this makes the device's context.
cudaError_t cudaSetDevice(int device) {
  const auto lock = locked();
  if (const cudaError_t status = driver_status()) return remember(status);
  const int before = current_device();
  if (!set_current_device(device)) return remember(cudaErrorInvalidDevice);
  const cudaError_t status = make_context(device);
  if (status == cudaErrorDevicesUnavailable) set_current_device(before);
  return remember(status);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const auto lock = locked();
  if (const cudaError_t status = driver_status()) return remember(status);
  if (device < 0 || device >= static_cast<int>(settings().devices.size()))
    return remember(cudaErrorInvalidDevice);
  const DeviceSettings& from = settings().devices[static_cast<std::size_t>(device)];
  *properties = cudaDeviceProp{};
  std::snprintf(properties->name, sizeof properties->name, "%s", from.name.c_str());
  properties->major = from.major;
  properties->minor = from.minor;
  properties->multiProcessorCount = kMultiprocessors;
  properties->totalGlobalMem = from.total_bytes;
  properties->warpSize = 32;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const auto lock = locked();
  if (const cudaError_t status = make_context(current_device())) return remember(status);
  const DeviceSettings& device = settings().devices[static_cast<std::size_t>(current_device())];
  *total = device.total_bytes;
  *free = device.free_bytes - used_bytes(current_device());
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  const auto lock = locked();
  *pointer = nullptr;
  if (const cudaError_t status = make_context(current_device())) return remember(status);
  if (breaks_capture("cudaMalloc")) return remember(cudaErrorStreamCaptureUnsupported);
  if (bytes == 0) return cudaSuccess;
  if (fails(Fault::allocation)) return remember(cudaErrorMemoryAllocation);
  return remember(allocate(current_device(), bytes, pointer));
}

// Waits for the device: CUDA lists it among the calls that synchronise implicitly.
cudaError_t cudaFree(void* pointer) {
  const auto lock = locked();
  if (pointer == nullptr) return cudaSuccess;
  if (breaks_capture("cudaFree")) return remember(cudaErrorStreamCaptureUnsupported);
  for (int device = 0; device < static_cast<int>(settings().devices.size()); ++device) drain_device(device);
  return remember(release(pointer));
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const auto lock = locked();
  if (!valid(stream, "cudaMemcpyAsync")) return remember(cudaErrorInvalidResourceHandle);
  if (const cudaError_t status = sticky_error(device_of(stream))) return remember(status);
  if (fails(Fault::copy)) return remember(cudaErrorInvalidValue);
  const int device = device_of(stream);
  const auto refuse = [&](const std::string& why) {
    report("cudaMemcpyAsync: " + why);
    return remember(cudaErrorInvalidValue);
  };
  std::string fault;
  if (kind != cudaMemcpyDeviceToHost) fault = fault_of({to, bytes, "the destination"}, device);
  if (fault.empty() && kind != cudaMemcpyHostToDevice) fault = fault_of({from, bytes, "the source"}, device);
  if (!fault.empty()) return refuse(fault);
  if (kind == cudaMemcpyDeviceToDevice) {
    const char* const first = static_cast<const char*>(to);
    const char* const second = static_cast<const char*>(from);
    if (first < second + bytes && second < first + bytes) return refuse("source and destination overlap");
    return remember(
        enqueue(stream, {"copy on the device",
                         here(),
                         {{to, bytes, "the copy's destination"}, {from, bytes, "the copy's source"}},
                         [to, from, bytes] { std::memcpy(to, from, bytes); }}));
  }
  if (kind != cudaMemcpyHostToDevice && kind != cudaMemcpyDeviceToHost)
    return refuse("a kind that nobody needs here");
  const void* const host = kind == cudaMemcpyHostToDevice ? from : to;
  if (is_device_memory(host)) return refuse(std::string("the host's side is ") + describe(host));
  if (capturing(stream)) {
    breaks_capture("a copy of pageable host memory");
    report("a copy of host memory is captured: each replay would read or write it again");
    return remember(cudaErrorStreamCaptureUnsupported);
  }
  return remember(enqueue(stream, kind == cudaMemcpyHostToDevice ? copy_to_device(to, from, bytes)
                                                                 : copy_to_host(to, from, bytes)));
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  const auto lock = locked();
  if (!valid(stream, "cudaMemsetAsync")) return remember(cudaErrorInvalidResourceHandle);
  if (const cudaError_t status = sticky_error(device_of(stream))) return remember(status);
  if (const std::string fault = fault_of({to, bytes, "the destination"}, device_of(stream)); !fault.empty()) {
    report("cudaMemsetAsync: " + fault);
    return remember(cudaErrorInvalidValue);
  }
  return remember(enqueue(stream, {"memset", here(), {{to, bytes, "the destination"}}, [to, value, bytes] {
                                     std::memset(to, value, bytes);
                                   }}));
}

}  // extern "C"
