// Initial weights that copy.
//
// "A B ... A" -> B takes two heads in a row: one that attends to the token before and carries its
// identity (layer 0), one that looks for its own token in what the first carried and copies the
// token there (layer 1). Gradient descent finds this circuit late and suddenly; here a rough one is
// there from the first step, and training refines it. The arithmetic of the decoder stays as it is.
// Source of the circuit: Olsson et al. 2022, "In-context learning and induction heads".
#pragma once

#include "decoder.h"

namespace gyrator::train {

// Overwrites key/value head 0 of `first` and heads 0 to 2 of `second` (with their query heads, as
// far as there are), dimension 0 of the embedding (a constant: what position-only attention reads)
// and its last head_dim dimensions (zero: where the carried identity goes). Random projections come
// from torch's generator.
void InitCopyHeads(const DecoderConfig& config, at::Tensor& embedding, DecoderLayer& first,
                   DecoderLayer& second);

}  // namespace gyrator::train
