// The vector layer of the fast kernels, AVX2 + FMA + F16C: 8 lanes, two vectors to the 16 lanes of
// the numerics (kernels/ops.h).
//
// To be included once, by a translation unit that included the standard headers and the intrinsics
// and then switched the target on. Everything is in an anonymous namespace: nothing compiled for
// this instruction set may be shared with other files. simd/avx512.h has the same names.
#pragma once

#define GYRATOR_SIMD inline __attribute__((always_inline))
#define GYRATOR_SIMD_LAMBDA __attribute__((always_inline))

namespace gyrator {
namespace {

constexpr int kLanes = 8;
constexpr int kParts = 16 / kLanes;  // vectors to 16 lanes
constexpr int kMatMulRows = 4;       // the register tile of products in f32: rows x columns
constexpr int kMatMulColumns = 3;
constexpr int kBf16Rows = 4;  // likewise in bf16; both divide 16, or rows are cut there
constexpr int kBf16Columns = 2;
constexpr int kBf16OneRowColumns = 4;
constexpr int kInt8Rows = 5;           // likewise in int8: rows x vectors of columns
constexpr int kInt8Vectors = 1;        // divides kParts, or a multiple of it
constexpr int kInt8OneRowVectors = 2;  // likewise; streams of one row
constexpr int kScoreRowsF32 = 4;       // queries of one attention step
constexpr int kScoreRowsBf16 = 2;

using Vec = __m256;
using IVec = __m256i;
using Mask = __m256;

GYRATOR_SIMD Vec Zero() { return _mm256_setzero_ps(); }
GYRATOR_SIMD Vec Set(float x) { return _mm256_set1_ps(x); }
GYRATOR_SIMD Vec Load(const float* p) { return _mm256_loadu_ps(p); }
GYRATOR_SIMD void Store(float* p, Vec a) { _mm256_storeu_ps(p, a); }
GYRATOR_SIMD Vec Add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
GYRATOR_SIMD Vec Sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
GYRATOR_SIMD Vec Mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
GYRATOR_SIMD Vec Div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
GYRATOR_SIMD Vec Max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
GYRATOR_SIMD Vec Fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
GYRATOR_SIMD float First(Vec a) { return _mm256_cvtss_f32(a); }

GYRATOR_SIMD IVec Bits(Vec a) { return _mm256_castps_si256(a); }
GYRATOR_SIMD Vec FromBits(IVec a) { return _mm256_castsi256_ps(a); }
GYRATOR_SIMD IVec ISet(int32_t x) { return _mm256_set1_epi32(x); }
GYRATOR_SIMD IVec ILoad(const void* p) {
  return _mm256_loadu_si256(reinterpret_cast<const IVec*>(p));
}
GYRATOR_SIMD void IStore(void* p, IVec a) { _mm256_storeu_si256(reinterpret_cast<IVec*>(p), a); }
GYRATOR_SIMD IVec IAdd(IVec a, IVec b) { return _mm256_add_epi32(a, b); }
GYRATOR_SIMD IVec IAnd(IVec a, IVec b) { return _mm256_and_si256(a, b); }
GYRATOR_SIMD IVec IOr(IVec a, IVec b) { return _mm256_or_si256(a, b); }
GYRATOR_SIMD IVec IXor(IVec a, IVec b) { return _mm256_xor_si256(a, b); }
template <int kBits>
GYRATOR_SIMD IVec ShiftLeft(IVec a) {
  return _mm256_slli_epi32(a, kBits);
}
template <int kBits>
GYRATOR_SIMD IVec ShiftRight(IVec a) {
  return _mm256_srli_epi32(a, kBits);
}
GYRATOR_SIMD Vec ToFloat(IVec a) { return _mm256_cvtepi32_ps(a); }
GYRATOR_SIMD IVec RoundToInt(Vec a) { return _mm256_cvtps_epi32(a); }

GYRATOR_SIMD void Prefetch(const void* p) { __builtin_prefetch(p); }  // faults never
GYRATOR_SIMD void PrefetchFar(const void* p) { __builtin_prefetch(p, 0, 2); }

// Masks. False for a NaN, but Unordered.
GYRATOR_SIMD Mask Less(Vec a, Vec b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
GYRATOR_SIMD Mask Unordered(Vec a) { return _mm256_cmp_ps(a, a, _CMP_UNORD_Q); }
GYRATOR_SIMD Mask ILess(IVec a, IVec b) { return FromBits(_mm256_cmpgt_epi32(b, a)); }
GYRATOR_SIMD bool Any(Mask m) { return _mm256_movemask_ps(m) != 0; }
GYRATOR_SIMD Vec Select(Mask m, Vec yes, Vec no) { return _mm256_blendv_ps(no, yes, m); }
GYRATOR_SIMD Mask FirstLanes(int64_t count) {
  const IVec index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return ILess(index, ISet(static_cast<int32_t>(count < kLanes ? count : kLanes)));
}
// Lanes from `count` on are not touched in memory; they load as zero.
GYRATOR_SIMD Vec LoadFirst(const float* p, int64_t count) {
  return _mm256_maskload_ps(p, Bits(FirstLanes(count)));
}
GYRATOR_SIMD void StoreFirst(float* p, Vec a, int64_t count) {
  _mm256_maskstore_ps(p, Bits(FirstLanes(count)), a);
}

GYRATOR_SIMD Vec LoadF16(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
// Low halves of the lanes, as kLanes uint16_t.
GYRATOR_SIMD void StoreLowHalves(uint16_t* p, IVec a) {
  const IVec packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(a, a), 0x08);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
}
// kLanes int8.
GYRATOR_SIMD Vec LoadInt8(const int8_t* p) {
  return ToFloat(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
// p[0], p[0], p[1], p[1], ...
GYRATOR_SIMD Vec LoadTwice(const float* p) {
  return _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)),
                                  _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
}
// p[0], p[1], p[0], p[1], ...
GYRATOR_SIMD Vec LoadPair(const float* p) {
  double pair;
  std::memcpy(&pair, p, sizeof(pair));
  return _mm256_castpd_ps(_mm256_set1_pd(pair));
}
// 32 values that fit int8.
GYRATOR_SIMD void StoreInt8(int8_t* p, const IVec (&v)[4]) {
  const IVec bytes =
      _mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
  IStore(p, _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
}

// F32ToBF16 (tensor/dtype.h) in the low half of each lane.
GYRATOR_SIMD IVec Bf16Bits(Vec x) {
  const IVec bits = Bits(x);
  const IVec high = ShiftRight<16>(bits);
  const IVec magnitude = IAnd(bits, ISet(0x7fffffff));
  const IVec rounded = ShiftRight<16>(IAdd(bits, IAdd(IAnd(high, ISet(1)), ISet(0x7fff))));
  const Vec flushed = Select(ILess(magnitude, ISet(0x00800000)), FromBits(IAnd(high, ISet(0x8000))),
                             FromBits(rounded));
  return Bits(Select(ILess(ISet(0x7f800000), magnitude), FromBits(IOr(high, ISet(0x40))), flushed));
}

// The same of what is no denormal, and no NaN but the default ones.
GYRATOR_SIMD IVec Bf16BitsOfNormal(Vec x) {
  const IVec odd = IAnd(ShiftRight<16>(Bits(x)), ISet(1));
  return ShiftRight<16>(IAdd(IAdd(Bits(x), ISet(0x7fff)), odd));
}
// Bf16BitsOfNormal of 2 * kLanes values, as uint16_t.
GYRATOR_SIMD void StoreBf16(uint16_t* p, Vec a, Vec b) {
  const IVec packed = _mm256_packus_epi32(Bf16BitsOfNormal(a), Bf16BitsOfNormal(b));
  IStore(p, _mm256_permute4x64_epi64(packed, 0xd8));
}

// The fold of a lane sum.
GYRATOR_SIMD float Fold(const Vec (&v)[kParts]) {
  const Vec eight = Add(v[0], v[1]);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
GYRATOR_SIMD float MaxLane(Vec v) {
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

// bf16 pairs of a line of 32 elements, in the order in which bf16.dp.v1 adds: odd elements first.
struct Bf16Format {
  struct Part {
    Vec odd, even;
  };
  static GYRATOR_SIMD Part LoadPart(const uint16_t* line, int part) {
    const IVec pairs = ILoad(line + part * 2 * kLanes);
    return {FromBits(IAnd(pairs, ISet(static_cast<int32_t>(0xffff0000u)))),
            FromBits(ShiftLeft<16>(pairs))};
  }
  static GYRATOR_SIMD Vec MultiplyAdd(const Part& x, const Part& w, Vec acc) {
    return Fma(x.even, w.even, Fma(x.odd, w.odd, acc));
  }
};

// Products of four bytes a lane. Pairs of |w| x (+-q): at most 2 x 128 x 127, so vpmaddubsw does
// not saturate. q >= -127.
struct Int8Format {
  struct Weights {
    IVec w, magnitude;
  };
  static GYRATOR_SIMD Weights Prepare(IVec w) { return {w, _mm256_abs_epi8(w)}; }
  static GYRATOR_SIMD IVec Start(int32_t /*start*/) { return ISet(0); }
  static GYRATOR_SIMD IVec Step(IVec acc, const Weights& w, IVec q) {
    const IVec pairs = _mm256_maddubs_epi16(w.magnitude, _mm256_sign_epi8(q, w.w));
    return IAdd(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

}  // namespace
}  // namespace gyrator
