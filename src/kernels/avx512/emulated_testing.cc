// Each instruction that simd/avx512.h uses, written from its pseudo-code in Intel's manual. The
// definitions stand in the namespace of the kernels, where they hide the compiler's intrinsics.
#include "kernels/avx512/emulated_testing.h"

#include <immintrin.h>

#include <bit>

#include "kernels/simd/includes.h"

#pragma GCC diagnostic ignored "-Wpsabi"  // 64-byte vectors do not cross files here

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif

#undef _mm512_cmp_ps_mask
#undef _mm512_cmpgt_epi32_mask
#undef _mm512_extractf32x8_ps
#undef _mm512_setr_epi32
#undef _mm512_slli_epi32
#undef _mm512_srli_epi32

#define GYRATOR_EMULATED [[maybe_unused]] inline __attribute__((always_inline))

namespace gyrator {
namespace {

typedef int Ints __attribute__((vector_size(64)));
typedef unsigned Words __attribute__((vector_size(64)));

GYRATOR_EMULATED __m512 _mm512_setzero_ps() { return __m512{}; }
GYRATOR_EMULATED __m512 _mm512_set1_ps(float x) { return x - __m512{}; }
GYRATOR_EMULATED __m512i _mm512_set1_epi32(int x) { return (__m512i)(x - Ints{}); }
GYRATOR_EMULATED __m512 _mm512_loadu_ps(const void* p) {
  __m512 r;
  std::memcpy(&r, p, 64);
  return r;
}
GYRATOR_EMULATED __m512i _mm512_loadu_si512(const void* p) {
  __m512i r;
  std::memcpy(&r, p, 64);
  return r;
}
GYRATOR_EMULATED void _mm512_storeu_si512(void* p, __m512i a) { std::memcpy(p, &a, 64); }
GYRATOR_EMULATED void _mm512_storeu_ps(void* p, __m512 a) { std::memcpy(p, &a, 64); }
GYRATOR_EMULATED __m512 _mm512_add_ps(__m512 a, __m512 b) { return a + b; }
GYRATOR_EMULATED __m512 _mm512_sub_ps(__m512 a, __m512 b) { return a - b; }
GYRATOR_EMULATED __m512 _mm512_mul_ps(__m512 a, __m512 b) { return a * b; }
GYRATOR_EMULATED __m512 _mm512_div_ps(__m512 a, __m512 b) { return a / b; }
GYRATOR_EMULATED __m512 _mm512_max_ps(__m512 a, __m512 b) {
  for (int i = 0; i < 16; ++i) a[i] = a[i] > b[i] ? a[i] : b[i];
  return a;
}
GYRATOR_EMULATED __m512 _mm512_fmadd_ps(__m512 a, __m512 b, __m512 c) {
  for (int i = 0; i < 16; ++i) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return c;
}
GYRATOR_EMULATED float _mm512_cvtss_f32(__m512 a) { return a[0]; }
GYRATOR_EMULATED __m512i _mm512_castps_si512(__m512 a) { return (__m512i)a; }
GYRATOR_EMULATED __m512 _mm512_castsi512_ps(__m512i a) { return (__m512)a; }
GYRATOR_EMULATED __m512i _mm512_add_epi32(__m512i a, __m512i b) {
  return (__m512i)((Words)a + (Words)b);
}
GYRATOR_EMULATED __m512i _mm512_and_si512(__m512i a, __m512i b) { return a & b; }
GYRATOR_EMULATED __m512i _mm512_or_si512(__m512i a, __m512i b) { return a | b; }
GYRATOR_EMULATED __m512i _mm512_xor_si512(__m512i a, __m512i b) { return a ^ b; }
GYRATOR_EMULATED __m512i _mm512_slli_epi32(__m512i a, unsigned n) {
  return (__m512i)((Words)a << n);
}
GYRATOR_EMULATED __m512i _mm512_srli_epi32(__m512i a, unsigned n) {
  return (__m512i)((Words)a >> n);
}
GYRATOR_EMULATED __m512 _mm512_cvtepi32_ps(__m512i a) {
  return __builtin_convertvector((Ints)a, __m512);
}
GYRATOR_EMULATED __m512i _mm512_cvtps_epi32(__m512 a) {  // rounds as MXCSR says
  Ints r{};
  for (int i = 0; i < 16; ++i) r[i] = _mm_cvt_ss2si(_mm_set_ss(a[i]));
  return (__m512i)r;
}
GYRATOR_EMULATED __mmask16 _mm512_cmp_ps_mask(__m512 a, __m512 b, int predicate) {
  unsigned r = 0;
  for (int i = 0; i < 16; ++i) {
    const bool yes = predicate == _CMP_LT_OQ ? a[i] < b[i] : __builtin_isunordered(a[i], b[i]);
    r |= static_cast<unsigned>(yes) << i;
  }
  return static_cast<__mmask16>(r);
}
GYRATOR_EMULATED __mmask16 _mm512_cmpgt_epi32_mask(__m512i a, __m512i b) {
  unsigned r = 0;
  for (int i = 0; i < 16; ++i) r |= static_cast<unsigned>(((Ints)a)[i] > ((Ints)b)[i]) << i;
  return static_cast<__mmask16>(r);
}
GYRATOR_EMULATED __m512 _mm512_mask_blend_ps(__mmask16 m, __m512 zeros, __m512 ones) {
  for (int i = 0; i < 16; ++i) zeros[i] = m >> i & 1 ? ones[i] : zeros[i];
  return zeros;
}
GYRATOR_EMULATED __m512 _mm512_maskz_loadu_ps(__mmask16 m, const float* p) {
  __m512 r{};
  for (int i = 0; i < 16; ++i) {
    if (m >> i & 1) r[i] = p[i];
  }
  return r;
}
GYRATOR_EMULATED void _mm512_mask_storeu_ps(float* p, __mmask16 m, __m512 a) {
  for (int i = 0; i < 16; ++i) {
    if (m >> i & 1) p[i] = a[i];
  }
}
GYRATOR_EMULATED __m512 _mm512_cvtph_ps(__m256i a) {
  const __m256 halves[2] = {_mm256_cvtph_ps(_mm256_castsi256_si128(a)),
                            _mm256_cvtph_ps(_mm256_extracti128_si256(a, 1))};
  return _mm512_loadu_ps(halves);
}
GYRATOR_EMULATED __m256i _mm512_cvtepi32_epi16(__m512i a) {
  uint16_t r[16];
  for (int i = 0; i < 16; ++i) r[i] = static_cast<uint16_t>(((Words)a)[i]);
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(r));
}
GYRATOR_EMULATED __m512i _mm512_cvtepu16_epi32(__m256i a) {
  Words r;
  uint16_t words[16];
  std::memcpy(words, &a, 32);
  for (int i = 0; i < 16; ++i) r[i] = words[i];
  return (__m512i)r;
}
GYRATOR_EMULATED __m256bh _mm512_cvtneps_pbh(__m512 a) {
  __m256bh r;
  uint16_t words[16];
  for (int i = 0; i < 16; ++i) {
    const auto bits = std::bit_cast<uint32_t>(static_cast<float>(a[i]));
    const uint32_t magnitude = bits & 0x7fffffff, high = bits >> 16;
    const uint32_t rounded = (bits + (high & 1) + 0x7fff) >> 16;
    const uint32_t flushed = magnitude < 0x00800000 ? high & 0x8000 : rounded;
    words[i] = static_cast<uint16_t>(magnitude > 0x7f800000 ? high | 0x40 : flushed);
  }
  std::memcpy(&r, words, 32);
  return r;
}
GYRATOR_EMULATED __m512bh _mm512_cvtne2ps_pbh(__m512 high, __m512 low) {
  const __m256bh halves[2] = {_mm512_cvtneps_pbh(low), _mm512_cvtneps_pbh(high)};
  __m512bh r;
  std::memcpy(&r, halves, 64);
  return r;
}
GYRATOR_EMULATED __m128i _mm512_cvtepi32_epi8(__m512i a) {
  uint8_t r[16];
  for (int i = 0; i < 16; ++i) r[i] = static_cast<uint8_t>(((Words)a)[i]);
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(r));
}
GYRATOR_EMULATED __m512i _mm512_cvtepi8_epi32(__m128i a) {
  Ints r;
  int8_t bytes[16];
  std::memcpy(bytes, &a, 16);
  for (int i = 0; i < 16; ++i) r[i] = bytes[i];
  return (__m512i)r;
}
GYRATOR_EMULATED __m512i _mm512_set1_epi64(long long x) {
  __m512i r{};
  for (int i = 0; i < 8; ++i) r[i] = x;
  return r;
}
template <class... Lanes>
GYRATOR_EMULATED __m512i _mm512_setr_epi32(Lanes... lanes) {
  return (__m512i)(Ints{lanes...});
}
GYRATOR_EMULATED __m512 _mm512_permutexvar_ps(__m512i index, __m512 a) {
  __m512 r{};
  for (int i = 0; i < 16; ++i) r[i] = a[((Ints)index)[i] & 15];
  return r;
}
GYRATOR_EMULATED __m512 _mm512_castps256_ps512(__m256 a) {
  __m512 r{};
  std::memcpy(&r, &a, 32);
  return r;
}
GYRATOR_EMULATED __m256 _mm512_castps512_ps256(__m512 a) {
  return _mm256_loadu_ps(reinterpret_cast<const float*>(&a));
}
GYRATOR_EMULATED __m256 _mm512_extractf32x8_ps(__m512 a, int half) {
  return _mm256_loadu_ps(reinterpret_cast<const float*>(&a) + 8 * half);
}

