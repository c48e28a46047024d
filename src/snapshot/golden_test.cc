// Folders that numpy wrote are read, old folders of ours too, and ours are what they were.
// tools/golden/snapshots.py makes the first and reads the last with numpy.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/sha256.h"
#include "base/source_path_testing.h"
#include "formats/npy.h"
#include "snapshot/identity.h"
#include "snapshot/reader.h"
#include "snapshot/state_testing.h"
#include "tensor/dtype.h"

namespace gyrator {
namespace {

using ::testing::HasSubstr;

const std::string kGolden = SourcePath("tests/golden/snapshots");
const std::string kCompat = SourcePath("tests/compat/snapshot_v1_0_");  // minor

Json ReadJson(const std::string& path) {
  const auto text = ReadFile(PosixFileSystem(), path, 10 << 20);
  EXPECT_TRUE(text.ok()) << text.status().ToString();
  auto json = ParseJson(*text);
  EXPECT_TRUE(json.ok()) << json.status().ToString();
  return *std::move(json);
}

std::string Hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte b : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    text += kDigits[std::to_integer<int>(b) >> 4];
    text += kDigits[std::to_integer<int>(b) & 15];
  }
  return text;
}

// Blocks of the geometry of `snapshot`, with K and V as `dtype`.
TestState TargetFor(const Snapshot& snapshot, DType dtype) {
  return TestState({.dtype = dtype,
                    .num_layers = snapshot.kv.num_layers,
                    .num_kv_heads = snapshot.kv.num_kv_heads,
                    .head_dim = snapshot.kv.head_dim,
                    .cp = snapshot.cp(),
                    .seed = 77});
}

// Opens, loads, and compares with one entry of expected.json.
void ExpectFolder(const std::string& folder, const Json& expected, Verification level) {
  const auto snapshot = OpenSnapshot(PosixFileSystem(), folder);
  ASSERT_TRUE(snapshot.ok()) << folder << ": " << snapshot.status().ToString();
  EXPECT_EQ(snapshot->verification, level) << folder;
  EXPECT_EQ(snapshot->tokens, expected["tokens"].get<std::vector<TokenId>>()) << folder;
  EXPECT_EQ(snapshot->positions, expected["positions"].get<std::vector<Position>>()) << folder;
  EXPECT_EQ(KvDTypeName(snapshot->kv.dtype), expected["dtype"].get<std::string>()) << folder;
  TestState target = TargetFor(*snapshot, snapshot->kv.dtype);
  const Status loaded = LoadKv(PosixFileSystem(), *snapshot, target.kv(), target.blocks(), {});
  ASSERT_TRUE(loaded.ok()) << folder << ": " << loaded.ToString();
  EXPECT_EQ(Hex(target.LogicalBytes()), expected["kv"].get<std::string>()) << folder;
  EXPECT_TRUE(VerifySnapshot(PosixFileSystem(), folder, {}).ok()) << folder;
}

TEST(Golden, BareFoldersOfNumpyAreReadAndSaidToBeBare) {
  const Json expected = ReadJson(kGolden + "/expected.json")["bare"];
  ASSERT_GE(expected.size(), 10u);
  for (const auto& [name, entry] : expected.items()) {
    ExpectFolder(kGolden + "/bare/" + name, entry, Verification::kBare);
    const auto snapshot = OpenSnapshot(PosixFileSystem(), kGolden + "/bare/" + name);
    EXPECT_THAT(snapshot->notes, ::testing::Contains(HasSubstr("bare v1.0")));
    EXPECT_EQ(snapshot->chat, "[]");
    EXPECT_TRUE(snapshot->logits.empty());
    EXPECT_EQ(VerificationName(snapshot->verification), "bare");
  }
}

