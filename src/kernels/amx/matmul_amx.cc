#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "kernels/amx/ops_amx.h"
#include "kernels/bf16_operand.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,avx512f,amx-tile,amx-bf16"))), \
                             apply_to = function)
#else
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 in its own _mm512_undefined_*
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC push_options
#pragma GCC target("avx2,avx512f,amx-tile,amx-bf16")
#endif

#include "kernels/amx/tile_hw.h"
//
#include "kernels/amx/matmul_amx-inl.h"

namespace gyrator {

void AmxMatMulBf16(const uint16_t* x, const uint16_t* w, float* y, const MatMulShape& shape) {
  MatMulBf16Tiles<HardwareTiles>(x, w, y, shape);
}

void AmxBf16Peak(int64_t iterations) {
  HardwareTiles tiles;  // all zeros
  for (int64_t i = 0; i < iterations; ++i) {
    tiles.Multiply<0, 0>();
    tiles.Multiply<0, 1>();
    tiles.Multiply<1, 0>();
    tiles.Multiply<1, 1>();
  }
}

}  // namespace gyrator

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
