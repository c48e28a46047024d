// SHA-256 (FIPS 180-4), by OpenSSL.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "base/bytes.h"

namespace gyrator {

using Sha256Digest = std::array<uint8_t, 32>;

// Incremental. Not for concurrent use.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void Update(ByteSpan bytes);
  Sha256Digest Finish();  // once

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

Sha256Digest Sha256Of(ByteSpan bytes);
std::string HexText(const Sha256Digest& digest);  // 64 lower-case digits

}  // namespace gyrator
