#include "base/cpu_quota.h"

#include <string>

#include "base/thread_pool.h"
#include "tests/support/catch.h"
#include "tests/support/temp_directory.h"

namespace qmse {
namespace {

// A machine's /proc and /sys as far as quotas are concerned.
struct Machine {
  void put(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((root / name).parent_path());
    test::write_bytes(root / name, text);
  }
  int quota() const { return cpu_quota(root.path()); }
  test::TempDirectory root;
};

const char* const kVersion2 =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

TEST_CASE("cpu quota: none where there are no control groups, or no limit") {
  const Machine machine;
  CHECK(machine.quota() == 0);
  machine.put("proc/self/cgroup", "0::/\n");
  machine.put("proc/self/mountinfo", kVersion2);
  CHECK(machine.quota() == 0);
  machine.put("sys/fs/cgroup/cpu.max", "max 100000\n");
  CHECK(machine.quota() == 0);
  machine.put("sys/fs/cgroup/cpu.max", "damaged");
  CHECK(machine.quota() == 0);
}

TEST_CASE("cpu quota: version 2, rounded up") {
  const Machine machine;
  machine.put("proc/self/cgroup", "0::/\n");
  machine.put("proc/self/mountinfo", std::string("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n") + kVersion2);
  const struct {
    const char* text;
    int processors;
  } cases[] = {{"200000 100000\n", 2}, {"150000 100000\n", 2}, {"50000 100000\n", 1}, {"1000 100000\n", 1},
               {"300000 50000\n", 6},  {"0 100000\n", 0},      {"100000 0\n", 0}};
  for (const auto& each : cases) {
    CAPTURE(each.text);
    machine.put("sys/fs/cgroup/cpu.max", each.text);
    CHECK(machine.quota() == each.processors);
  }
}

TEST_CASE("cpu quota: the tightest of the groups around the process counts") {
  const Machine machine;
  machine.put("proc/self/cgroup", "0::/batch.slice/job 7/step_0\n");
  machine.put("proc/self/mountinfo", kVersion2);
  machine.put("sys/fs/cgroup/batch.slice/job 7/step_0/cpu.max", "max 100000\n");
  machine.put("sys/fs/cgroup/batch.slice/job 7/cpu.max", "300000 100000\n");
  machine.put("sys/fs/cgroup/batch.slice/cpu.max", "800000 100000\n");
  CHECK(machine.quota() == 3);
  machine.put("sys/fs/cgroup/batch.slice/cpu.max", "200000 100000\n");
  CHECK(machine.quota() == 2);
  machine.put("sys/fs/cgroup/other/cpu.max", "100000 100000\n");  // is of others
  CHECK(machine.quota() == 2);
}

TEST_CASE("cpu quota: version 1, in a container that sees its own group only") {
  const Machine machine;
  machine.put("proc/self/cgroup", "4:memory:/docker/abc\n3:cpuacct,cpu:/docker/abc\n0::/\n");
  machine.put("proc/self/mountinfo",
              "32 31 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
              "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
  machine.put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  machine.put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  CHECK(machine.quota() == 0);
  machine.put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "250000\n");
  CHECK(machine.quota() == 3);
}

TEST_CASE("cpu quota: a mount that does not show the group is taken for it") {
  const Machine machine;
  machine.put("proc/self/cgroup", "0::/../../elsewhere\n");
  machine.put("proc/self/mountinfo", "31 23 0:28 / /mnt/a\\040b rw - cgroup2 none rw\n");
  machine.put("mnt/a b/cpu.max", "100000 100000\n");
  CHECK(machine.quota() == 1);
}

TEST_CASE("cpu quota: of the processors a process may use it takes as many as there is time for") {
  const Machine machine;
  CHECK(within_cpu_quota(8, machine.root.path()) == 8);
  machine.put("proc/self/cgroup", "0::/\n");
  machine.put("proc/self/mountinfo", kVersion2);
  machine.put("sys/fs/cgroup/cpu.max", "250000 100000\n");
  CHECK(within_cpu_quota(8, machine.root.path()) == 3);
  CHECK(within_cpu_quota(2, machine.root.path()) == 2);
  machine.put("sys/fs/cgroup/cpu.max", "1000 100000\n");
  CHECK(within_cpu_quota(8, machine.root.path()) == 1);
}

TEST_CASE("cpu quota: the pool takes no more threads than the quota has time for") {
  const int quota = cpu_quota();
  if (quota > 0) CHECK(available_processors() <= quota);
  CHECK(ThreadPool(0).size() == available_processors());
}

}  // namespace
}  // namespace qmse
