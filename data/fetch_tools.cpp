#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/stopped.h"
#include "base/system_calls.h"
#include "data/archive.h"
#include "data/content.h"
#include "data/fetch.h"

namespace qmse {
namespace {

namespace fs = std::filesystem;

// A folder of which this process alone makes use: a lock on itself.
class Staging {
 public:
  explicit Staging(fs::path path) : path_(std::move(path)) {
    std::error_code error;
    fs::create_directories(path_, error);
    if (error)
      throw IoError("cannot make the folder " + in_quotes(path_) + ": " + error.message() +
                    "; check the path");
    descriptor_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor_ < 0)
      throw IoError("cannot open the folder " + in_quotes(path_) +
                    "; check the permissions, and that it is no symbolic link");
    // A file system without locks keeps nobody out; what two fetches mix up has another SHA-256.
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || means_no_locks(errno)) return;
    ::close(descriptor_);
    throw IoError("another qmse is fetching into " + in_quotes(path_) + "; wait for it or stop it");
  }
  // Goes where nothing has arrived in it.
  ~Staging() {
    std::error_code ignored;
    fs::directory_iterator entry(path_, ignored);
    for (; !ignored && entry != fs::directory_iterator(); entry.increment(ignored)) {
      std::error_code kept;
      if (fs::is_empty(entry->path(), kept)) fs::remove(entry->path(), kept);
    }
    fs::remove(path_, ignored);
    ::close(descriptor_);
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  fs::path part(const std::string& name) const { return path_ / (name + ".part"); }
  fs::path whole(const std::string& name) const { return path_ / name; }
  fs::path unpacked() const { return path_ / "unpacked"; }

  // IoError unless a folder can be renamed to `target`: better said before hours of download than after.
  void check_target(const fs::path& target) const {
    const fs::path probe = path_ / "probe";
    std::error_code error;
    fs::create_directory(probe, error);
    if (!error) fs::rename(probe, target, error);
    std::error_code ignored;
    fs::remove(error ? probe : target, ignored);
    if (error) {
      throw IoError("cannot make the folder " + in_quotes(target) + ": " + error.message() +
                    "; choose another --out");
    }
  }

  void remove_parts() const {
    std::error_code ignored;
    fs::directory_iterator entry(path_, ignored);
    for (; !ignored && entry != fs::directory_iterator(); entry.increment(ignored)) {
      std::error_code kept;
      fs::remove_all(entry->path(), kept);
    }
  }
  void remove() const {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }

 private:
  fs::path path_;
  int descriptor_ = -1;
};

void move(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error)
    throw IoError("cannot rename " + in_quotes(from) + " to " + in_quotes(to) + ": " + error.message());
}

// Durable as far as the file system goes: some have no sync for folders.
void sync_folder(const fs::path& path) {
  const int folder = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  ::fsync(folder);
  ::close(folder);
}

// Everything of the plan into staging.unpacked(). `resumed` becomes true where bytes
// of an earlier call are used.
void download_all(const FetchPlan& plan, const Staging& staging, const DownloadOptions& options,
                  const FetchEvents& events, bool& resumed) {
  const auto get = [&](const std::string& name) {
    const std::string url = plan.mirror + (plan.mirror.ends_with('/') ? "" : "/") + name;
    if (events.start) events.start(url);
    resumed = download(url, staging.part(name), options).resumed || resumed;
  };
  std::error_code ignored;
  fs::create_directory(staging.unpacked(), ignored);
  if (!plan.archive.empty()) {
    // Under its own name once it is complete: a failure of what follows does not cost another download.
    const fs::path archive = staging.whole(plan.archive);
    if (fs::exists(archive, ignored)) {
      resumed = true;
    } else {
      get(plan.archive);
      move(staging.part(plan.archive), archive);
    }
    std::vector<std::string> names;
    std::uint64_t largest = 1 << 16;
    for (const KnownFile& file : plan.set.files) {
      names.push_back(plan.folder + "/" + file.name);
      largest = std::max(largest, file.bytes);
    }
    for (const KnownNames& text : plan.set.class_names) names.push_back(plan.folder + "/" + text.name);
    unpack_tar(archive, names, largest, staging.unpacked());
    return;
  }
  for (const KnownFile& file : plan.set.files) {
    const std::string name = std::string(file.name) + ".gz";
    if (fs::exists(staging.unpacked() / name, ignored)) {
      resumed = true;
      continue;
    }
    get(name);
    move(staging.part(name), staging.unpacked() / name);
  }
}

}  // namespace

fs::path fetch_dataset(const FetchPlan& plan, const fs::path& out, const DownloadOptions& options,
                       const FetchEvents& events) {
  const fs::path target = out / plan.folder;
  std::error_code ignored;
  if (fs::exists(fs::symlink_status(target, ignored))) {  // also a link to nothing
    std::string cause;
    try {
      const ContentReport report = examine_content(plan.set, target, options.stop);
      if (report.kind == ContentKind::official) return target;
      cause = report.summary;
    } catch (const Stopped&) {
      throw;
    } catch (const Error& error) {
      cause = error.what();
    }
    throw ConfigError(in_quotes(target) + " is there already and is not the official data set (" + cause +
                      "); move it away or choose another --out");
  }
  const Staging staging(out / (".fetch-" + plan.folder));
  staging.check_target(target);
  for (bool first = true;; first = false) {
    bool resumed = false;
    std::string wrong;
    try {
      download_all(plan, staging, options, events, resumed);
      const ContentReport report = examine_content(plan.set, staging.unpacked(), options.stop);
      if (report.kind == ContentKind::official) break;
      wrong = report.summary;
    } catch (const DataError& error) {  // a damaged archive or compressed file
      wrong = error.what();
    }
    staging.remove_parts();
    // What an earlier call left may have been of another file; a whole one from the mirror is tried once.
    if (first && resumed) continue;
    staging.remove();
    throw DataError("what " + in_quotes(plan.mirror) + " gives is not the official data set (" + wrong +
                    "); nothing was kept; name another mirror with --mirror");
  }
  sync_folder(staging.unpacked());
  move(staging.unpacked(), target);
  sync_folder(out);
  staging.remove();
  return target;
}

}  // namespace qmse
