// What both vector layers share: exp, rounding to bf16, folds of many sums. Include after one of
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

// The folds of the 16 sums of each of 8 columns, which lie one after the other: the order of Fold.
GYRATOR_SIMD void FoldEight(const float* sums, float* to) {
  __m256 eights[8], fours[4];
  for (int c = 0; c < 8; ++c) {
    eights[c] = _mm256_add_ps(_mm256_loadu_ps(sums + c * 16), _mm256_loadu_ps(sums + c * 16 + 8));
  }
  for (int c = 0; c < 4; ++c) {  // columns c and c + 4
    fours[c] = _mm256_add_ps(_mm256_permute2f128_ps(eights[c], eights[c + 4], 0x20),
                             _mm256_permute2f128_ps(eights[c], eights[c + 4], 0x31));
  }
  __m256 twos[2];
  for (int i = 0; i < 2; ++i) {
    const __m256d a = _mm256_castps_pd(fours[2 * i]);
    const __m256d b = _mm256_castps_pd(fours[2 * i + 1]);
    twos[i] = _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(a, b)),
                            _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)));
  }
  _mm256_storeu_ps(to, _mm256_add_ps(_mm256_shuffle_ps(twos[0], twos[1], 0x88),
                                     _mm256_shuffle_ps(twos[0], twos[1], 0xdd)));
}

}  // namespace
}  // namespace gyrator
