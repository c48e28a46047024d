// The tiles in software, over the AVX2 layer (simd/avx2.h): the bits of the hardware's, anywhere.
#pragma once

namespace gyrator {
namespace {

class TwinTiles {
 public:
  template <int kW>
  void LoadWeights(const uint16_t* from, int64_t stride) {
    for (int n = 0; n < 16; ++n) std::memcpy(weights_[kW][n], from + n * stride, 64);
  }
  template <int kX>
  void LoadActivations(const uint32_t* from) {
    for (int i = 0; i < 256; i += kLanes) {
      const IVec pairs = ILoad(from + i);
      Store(even_[kX] + i, FromBits(ShiftLeft<16>(pairs)));
      Store(odd_[kX] + i, FromBits(IAnd(pairs, ISet(static_cast<int32_t>(0xffff0000u)))));
    }
  }

  // TDPBF16PS (Intel SDM): two chains of fma from zero over the pairs, their sum added to the sums.
  template <int kW, int kX>
  void Multiply() {
    for (int n = 0; n < 16; ++n) {
      Vec even[kParts] = {}, odd[kParts] = {};
      for (int pair = 0; pair < 16; ++pair) {
        uint32_t w;
        std::memcpy(&w, weights_[kW][n] + 2 * pair, sizeof(w));
        const Vec w_even = FromBits(ISet(static_cast<int32_t>(w << 16)));
        const Vec w_odd = FromBits(ISet(static_cast<int32_t>(w & 0xffff0000u)));
        for (int p = 0; p < kParts; ++p) {
          even[p] = Fma(w_even, Load(even_[kX] + pair * 16 + p * kLanes), even[p]);
          odd[p] = Fma(w_odd, Load(odd_[kX] + pair * 16 + p * kLanes), odd[p]);
        }
      }
      float* sums = sums_[kW][kX][n];
      for (int p = 0; p < kParts; ++p) {
        Store(sums + p * kLanes, Add(Load(sums + p * kLanes), Add(even[p], odd[p])));
      }
    }
  }
  template <int kW, int kX>
  void LoadSums(const float (&c)[2][2][16][16], bool zero) {
    if (zero) {
      std::memset(sums_, 0, sizeof(sums_));
    } else {
      std::memcpy(sums_, c, sizeof(sums_));
    }
  }
  template <int kW, int kX>
  void StoreSums(float (&c)[2][2][16][16]) {
    std::memcpy(c, sums_, sizeof(sums_));
  }

 private:
  float sums_[2][2][16][16];
  uint16_t weights_[2][16][32];
  float even_[2][256], odd_[2][256];  // of the activations, [pair][column]
};

}  // namespace
}  // namespace gyrator
