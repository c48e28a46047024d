// Files of weights that tests change under a model.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/mapped_file.h"

namespace gyrator {

// A folder of the running test's own, empty.
inline std::string FreshFolder() {
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  const std::string folder = testing::TempDir() + "gyrator_" + test->test_suite_name() + "_" +
                             std::filesystem::path(test->name()).filename().string();
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

inline FileStamp StampAt(const std::string& path) {
  auto file = MappedFile::Open(path);
  EXPECT_TRUE(file.ok()) << file.status().ToString();
  return file->stamp();
}

// Returns when a change of `path` gets a later time than it has: the clock of a file system ticks.
inline void WaitForTick(const std::string& path) {
  const std::string probe = path + ".tick";
  const int64_t changed = StampAt(path).changed_ns;
  do {
    std::ofstream(probe) << "x";
  } while (StampAt(probe).changed_ns <= changed);
  std::filesystem::remove(probe);
}

inline void WriteAllOf(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// Other bytes in the same file, which a mapping sees.
inline void OverwriteInPlace(const std::string& path, size_t at, const std::string& text) {
  WaitForTick(path);
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(at));
  file << text;
}

// Gives a file the time of modification that it had; nothing can give back the time of change.
inline void RestoreModified(const std::string& path, const FileStamp& stamp) {
  const timespec time = {stamp.modified_ns / 1'000'000'000, stamp.modified_ns % 1'000'000'000};
  const timespec times[] = {time, time};
  ASSERT_EQ(0, ::utimensat(AT_FDCWD, path.c_str(), times, 0));
  ASSERT_EQ(stamp.modified_ns, StampAt(path).modified_ns);
}

}  // namespace gyrator
