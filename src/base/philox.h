// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel Random Numbers: As Easy as
// 1, 2, 3" (SC11). A draw is a function of (key, counter) alone, so a saved position is the whole
// state.
#pragma once

#include <array>
#include <cstdint>

namespace gyrator {

std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// A stream of draws: draw i of a seed never depends on how it was reached. A value; not locked.
class PhiloxStream {
 public:
  PhiloxStream() = default;
  PhiloxStream(uint64_t seed, uint64_t draws) : seed_(seed), draws_(draws) {}

  // Uniform in [0, 1), 53 bits.
  double NextUniform();

  uint64_t seed() const { return seed_; }
  uint64_t draws() const { return draws_; }  // draws made so far

 private:
  uint64_t seed_ = 0;
  uint64_t draws_ = 0;
};

}  // namespace gyrator
