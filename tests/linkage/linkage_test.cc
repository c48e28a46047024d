// What the command links: no torch, no Python; and that it holds no path of the tree it was built
// in.
#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/source_path_testing.h"

namespace gyrator {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string& Command() {
  static const std::string path = BinaryPath("bin/gyrator");
  return path;
}

std::string ReadAll(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// The bytes [offset, offset + count) of `file` as a T, or zeros when they are not there.
template <class T>
T At(const std::string& file, uint64_t offset) {
  T value = {};
  if (offset <= file.size() && sizeof(T) <= file.size() - offset) {
    std::memcpy(&value, file.data() + offset, sizeof(T));
  }
  return value;
}

// Section headers of a 64-bit ELF file.
std::vector<Elf64_Shdr> Sections(const std::string& file) {
  const auto header = At<Elf64_Ehdr>(file, 0);
  std::vector<Elf64_Shdr> sections;
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return sections;
  for (uint64_t i = 0; i < header.e_shnum; ++i) {
    sections.push_back(At<Elf64_Shdr>(file, header.e_shoff + i * sizeof(Elf64_Shdr)));
  }
  return sections;
}

// Libraries among `needed` that core and command must not link.
std::vector<std::string> ForbiddenLibraries(const std::vector<std::string>& needed) {
  std::vector<std::string> forbidden;
  for (const std::string& library : needed) {
    for (const char* part : {"torch", "libc10", "python", "caffe", "mkl", "libgomp"}) {
      if (library.find(part) != std::string::npos) {
        forbidden.push_back(library);
        break;
      }
    }
  }
  return forbidden;
}

// The shared libraries that an ELF program names; empty when it cannot be read.
std::vector<std::string> NeededLibraries(const std::string& program) {
  const std::string file = ReadAll(program);
  const std::vector<Elf64_Shdr> sections = Sections(file);
  std::vector<std::string> needed;
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_type != SHT_DYNAMIC || section.sh_link >= sections.size()) continue;
    const uint64_t names = sections[section.sh_link].sh_offset;
    for (uint64_t at = 0; at + sizeof(Elf64_Dyn) <= section.sh_size; at += sizeof(Elf64_Dyn)) {
      const auto entry = At<Elf64_Dyn>(file, section.sh_offset + at);
      if (entry.d_tag != DT_NEEDED) continue;
      const uint64_t begin = names + entry.d_un.d_val;
      if (begin < file.size()) needed.emplace_back(file.c_str() + begin);
    }
  }
  return needed;
}

TEST(Linkage, CommandLinksNoTorchAndNoPython) {
  const std::vector<std::string> needed = NeededLibraries(Command());
  EXPECT_THAT(needed, Contains(HasSubstr("libc.so"))) << "the ELF reader finds nothing";
  EXPECT_THAT(ForbiddenLibraries(needed), IsEmpty());
}

TEST(Linkage, ForbiddenLibrariesAreRecognised) {
  EXPECT_THAT(ForbiddenLibraries({"libc.so.6", "libtorch_cpu.so", "libc10.so", "libpython3.11.so"}),
              ElementsAre("libtorch_cpu.so", "libc10.so", "libpython3.11.so"));
  EXPECT_THAT(ForbiddenLibraries({"libstdc++.so.6", "libcrypto.so.3", "libedit.so.2"}), IsEmpty());
}

TEST(Linkage, CommandHoldsNoPathOfTheSourceTree) {
  const std::string binary = ReadAll(Command());
  ASSERT_THAT(binary, HasSubstr("GYRATOR_HOME")) << "this is not the command";
  EXPECT_EQ(binary.find(SourcePath("")), std::string::npos);
}

}  // namespace
}  // namespace gyrator
