// `gyrator-train data` and `gyrator-dialogues`: conversations of the stream, for people and for
// tests.
#pragma once

#include <cstdint>
#include <cstdio>

#include "gyrator/status.h"
#include "values.h"

namespace gyrator::train {

struct DataOptions {
  uint64_t seed = 1;
  uint64_t first = 0;  // index of the first conversation
  int32_t count = 3;
  int32_t turns = 20;  // of each
  Split split = Split::kTrain;
  // One JSON object a line: {"system": text or null, "turns": [{"user", "reply", "kind", "age",
  // "expected": [texts that a right reply holds]}]}. Otherwise plain text.
  bool json = false;
};

// kIo when `out` takes no more.
Status PrintData(const DataOptions& options, std::FILE* out);

}  // namespace gyrator::train
