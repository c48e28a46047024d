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
#include "tensor/dtype.h"

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

// One layer, one head, three tokens, head_dim 64 in int8: q of token t and dimension d is
// (64 t + d) % 255 - 127, scales are 0.5, 2, then 0.25, ...
Files GoodInt8() {
  Files files = Good();
  files["metadata/config.txt"] = "model: Tiny\n";
  std::string q(3 * 64, '\0');
  for (size_t i = 0; i < q.size(); ++i) q[i] = static_cast<char>(static_cast<int>(i % 255) - 127);
  const float scales[] = {0.5f, 2.0f, 0.25f, 1.0f, 0.0f, 3.0f};
  const std::string scale(reinterpret_cast<const char*>(scales), sizeof(scales));
  for (const std::string half : {"key", "value"}) {
    files["past_key_values/0_" + half + ".npy"] = Npy(DType::kI8, {1, 1, 3, 64}, q);
    files["past_key_values/0_" + half + "_scale.npy"] = Npy(DType::kF32, {1, 1, 3, 2}, scale);
  }
  return files;
}

TEST(Bare, Int8WithScalesIsGoodAndBrokenOnesAreRefusedByName) {
  EXPECT_TRUE(Verify(GoodInt8()).ok()) << Verify(GoodInt8()).ToString();
  const std::string scale = "past_key_values/0_key_scale.npy", key = "past_key_values/0_key.npy";
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::string nans(reinterpret_cast<const char*>(&nan), sizeof(nan));
  const Case cases[] = {
      {scale, std::nullopt, gone, scale},
      {"past_key_values/0_value_scale.npy", std::nullopt, gone, "0_value_scale.npy"},
      {scale, Npy(DType::kF32, {1, 1, 3, 1}), text, scale},
      {scale, Npy(DType::kF32, {1, 1, 3, 64}), text, scale},
      {scale, Npy(DType::kF32, {1, 1, 2, 2}), text, scale},
      {scale, Npy(DType::kF32, {1, 2, 3, 2}), text, scale},
      {scale, Npy(DType::kF32, {1, 3, 2}), text, scale},
      {scale, Npy(DType::kF64, {1, 1, 3, 2}), text, scale},
      {scale, Npy(DType::kF32, {1, 1, 3, 2}).substr(0, 140), text, scale},
      {scale, Npy(DType::kF32, {1, 1, 3, 2}, nans), text, "not finite"},
      {"past_key_values/1_key_scale.npy", "x", text, "scales"},
      {key, Npy(DType::kI8, {1, 1, 3, 48}), text, "multiple of 32"},
      {key, Npy(DType::kU8, {1, 1, 3, 64}), text, key},
      {key, Npy(DType::kF32, {1, 1, 3, 64}), text, "alone, found 4 files"},
      {"past_key_values/0_value.npy", Npy(DType::kF32, {1, 1, 3, 64}), text, "0_value.npy"},
  };
  for (const Case& c : cases) {
    Files files = GoodInt8();
    if (c.content) files[c.path] = *c.content;
    if (!c.content) files.erase(c.path);
    const Status status = Verify(files);
    EXPECT_EQ(status.name(), c.name) << c.path << ": " << status.ToString();
    EXPECT_THAT(status.message(), HasSubstr(c.named)) << c.path;
  }
}

// Opens a folder and loads it into blocks of another type.
Status LoadAs(const Files& files, TestState* target) {
  MemoryFileSystem fs;
  WriteAll(fs, "/bare", files);
  GYRATOR_ASSIGN_OR_RETURN(const Snapshot snapshot, OpenSnapshot(fs, "/bare"));
  return LoadKv(fs, snapshot, target->kv(), target->blocks(), {});
}

