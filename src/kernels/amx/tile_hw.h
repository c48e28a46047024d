// The tiles of the CPU: 0..3 sums, 4 and 5 A in turn, 6 and 7 B. One object per thread at a time
// configures them, and releases them; they are the thread's while it lives.
//
// Configuration and loads are assembly: GCC 12's intrinsics do not say which memory they read, so
// the stores before them may be dropped.
#pragma once

namespace gyrator {
namespace {

// Tile kTile from 16 rows of 64 bytes, `stride` bytes apart.
template <int kTile>
inline __attribute__((always_inline)) void LoadTile(const void* from, int64_t stride) {
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(kTile) : "memory");
}

// The same of what is read once before the rest: it leaves the first cache to other tiles.
template <int kTile>
inline __attribute__((always_inline)) void StreamTile(const void* from, int64_t stride) {
  __asm__ volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(kTile)
                   : "memory");
}

template <int kTile>
inline __attribute__((always_inline)) void StoreTile(void* to, int64_t stride) {
  __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(kTile) : "memory");
}

// The tiles' shapes while it lives. Sums are 16 x 64 bytes; A 16 x `a_row_bytes`, B `b_rows` x 64.
class TileShapes {
 public:
  TileShapes(const TileShapes&) = delete;
  TileShapes& operator=(const TileShapes&) = delete;

 protected:
  TileShapes(uint16_t a_row_bytes, uint8_t b_rows) {
    struct {  // palette 1 (Intel SDM, TILE_CONFIG)
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } config;
    static_assert(sizeof(config) == 64);
    config.bytes_per_row[4] = config.bytes_per_row[5] = a_row_bytes;
    config.rows[6] = config.rows[7] = b_rows;
    __asm__ volatile("ldtilecfg %0" ::"m"(config));
  }
  ~TileShapes() { _tile_release(); }
};

class HardwareTiles : TileShapes {
 public:
  HardwareTiles() : TileShapes(64, 16) {}

  // A [16 rows][32], `stride` elements between rows, to B: pairs[i] = elements 2 i, 2 i + 1 of
  // rows. A row is loaded once and whole: rows a power of two apart share a set of the first cache.
  static void Transpose(const uint16_t* from, int64_t stride, uint32_t (&pairs)[16][16]) {
    __m512i rows[16], twos[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) rows[i] = _mm512_loadu_si512(from + i * stride);
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {  // pairs of two rows next to each other
      twos[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
      twos[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {  // rows[i + j], part p: pair 4 p + j of rows i .. i + 3
      rows[i] = _mm512_unpacklo_epi64(twos[i], twos[i + 2]);
      rows[i + 1] = _mm512_unpackhi_epi64(twos[i], twos[i + 2]);
      rows[i + 2] = _mm512_unpacklo_epi64(twos[i + 1], twos[i + 3]);
      rows[i + 3] = _mm512_unpackhi_epi64(twos[i + 1], twos[i + 3]);
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {  // the parts of pairs j, 4 + j, 8 + j, 12 + j
      const __m512i low = _mm512_shuffle_i32x4(rows[j], rows[4 + j], 0x88);
      const __m512i high = _mm512_shuffle_i32x4(rows[8 + j], rows[12 + j], 0x88);
      const __m512i low_odd = _mm512_shuffle_i32x4(rows[j], rows[4 + j], 0xdd);
      const __m512i high_odd = _mm512_shuffle_i32x4(rows[8 + j], rows[12 + j], 0xdd);
      _mm512_store_si512(pairs[j], _mm512_shuffle_i32x4(low, high, 0x88));
      _mm512_store_si512(pairs[4 + j], _mm512_shuffle_i32x4(low_odd, high_odd, 0x88));
      _mm512_store_si512(pairs[8 + j], _mm512_shuffle_i32x4(low, high, 0xdd));
      _mm512_store_si512(pairs[12 + j], _mm512_shuffle_i32x4(low_odd, high_odd, 0xdd));
    }
  }

  template <int kA>
  static void LoadRows(const uint16_t* from, int64_t stride) {
    LoadTile<4 + kA % 2>(from, stride * 2);
  }
  // Of a contiguous tile.
  template <int kA>
  static void StreamRows(const uint16_t* from) {
    StreamTile<4 + kA % 2>(from, 64);
  }
  template <int kB>
  static void LoadPairs(const void* from) {
    LoadTile<6 + kB>(from, 64);
  }
  // A tile kA, loaded last of those of its register, by B tile kB of `kBs`.
  template <int kA, int kB, int kBs = 2>
  static void Multiply() {
    __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kA * kBs + kB), "i"(4 + kA % 2),
                     "i"(6 + kB));
  }
  static void ClearSums() {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  // kA x kB tiles of c [16 kA][32], at most four.
  template <int kA, int kB>
  static void LoadSums(const float* c) {
    const auto load = [c](auto i) {
      StreamTile<i.value>(c + i.value / kB * 16 * 32 + i.value % kB * 16, 128);
    };
    ForEachTile(load, std::make_integer_sequence<int, kA * kB>());
  }
  template <int kA, int kB>
  static void StoreSums(float* c) {
    const auto store = [c](auto i) {
      StoreTile<i.value>(c + i.value / kB * 16 * 32 + i.value % kB * 16, 128);
    };
    ForEachTile(store, std::make_integer_sequence<int, kA * kB>());
  }

 private:
  template <class Body, int... kI>
  static void ForEachTile(const Body& body, std::integer_sequence<int, kI...>) {
    (body(std::integral_constant<int, kI>()), ...);
  }
};

// The tiles for int8: 0..3 sums, 4 and 5 A [16 rows][32 bytes], 6 and 7 B [8 steps][16][4 bytes].
class HardwareInt8Tiles : TileShapes {
 public:
  HardwareInt8Tiles() : TileShapes(32, 8) {}

  // dots[i] [row of x][column of w] of groups i < kCount. x: `stride` bytes between rows.
  template <int64_t kCount>
  static void Dot(const int8_t* x, int64_t stride, const int8_t* w, int32_t (*dots)[16][16]) {
    DotEach(x, stride, w, dots, std::make_integer_sequence<int, kCount>());
  }

  // Sums kI and operands kI % 2.
  template <int kI>
  static void Multiply() {
    __asm__ volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kI), "i"(4 + kI % 2),
                     "i"(6 + kI % 2));
  }

 private:
  template <int... kI>
  static void DotEach(const int8_t* x, int64_t stride, const int8_t* w, int32_t (*dots)[16][16],
                      std::integer_sequence<int, kI...>) {
    (DotOne<kI>(x + kI * kPanelGroup, stride, w + kI * kPanelTile), ...);
    (StoreTile<kI>(dots[kI], 64), ...);
  }
  template <int kI>
  static void DotOne(const int8_t* a, int64_t stride, const int8_t* b) {
    __asm__ volatile("tilezero %%tmm%c0" ::"i"(kI));
    LoadTile<4 + kI % 2>(a, stride);
    LoadTile<6 + kI % 2>(b, 64);
    Multiply<kI>();
  }
};

}  // namespace
}  // namespace gyrator
