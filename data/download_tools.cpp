#include <curl/curl.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>
#include <thread>

#include "base/build_config.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/system_calls.h"
#include "data/download.h"

namespace qmse {
namespace {

using Clock = std::chrono::steady_clock;

// The file being filled; bytes are only ever appended.
class PartialFile {
 public:
  explicit PartialFile(const std::filesystem::path& path) : path_(path) {
    open(0);
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) fail(errno);
    if (status.st_nlink > 1) {  // it has another name elsewhere, whose content must stay
      ::close(descriptor_);
      if (::unlink(path.c_str()) != 0) fail(errno);
      open(O_EXCL);
      status.st_size = 0;
    }
    size_ = static_cast<std::uint64_t>(status.st_size);
  }
  ~PartialFile() { ::close(descriptor_); }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  std::uint64_t size() const { return size_; }
  // False where the system refuses; check() then says why.
  bool append(const char* data, std::size_t bytes) {
    while (bytes > 0) {
      const ssize_t written = ::write(descriptor_, data, bytes);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) {
        error_ = errno;
        return false;
      }
      data += written;
      bytes -= static_cast<std::size_t>(written);
      size_ += static_cast<std::uint64_t>(written);
    }
    return true;
  }
  void check() const {
    if (error_ != 0) fail(error_);
  }
  void clear() {
    if (uninterrupted([&] { return ::ftruncate(descriptor_, 0); }) != 0) fail(errno);
    size_ = 0;
  }
  void sync() const {
    if (uninterrupted([&] { return ::fsync(descriptor_); }) != 0) fail(errno);
  }

 private:
  void open(int flags) {
    constexpr int kAlways = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
    descriptor_ = uninterrupted([&] { return ::open(path_.c_str(), kAlways | flags, 0666); });
    if (descriptor_ < 0) fail(errno);
  }
  [[noreturn]] void fail(int error) const {
    throw IoError("cannot write " + in_quotes(path_) + ": " + std::system_category().message(error) +
                  "; check the folder and the disk");
  }

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  int error_ = 0;
};

// One attempt, as libcurl's callbacks see it.
struct Attempt {
  PartialFile& file;
  const DownloadOptions& options;
  std::uint64_t start;  // the file's size at the beginning
  std::uint64_t seen = 0;
  Clock::time_point last_byte = Clock::now();
  bool stalled = false, stopped = false, too_large = false;
};

std::size_t on_data(char* data, std::size_t, std::size_t bytes, void* user) {
  auto& attempt = *static_cast<Attempt*>(user);
  attempt.too_large = attempt.file.size() + bytes > attempt.options.most_bytes;
  return !attempt.too_large && attempt.file.append(data, bytes) ? bytes : 0;
}

int on_progress(void* user, curl_off_t total, curl_off_t done, curl_off_t, curl_off_t) {
  auto& attempt = *static_cast<Attempt*>(user);
  const auto arrived = static_cast<std::uint64_t>(done);
  if (arrived != attempt.seen) attempt.last_byte = Clock::now();
  attempt.seen = arrived;
  attempt.stalled = Clock::now() - attempt.last_byte > attempt.options.stall;
  attempt.stopped = attempt.options.stop && attempt.options.stop();
  if (attempt.options.progress)
    attempt.options.progress(attempt.file.size(),
                             total > 0 ? attempt.start + static_cast<std::uint64_t>(total) : 0);
  return attempt.stalled || attempt.stopped ? 1 : 0;
}

