// SHA-256 (FIPS 180-4), by OpenSSL.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "kernels/core/build_config.h"

namespace qmse {

// False in builds without OpenSSL (QMSE_DATA_TOOLS=OFF), where the constructor throws ConfigError.
inline constexpr bool kHaveSha256 = QMSE_DATA_TOOLS != 0;

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(const void* data, std::size_t bytes);
  // 64 hexadecimal digits; called once, last.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256(std::string_view bytes);

}  // namespace qmse
