// How much more memory this process can take before the machine swaps or the system ends it.
//
// The lesser of what Linux calls available (/proc/meminfo, MemAvailable: free memory and caches
// that can go) and of what each control group around the process (cgroup v1 and v2) has left, its
// file cache counted as free. Where a file is missing or says nothing, it sets no bound.
#pragma once

#include <cstdint>
#include <string>

namespace gyrator {

inline constexpr uint64_t kNoMemoryBound = UINT64_MAX;

// `root` stands for "/" (tests lay the files out elsewhere). A look at the moment: others take and
// give memory meanwhile.
uint64_t MemoryRoom(const std::string& root = "/");

}  // namespace gyrator
