#include "kv/kv_storage.h"

#include <gtest/gtest.h>

#include <cfenv>
#include <cmath>
#include <vector>

#include "kernels/move_kv.h"

namespace gyrator {
namespace {

constexpr DType kDTypes[] = {DType::kF32, DType::kBF16, DType::kF16, DType::kI8};

KeyRotation RotationOf(RopeStyle style) {
  return {.inv_freq = {1.0f, 0.3f, 0.01f, 0.002f},
          .rotary_dim = 8,
          .style = style,
          .ops = FindOps("ref")};
}

TEST(KvStorage, BlocksOfLayersAndHeadsDoNotOverlap) {
  for (const DType dtype : kDTypes) {
    const int32_t head_dim = dtype == DType::kI8 ? 64 : 6;
    auto storage = KvStorage::Create(
        {.dtype = dtype, .num_layers = 2, .num_blocks = 3, .num_kv_heads = 2, .head_dim = head_dim},
        KeyRotation{.ops = FindOps("ref")});
    ASSERT_TRUE(storage.ok());
    const PagedKv& kv = (*storage)->view();
    std::vector<int> touched(static_cast<size_t>(kv.total_bytes() / kv.element_bytes()), 0);
    const auto touch = [&](const std::byte* head, int64_t index) {
      ++touched[static_cast<size_t>((head - kv.base) / kv.element_bytes() + index)];
    };
    for (int layer = 0; layer < 2; ++layer)
      for (uint32_t block = 0; block < 3; ++block)
        for (int head = 0; head < 2; ++head)
          for (int slot = 0; slot < kBlockPositions; ++slot) {
            for (int dim = 0; dim < head_dim; ++dim) {
              touch(kv.keys(layer, block, head), KeyIndex(dtype, dim, slot));
              touch(kv.values(layer, block, head), ValueIndex(dtype, dim, slot, head_dim));
            }
            for (int byte = 0; byte < kv.num_groups() * 4; ++byte) {
              const int64_t scale = ScaleIndex(byte / 4, slot);
              for (std::byte* half : {kv.keys(layer, block, head), kv.values(layer, block, head)}) {
                touch(reinterpret_cast<std::byte*>(kv.scales(half) + scale), byte % 4);
              }
            }
          }
    for (int count : touched) ASSERT_EQ(1, count);
  }
}

Status Created(const PagedKv& layout, KeyRotation rotation) {
  return KvStorage::Create(layout, std::move(rotation)).status();
}

TEST(KvStorage, RefusesWhatItCannotHold) {
  const PagedKv good = {
      .dtype = DType::kF32, .num_layers = 1, .num_blocks = 1, .num_kv_heads = 1, .head_dim = 8};
  const KeyRotation none = {.ops = FindOps("ref")};
  EXPECT_TRUE(Created(good, none).ok());
  PagedKv layout = good;
  layout.dtype = DType::kI16;
  EXPECT_EQ(Code::kInvalidArgument, Created(layout, none).code());
  layout = good;
  layout.head_dim = 3;
  EXPECT_EQ(Code::kInvalidArgument, Created(layout, none).code());
  layout.dtype = DType::kI8;
  layout.head_dim = 48;
  const Status groups = Created(layout, none);
  EXPECT_EQ(Code::kUnsupported, groups.code());
  EXPECT_NE(std::string::npos, groups.message().find("48")) << groups.message();

  KeyRotation rotation = RotationOf(RopeStyle::kHalf);
  EXPECT_TRUE(Created(good, rotation).ok());
  rotation.inv_freq.pop_back();
  EXPECT_EQ(Code::kInvalidArgument, Created(good, rotation).code());
  layout = good;
  layout.head_dim = 6;
  EXPECT_EQ(Code::kInvalidArgument, Created(layout, RotationOf(RopeStyle::kHalf)).code());
}

// A storage whose every position holds something else.
std::unique_ptr<KvStorage> Filled(DType dtype, RopeStyle style) {
  auto storage = KvStorage::Create(
      {.dtype = dtype, .num_layers = 2, .num_blocks = 4, .num_kv_heads = 2, .head_dim = 32},
      RotationOf(style));
  EXPECT_TRUE(storage.ok());
  float x = 0.0f;
  for (int32_t layer = 0; layer < 2; ++layer)
    for (uint32_t block = 0; block < 4; ++block)
      for (int32_t slot = 0; slot < kBlockPositions; ++slot)
        for (int32_t head = 0; head < 2; ++head) {
          float key[32], value[32];
          for (float& element : key) element = std::fmod(x += 0.37f, 3.0f) - 1.4f;
          for (float& element : value) element = std::fmod(x += 0.71f, 5.0f) - 2.4f;
          EXPECT_TRUE(
              StoreKv(*FindOps("ref"), (*storage)->view(), {layer, block, slot, head}, key, value));
        }
  return *std::move(storage);
}

std::vector<std::byte> BytesOf(const KvStorage& storage) {
  const PagedKv& kv = storage.view();
  return {kv.base, kv.base + kv.total_bytes()};
}

void ApplyByHand(std::span<const PositionMove> moves, const KvStorage& storage, RopeStyle style) {
  const FloatEnvironment environment;
  for (const PositionMove& move : moves) {
    const KeyRotation rotation = RotationOf(style);
    float cos[4], sin[4], scratch[32];
    RopeTable(move.delta, rotation.inv_freq, 1.0f, cos, sin);
    const KeyTurn turn = {cos, sin, 8, style, scratch};
    for (int32_t layer = 0; layer < 2; ++layer)
      for (int32_t head = 0; head < 2; ++head) {
        ASSERT_TRUE(
            MoveKv(*rotation.ops, storage.view(), {layer, move.from_block, move.from_slot, head},
                   {layer, move.to_block, move.to_slot, head}, move.delta == 0 ? nullptr : &turn));
      }
  }
}

// Runs of equal deltas, a change of delta and back, and a copy.
TEST(KvStorage, MovesAreMoveKvOfEveryLayerAndHeadInOrder) {
  const PositionMove moves[] = {{0, 5, 0, 1, -4},  {0, 6, 0, 2, -4},   {1, 0, 0, 3, -13},
                                {3, 7, 2, 15, -4}, {0, 1, 1, 0, -100}, {2, 2, 3, 9, 0}};
  for (const DType dtype : kDTypes)
    for (const RopeStyle style : {RopeStyle::kHalf, RopeStyle::kInterleaved}) {
      const auto moved = Filled(dtype, style), expected = Filled(dtype, style);
      ApplyByHand(moves, *expected, style);
      std::fesetround(FE_UPWARD);  // the caller's rounding does not matter
      const bool kept = moved->Move(moves);
      std::fesetround(FE_TONEAREST);
      ASSERT_TRUE(kept);
      EXPECT_EQ(BytesOf(*expected), BytesOf(*moved)) << DTypeName(dtype);
    }
}

TEST(KvStorage, AMoveThatInt8CannotKeepIsTold) {
  const auto storage = Filled(DType::kI8, RopeStyle::kHalf);
  const std::vector<float> huge(32, 3e38f);
  const PagedKv& kv = storage->view();
  ASSERT_TRUE(StoreKv(*FindOps("ref"), kv, {1, 2, 3, 1}, huge.data(), huge.data()));
  const PositionMove copy[] = {{2, 3, 0, 0, 0}};
  EXPECT_TRUE(storage->Move(copy));
  const PositionMove moves[] = {{2, 3, 0, 0, -1}, {1, 3, 0, 1, -1}};
  EXPECT_FALSE(storage->Move(moves));
}

}  // namespace
}  // namespace gyrator
