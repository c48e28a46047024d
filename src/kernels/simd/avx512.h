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
// flushed (Intel SDM; checked on Zen 4), which is bf16.dp.v1. A line is a group.
struct Bf16Format {
  using Element = uint16_t;
  static constexpr int kGroup = 32;
  static constexpr int kLines = 1;
  static constexpr Element kMinusZero = 0x8000;
  struct Part {
    IVec pairs;
  };
  static GYRATOR_SIMD Part LoadPart(const Element* group, int /*part*/) { return {ILoad(group)}; }
  static GYRATOR_SIMD Vec MultiplyAdd(const Part& x, const Part& w, Vec acc) {
    return _mm512_dpbf16_ps(acc, (__m512bh)x.pairs, (__m512bh)w.pairs);
  }
  static GYRATOR_SIMD void StorePart(float* line, int64_t /*next*/, int /*part*/, const Part& p) {
    Store(line, FromBits(p.pairs));
  }
  static GYRATOR_SIMD Vec MultiplyAddLine(Vec x, Vec w, Vec acc) {
    return MultiplyAdd({Bits(x)}, {Bits(w)}, acc);
  }
};

// vpdpbusd takes unsigned by signed bytes: weights go in as w + 128 (exact for every int8), and
// 128 times the sum of the activations is taken off. A packed group of 32 holds 8 steps of 4 bytes.
struct Int8Format {
  static constexpr int kSteps = 8;
  static constexpr bool kNeedsSum = true;
  static GYRATOR_SIMD __m256i Offset(__m256i w) {
    return _mm256_xor_si256(w, _mm256_set1_epi8(-128));
  }
  static GYRATOR_SIMD __m256i Dot(__m256i w, __m256i q) {
    return _mm256_dpbusd_epi32(_mm256_setzero_si256(), Offset(w), q);
  }
  static GYRATOR_SIMD IVec DotStart(int32_t q_sum) { return ISet(-128 * q_sum); }
  static GYRATOR_SIMD IVec Step(IVec acc, IVec w, IVec q) { return _mm512_dpbusd_epi32(acc, w, q); }
  static GYRATOR_SIMD IVec Start(const uint32_t* steps, int64_t stride) {
    IVec sum = ISet(0);
    for (int s = 0; s < kSteps; ++s) sum = Step(sum, ISet(0x01010101), ILoad(steps + s * stride));
    return IAdd(ShiftLeft<7>(IXor(sum, ISet(-1))), ISet(128));  // -128 sum
  }
  static GYRATOR_SIMD void PackWeights(const int8_t* q, uint32_t* steps) {
    const __m256i w = Offset(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(q)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(steps), w);
  }
  static GYRATOR_SIMD void PackFours(__m256i fours, int i, uint32_t* steps, int64_t stride) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(steps + i * stride), fours);
  }
};

GYRATOR_SIMD IVec SumEach(const __m256i (&v)[kLanes]) {
  __m256i eights[2];
  for (int i = 0; i < 2; ++i) {
    const __m256i* u = v + 8 * i;
    const __m256i low =
        _mm256_hadd_epi32(_mm256_hadd_epi32(u[0], u[1]), _mm256_hadd_epi32(u[2], u[3]));
    const __m256i high =
        _mm256_hadd_epi32(_mm256_hadd_epi32(u[4], u[5]), _mm256_hadd_epi32(u[6], u[7]));
    eights[i] = _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20),
                                 _mm256_permute2x128_si256(low, high, 0x31));
  }
  return _mm512_inserti64x4(_mm512_castsi256_si512(eights[0]), eights[1], 1);
}

}  // namespace
}  // namespace gyrator
