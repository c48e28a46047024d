// Logits as a numpy file, for anyone who wants to check the bits.
#pragma once

#include <span>
#include <string>

#include "gyrator/status.h"

namespace gyrator {

// Writes `rows` [rows.size() / vocab, vocab], row-major, as a float32 .npy file that appears whole
// or not at all. REQUIRES: vocab > 0 and rows.size() a multiple of it. kIo, kExhausted (disk full).
Status WriteLogits(const std::string& path, std::span<const float> rows, int64_t vocab);

}  // namespace gyrator
