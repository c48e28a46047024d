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

// Tiles of positions up to `last` as they lie in their blocks.
template <class Element>
class StoredTiles {
 public:
  StoredTiles(const AttentionArgs& args, Position last) : args_(args), last_(last) {}

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
  TileView<Element> ToPrefetch(Position begin) const { return At(begin); }

 private:
  const AttentionArgs& args_;
  const Position last_;
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
    const TileView<int8_t> next = stored_.At(begin + kAttentionTile);
    for (int32_t b = 0; b < kTileBlocks && begin + b * kBlockPositions <= last_; ++b) {
      ReadKeys(tile.keys[b], next.keys[b], keys_[b]);
      ReadValues(tile.values[b], next.values[b], values_[b]);
    }
    return {{keys_[0], keys_[1]}, {values_[0], values_[1]}};
  }
  // The next tile was asked for while this one was read; this one is near.
  TileView<uint16_t> ToPrefetch(Position /*begin*/) const {
    return {{keys_[0], keys_[1]}, {values_[0], values_[1]}};
  }

 private:
  static constexpr int32_t kPairLanes = 2 * kBlockPositions;  // elements of a pair of dimensions

  const float* Scales(const int8_t* head) const {
    return reinterpret_cast<const float*>(head + dim_ * kBlockPositions);
  }
  // The scales of a block: one line a group.
  void PrefetchScales(const int8_t* head) const {
    for (int32_t g = 0; g < dim_ / kKvGroup; ++g) Prefetch(Scales(head) + g * kBlockPositions);
  }

  // [dims / 2][16 positions][2 dims]: a position's scale twice.
  void ReadKeys(const int8_t* keys, const int8_t* next, uint16_t* out) const {
    PrefetchScales(next);
    for (int32_t g = 0; g < dim_ / kKvGroup; ++g) {
      Vec scales[kPairLanes / kLanes];
      for (int v = 0; v < kPairLanes / kLanes; ++v) {
        scales[v] = LoadTwice(Scales(keys) + g * kBlockPositions + v * (kLanes / 2));
      }
      const int32_t begin = g * kKvGroup * kBlockPositions;
      for (int32_t i = begin; i < begin + kKvGroup * kBlockPositions; i += kPairLanes) {
        if (i % 64 == 0) Prefetch(next + i);
        for (int v = 0; v < kPairLanes / kLanes; ++v) {
          StoreBf16(out + i + v * kLanes, Mul(scales[v], LoadInt8(keys + i + v * kLanes)));
        }
      }
    }
  }

  // [16 / 2][dims][2 positions]: the scales of two positions in turn.
  void ReadValues(const int8_t* values, const int8_t* next, uint16_t* out) const {
    PrefetchScales(next);
    for (int32_t pair = 0; pair < kBlockPositions / 2; ++pair) {
      for (int32_t g = 0; g < dim_ / kKvGroup; ++g) {
        const Vec scales = LoadPair(Scales(values) + g * kBlockPositions + 2 * pair);
        const int32_t begin = 2 * (pair * dim_ + g * kKvGroup);
        Prefetch(next + begin);
        for (int32_t i = begin; i < begin + 2 * kKvGroup; i += kLanes) {
          StoreBf16(out + i, Mul(scales, LoadInt8(values + i)));
        }
      }
    }
  }

  const StoredTiles<int8_t> stored_;
  const Position last_;
  const int32_t dim_;
  alignas(64) uint16_t keys_[kTileBlocks][kHeadDimMax * kBlockPositions];
  alignas(64) uint16_t values_[kTileBlocks][kHeadDimMax * kBlockPositions];
};

}  // namespace
}  // namespace gyrator
