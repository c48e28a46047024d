// The tiles in software, over the AVX2 layer (simd/avx2.h): the bits of the hardware's, anywhere.
#pragma once

namespace gyrator {
namespace {

class TwinTiles {
 public:
  // A [16 rows][32], `stride` elements between rows, to B: pairs [i] = elements 2 i, 2 i + 1 of
  // rows.
  static void Transpose(const uint16_t* from, int64_t stride, uint32_t (&pairs)[16][16]) {
    for (int row = 0; row < 16; ++row) {
      for (int i = 0; i < 16; ++i) {
        std::memcpy(&pairs[i][row], from + row * stride + 2 * i, sizeof(uint32_t));
      }
    }
  }

  template <int kA>
  void LoadRows(const uint16_t* from, int64_t stride) {
    for (int r = 0; r < 16; ++r) std::memcpy(rows_[kA][r], from + r * stride, 64);
  }
  template <int kA>
  void StreamRows(const uint16_t* from) {
    LoadRows<kA>(from, 32);
  }
  template <int kB>
  void LoadPairs(const uint32_t* from) {
    for (int i = 0; i < 256; i += kLanes) {
      const IVec pairs = ILoad(from + i);
      Store(even_[kB] + i, FromBits(ShiftLeft<16>(pairs)));
      Store(odd_[kB] + i, FromBits(IAnd(pairs, ISet(static_cast<int32_t>(0xffff0000u)))));
    }
  }

  // TDPBF16PS (Intel SDM): two chains of fma from zero over the pairs, their sum added to the sums.
  template <int kA, int kB, int = 2>
  void Multiply() {
    for (int r = 0; r < 16; ++r) {
      Vec even[kParts] = {}, odd[kParts] = {};
      for (int pair = 0; pair < 16; ++pair) {
        uint32_t a;
        std::memcpy(&a, rows_[kA][r] + 2 * pair, sizeof(a));
        const Vec a_even = FromBits(ISet(static_cast<int32_t>(a << 16)));
        const Vec a_odd = FromBits(ISet(static_cast<int32_t>(a & 0xffff0000u)));
        for (int p = 0; p < kParts; ++p) {
          even[p] = Fma(a_even, Load(even_[kB] + pair * 16 + p * kLanes), even[p]);
          odd[p] = Fma(a_odd, Load(odd_[kB] + pair * 16 + p * kLanes), odd[p]);
        }
      }
      float* sums = sums_[kA][kB][r];
      for (int p = 0; p < kParts; ++p) {
        Store(sums + p * kLanes, Add(Load(sums + p * kLanes), Add(even[p], odd[p])));
      }
    }
  }
  void ClearSums() { std::memset(sums_, 0, sizeof(sums_)); }
  template <int kA, int kB>
  void LoadSums(const float* c) {
    ForEachRow<kA, kB>([&](int i, int j, int r) {
      std::memcpy(sums_[i][j][r], c + (16 * i + r) * 32 + 16 * j, 64);
    });
  }
  template <int kA, int kB>
  void StoreSums(float* c) {
    ForEachRow<kA, kB>([&](int i, int j, int r) {
      std::memcpy(c + (16 * i + r) * 32 + 16 * j, sums_[i][j][r], 64);
    });
  }

 private:
  template <int kA, int kB, class Body>
  static void ForEachRow(Body body) {
    for (int i = 0; i < kA; ++i) {
      for (int j = 0; j < kB; ++j) {
        for (int r = 0; r < 16; ++r) body(i, j, r);
      }
    }
  }

  float sums_[4][2][16][16];
  uint16_t rows_[4][16][32];
  float even_[2][256], odd_[2][256];  // of B, [pair][column]
};

class TwinInt8Tiles {
 public:
  template <int64_t kCount>
  static void Dot(const int8_t* x, int64_t stride, const int8_t* w, int32_t (*dots)[16][16]) {
    for (int64_t i = 0; i < kCount; ++i) {
      for (int64_t row = 0; row < 16; ++row) {
        for (int64_t column = 0; column < 16; ++column) {
          dots[i][row][column] =
              DotOne(x + row * stride + i * kPanelGroup, w + i * kPanelTile, column);
        }
      }
    }
  }

 private:
  static int32_t DotOne(const int8_t* x, const int8_t* w, int64_t column) {
    int32_t dot = 0;
    for (int64_t i = 0; i < kPanelGroup; ++i) {
      dot += int32_t{x[i]} * w[(i / 4 * kPanelColumns + column) * 4 + i % 4];
    }
    return dot;
  }
};

}  // namespace
}  // namespace gyrator
