// Failures that the fuzz makes on purpose: of memory, of the disk, of callbacks.
#pragma once

#include <sys/resource.h>

#include <cstdint>
#include <stdexcept>

namespace gyrator {

// What a callback of the fuzz throws.
struct Thrown : std::runtime_error {
  Thrown() : std::runtime_error("thrown by the fuzz") {}
};

// The n-th allocation of this thread (from 1) throws std::bad_alloc, once, while this lives.
class AllocationFails {
 public:
  explicit AllocationFails(int64_t n);
  ~AllocationFails();
  AllocationFails(const AllocationFails&) = delete;
  AllocationFails& operator=(const AllocationFails&) = delete;
};

// Files of the process grow to `bytes` at most while this lives, as if the disk were full there.
class DiskFails {
 public:
  explicit DiskFails(uint64_t bytes);
  ~DiskFails();
  DiskFails(const DiskFails&) = delete;
  DiskFails& operator=(const DiskFails&) = delete;

 private:
  rlimit before_{};
};

}  // namespace gyrator
