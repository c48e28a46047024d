#include "tests/apifuzz/failures.h"

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <new>

#include "base/check.h"

namespace {

thread_local int64_t allocations_left = 0;  // 0: none is to fail

void* Allocate(std::size_t size, std::size_t alignment) {
  if (allocations_left > 0 && --allocations_left == 0) throw std::bad_alloc();
  const std::size_t steps = (std::max<std::size_t>(size, 1) + alignment - 1) / alignment;
  const std::size_t rounded = steps * alignment;
  void* memory = alignment <= alignof(std::max_align_t) ? std::malloc(rounded)
                                                        : std::aligned_alloc(alignment, rounded);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// The forms that the others of the standard library call.
void* operator new(std::size_t size) { return Allocate(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return Allocate(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return Allocate(size, alignof(std::max_align_t));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace gyrator {

AllocationFails::AllocationFails(int64_t n) { allocations_left = n; }

AllocationFails::~AllocationFails() { allocations_left = 0; }

DiskFails::DiskFails(uint64_t bytes) {
  std::signal(SIGXFSZ, SIG_IGN);  // the write that is too long fails instead
  GYRATOR_CHECK(::getrlimit(RLIMIT_FSIZE, &before_) == 0);
  const rlimit limit = {.rlim_cur = bytes, .rlim_max = before_.rlim_max};
  GYRATOR_CHECK(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

DiskFails::~DiskFails() { GYRATOR_CHECK(::setrlimit(RLIMIT_FSIZE, &before_) == 0); }

}  // namespace gyrator
