// The right operand of products in bf16 and int8: weights in the layout that the CPU wants, the
// same for every instruction set, made once when a model is loaded.
//
// A panel is 16 columns of the product, which are 16 rows of the stored matrix. The last panel of a
// matrix may have fewer; zeros stand in the place of the missing ones.
//   int8  q     [panel][k / 32][8][16 columns][4 of k]: no dot crosses lanes, and a group of 32 is
//               the right operand of TDPBSSD. A group has one scale a column.
//         scale [panel][k / 32][16 columns], f16
//   bf16  [panel][k / 32, rounded up][16 columns][32 of k]: a tile is the left operand of
//   TDPBF16PS.
//         Lanes run along k, because bf16.dp.v1 folds 16 partial sums once. Behind k stands -0,
//         whose product with the +0 of activations changes no sum.
// Every read of a kernel is a whole cache line when the panels begin at one.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace gyrator {

inline constexpr int64_t kPanelColumns = 16;
inline constexpr int64_t kPanelGroup = 32;                          // of k
inline constexpr int64_t kPanelTile = kPanelColumns * kPanelGroup;  // elements of a group

constexpr int64_t NumPanels(int64_t columns) {
  return (columns + kPanelColumns - 1) / kPanelColumns;
}
constexpr int64_t NumPanelGroups(int64_t k) { return (k + kPanelGroup - 1) / kPanelGroup; }

struct Int8Panels {
  const int8_t* q = nullptr;
  const uint16_t* scale = nullptr;

  // From panel `panel` and group `group` on.
  Int8Panels At(int64_t panel, int64_t group, int64_t k) const {
    const int64_t at = panel * (k / kPanelGroup) + group;
    return {q + at * kPanelTile, scale + at * kPanelColumns};
  }
};

// Writes one block of a column to its group: q [512], scale [16].
void SetInt8Column(const BlockQ8_0& block, int64_t column, int8_t* q, uint16_t* scale);

// Writes `count` <= 32 elements of a column to its tile [16][32], -0 behind them.
void SetBf16Column(const uint16_t* values, int64_t count, int64_t column, uint16_t* tile);

}  // namespace gyrator
