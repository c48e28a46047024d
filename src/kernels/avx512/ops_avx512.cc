#include "kernels/avx512/ops_avx512.h"

#include <immintrin.h>

#include "kernels/simd/includes.h"

#if defined(__clang__)
#pragma clang attribute push(                                                               \
    __attribute__((                                                                         \
        target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16"))), \
    apply_to = function)
#else
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 in its own _mm512_undefined_*
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16")
#endif

#include "kernels/simd/avx512.h"
//
#include "kernels/simd/ops-inl.h"

namespace gyrator {
namespace {

constexpr Ops kOps = MakeOps("avx512");
constexpr Ops kPrefetching = MakeOps("avx512", MatMulInt8<true>);

}  // namespace

const Ops& Avx512Ops(bool prefetch) { return prefetch ? kPrefetching : kOps; }

}  // namespace gyrator

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
