// The vector layer of the fast kernels, AVX-512 (F, BW, DQ, VL, VNNI, BF16): 16 lanes, one vector.
//
// The names, and what they mean, are those of simd/avx2.h. The intrinsics are included before this
// file: by the kernels from the compiler, by a test as portable definitions.
#pragma once

#define GYRATOR_SIMD inline __attribute__((always_inline))
#define GYRATOR_SIMD_LAMBDA __attribute__((always_inline))

namespace gyrator {
namespace {

constexpr int kLanes = 16;
constexpr int kParts = 16 / kLanes;
constexpr int kMatMulRows = 6;
constexpr int kMatMulColumns = 4;
constexpr int kBf16Rows = 6;
constexpr int kBf16Columns = 4;
constexpr int kBf16OneRowColumns = 16;
constexpr int kInt8Rows = 6;
constexpr int kInt8Vectors = 2;
constexpr int kInt8OneRowVectors = 2;
constexpr int kScoreRowsF32 = 8;
constexpr int kScoreRowsBf16 = 4;

using Vec = __m512;
using IVec = __m512i;
using Mask = __mmask16;

GYRATOR_SIMD Vec Zero() { return _mm512_setzero_ps(); }
GYRATOR_SIMD Vec Set(float x) { return _mm512_set1_ps(x); }
GYRATOR_SIMD Vec Load(const float* p) { return _mm512_loadu_ps(p); }
GYRATOR_SIMD void Store(float* p, Vec a) { _mm512_storeu_ps(p, a); }
GYRATOR_SIMD Vec Add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
GYRATOR_SIMD Vec Sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
GYRATOR_SIMD Vec Mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
GYRATOR_SIMD Vec Div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
GYRATOR_SIMD Vec Max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
GYRATOR_SIMD Vec Fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
GYRATOR_SIMD float First(Vec a) { return _mm512_cvtss_f32(a); }

GYRATOR_SIMD IVec Bits(Vec a) { return _mm512_castps_si512(a); }
GYRATOR_SIMD Vec FromBits(IVec a) { return _mm512_castsi512_ps(a); }
GYRATOR_SIMD IVec ISet(int32_t x) { return _mm512_set1_epi32(x); }
GYRATOR_SIMD IVec ILoad(const void* p) { return _mm512_loadu_si512(p); }
GYRATOR_SIMD void IStore(void* p, IVec a) { _mm512_storeu_si512(p, a); }
GYRATOR_SIMD IVec IAdd(IVec a, IVec b) { return _mm512_add_epi32(a, b); }
GYRATOR_SIMD IVec IAnd(IVec a, IVec b) { return _mm512_and_si512(a, b); }
GYRATOR_SIMD IVec IOr(IVec a, IVec b) { return _mm512_or_si512(a, b); }
GYRATOR_SIMD IVec IXor(IVec a, IVec b) { return _mm512_xor_si512(a, b); }
template <int kBits>
GYRATOR_SIMD IVec ShiftLeft(IVec a) {
  return _mm512_slli_epi32(a, kBits);
}
template <int kBits>
GYRATOR_SIMD IVec ShiftRight(IVec a) {
  return _mm512_srli_epi32(a, kBits);
}
GYRATOR_SIMD Vec ToFloat(IVec a) { return _mm512_cvtepi32_ps(a); }
GYRATOR_SIMD IVec RoundToInt(Vec a) { return _mm512_cvtps_epi32(a); }

GYRATOR_SIMD void Prefetch(const void* p) { __builtin_prefetch(p); }
GYRATOR_SIMD void PrefetchFar(const void* p) { __builtin_prefetch(p, 0, 2); }

GYRATOR_SIMD Mask Less(Vec a, Vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
GYRATOR_SIMD Mask Unordered(Vec a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
GYRATOR_SIMD Mask ILess(IVec a, IVec b) { return _mm512_cmpgt_epi32_mask(b, a); }
GYRATOR_SIMD bool Any(Mask m) { return m != 0; }
GYRATOR_SIMD Vec Select(Mask m, Vec yes, Vec no) { return _mm512_mask_blend_ps(m, no, yes); }
GYRATOR_SIMD Mask FirstLanes(int64_t count) {
  if (count >= kLanes) return 0xffff;
  return count <= 0 ? Mask{0} : static_cast<Mask>((1u << count) - 1u);
}
GYRATOR_SIMD Vec LoadFirst(const float* p, int64_t count) {
  return _mm512_maskz_loadu_ps(FirstLanes(count), p);
}
GYRATOR_SIMD void StoreFirst(float* p, Vec a, int64_t count) {
  _mm512_mask_storeu_ps(p, FirstLanes(count), a);
}

GYRATOR_SIMD Vec LoadF16(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
GYRATOR_SIMD void StoreLowHalves(uint16_t* p, IVec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(a));
}
GYRATOR_SIMD Vec LoadInt8(const int8_t* p) {
  return ToFloat(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
GYRATOR_SIMD Vec LoadTwice(const float* p) {
  const Vec low = _mm512_castps256_ps512(_mm256_loadu_ps(p));
  return _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7),
                               low);
}
GYRATOR_SIMD Vec LoadPair(const float* p) {
  int64_t pair;
  std::memcpy(&pair, p, sizeof(pair));
  return FromBits(_mm512_set1_epi64(pair));
}
GYRATOR_SIMD void StoreInt8(int8_t* p, const IVec (&v)[2]) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(v[0]));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 16), _mm512_cvtepi32_epi8(v[1]));
}

// vcvtneps2bf16 flushes denormals and rounds to nearest even, whatever MXCSR says (Intel SDM).
GYRATOR_SIMD IVec Bf16Bits(Vec x) { return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(x)); }

GYRATOR_SIMD void StoreBf16(uint16_t* p, Vec a, Vec b) {
  _mm512_storeu_si512(p, (__m512i)_mm512_cvtne2ps_pbh(b, a));
}

GYRATOR_SIMD float Fold(const Vec (&v)[kParts]) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v[0]), _mm512_extractf32x8_ps(v[0], 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
GYRATOR_SIMD float MaxLane(Vec v) {
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

// bf16 pairs go through vdpbf16ps as they are: fma(even, fma(odd, acc)) an element, denormals
// flushed (Intel SDM; checked on Zen 4), which is bf16.dp.v1.
struct Bf16Format {
  using Part = IVec;
  static GYRATOR_SIMD Part LoadPart(const uint16_t* line, int /*part*/) { return ILoad(line); }
  static GYRATOR_SIMD Vec MultiplyAdd(Part x, Part w, Vec acc) {
    return _mm512_dpbf16_ps(acc, (__m512bh)x, (__m512bh)w);
  }
};

// vpdpbusd takes unsigned by signed bytes: weights go in as w + 128 (exact for every int8), and 128
// times the sum of the activations is taken off before.
struct Int8Format {
  using Weights = IVec;
  static GYRATOR_SIMD Weights Prepare(IVec w) {
    return IXor(w, ISet(static_cast<int32_t>(0x80808080u)));
  }
  static GYRATOR_SIMD IVec Start(int32_t start) { return ISet(start); }
  static GYRATOR_SIMD IVec Step(IVec acc, Weights w, IVec q) {
    return _mm512_dpbusd_epi32(acc, w, q);
  }
};

}  // namespace
}  // namespace gyrator