TEST(Bare, Int8IsConvertedToTheValuesThatItStandsFor) {
  TestState exact(
      {.dtype = DType::kI8, .num_layers = 1, .num_kv_heads = 1, .head_dim = 64, .cp = 3});
  TestState wide({.num_layers = 1, .num_kv_heads = 1, .head_dim = 64, .cp = 3});
  ASSERT_TRUE(LoadAs(GoodInt8(), &exact).ok());
  const Status status = LoadAs(GoodInt8(), &wide);
  ASSERT_TRUE(status.ok()) << status.ToString();
  const std::vector<std::byte> q = exact.LogicalBytes(), floats = wide.LogicalBytes();
  ASSERT_EQ(q.size(), 2u * 3 * (64 + 8));
  ASSERT_EQ(floats.size(), 2u * 3 * 64 * 4);
  const float scales[] = {0.5f, 2.0f, 0.25f, 1.0f, 0.0f, 3.0f};
  for (size_t i = 0; i < 2u * 3 * 64; ++i) {
    float value;
    std::memcpy(&value, floats.data() + 4 * i, 4);
    const int at = static_cast<int>(i % 192);
    EXPECT_EQ(static_cast<int>(static_cast<int8_t>(q[i])), at % 255 - 127);
    // 8 bits of q times a power of two, or 3: the product is rounded to bf16.
    EXPECT_EQ(value, BF16ToF32(F32ToBF16(static_cast<float>(at % 255 - 127) * scales[at / 32])));
  }
}

TEST(Bare, FloatsAreQuantizedForInt8) {
  Files files = Good();
  std::vector<float> values(3 * 32);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 32) - 31.0f;
  values[32 * 2] = -127.0f;  // the third group's scale is 1, that of the others 31 / 127
  const std::string data(reinterpret_cast<const char*>(values.data()), values.size() * 4);
  for (const char* path : {"past_key_values/0_key.npy", "past_key_values/0_value.npy"}) {
    files[path] = Npy(DType::kF32, {1, 1, 3, 32}, data);
  }
  const TestShape shape{
      .dtype = DType::kI8, .num_layers = 1, .num_kv_heads = 1, .head_dim = 32, .cp = 3};
  TestState target(shape);
  const Status status = LoadAs(files, &target);
  ASSERT_TRUE(status.ok()) << status.ToString();
  const std::vector<std::byte> bytes = target.LogicalBytes();
  ASSERT_EQ(bytes.size(), 2u * 3 * (32 + 4));
  float scales[3];
  std::memcpy(scales, bytes.data() + 2 * 3 * 32, sizeof(scales));
  EXPECT_EQ(scales[0], 31.0f / 127.0f);
  EXPECT_EQ(scales[2], 1.0f);
  EXPECT_EQ(static_cast<int8_t>(bytes[0]), -127);
  EXPECT_EQ(static_cast<int8_t>(bytes[1]), -123);  // -30 x 127 / 31 = -122.9
  EXPECT_EQ(static_cast<int8_t>(bytes[31]), 0);
  EXPECT_EQ(static_cast<int8_t>(bytes[64]), -127);
  EXPECT_EQ(static_cast<int8_t>(bytes[65]), -30);
  // A head_dim without whole groups has no int8.
  TestState other(
      {.dtype = DType::kI8, .num_layers = 1, .num_kv_heads = 1, .head_dim = 32, .cp = 3});
  EXPECT_EQ(LoadAs(Good(), &other).name(), "shape_mismatch");
}

TEST(Bare, WhatIsNotFiniteIsNotQuantized) {
  Files files = Good();
  const float bad = std::numeric_limits<float>::infinity();
  for (const char* path : {"past_key_values/0_key.npy", "past_key_values/0_value.npy"}) {
    files[path] = Npy(DType::kF32, {1, 1, 3, 32});
  }
  std::string& key = files["past_key_values/0_key.npy"];
  key.replace(key.size() - 4, 4, reinterpret_cast<const char*>(&bad), 4);
  TestState target(
      {.dtype = DType::kI8, .num_layers = 1, .num_kv_heads = 1, .head_dim = 32, .cp = 3});
  const Status status = LoadAs(files, &target);
  EXPECT_EQ(status.name(), "state_inconsistent");
  EXPECT_THAT(status.message(), HasSubstr("token 2 is not finite"));
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
