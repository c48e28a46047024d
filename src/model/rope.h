// Inverse rope frequencies with scaling, in the arithmetic of transformers. Internal to model/.
#pragma once

#include <span>

#include "formats/hf_config.h"
#include "gyrator/status.h"
#include "model/config.h"

namespace gyrator {

// The rope of heads of which `rotary_dim` dimensions rotate, for scaling types "default", "linear",
// "llama3" and "yarn". Every step after the power is the f32 operation that torch does; the power
// theta ** (i / dim) is rounded once from double precision, while torch's own may err by one unit
// in the last place (docs/models.md). kUnsupported names other types; kCorruption names a missing
// or senseless parameter. REQUIRES rotary_dim even and > 0, context_max > 0. Source:
// transformers 5.23, modeling_rope_utils.py.
Result<RopeConfig> MakeRope(const HfRope& rope, int32_t rotary_dim, int32_t context_max);

// Divides frequency i by factors[i] (GGUF's rope_freqs.weight). kCorruption unless there is one
// positive finite factor for each frequency.
Status DivideFrequencies(std::span<const float> factors, RopeConfig* rope);

}  // namespace gyrator
