#include "kernels/avx2/ops_avx2.h"

#include <immintrin.h>

#include "kernels/simd/includes.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif

#include "kernels/simd/avx2.h"
//
#include "kernels/simd/ops-inl.h"

namespace gyrator {
namespace {

constexpr Ops kOps = MakeOps("avx2");

}  // namespace

const Ops& Avx2Ops() { return kOps; }

}  // namespace gyrator

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
