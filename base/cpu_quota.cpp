#include "base/cpu_quota.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace qmse {
namespace {

namespace fs = std::filesystem;

// Whether "a,b,c" has this item.
bool lists(const std::string& items, const std::string& item) {
  return ("," + items + ",").find("," + item + ",") != std::string::npos;
}

// Where control groups of one version are mounted: the group `root` lies at `point`.
struct Mount {
  fs::path root, point;
};

// mountinfo writes a space as \040.
std::string without_escapes(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      result += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

std::vector<Mount> mounts(const fs::path& root, bool version2) {
  std::vector<Mount> found;
  std::ifstream file(root / "proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    // id parent major:minor root point options [tags] - type source super-options
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream left(line.substr(0, dash)), right(line.substr(dash + 3));
    std::string skipped, group, point, type, options;
    left >> skipped >> skipped >> skipped >> group >> point;
    right >> type >> skipped >> options;
    if (version2 ? type == "cgroup2" : type == "cgroup" && lists(options, "cpu"))
      found.push_back({without_escapes(group), root / fs::path(without_escapes(point)).relative_path()});
  }
  return found;
}

// The path of this process's group among those that bound processor time; empty where there is none.
std::string group_of(const fs::path& root, bool version2) {
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // "4:cpu,cpuacct:/path", "0::/path"
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (version2 ? line.starts_with("0::") : lists(controllers, "cpu")) return line.substr(second + 1);
  }
  return "";
}

double number_in(const fs::path& path) {
  std::ifstream file(path);
  double number = 0;
  return file >> number ? number : 0;
}

// In processors; 0: none.
double quota_of(const fs::path& group, bool version2) {
  double quota = 0, period = 0;
  if (version2) {
    std::ifstream file(group / "cpu.max");  // "150000 100000", "max 100000"
    if (!(file >> quota >> period)) return 0;
  } else {
    quota = number_in(group / "cpu.cfs_quota_us");  // -1: none
    period = number_in(group / "cpu.cfs_period_us");
  }
  return quota > 0 && period > 0 ? quota / period : 0;
}

// What of `group` lies below the mount; the mount itself where it does not show the group.
fs::path below(const Mount& mount, const fs::path& group) {
  const fs::path relative = group.lexically_normal().lexically_relative(mount.root);
  if (relative.empty() || *relative.begin() == ".." || relative == ".") return "";
  return relative;
}

}  // namespace

int cpu_quota(const fs::path& root) {
  double least = 0;
  for (const bool version2 : {false, true}) {
    const std::string group = group_of(root, version2);
    if (group.empty()) continue;
    for (const Mount& mount : mounts(root, version2)) {
      for (fs::path relative = below(mount, group);; relative = relative.parent_path()) {
        const double quota = quota_of(mount.point / relative, version2);
        if (quota > 0) least = least > 0 ? std::min(least, quota) : quota;
        if (relative.empty()) break;
      }
    }
  }
  if (least <= 0) return 0;
  return static_cast<int>(std::ceil(std::min(least, 1e6)));
}

int within_cpu_quota(int processors, const fs::path& root) {
  const int quota = cpu_quota(root);
  return quota > 0 ? std::min(processors, quota) : processors;
}

}  // namespace qmse
