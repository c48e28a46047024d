// Bounded reading of untrusted little-endian bytes.
//
// Does: read integers and spans, each checked against what is left. Does not: allocate, or know any
// format. A length read from the bytes goes through Take(), which refuses what is not there, so no
// caller can allocate by an unchecked length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "gyrator/status.h"

namespace gyrator {

using ByteSpan = std::span<const std::byte>;

inline ByteSpan AsBytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view AsText(ByteSpan bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class ByteReader {
 public:
  explicit ByteReader(ByteSpan bytes) : bytes_(bytes) {}

  uint64_t offset() const { return offset_; }
  uint64_t remaining() const { return bytes_.size() - offset_; }

  // The next `count` bytes, a view into the source. kCorruption when fewer are left.
  Result<ByteSpan> Take(uint64_t count) {
    if (count > remaining()) return Truncated(count);
    ByteSpan out = bytes_.subspan(offset_, count);
    offset_ += count;
    return out;
  }

  // A little-endian value of trivially copyable T (integers, floats).
  template <class T>
  Result<T> Read() {
    if (sizeof(T) > remaining()) return Truncated(sizeof(T));
    T value;
    std::memcpy(&value, bytes_.data() + offset_, sizeof(T));
    offset_ += sizeof(T);
    return value;
  }

 private:
  Status Truncated(uint64_t count) const {
    return Status::Corruption("truncated: need " + std::to_string(count) + " bytes at offset " +
                              std::to_string(offset_) + ", have " + std::to_string(remaining()));
  }

  ByteSpan bytes_;
  uint64_t offset_ = 0;
};

}  // namespace gyrator
