// The tiles of the CPU: 0..3 sums, 4 and 5 weights, 6 and 7 activations. One object per thread at a
// time; it configures the tiles and releases them.
//
// Configuration and loads are assembly: GCC 12's intrinsics do not say which memory they read, so the
// stores before them may be dropped.
#pragma once

namespace gyrator {
namespace {

// Tile kTile from 16 rows of 64 bytes, `stride` bytes apart.
template <int kTile>
inline __attribute__((always_inline)) void LoadTile(const void* from, int64_t stride) {
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(kTile) : "memory");
}

class HardwareTiles {
 public:
  HardwareTiles() {
    struct {  // palette 1 (Intel SDM, TILE_CONFIG)
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } config;
    static_assert(sizeof(config) == 64);
    __asm__ volatile("ldtilecfg %0" ::"m"(config));
  }
  ~HardwareTiles() { _tile_release(); }
  HardwareTiles(const HardwareTiles&) = delete;
  HardwareTiles& operator=(const HardwareTiles&) = delete;

  template <int kW>
  void LoadWeights(const uint16_t* from, int64_t stride) {
    LoadTile<4 + kW>(from, stride * 2);
  }
  template <int kX>
  void LoadActivations(const uint32_t* from) {
    LoadTile<6 + kX>(from, 64);
  }
  template <int kW, int kX>
  void Multiply() {
    if constexpr (kW == 0 && kX == 0) _tile_dpbf16ps(0, 4, 6);
    if constexpr (kW == 0 && kX == 1) _tile_dpbf16ps(1, 4, 7);
    if constexpr (kW == 1 && kX == 0) _tile_dpbf16ps(2, 5, 6);
    if constexpr (kW == 1 && kX == 1) _tile_dpbf16ps(3, 5, 7);
  }
  template <int kW, int kX>
  void LoadSums(const float (&c)[2][2][16][16], bool zero) {
    if (zero) {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      return;
    }
    LoadTile<0>(&c[0][0], 64);
    if constexpr (kX == 2) LoadTile<1>(&c[0][1], 64);
    if constexpr (kW == 2) LoadTile<2>(&c[1][0], 64);
    if constexpr (kW == 2 && kX == 2) LoadTile<3>(&c[1][1], 64);
  }
  template <int kW, int kX>
  void StoreSums(float (&c)[2][2][16][16]) {
    _tile_stored(0, &c[0][0], 64);
    if constexpr (kX == 2) _tile_stored(1, &c[0][1], 64);
    if constexpr (kW == 2) _tile_stored(2, &c[1][0], 64);
    if constexpr (kW == 2 && kX == 2) _tile_stored(3, &c[1][1], 64);
  }
};

}  // namespace
}  // namespace gyrator