// Denormals are flushed by MXCSR, under which every kernel runs.
GYRATOR_EMULATED __m512 _mm512_dpbf16_ps(__m512 acc, __m512bh a, __m512bh b) {
  uint16_t x[32], w[32];
  std::memcpy(x, &a, 64);
  std::memcpy(w, &b, 64);
  for (int i = 0; i < 16; ++i) {
    const float odd = __builtin_fmaf(BF16ToF32(x[2 * i + 1]), BF16ToF32(w[2 * i + 1]), acc[i]);
    acc[i] = __builtin_fmaf(BF16ToF32(x[2 * i]), BF16ToF32(w[2 * i]), odd);
  }
  return acc;
}

// Unsigned by signed bytes; four products and the sum are exact, the accumulator wraps.
GYRATOR_EMULATED __m512i _mm512_dpbusd_epi32(__m512i acc, __m512i a, __m512i b) {
  int32_t sums[16];
  uint8_t x[64];
  int8_t w[64];
  std::memcpy(sums, &acc, 64);
  std::memcpy(x, &a, 64);
  std::memcpy(w, &b, 64);
  for (int i = 0; i < 64; ++i) sums[i / 4] += x[i] * w[i];
  std::memcpy(&acc, sums, 64);
  return acc;
}

}  // namespace
}  // namespace gyrator

#include "kernels/simd/avx512.h"
//
#include "kernels/simd/ops-inl.h"

namespace gyrator {
namespace {

constexpr Ops kOps = MakeOps("avx512-emulated");
constexpr Ops kPrefetching = MakeOps("avx512-emulated-prefetch", MatMulInt8<true>);

}  // namespace

const Ops& EmulatedAvx512Ops(bool prefetch) { return prefetch ? kPrefetching : kOps; }

}  // namespace gyrator

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
