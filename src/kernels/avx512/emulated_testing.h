// The AVX-512 kernels compiled over portable definitions of their instructions, for the tests of
// machines that have no AVX-512.
#pragma once

#include "kernels/ops.h"

namespace gyrator {

const Ops& EmulatedAvx512Ops();  // REQUIRES AVX2, FMA and F16C; name "avx512-emulated"

}  // namespace gyrator
