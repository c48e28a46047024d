#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/amx/ops_amx.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif

#include "kernels/simd/avx2.h"
//
#include "kernels/amx/tile_twin.h"
//
#include "kernels/amx/int8_amx-inl.h"

namespace gyrator {

void AmxTwinMatMulInt8(const QuantizedRows& x, const Int8Panels& w, float* y,
                       const MatMulShape& shape) {
  MatMulInt8Tiles<TwinInt8Tiles>(x, w, y, shape);
}

}  // namespace gyrator

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
