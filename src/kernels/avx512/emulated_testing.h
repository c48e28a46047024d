// The AVX-512 kernels compiled over portable definitions of their instructions, for the tests of
// machines that have no AVX-512.
#pragma once

#include "kernels/ops.h"

namespace gyrator {

// Named "avx512-emulated" and "avx512-emulated-prefetch". REQUIRES AVX2, FMA and F16C.
const Ops& EmulatedAvx512Ops(bool prefetch);

}  // namespace gyrator
