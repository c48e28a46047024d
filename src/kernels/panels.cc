#include "kernels/panels.h"

#include <algorithm>
#include <cstring>

namespace gyrator {

void SetInt8Column(const BlockQ8_0& block, int64_t column, int8_t* q, uint16_t* scale) {
  constexpr int64_t kStep = 4;  // of k that lie together
  for (int64_t at = 0; at < kPanelGroup; at += kStep) {
    std::memcpy(q + at * kPanelColumns + column * kStep, block.q + at, kStep);
  }
  scale[column] = block.scale;
}

void SetBf16Column(const uint16_t* values, int64_t count, int64_t column, uint16_t* tile) {
  constexpr uint16_t kMinusZero = 0x8000;
  uint16_t* const to = tile + column * kPanelGroup;
  std::copy(values, values + count, to);
  std::fill(to + count, to + kPanelGroup, kMinusZero);
}

}  // namespace gyrator
