// Bare folders that are not what they should be, each with its verdict.
#include "snapshot/bare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <optional>

#include "formats/npy.h"
#include "snapshot/identity.h"
#include "snapshot/state_testing.h"

namespace gyrator {
namespace {

using ::testing::HasSubstr;
using Files = std::map<std::string, std::string>;

std::string Npy(DType dtype, const Shape& shape, std::string data = "") {
  const size_t bytes = *TensorBytes(dtype, shape);
  data.resize(bytes, '\0');
  return NpyHeader(dtype, shape) + data;
}

std::string Ints(const std::vector<int64_t>& values) {
  std::string data(values.size() * 8, '\0');
  if (!values.empty()) std::memcpy(data.data(), values.data(), data.size());
  return Npy(DType::kI64, {1, static_cast<int64_t>(values.size())}, data);
}

// One layer, one head, three tokens, head_dim 2.
Files Good() {
  return {{"input_ids.npy", Ints({5, 6, 7})},
          {"attention_mask.npy", Ints({1, 1, 1})},
          {"position_ids.npy", Ints({0, 1, 2})},
          {"past_key_values/0_key.npy", Npy(DType::kF32, {1, 1, 3, 2})},
          {"past_key_values/0_value.npy", Npy(DType::kF32, {1, 1, 3, 2})},
          {"metadata/config.txt", "model: Tiny\ndtype: float32\n"}};
}

Status Verify(const Files& files) {
  MemoryFileSystem fs;
  WriteAll(fs, "/bare", files);
  return VerifySnapshot(fs, "/bare", {}).status();
}

TEST(Bare, TheGoodFolderIsGood) { EXPECT_TRUE(Verify(Good()).ok()) << Verify(Good()).ToString(); }

struct Case {
  std::string path;
  std::optional<std::string> content;  // nullopt: removed
  std::string name;
  std::string named;  // in the message
};

const std::string text = "state_inconsistent", gone = "missing_element";

// Files that are missing, too many, or say something wrong.
std::vector<Case> WrongFiles() {
  return {
      {"input_ids.npy", std::nullopt, "not_a_context", "input_ids.npy"},
      {"attention_mask.npy", std::nullopt, gone, "attention_mask.npy"},
      {"position_ids.npy", std::nullopt, gone, "position_ids.npy"},
      {"metadata/config.txt", std::nullopt, gone, "config.txt"},
      {"past_key_values/0_key.npy", std::nullopt, gone, "0_key.npy"},
      {"past_key_values/0_value.npy", std::nullopt, gone, "0_value.npy"},
      {"past_key_values/1_key.npy", Npy(DType::kF32, {1, 1, 3, 2}), gone, "1_value.npy"},
      {"past_key_values/2_key.npy", "x", text, "past_key_values"},
      // Only folders with a manifest have these.
      {"metadata/protocol.txt", "protocol: v1.0\n", gone, "manifest.txt"},
      {"metadata/session.txt", "cp: 3\n", gone, "manifest.txt"},
      {"session.txt", "cp: 3\n", gone, "manifest.txt"},
      {"chat.json", "[]", gone, "manifest.txt"},
      {"logits.npy", "", gone, "manifest.txt"},
      {"manifest.txt", "", gone, "manifest.txt"},
      {"config.txt", "model: Other\n", text, "config.txt"},
      {"metadata/config.txt", "model Tiny\n", text, "config.txt"},
      {"metadata/config.txt", "n_layers: 2\n", text, "n_layers"},
      {"metadata/config.txt", "head_dim: 3\n", text, "head_dim"},
      {"metadata/config.txt", "cache_position: 2\n", text, "cache_position"},
      {"metadata/config.txt", "vocab_size: 7\n", text, "input_ids.npy"},
      {"metadata/config.txt", "cache_capacity: 2\n", text, "cache_capacity"},
      {"metadata/obfchain.txt", "rotate_heads layer=0 order=[3,0,2,1]\n", "chain_unknown_op",
       "line 1: unknown operation 'rotate_heads'"},
      {"obfchain.txt", "# x\n\nxor_mask value seed=982734\n", "chain_unknown_op", "line 3"},
      {"metadata/symbolic_map.npy", Ints({0, 1}), text, "symbolic_map.npy"},
      {"symbolic_map.npy", Ints({0, 1}), text, "symbolic_map.npy"},
  };
}

// Tensors that are not what they should be.
std::vector<Case> WrongTensors() {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::string nans(reinterpret_cast<const char*>(&nan), sizeof(nan));
  return {
      {"input_ids.npy", "not numpy", text, "input_ids.npy"},
      {"input_ids.npy", Npy(DType::kF32, {1, 3}), text, "integers"},
      {"input_ids.npy", Npy(DType::kI64, {3}), text, "integers"},
      {"input_ids.npy", Ints({5, 6}), text, "attention_mask.npy"},
      {"input_ids.npy", Ints({5, -6, 7}), text, "input_ids.npy"},
      {"input_ids.npy", Ints({5, int64_t{1} << 31, 7}), text, "input_ids.npy"},
      {"attention_mask.npy", Ints({1, 2, 1}), text, "attention_mask.npy"},
      {"position_ids.npy", Ints({0, 1, 1}), text, "position_ids.npy"},
      {"position_ids.npy", Ints({0, 2, 1}), text, "position_ids.npy"},
      {"past_key_values/0_key.npy", Npy(DType::kF64, {1, 1, 3, 2}), text, "0_key.npy"},
      {"past_key_values/0_key.npy", Npy(DType::kU16, {1, 1, 3, 2}), text, "0_key.npy"},
      {"past_key_values/0_key.npy", Npy(DType::kF32, {2, 1, 3, 2}), text, "0_key.npy"},
      {"past_key_values/0_key.npy", Npy(DType::kF32, {1, 3, 2}), text, "0_key.npy"},
      {"past_key_values/0_key.npy", Npy(DType::kF32, {1, 1, 2, 2}), text, "0_key.npy"},
      {"past_key_values/0_value.npy", Npy(DType::kF16, {1, 1, 3, 2}), text, "0_value.npy"},
      {"past_key_values/0_value.npy", Npy(DType::kF32, {1, 1, 3, 4}), text, "0_value.npy"},
      {"past_key_values/0_value.npy", Npy(DType::kF32, {1, 2, 3, 2}), text, "0_value.npy"},
      {"past_key_values/0_value.npy", Npy(DType::kF32, {1, 1, 3, 2}).substr(0, 140), text,
       "0_value.npy"},
      {"past_key_values/0_value.npy", Npy(DType::kF32, {1, 1, 3, 2}, nans), text, "not finite"},
      {"a/b/c", "x", text, "a/b"},
  };
}

TEST(Bare, BrokenFoldersAreRefusedByName) {
  std::vector<Case> cases = WrongFiles();
  const std::vector<Case> tensors = WrongTensors();
  cases.insert(cases.end(), tensors.begin(), tensors.end());
  for (const Case& c : cases) {
    Files files = Good();
    if (c.content) {
      files[c.path] = *c.content;
    } else {
      files.erase(c.path);
    }
    const Status status = Verify(files);
    EXPECT_EQ(status.name(), c.name) << c.path << ": " << status.ToString();
    EXPECT_THAT(status.message(), HasSubstr(c.named)) << c.path;
    const bool damaged = c.name == text || c.name == gone;
    EXPECT_EQ(status.code() == Code::kCorruption, damaged) << c.path;
  }
}

TEST(Bare, PositionsWithGapsCanBeShownButNotContinued) {
  Files files = Good();
  files["position_ids.npy"] = Ints({0, 1, 5});
  MemoryFileSystem fs;
  WriteAll(fs, "/bare", files);
  const auto snapshot = OpenSnapshot(fs, "/bare");
  ASSERT_TRUE(snapshot.ok()) << snapshot.status().ToString();
  const Status status = CheckCompatible(*snapshot, MakeConfig({}, snapshot->kv), 64).status();
  EXPECT_EQ(status.code(), Code::kUnsupported);
  EXPECT_THAT(status.message(), HasSubstr("position_ids.npy"));
}

}  // namespace
}  // namespace gyrator
