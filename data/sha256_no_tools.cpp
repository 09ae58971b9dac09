#include "data/sha256.h"
#include "kernels/core/error.h"

namespace qmse {

struct Sha256::State {};

Sha256::Sha256() {
  throw ConfigError("this qmse was built without OpenSSL (QMSE_DATA_TOOLS=OFF) and has no SHA-256");
}
Sha256::~Sha256() = default;
void Sha256::update(const void*, std::size_t) {}
std::string Sha256::finish() { return ""; }

std::string sha256(std::string_view) { return Sha256().finish(); }

}  // namespace qmse
