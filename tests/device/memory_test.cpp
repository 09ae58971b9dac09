#include "device/memory.h"

#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "device/context.h"
#include "tests/support/catch.h"

using namespace qmse;

namespace {

std::string message_of_allocation(MemoryResource& memory, std::size_t bytes, const std::string& name) {
  try {
    const Buffer buffer(memory, bytes, name);
  } catch (const OutOfMemory& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("memory: buffers are aligned and counted") {
  CpuContext context(1);
  MemoryResource& memory = context.memory();
  CHECK(memory.live_bytes() == 0);
  {
    std::vector<Buffer> buffers;
    std::size_t taken = 0;
    for (std::size_t bytes : {1u, 255u, 256u, 257u, 100000u}) {
      buffers.emplace_back(memory, bytes, "buffer of " + std::to_string(bytes));
      taken += (bytes + 255) / 256 * 256;
      CAPTURE(bytes);
      CHECK(reinterpret_cast<std::uintptr_t>(buffers.back().data()) % 256 == 0);
      CHECK(buffers.back().bytes() == bytes);
      CHECK(memory.live_bytes() == taken);
      std::memset(buffers.back().data(), 0x5a, bytes);
    }
    CHECK(memory.allocation_count() == 5);
    buffers.pop_back();
    CHECK(memory.live_bytes() == 256 * 5);
  }
  CHECK(memory.live_bytes() == 0);
  CHECK(memory.allocation_count() == 5);
}

TEST_CASE("memory: an empty buffer takes nothing") {
  CpuContext context(1);
  const Buffer none;
  const Buffer empty(context.memory(), 0, "nothing");
  CHECK(none.data() == nullptr);
  CHECK(empty.bytes() == 0);
  CHECK(context.memory().live_bytes() == 0);
  CHECK(context.memory().allocation_count() == 0);
}

TEST_CASE("memory: buffers move, and free once") {
  CpuContext context(1);
  MemoryResource& memory = context.memory();
  Buffer first(memory, 1000, "first");
  void* const data = first.data();
  Buffer second(std::move(first));
  CHECK(second.data() == data);
  CHECK(memory.live_bytes() == 1024);
  Buffer third(memory, 5000, "third");
  third = std::move(second);
  CHECK(third.data() == data);
  CHECK(third.bytes() == 1000);
  CHECK(memory.live_bytes() == 1024);
  third.reset();
  third.reset();
  CHECK(third.data() == nullptr);
  CHECK(memory.live_bytes() == 0);
}

TEST_CASE("memory: running out names the request, its owner and what there is") {
  CpuContext context(1);
  MemoryResource& memory = context.memory();
  memory.set_limit(1 << 20);
  const Buffer held(memory, 700 * 1024, "held");
  const std::string message = message_of_allocation(memory, 500 * 1024, "conv1.weight");
  CAPTURE(message);
  CHECK(message.find("cpu") != std::string::npos);
  CHECK(message.find("conv1.weight needs 500 KiB") != std::string::npos);
  CHECK(message.find("700 KiB are in use") != std::string::npos);
  CHECK(message.find("free on the device") != std::string::npos);
  CHECK(message.find("the limit is 1024 KiB") != std::string::npos);
  CHECK(message.find('\n') == std::string::npos);
  CHECK(memory.live_bytes() == 700 * 1024);
  CHECK(memory.allocation_count() == 1);

  CHECK_NOTHROW(Buffer(memory, 324 * 1024, "just fits"));
  CHECK_THROWS_AS(Buffer(memory, 324 * 1024 + 1, "just does not"), OutOfMemory);
  memory.set_limit(1000);  // below what is in use
  CHECK_THROWS_AS(Buffer(memory, 1, "one byte"), OutOfMemory);
  memory.set_limit(0);
  CHECK_NOTHROW(Buffer(memory, 2 << 20, "no limit"));
}

TEST_CASE("memory: what is available keeps to the limit and to what is in use") {
  CpuContext context(1);
  MemoryResource& memory = context.memory();
  const std::size_t unlimited = memory.available_bytes();
  CHECK(unlimited > 0);
  memory.set_limit(1 << 20);
  CHECK(memory.available_bytes() == 1 << 20);
  const Buffer held(memory, 700 * 1024, "held");
  CHECK(memory.available_bytes() == 324 * 1024);
  CHECK_NOTHROW(Buffer(memory, memory.available_bytes(), "all of it"));
  CHECK_THROWS_AS(Buffer(memory, memory.available_bytes() + 1, "a byte more"), OutOfMemory);
  memory.set_limit(1000);  // below what is in use
  CHECK(memory.available_bytes() == 0);
}

TEST_CASE("memory: more than the machine has is an error, not a promise") {
  CpuContext context(1);
  for (std::size_t bytes : {std::size_t{1} << 50, std::numeric_limits<std::size_t>::max() - 100,
                            std::numeric_limits<std::size_t>::max()}) {
    const std::string message = message_of_allocation(context.memory(), bytes, "activations");
    CAPTURE(bytes, message);
    CHECK(message.find("activations") != std::string::npos);
    CHECK(message.find("limit") == std::string::npos);
  }
  CHECK(context.memory().live_bytes() == 0);
}

TEST_CASE("memory: the CPU context moves bytes") {
  CpuContext context(2);
  CHECK(context.threads().size() == 2);
  CHECK(context.device_name() == "cpu");
  const std::vector<float> host = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f};
  const std::size_t bytes = host.size() * sizeof(float);
  const Buffer a(context.memory(), bytes, "a");
  const Buffer b(context.memory(), bytes, "b");
  host_to_device(context, a.data(), host.data(), bytes);
  device_to_device(context, b.data(), a.data(), bytes);
  fill_zero(context, a.as<float>() + 1, 2 * sizeof(float));
  synchronize(context);
  std::vector<float> back(5);
  device_to_host(context, back.data(), a.data(), bytes);
  CHECK(back == std::vector<float>{1.0f, 0.0f, 0.0f, 4.0f, 5.0f});
  device_to_host(context, back.data(), b.data(), bytes);
  CHECK(back == host);
  host_to_device(context, nullptr, nullptr, 0);
  fill_zero(context, nullptr, 0);
}
