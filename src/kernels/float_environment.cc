#include <immintrin.h>

#include "kernels/ops.h"

namespace gyrator {
namespace {

// All exceptions masked, round to nearest even, flush to zero (bit 15), denormals are zero (bit 6).
constexpr uint32_t kMxcsr = 0x1f80u | 0x8000u | 0x0040u;

}  // namespace

FloatEnvironment::FloatEnvironment() : saved_(_mm_getcsr()) { _mm_setcsr(kMxcsr); }

FloatEnvironment::~FloatEnvironment() { _mm_setcsr(saved_); }

}  // namespace gyrator
