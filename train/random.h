// The random numbers of data and initial weights: SplitMix64, so that a stream is a function of its
// seed alone, on every platform. Not for concurrent use.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace gyrator::train {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // Uniform in [0, n). REQUIRES: n > 0. The bias of the multiply-shift is below n / 2^32.
  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(((Next() >> 32) * n) >> 32); }
  int32_t Between(int32_t low, int32_t high) {  // both included
    return low + static_cast<int32_t>(Below(static_cast<uint32_t>(high - low + 1)));
  }
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }  // [0, 1)
  bool Chance(double p) { return Uniform() < p; }

  template <class T, size_t extent>
  const T& Pick(std::span<const T, extent> items) {
    return items[Below(static_cast<uint32_t>(items.size()))];
  }
  template <class Container>
  const auto& Pick(const Container& items) {
    return items[Below(static_cast<uint32_t>(std::size(items)))];
  }

 private:
  uint64_t state_;
};

// A seed for the `index`-th independent stream of `seed`.
inline uint64_t MixSeed(uint64_t seed, uint64_t index) {
  Random mixer(seed ^ (index * 0xd1342543de82ef95u + 0x2545f4914f6cdd1du));
  return mixer.Next();
}

// FNV-1a, 64 bits: stable across runs and platforms.
inline uint64_t StableHash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3u;
  return hash;
}

}  // namespace gyrator::train
