#include <immintrin.h>

#include <utility>

#include "kernels/amx/ops_amx.h"
#include "kernels/simd/includes.h"

#if defined(__clang__)
#pragma clang diagnostic ignored "-Wunused-function"  // of the headers, all of which are one layer
#pragma clang attribute push(                                                                                   \
    __attribute__((target(                                                                                      \
        "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,amx-tile,amx-bf16,amx-int8"))), \
    apply_to = function)
#else
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 in its own _mm512_undefined_*
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wunused-function"  // of the headers, all of which are one layer
#pragma GCC push_options
#pragma GCC target( \
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,amx-tile,amx-bf16,amx-int8")
#endif

#include "kernels/simd/avx512.h"
//
#include "kernels/amx/tile_hw.h"
//
#include "kernels/amx/int8_amx-inl.h"

namespace gyrator {

void AmxMatMulInt8(const QuantizedRows& x, const Int8Panels& w, float* y,
                   const MatMulShape& shape) {
  MatMulInt8Tiles<HardwareInt8Tiles>(x, w, y, shape);
}

void AmxInt8Peak(int64_t iterations) {
  const HardwareInt8Tiles tiles;  // all zeros
  for (int64_t i = 0; i < iterations; ++i) {
    tiles.Multiply<0>();
    tiles.Multiply<1>();
    tiles.Multiply<2>();
    tiles.Multiply<3>();
  }
}

}  // namespace gyrator

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
