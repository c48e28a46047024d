// What both vector layers share: exp, rounding to bf16, small transposes. Include after one of
// them.
#pragma once

namespace gyrator {
namespace {

// kernels/exp.h, lane by lane.
GYRATOR_SIMD Vec VectorExp(Vec x) {
  const Vec shifted = Fma(x, Set(kLog2E), Set(kRoundMagic));
  const Vec n = Sub(shifted, Set(kRoundMagic));
  const Vec r = Fma(n, Set(-kLn2Low), Fma(n, Set(-kLn2High), x));
  Vec p = Set(kExpPoly[0]);
  for (int i = 1; i < 6; ++i) p = Fma(p, r, Set(kExpPoly[i]));
  const Vec y = Add(Fma(p, Mul(r, r), r), Set(1.0f));
  const Vec scaled = FromBits(IAdd(Bits(y), ShiftLeft<23>(Bits(shifted))));
  const Vec low = Select(Less(x, Set(kExpMin)), Zero(), scaled);
  const Vec both = Select(Less(Set(kExpMax), x), FromBits(ISet(0x7f800000)), low);
  return Select(Unordered(x), x, both);
}

GYRATOR_SIMD float ScalarExp(float x) { return First(VectorExp(Set(x))); }

GYRATOR_SIMD Vec RoundToBf16(Vec x) { return FromBits(ShiftLeft<16>(Bf16Bits(x))); }

// rows[i] lane j -> rows[j] lane i, for 8 x 8 lanes of 32 bits.
GYRATOR_SIMD void Transpose8x8(__m256i (&rows)[8]) {
  __m256i a[8], b[8];
  for (int i = 0; i < 4; ++i) {
    a[2 * i] = _mm256_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
    a[2 * i + 1] = _mm256_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
  }
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 2; ++j) {
      b[4 * i + 2 * j] = _mm256_unpacklo_epi64(a[4 * i + j], a[4 * i + 2 + j]);
      b[4 * i + 2 * j + 1] = _mm256_unpackhi_epi64(a[4 * i + j], a[4 * i + 2 + j]);
    }
  }
  for (int i = 0; i < 4; ++i) {
    rows[i] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
    rows[i + 4] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
  }
}

}  // namespace
}  // namespace gyrator