// numpy quantized and gives back what that stands for, by the definition of the format's page.
TEST(Golden, Int8StandsForTheFloatsThatNumpyComputes) {
  const Json expected = ReadJson(kGolden + "/expected.json")["bare"];
  for (const char* name : {"plain_int8", "fortran_big_endian_int8", "padded_int8"}) {
    const auto snapshot = OpenSnapshot(PosixFileSystem(), kGolden + "/bare/" + name);
    ASSERT_TRUE(snapshot.ok()) << snapshot.status().ToString();
    TestState wide = TargetFor(*snapshot, DType::kF32);
    const Status loaded = LoadKv(PosixFileSystem(), *snapshot, wide.kv(), wide.blocks(), {});
    ASSERT_TRUE(loaded.ok()) << loaded.ToString();
    EXPECT_EQ(HexText(Sha256Of(wide.LogicalBytes())), expected[name]["floats"].get<std::string>())
        << name;
  }
}

TEST(Golden, AFullFolderOfNumpyIsRead) {
  const Json expected = ReadJson(kGolden + "/expected.json")["full"];
  ExpectFolder(kGolden + "/full", expected, Verification::kFull);
  const auto snapshot = OpenSnapshot(PosixFileSystem(), kGolden + "/full");
  EXPECT_EQ(Hex(std::as_bytes(std::span(snapshot->logits))), expected["logits"].get<std::string>());
  EXPECT_THAT(snapshot->chat, HasSubstr("\\u00e9"));
  EXPECT_EQ(snapshot->protocol.writer, "numpy");
}

TEST(Golden, BareKeysAndValuesAreConvertedAndThatIsSaid) {
  const std::string folder = kGolden + "/bare/plain_f16";
  const auto snapshot = OpenSnapshot(PosixFileSystem(), folder);
  ASSERT_TRUE(snapshot.ok());
  TestState exact = TargetFor(*snapshot, DType::kF16), wide = TargetFor(*snapshot, DType::kF32);
  ASSERT_TRUE(LoadKv(PosixFileSystem(), *snapshot, exact.kv(), exact.blocks(), {}).ok());
  ASSERT_TRUE(LoadKv(PosixFileSystem(), *snapshot, wide.kv(), wide.blocks(), {}).ok());
  const std::vector<std::byte> halves = exact.LogicalBytes(), floats = wide.LogicalBytes();
  ASSERT_EQ(floats.size(), halves.size() * 2);
  for (size_t i = 0; i < halves.size() / 2; ++i) {
    uint16_t half;
    float value;
    std::memcpy(&half, halves.data() + 2 * i, 2);
    std::memcpy(&value, floats.data() + 4 * i, 4);
    ASSERT_EQ(value, F16ToF32(half)) << i;
  }
  KeyValues live;
  live.Set("kv_dtype", "f32");
  live.Set("weights_sha256", "x");
  for (const auto& [key, value] :
       {std::pair("n_layers", 2), std::pair("n_kv_heads", 2), std::pair("head_dim", 4)}) {
    live.SetInt(key, value);
  }
  const auto notes = CheckCompatible(*snapshot, live, 64);
  ASSERT_TRUE(notes.ok()) << notes.status().ToString();
  EXPECT_THAT(*notes, ::testing::Contains(HasSubstr("converted from f16 to f32")));
  EXPECT_THAT(*notes, ::testing::Contains(HasSubstr("not checked: weights_sha256")));
}

// What the writer of this version makes, to the byte: the folders of the newest minor. When the
// format changes, its minor number and the folders' names change with it, and the old folders stay,
// to be read for ever (the test below). Minor 1 is bf16, minor 2 int8, minor 3 has a window; minor
// 4 has both in two folders.
struct CompatCase {
  const char* name;  // behind snapshot_v1_0_
  int32_t minor;
  TestShape shape;
};

class Compat : public ::testing::TestWithParam<CompatCase> {
 protected:
  std::string folder() const { return kCompat + GetParam().name; }
};
constexpr TestShape kOldBf16 = {.dtype = DType::kBF16, .cp = 20};
constexpr TestShape kBf16Window = {.dtype = DType::kBF16, .cp = 20, .evicted = 9};
constexpr TestShape kInt8 = {.dtype = DType::kI8, .head_dim = 32, .cp = 20};
INSTANTIATE_TEST_SUITE_P(Minors, Compat,
                         ::testing::Values(CompatCase{"1", 1, kOldBf16}, CompatCase{"2", 2, kInt8},
                                           CompatCase{"3", 3, kBf16Window},
                                           CompatCase{"4", 4, kBf16Window},
                                           CompatCase{"4_int8", 4, kInt8}));

