#include "base/memory_room.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <optional>
#include <string_view>

namespace gyrator {

namespace {

// Empty when there is no such file. Those of the kernel have no size of their own.
std::string ReadKernelFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::optional<uint64_t> NumberAt(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t:");
  if (first == std::string_view::npos) return std::nullopt;
  uint64_t number = 0;
  const char* const begin = text.data() + first;
  if (std::from_chars(begin, text.data() + text.size(), number).ec != std::errc()) {
    return std::nullopt;  // "max"
  }
  return number;
}

// The number behind `key` at the beginning of a line.
std::optional<uint64_t> NumberOf(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.starts_with(key)) return NumberAt(line.substr(key.size()));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  return std::nullopt;
}

struct GroupFiles {
  std::string_view limit, usage, inactive, active;  // names of files and keys of memory.stat
};
constexpr GroupFiles kVersion1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                                  "total_inactive_file ", "total_active_file "};
constexpr GroupFiles kVersion2 = {"memory.max", "memory.current", "inactive_file ", "active_file "};

uint64_t RoomOfGroup(const std::string& folder, const GroupFiles& files) {
  const auto limit = NumberAt(ReadKernelFile(folder + "/" + std::string(files.limit)));
  const auto usage = NumberAt(ReadKernelFile(folder + "/" + std::string(files.usage)));
  if (!limit || !usage) return kNoMemoryBound;
  const std::string stat = ReadKernelFile(folder + "/memory.stat");
  const uint64_t cache =
      NumberOf(stat, files.inactive).value_or(0) + NumberOf(stat, files.active).value_or(0);
  const uint64_t used = *usage - std::min(*usage, cache);
  return *limit - std::min(*limit, used);
}

// A group and all groups around it.
uint64_t RoomOfGroups(const std::string& mount, std::string_view group, const GroupFiles& files) {
  uint64_t room = kNoMemoryBound;
  while (true) {
    room = std::min(room, RoomOfGroup(mount + std::string(group), files));
    if (group.empty() || group == "/") return room;
    group = group.substr(0, group.rfind('/'));
  }
}

}  // namespace

uint64_t MemoryRoom(const std::string& root) {
  const std::string meminfo = ReadKernelFile(root + "/proc/meminfo");
  uint64_t room = kNoMemoryBound;
  if (const auto kib = NumberOf(meminfo, "MemAvailable")) room = *kib << 10;
  const std::string groups = ReadKernelFile(root + "/proc/self/cgroup");
  std::string_view rest = groups;
  while (!rest.empty()) {  // "hierarchy:controllers:group"; version 2 names no controllers
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const size_t second = line.find(':', line.find(':') + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view group = line.substr(second + 1);
    if (line.starts_with("0::")) {
      room = std::min(room, RoomOfGroups(root + "/sys/fs/cgroup", group, kVersion2));
    } else if (line.substr(0, second).ends_with(":memory")) {
      room = std::min(room, RoomOfGroups(root + "/sys/fs/cgroup/memory", group, kVersion1));
    }
  }
  return room;
}

}  // namespace gyrator
