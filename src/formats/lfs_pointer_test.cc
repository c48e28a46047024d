// Every file of a model that may be a Git LFS pointer is named as one.
#include "formats/lfs_pointer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "formats/gguf.h"
#include "formats/safetensors.h"

namespace gyrator {
namespace {

const std::string kPointer =
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    "size 12345\n";

void ExpectNamed(const Status& status, const std::string& path) {
  EXPECT_EQ(Code::kCorruption, status.code()) << status.ToString();
  for (const std::string& part :
       {path, std::string("Git LFS pointer"), std::string("git lfs pull")})
    EXPECT_NE(std::string::npos, status.message().find(part)) << status.message();
}

TEST(LfsPointer, IsTold) {
  const Status status = CheckIsNoLfsPointer("a/model.bin", kPointer);
  ExpectNamed(status, "a/model.bin");
  EXPECT_NE(std::string::npos, status.message().find("12345 bytes")) << status.message();
  // A pointer of an older or damaged form is one all the same.
  ExpectNamed(CheckIsNoLfsPointer("b", "version https://git-lfs.github.com/spec/v2\noid x\n"), "b");
  ExpectNamed(CheckIsNoLfsPointer("c", "version https://git-lfs.github.com/spec/"), "c");
}

TEST(LfsPointer, OtherFilesAreNot) {
  for (const std::string& text :
       {std::string(), std::string("GGUF"), std::string("version 1"), " " + kPointer,
        std::string("{\"version\": \"https://git-lfs.github.com/spec/v1\"}"),
        kPointer + std::string(2000, 'x')}) {
    EXPECT_TRUE(CheckIsNoLfsPointer("a", text).ok()) << text.substr(0, 60);
  }
}

TEST(LfsPointer, InThePlaceOfWeightsIsNamed) {
  const std::string folder = testing::TempDir() + "/lfs_pointer";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directory(folder);
  const auto put = [&](const std::string& name, const std::string& text) {
    std::ofstream(folder + "/" + name) << text;
    return folder + "/" + name;
  };
  const std::string gguf = put("m.gguf", kPointer);
  ExpectNamed(GgufFile::Open(gguf).status(), gguf);
  const std::string index = put("model.safetensors.index.json", kPointer);
  ExpectNamed(OpenSafetensorsFolder(folder).status(), index);
  put("model.safetensors.index.json", R"({"weight_map": {"a": "part.safetensors"}})");
  const std::string shard = put("part.safetensors", kPointer);
  ExpectNamed(OpenSafetensorsFolder(folder).status(), shard);
  const std::string single = put("model.safetensors", kPointer);
  ExpectNamed(OpenSafetensorsFolder(folder).status(), single);
}

}  // namespace
}  // namespace gyrator