TEST_P(Compat, TheWriterMakesTheCommittedFolderOfItsMinor) {
  MemoryFileSystem fs;
  const TestState state(GetParam().shape);
  const auto ours = ReadAll(fs, MustWrite(fs, state).folder);
  const std::string made = testing::TempDir() + "/gyrator_compat_" + GetParam().name;
  WriteAll(PosixFileSystem(), made, ours);
  const auto committed = ReadAll(PosixFileSystem(), folder());
  if (GetParam().minor == kFormatMinor) {
    EXPECT_EQ(ours, committed) << "compare with " << made;
  } else {
    EXPECT_NE(ours, committed);
  }
}

TEST_P(Compat, TheFolderIsRead) {
  const auto snapshot = VerifySnapshot(PosixFileSystem(), folder(), {});
  ASSERT_TRUE(snapshot.ok()) << snapshot.status().ToString();
  EXPECT_EQ(snapshot->protocol.minor, GetParam().minor);
  EXPECT_EQ(snapshot->cp(), 20);
  EXPECT_EQ(snapshot->window, TestState(GetParam().shape).window);
  const DType dtype = GetParam().shape.dtype;
  TestState target = TargetFor(*snapshot, dtype);
  ASSERT_TRUE(LoadKv(PosixFileSystem(), *snapshot, target.kv(), target.blocks(), {}).ok());
  // numpy read the same arrays: one digest a file, of its elements.
  const Json expected =
      ReadJson(kGolden + "/compat.json")[std::string("snapshot_v1_0_") + GetParam().name];
  const std::vector<std::byte> bytes = target.LogicalBytes();
  size_t at = 0;
  for (int32_t layer = 0; layer < 2; ++layer) {
    for (const KvTensor tensor : KvTensorsOf(dtype)) {
      const std::string file = KvFile(layer, tensor);
      const Json& entry = expected[file];
      const size_t part = KvTensorBytes(snapshot->kv, tensor, 20);
      const bool scales = tensor == KvTensor::kKeyScale || tensor == KvTensor::kValueScale;
      EXPECT_EQ(entry["sha256"], HexText(Sha256Of(std::span(bytes).subspan(at, part)))) << file;
      EXPECT_EQ(entry["dtype"], scales ? "float32" : dtype == DType::kI8 ? "int8" : "uint16");
      EXPECT_EQ(entry["shape"].get<Shape>(), (Shape{1, 2, 20, KvWidth(snapshot->kv, tensor)}));
      EXPECT_FALSE(entry["fortran_order"].get<bool>());
      at += part;
    }
  }
  EXPECT_EQ(at, bytes.size());
  EXPECT_EQ(expected["logits.npy"]["dtype"], "float32");
  EXPECT_EQ(expected["logits.npy"]["sha256"],
            HexText(Sha256Of(std::as_bytes(std::span(snapshot->logits)))));
  for (const char* file : {"input_ids.npy", "attention_mask.npy", "position_ids.npy"}) {
    EXPECT_EQ(expected[file]["dtype"], "int64") << file;
    EXPECT_EQ(expected[file]["shape"].get<Shape>(), (Shape{1, 20})) << file;
  }
}

// What a folder of an older minor does not say is told when it is loaded, and only that.
TEST_P(Compat, WhatAnOlderFolderDoesNotSayIsNoted) {
  const auto snapshot = OpenSnapshot(PosixFileSystem(), folder());
  ASSERT_TRUE(snapshot.ok()) << snapshot.status().ToString();
  const TestState state(GetParam().shape);
  const KeyValues live = MakeConfig(state.identity, snapshot->kv);
  const auto notes = CheckCompatible(*snapshot, live, 64);
  ASSERT_TRUE(notes.ok()) << notes.status().ToString();
  if (GetParam().minor == kFormatMinor) {
    EXPECT_THAT(*notes, ::testing::IsEmpty());
  } else {
    EXPECT_THAT(*notes, ::testing::ElementsAre("not recorded, not checked: hidden_size, norm_eps, "
                                               "end_of_generation"));
  }
}

}  // namespace
}  // namespace gyrator
