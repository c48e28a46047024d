// Replaces the allocator of the test program by one that counts. Alone in its file, so that no
// caller is compiled with a definition in view.
#include <atomic>
#include <cstdlib>
#include <new>

#include "model/model_testing.h"

namespace {
std::atomic<int64_t> num_allocations{0};
}  // namespace

void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  num_allocations.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(bytes);
}
void* operator new(size_t bytes) {
  if (void* memory = operator new(bytes, std::nothrow)) return memory;
  std::abort();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace gyrator {
int64_t NumAllocations() { return num_allocations.load(); }
}  // namespace gyrator
