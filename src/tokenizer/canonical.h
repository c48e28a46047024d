// The canonical description of a tokenizer: what its digest is taken of.
//
// Every component writes its kind and its settings, defaults filled in, so that two files that say
// the same in other words have the same digest. Not for concurrent use.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/sha256.h"

namespace gyrator {

class Canonical {
 public:
  // Length before text, so that no two lists of fields give the same bytes.
  void Add(std::string_view text) {
    Add(static_cast<int64_t>(text.size()));
    sha_.Update(AsBytes(text));
  }
  void Add(int64_t value) {
    char bytes[8];
    for (int i = 0; i < 8; ++i) {
      bytes[i] = static_cast<char>(static_cast<uint64_t>(value) >> (8 * i));
    }
    sha_.Update(AsBytes({bytes, sizeof(bytes)}));
  }
  std::string Finish() { return HexText(sha_.Finish()); }  // once

 private:
  Sha256 sha_;
};

}  // namespace gyrator
