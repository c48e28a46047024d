// Tiles of keys and values for attention: where they lie, or int8 read as the bf16 that it stands
// for.
#pragma once

namespace gyrator {
namespace {

constexpr int32_t kHeadDimMax = 1024;  // wider heads go through the reference
constexpr int32_t kTileBlocks = kAttentionTile / kBlockPositions;
static_assert(kBlockPositions == 16 && kTileBlocks == 2 && kKvGroup == 32);

template <class Element>
struct TileView {
  const Element* keys[kTileBlocks];
  const Element* values[kTileBlocks];
};

// Where the bytes of a tile begin that will be wanted soon: heads of step_bytes for each step of
// the scores (one dimension, or a pair).
struct SoonTile {
  const std::byte* keys[kTileBlocks];
  const std::byte* values[kTileBlocks];
  int64_t step_bytes;
};

// Tiles of positions up to `last` as they lie in their blocks.
template <class Element>
class StoredTiles {
 public:
  StoredTiles(const AttentionArgs& args, Position last)
      : args_(args),
        last_(last),
        step_bytes_(args.kv->head_bytes() * (KvInPairs(args.kv->dtype) ? 2 : 1) /
                    args.kv->head_dim) {}

  // Behind the last position the last block stands in.
  TileView<Element> At(Position begin) const {
    TileView<Element> tile;
    for (int32_t b = 0; b < kTileBlocks; ++b) {
      const Position position = begin + b * kBlockPositions;
      const uint32_t block =
          args_.table.blocks[(position < last_ ? position : last_) / kBlockPositions];
      tile.keys[b] =
          reinterpret_cast<const Element*>(args_.kv->keys(args_.layer, block, args_.kv_head));
      tile.values[b] =
          reinterpret_cast<const Element*>(args_.kv->values(args_.layer, block, args_.kv_head));
    }
    return tile;
  }
  SoonTile SoonAt(Position begin) const {
    SoonTile soon;
    const TileView<Element> tile = At(begin);
    for (int32_t b = 0; b < kTileBlocks; ++b) {
      soon.keys[b] = reinterpret_cast<const std::byte*>(tile.keys[b]);
      soon.values[b] = reinterpret_cast<const std::byte*>(tile.values[b]);
    }
    soon.step_bytes = step_bytes_;
    return soon;
  }

 private:
  const AttentionArgs& args_;
  const Position last_;
  const int64_t step_bytes_;
};

// Tiles of int8 as tiles of bf16, in the layout that blocks of bf16 have (paged_kv.h): the pairs
// of int8 lie in the same order, so that no element moves.
class Int8Tiles {
 public:
  Int8Tiles(const AttentionArgs& args, Position last)
      : stored_(args, last), last_(last), dim_(args.kv->head_dim) {}

  // Valid until the next call. Behind the last position it holds anything.
  TileView<uint16_t> At(Position begin) {
    const TileView<int8_t> tile = stored_.At(begin);
    for (int32_t b = 0; b < kTileBlocks && begin + b * kBlockPositions <= last_; ++b) {
      ReadKeys(tile.keys[b], Block(b));
      ReadValues(tile.values[b], Block(kTileBlocks + b));
    }
    return {{Block(0), Block(1)}, {Block(2), Block(3)}};
  }
  // One tile more ahead: the half as many bytes are asked for, and used up, in a burst.
  SoonTile SoonAt(Position begin) const { return stored_.SoonAt(begin + kAttentionTile); }

 private:
  static constexpr int32_t kPairLanes = 2 * kBlockPositions;  // elements of a pair of dimensions

  const float* Scales(const int8_t* head) const {
    return reinterpret_cast<const float*>(head + dim_ * kBlockPositions);
  }
  // A NaN as StoreBf16 wants it.
  static GYRATOR_SIMD Vec DefaultNan(Vec x) {
    return Select(Unordered(x), FromBits(ISet(0x7fc00000)), x);
  }
  uint16_t* Block(int32_t index) { return elements_ + index * dim_ * kBlockPositions; }

  // [dims / 2][16 positions][2 dims]: a position's scale twice.
  void ReadKeys(const int8_t* keys, uint16_t* out) const {
    for (int32_t g = 0; g < dim_ / kKvGroup; ++g) {
      Vec scales[kPairLanes / kLanes];
      for (int v = 0; v < kPairLanes / kLanes; ++v) {
        scales[v] = DefaultNan(LoadTwice(Scales(keys) + g * kBlockPositions + v * (kLanes / 2)));
      }
      const int32_t begin = g * kKvGroup * kBlockPositions;
      for (int32_t i = begin; i < begin + kKvGroup * kBlockPositions; i += kPairLanes) {
        for (int v = 0; v < kPairLanes / kLanes; v += 2) {
          const int32_t at = i + v * kLanes;
          StoreBf16(out + at, Mul(scales[v], LoadInt8(keys + at)),
                    Mul(scales[v + 1], LoadInt8(keys + at + kLanes)));
        }
      }
    }
  }

  // [16 / 2][dims][2 positions]: the scales of two positions in turn.
  void ReadValues(const int8_t* values, uint16_t* out) const {
    for (int32_t pair = 0; pair < kBlockPositions / 2; ++pair) {
      for (int32_t g = 0; g < dim_ / kKvGroup; ++g) {
        const Vec scales = DefaultNan(LoadPair(Scales(values) + g * kBlockPositions + 2 * pair));
        const int32_t begin = 2 * (pair * dim_ + g * kKvGroup);
        for (int32_t i = begin; i < begin + 2 * kKvGroup; i += 2 * kLanes) {
          StoreBf16(out + i, Mul(scales, LoadInt8(values + i)),
                    Mul(scales, LoadInt8(values + i + kLanes)));
        }
      }
    }
  }

  const StoredTiles<int8_t> stored_;
  const Position last_;
  const int32_t dim_;
  // Keys of the tile's blocks, then values, side by side.
  alignas(64) uint16_t elements_[2 * kTileBlocks * kHeadDimMax * kBlockPositions];
};

}  // namespace
}  // namespace gyrator
