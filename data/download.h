// Downloads by libcurl: http and https, through the proxies that http_proxy, https_proxy and no_proxy name.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace qmse {

struct DownloadOptions {
  std::chrono::milliseconds stall =
      std::chrono::seconds(30);  // give up an attempt after so long without a byte
  std::chrono::milliseconds pause = std::chrono::seconds(1);  // before the second attempt; doubles each time
  int attempts = 5;
  std::uint64_t most_bytes = std::uint64_t{1} << 30;
  // Called about once a second and as bytes arrive; `total` is 0 where the server does not say.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress = {};
  std::function<bool()> stop = {};  // asked about once a second
};

struct Downloaded {
  bool resumed = false;  // the file began with bytes of an earlier call
};

// Downloads `url` into `file`, going on behind the bytes that are there already, after interruptions too
// where the server can. When it returns the file is complete by the server's account and on the disk; on an
// error it keeps what has arrived. IoError: no network, no such file there, a server that stalls or breaks
// off in every attempt, a full disk, more than most_bytes, stopped.
Downloaded download(const std::string& url, const std::filesystem::path& file,
                    const DownloadOptions& options);

}  // namespace qmse
