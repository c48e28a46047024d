#include "base/memory_room.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace gyrator {
namespace {

constexpr uint64_t kMiB = 1 << 20;

// A tree of files in the place of "/".
class FakeRoot : public testing::Test {
 protected:
  FakeRoot()
      : root_(testing::TempDir() + "/memory_room_" +
              testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(root_);
  }
  ~FakeRoot() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  void WriteAvailable(uint64_t mib) {
    Write("/proc/meminfo", "MemTotal:       99999999 kB\nMemFree:  1 kB\nMemAvailable:   " +
                               std::to_string(mib << 10) + " kB\nBuffers: 5 kB\n");
  }
  // A group of version 2 that has used so much, of which a part is file cache.
  void WriteGroup(const std::string& group, const std::string& limit, uint64_t used_mib,
                  uint64_t cache_mib) {
    const std::string folder = "/sys/fs/cgroup" + group;
    Write(folder + "/memory.max", limit + "\n");
    Write(folder + "/memory.current", std::to_string(used_mib * kMiB) + "\n");
    Write(folder + "/memory.stat", "anon 123\nfile 1\ninactive_file " +
                                       std::to_string(cache_mib * kMiB - 100) +
                                       "\nactive_file 100\nworkingset 7\n");
  }
  uint64_t Room() const { return MemoryRoom(root_); }

 private:
  const std::string root_;
};

TEST_F(FakeRoot, WithoutFilesThereIsNoBound) { EXPECT_EQ(kNoMemoryBound, Room()); }

TEST_F(FakeRoot, TheMachineSaysWhatIsAvailable) {
  WriteAvailable(1000);
  EXPECT_EQ(1000 * kMiB, Room());
}

TEST_F(FakeRoot, AGroupLeavesItsLimitLessWhatIsNoCache) {
  WriteAvailable(1000);
  Write("/proc/self/cgroup", "0::/talks\n");
  WriteGroup("/talks", std::to_string(600 * kMiB), 500, 100);
  EXPECT_EQ(200 * kMiB, Room());
  WriteGroup("/talks", std::to_string(6000 * kMiB), 500, 100);
  EXPECT_EQ(1000 * kMiB, Room()) << "the machine has less than the group";
  WriteGroup("/talks", "max", 500, 100);
  EXPECT_EQ(1000 * kMiB, Room());
  WriteGroup("/talks", std::to_string(300 * kMiB), 500, 100);
  EXPECT_EQ(0u, Room()) << "a limit that was lowered below what is used";
}

TEST_F(FakeRoot, TheGroupsAroundCountToo) {
  WriteAvailable(1000);
  Write("/proc/self/cgroup", "0::/a/b/c\n");
  WriteGroup("/a/b/c", "max", 10, 1);
  WriteGroup("/a", std::to_string(50 * kMiB), 10, 1);
  EXPECT_EQ(41 * kMiB, Room());
  WriteGroup("", std::to_string(30 * kMiB), 10, 1);
  EXPECT_EQ(21 * kMiB, Room());
}

TEST_F(FakeRoot, VersionOneHasOtherNames) {
  WriteAvailable(1000);
  Write("/proc/self/cgroup", "5:cpu,cpuacct:/x\n3:memory:/box\n0::/\n");
  const std::string folder = "/sys/fs/cgroup/memory/box";
  Write(folder + "/memory.limit_in_bytes", std::to_string(400 * kMiB));
  Write(folder + "/memory.usage_in_bytes", std::to_string(150 * kMiB));
  Write(folder + "/memory.stat", "inactive_file 1\ntotal_inactive_file " +
                                     std::to_string(40 * kMiB) + "\ntotal_active_file " +
                                     std::to_string(10 * kMiB) + "\n");
  EXPECT_EQ(300 * kMiB, Room());
}

TEST_F(FakeRoot, WhatCannotBeReadSetsNoBound) {
  Write("/proc/meminfo", "MemAvailable: much\n");
  Write("/proc/self/cgroup", "nonsense\n0::/a\n");
  Write("/sys/fs/cgroup/a/memory.max", "many\n");
  EXPECT_EQ(kNoMemoryBound, Room());
}

TEST(MemoryRoomOfThisMachine, IsMoreThanNothing) { EXPECT_GT(MemoryRoom(), 16 * kMiB); }

}  // namespace
}  // namespace gyrator