class Session {
 public:
  explicit Session(const std::string& url) : url_(url), handle_(nullptr, curl_easy_cleanup) {
    static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (ready == CURLE_OK) handle_.reset(curl_easy_init());
    if (!handle_) throw OutOfMemory("libcurl cannot begin a download");
    set(CURLOPT_URL, url_.c_str());
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_FAILONERROR, 1L);
    set(CURLOPT_FOLLOWLOCATION, 1L);
    set(CURLOPT_MAXREDIRS, 5L);
    set(CURLOPT_NOPROGRESS, 0L);
    set(CURLOPT_USERAGENT, "qmse/" QMSE_VERSION);
    set(CURLOPT_ERRORBUFFER, error_);
    set(CURLOPT_WRITEFUNCTION, on_data);
    set(CURLOPT_XFERINFOFUNCTION, on_progress);
#if LIBCURL_VERSION_NUM >= 0x075500
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
    set(CURLOPT_PROTOCOLS, static_cast<long>(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    set(CURLOPT_REDIR_PROTOCOLS, static_cast<long>(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
  }

  CURLcode perform(Attempt& attempt) {
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(attempt.options.stall.count()));
    set(CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(attempt.start));
    set(CURLOPT_WRITEDATA, &attempt);
    set(CURLOPT_XFERINFODATA, &attempt);
    error_[0] = '\0';
    const CURLcode code = curl_easy_perform(handle_.get());
    cause_ = error_[0] != '\0' ? error_ : curl_easy_strerror(code);
    return code;
  }
  long status() const {
    long status = 0;
    curl_easy_getinfo(handle_.get(), CURLINFO_RESPONSE_CODE, &status);
    return status;
  }
  const std::string& cause() const { return cause_; }

 private:
  template <class T>
  void set(CURLoption option, T value) {
    if (curl_easy_setopt(handle_.get(), option, value) != CURLE_OK)
      throw Error("libcurl refuses to download " + in_quotes(url_));
  }

  std::string url_, cause_;
  char error_[CURL_ERROR_SIZE] = "";
  std::unique_ptr<CURL, void (*)(CURL*)> handle_;
};

// Whether another attempt may succeed.
bool is_passing(CURLcode code, long status) {
  switch (code) {
    case CURLE_HTTP_RETURNED_ERROR:
      return status >= 500 || status == 408 || status == 429;
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return true;
    default:
      return false;
  }
}

// Sleeps, unless asked to stop.
void rest(std::chrono::milliseconds time, const DownloadOptions& options) {
  const Clock::time_point end = Clock::now() + time;
  while (Clock::now() < end && !(options.stop && options.stop()))
    std::this_thread::sleep_for(
        std::min<Clock::duration>(end - Clock::now(), std::chrono::milliseconds(100)));
}

}  // namespace

Downloaded download(const std::string& url, const std::filesystem::path& path,
                    const DownloadOptions& options) {
  PartialFile file(path);
  Session session(url);
  Downloaded result{file.size() > 0};
  const auto fail = [&](const std::string& cause, const std::string& advice) {
    throw IoError("cannot download " + in_quotes(url) + ": " + cause + "; " + advice);
  };
  std::chrono::milliseconds pause = options.pause;
  for (int attempts = 1;;) {
    Attempt attempt{file, options, file.size()};
    const CURLcode code = session.perform(attempt);
    file.check();
    // A server that cannot go on where the file ends, or whose file ends there or before.
    if (attempt.start > 0 && (code == CURLE_RANGE_ERROR || session.status() == 416)) {
      file.clear();
      result.resumed = false;
      continue;
    }
    if (code == CURLE_OK) break;
    if (attempt.stopped) fail("stopped", "the same command goes on from here");
    if (attempt.too_large) {
      file.clear();
      fail("there are more than " + std::to_string(options.most_bytes) + " bytes", "check the address");
    }
    if (!attempt.stalled && !is_passing(code, session.status())) {
      const bool refused = code == CURLE_HTTP_RETURNED_ERROR;
      fail(session.cause(),
           refused ? "check the address, or name another mirror with --mirror"
                   : "check the network and the proxy (https_proxy), or name another mirror with --mirror");
    }
    if (attempts++ == options.attempts) {
      fail(attempt.stalled ? "the server sent nothing for " + std::to_string(options.stall.count()) + " ms"
                           : session.cause(),
           "that was attempt " + std::to_string(options.attempts) + "; the same command goes on from here");
    }
    rest(pause, options);
    pause *= 2;
  }
  file.sync();
  return result;
}

}  // namespace qmse
