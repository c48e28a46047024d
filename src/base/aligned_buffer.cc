#include "base/aligned_buffer.h"

#include <sys/mman.h>

namespace gyrator {

Result<AlignedBuffer> AllocateHuge(uint64_t count, const std::string& what) {
  constexpr uint64_t kHugePage = uint64_t{2} << 20;
  if (count < kHugePage || count >= kAllocationMax) return AllocateAligned(count, what);
  const uint64_t rounded = (count + kHugePage - 1) / kHugePage * kHugePage;
  void* const bytes = std::aligned_alloc(kHugePage, rounded);
  if (bytes == nullptr) return AllocateAligned(count, what);  // which says what is missing
  ::madvise(bytes, rounded, MADV_HUGEPAGE);  // a wish: refused by systems without them
  return AlignedBuffer(static_cast<std::byte*>(bytes));
}

}  // namespace gyrator
