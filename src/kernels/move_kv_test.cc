#include "kernels/move_kv.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/ops_testing.h"

namespace gyrator {
namespace {

constexpr size_t kDim = 64;
constexpr size_t kSlots = 16;
constexpr DType kDTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kI8};
constexpr KvPlace kFrom = {1, 2, 9, 1};
constexpr KvPlace kTo = {1, 0, 4, 1};

// The stored bits of K or V of one position and head, and of their scales.
using Bits = std::vector<uint32_t>;

// 2 layers, 3 blocks, 2 kv heads; the layout of paged_kv.h written out a second time.
struct Pool {
  explicit Pool(DType dtype)
      : kv{.dtype = dtype, .num_layers = 2, .num_blocks = 3, .num_kv_heads = 2, .head_dim = kDim},
        bytes(static_cast<size_t>(kv.total_bytes())) {
    kv.base = bytes.data();
  }

  size_t size() const { return kv.dtype == DType::kF32 ? 4 : kv.dtype == DType::kI8 ? 1 : 2; }
  size_t Head() const {
    return kDim * kSlots * size() + (kv.dtype == DType::kI8 ? kDim / 32 * kSlots * 4 : 0);
  }
  size_t HeadAt(const KvPlace& place, bool values) const {
    const size_t block = static_cast<size_t>(place.layer) * 3 + place.block;
    return ((block * 2 + (values ? 1 : 0)) * 2 + static_cast<size_t>(place.kv_head)) * Head();
  }
  size_t At(const KvPlace& place, bool values, size_t d) const {
    const auto s = static_cast<size_t>(place.slot);
    const bool pairs = kv.dtype == DType::kBF16 || kv.dtype == DType::kI8;
    const size_t element = values ? (pairs ? (s / 2 * kDim + d) * 2 + s % 2 : s * kDim + d)
                                  : (pairs ? (d / 2 * kSlots + s) * 2 + d % 2 : d * kSlots + s);
    return HeadAt(place, values) + element * size();
  }
  size_t ScaleAt(const KvPlace& place, bool values, size_t d) const {
    const size_t scale = d / 32 * kSlots + static_cast<size_t>(place.slot);
    return HeadAt(place, values) + kDim * kSlots + scale * 4;
  }

  Bits Get(const KvPlace& place, bool values) const {
    Bits bits(kDim);
    for (size_t d = 0; d < kDim; ++d) std::memcpy(&bits[d], &bytes[At(place, values, d)], size());
    for (size_t d = 0; d < kDim && kv.dtype == DType::kI8; d += 32) {
      bits.push_back(0);
      std::memcpy(&bits.back(), &bytes[ScaleAt(place, values, d)], 4);
    }
    return bits;
  }
  // A key as attention reads it.
  std::vector<double> Key(const KvPlace& place) const {
    const Bits bits = Get(place, false);
    std::vector<double> key(kDim);
    for (size_t d = 0; d < kDim; ++d) {
      const auto half = static_cast<uint16_t>(bits[d]);
      if (kv.dtype == DType::kF32) key[d] = std::bit_cast<float>(bits[d]);
      if (kv.dtype == DType::kF16) key[d] = F16ToF32(half);
      if (kv.dtype == DType::kBF16) key[d] = BF16ToF32(half);
      if (kv.dtype != DType::kI8) continue;
      const auto q = static_cast<float>(static_cast<int8_t>(bits[d]));
      key[d] = BF16ToF32(F32ToBF16(std::bit_cast<float>(bits[kDim + d / 32]) * q));
    }
    return key;
  }

  // Every place holds something else.
  void Fill() {
    uint32_t seed = 1;
    ForEachPlace([&](const KvPlace& place) {
      const auto key = RandomFloats(kDim, seed++), value = RandomFloats(kDim, seed++);
      ASSERT_TRUE(StoreKv(RefOps(), kv, place, key.data(), value.data()));
    });
  }
  template <class Body>
  static void ForEachPlace(const Body& body) {
    for (int32_t layer = 0; layer < 2; ++layer)
      for (uint32_t block = 0; block < 3; ++block)
        for (int32_t slot = 0; slot < 16; ++slot)
          for (int32_t head = 0; head < 2; ++head) body({layer, block, slot, head});
  }

