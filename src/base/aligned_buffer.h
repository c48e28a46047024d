// Owned memory on a cache line, for operands of kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "gyrator/status.h"

namespace gyrator {

inline constexpr size_t kCacheLine = 64;
inline constexpr uint64_t kAllocationMax = uint64_t{1} << 40;  // more than any machine has

struct FreeAligned {
  void operator()(std::byte* bytes) const { std::free(bytes); }
};
using AlignedBuffer = std::unique_ptr<std::byte[], FreeAligned>;

// `count` uninitialized bytes at a multiple of 64. kExhausted, naming `what`, when the system has
// no such memory.
inline Result<AlignedBuffer> AllocateAligned(uint64_t count, const std::string& what) {
  const uint64_t rounded = (count / kCacheLine + 1) * kCacheLine;  // never 0
  void* bytes = count >= kAllocationMax ? nullptr : std::aligned_alloc(kCacheLine, rounded);
  if (bytes == nullptr) {
    return Status::Exhausted(what + ": no memory for " + std::to_string(count) + " bytes");
  }
  return AlignedBuffer(static_cast<std::byte*>(bytes));
}

// The same for memory of megabytes that is read from end to end: at a multiple of a huge page, of
// which the system is asked for where it has them. What it lacks lies in ordinary pages.
Result<AlignedBuffer> AllocateHuge(uint64_t count, const std::string& what);

}  // namespace gyrator
