// How much processor time the control group of this process may take: what containers and batch systems limit
// where they do not limit the processors themselves.
#pragma once

#include <filesystem>

namespace qmse {

// The quota in processors, rounded up, at least 1; 0 where there is none. The smallest one of the control
// group and the groups around it, by /proc/self/cgroup and /proc/self/mountinfo: cpu.max of version 2
// (https://docs.kernel.org/admin-guide/cgroup-v2.html), cpu.cfs_quota_us and cpu.cfs_period_us of version 1.
// What cannot be read is no limit. `root` stands for "/".
int cpu_quota(const std::filesystem::path& root = "/");

// `processors`, or as many as the quota has time for where that is fewer.
int within_cpu_quota(int processors, const std::filesystem::path& root = "/");

}  // namespace qmse