  PagedKv kv;
  std::vector<std::byte> bytes;
};

std::vector<float> Frequencies(int32_t rotary_dim) {
  std::vector<float> inv_freq;
  for (int32_t i = 0; i < rotary_dim / 2; ++i) {
    inv_freq.push_back(static_cast<float>(std::pow(10000.0, -2.0 * i / rotary_dim)));
  }
  return inv_freq;
}

// A KeyTurn that owns what it points at.
struct Turn : KeyTurn {
  Turn(int32_t delta, int32_t its_rotary_dim, RopeStyle its_style)
      : cosines(static_cast<size_t>(its_rotary_dim / 2)), sines(cosines.size()), buffer(kDim) {
    RopeTable(delta, Frequencies(its_rotary_dim), 1.0f, cosines.data(), sines.data());
    cos = cosines.data();
    sin = sines.data();
    rotary_dim = its_rotary_dim;
    style = its_style;
    scratch = buffer.data();
  }
  std::vector<float> cosines, sines, buffer;
};

// In double precision, with the library's functions.
std::vector<double> Rotated(std::vector<double> key, int32_t delta, int32_t rotary_dim,
                            RopeStyle style) {
  const std::vector<float> inv_freq = Frequencies(rotary_dim);
  for (size_t i = 0; i < inv_freq.size(); ++i) {
    const bool half = style == RopeStyle::kHalf;
    double& x = key[half ? i : 2 * i];
    double& y = key[half ? i + inv_freq.size() : 2 * i + 1];
    const double angle = static_cast<float>(delta) * inv_freq[i];
    const double turned = x * std::cos(angle) - y * std::sin(angle);
    y = y * std::cos(angle) + x * std::sin(angle);
    x = turned;
  }
  return key;
}

// How far a stored element may be from the wanted one: `roundings` times that of the dtype.
double Tolerance(DType dtype, double wanted, std::span<const double> group, int roundings) {
  double amax = 0;
  for (const double x : group) amax = std::max(amax, std::abs(x));
  const double f32 = 4e-7 * (1 + amax);
  switch (dtype) {
    case DType::kF16:
      return f32 + roundings * std::abs(wanted) / 2048;
    case DType::kBF16:
      return f32 + roundings * std::abs(wanted) / 256;
    case DType::kI8:  // half a step of the group, then read as bf16
      return f32 + roundings * (amax * 1.05 / 254 + std::abs(wanted) / 256);
    default:
      return f32;
  }
}

void ExpectClose(DType dtype, std::span<const double> wanted, std::span<const double> found,
                 int roundings) {
  for (size_t d = 0; d < kDim; ++d) {
    const auto group = wanted.subspan(d / 32 * 32, 32);
    EXPECT_NEAR(found[d], wanted[d], Tolerance(dtype, wanted[d], group, roundings))
        << DTypeName(dtype) << " dimension " << d;
  }
}

class MoveKvTest : public OpsTest {};
INSTANTIATE_TEST_SUITE_P(All, MoveKvTest, testing::ValuesIn(TestedOps()), OpsTestName);

TEST_P(MoveKvTest, TurnsTheKeyCopiesTheValueAndTouchesNothingElse) {
  for (const DType dtype : kDTypes)
    for (const RopeStyle style : {RopeStyle::kHalf, RopeStyle::kInterleaved})
      for (const int32_t rotary_dim : {int32_t{kDim}, 24})
        for (const int32_t delta : {-1, -5, -1000, 3}) {
          Pool pool(dtype);
          pool.Fill();
          const Pool before = pool;
          const Turn turn(delta, rotary_dim, style);
          ASSERT_TRUE(MoveKv(ops(), pool.kv, kFrom, kTo, &turn));
          // Pool's copy has its own bytes, its view those of `pool`: only the former are read.
          EXPECT_EQ(before.Get(kFrom, true), pool.Get(kTo, true));
          ExpectClose(dtype, Rotated(before.Key(kFrom), delta, rotary_dim, style), pool.Key(kTo),
                      1);
          Pool::ForEachPlace([&](const KvPlace& place) {
            if (std::memcmp(&place, &kTo, sizeof(KvPlace)) == 0) return;
            EXPECT_EQ(before.Get(place, false), pool.Get(place, false));
            EXPECT_EQ(before.Get(place, true), pool.Get(place, true));
          });
          Pool other(dtype);
          other.Fill();
          ASSERT_TRUE(MoveKv(RefOps(), other.kv, kFrom, kTo, &turn));
          EXPECT_EQ(other.bytes, pool.bytes) << "not the bits of the scalar specification";
        }
}

TEST_P(MoveKvTest, IsCloseToTheKeyComputedAtTheNewPosition) {
  constexpr int32_t kOld = 700, kNew = 333;
  for (const DType dtype : kDTypes) {
    Pool pool(dtype);
    const auto key = RandomFloats(kDim, 7), value = RandomFloats(kDim, 8);
    const auto store = [&](const KvPlace& place, int32_t position) {
      const Turn turn(position, kDim, RopeStyle::kHalf);
      std::vector<float> turned = key;
      ops().rope(turned.data(), 1, kDim, kDim, turn.cos, turn.sin, turn.style);
      ASSERT_TRUE(StoreKv(ops(), pool.kv, place, turned.data(), value.data()));
    };
    store(kFrom, kOld);
    const KvPlace computed = {0, 1, 0, 0};
    store(computed, kNew);
    const Turn turn(kNew - kOld, kDim, RopeStyle::kHalf);
    ASSERT_TRUE(MoveKv(ops(), pool.kv, kFrom, kTo, &turn));
    const std::vector<double> wanted = pool.Key(computed);
    // The angles of three rotations are rounded to f32, and both ends of a pair were stored before.
    const double apart = 3.0 * (kOld + kNew + (kOld - kNew)) / (1 << 24) +
                         Tolerance(dtype, 3.0, std::vector{3.0}, 2);
    for (size_t d = 0; d < kDim; ++d) EXPECT_NEAR(pool.Key(kTo)[d], wanted[d], apart);
    EXPECT_NE(pool.Get(computed, false), pool.Get(kTo, false)) << DTypeName(dtype);
    EXPECT_EQ(pool.Get(computed, true), pool.Get(kTo, true)) << DTypeName(dtype);
  }
}

TEST_P(MoveKvTest, WithinOneBlockAndOntoItself) {
  for (const DType dtype : kDTypes)
    for (const int32_t slot : {8, 0, kFrom.slot}) {
      Pool apart(dtype), within(dtype);
      apart.Fill();
      within.Fill();
      const Turn turn(slot - kFrom.slot - 16, kDim, RopeStyle::kInterleaved);
      const KvPlace to = {kFrom.layer, kFrom.block, slot, kFrom.kv_head};
      ASSERT_TRUE(MoveKv(ops(), apart.kv, kFrom, kTo, &turn));
      ASSERT_TRUE(MoveKv(ops(), within.kv, kFrom, to, &turn));
      EXPECT_EQ(apart.Get(kTo, false), within.Get(to, false)) << DTypeName(dtype) << slot;
      EXPECT_EQ(apart.Get(kTo, true), within.Get(to, true)) << DTypeName(dtype) << slot;
    }
}

TEST_P(MoveKvTest, ByNothingKeepsTheBits) {
  for (const DType dtype : kDTypes) {
    Pool pool(dtype);
    pool.Fill();
    const Turn turn(0, kDim, RopeStyle::kHalf);
    if (dtype != DType::kI8) {  // which has a scale found anew
      ASSERT_TRUE(MoveKv(ops(), pool.kv, kFrom, kTo, &turn));
      EXPECT_EQ(pool.Get(kFrom, false), pool.Get(kTo, false)) << DTypeName(dtype);
    }
    for (size_t i = 0; i < pool.bytes.size(); ++i) {  // NaN, denormals and zeros of both signs
      pool.bytes[i] = static_cast<std::byte>(i % 5 == 0 ? 0x80 : i % 3 == 0 ? 0xff : i % 7);
    }
    const Bits key = pool.Get(kFrom, false), value = pool.Get(kFrom, true);
    ASSERT_TRUE(MoveKv(ops(), pool.kv, kFrom, kTo, nullptr));
    EXPECT_EQ(key, pool.Get(kTo, false)) << DTypeName(dtype);
    EXPECT_EQ(value, pool.Get(kTo, true)) << DTypeName(dtype);
  }
}

TEST_P(MoveKvTest, AKeyThatInt8CannotKeepIsTold) {
  std::vector<float> cos(kDim / 2, 0.8f), sin(kDim / 2, -0.6f), scratch(kDim);
  const KeyTurn turn = {cos.data(), sin.data(), kDim, RopeStyle::kHalf, scratch.data()};
  for (const DType dtype : kDTypes) {
    Pool pool(dtype);
    const std::vector<float> key(kDim, dtype == DType::kF16 ? 6e4f : 3e38f), value(kDim, 1.0f);
    ASSERT_TRUE(StoreKv(ops(), pool.kv, kFrom, key.data(), value.data()));
    EXPECT_EQ(dtype != DType::kI8, MoveKv(ops(), pool.kv, kFrom, kTo, &turn)) << DTypeName(dtype);
    if (dtype == DType::kI8) continue;
    EXPECT_TRUE(std::isinf(pool.Key(kTo)[0])) << DTypeName(dtype);
  }
}

}  // namespace
}  // namespace gyrator
