#include "kernels/bf16_operand.h"

#include <algorithm>
#include <cstring>

namespace gyrator {
namespace {

constexpr int64_t kTileRows = 16;
constexpr int64_t kTileColumns = 32;

int64_t RoundUp(int64_t count, int64_t to) { return (count + to - 1) / to * to; }

}  // namespace

int64_t Bf16RowTileChunks(int64_t k) {
  constexpr int64_t kEight = 8;  // tiles of 1 KiB
  return (RoundUp(k, kEight * kTileColumns) / (kEight * kTileColumns) | 1) * kEight;
}

int64_t Bf16OperandElements(int64_t rows, int64_t k) {
  return RoundUp(rows, kTileRows) * Bf16RowTileChunks(k) * kTileColumns;
}

int64_t Bf16OperandIndex(Bf16Layout layout, int64_t row, int64_t column, int64_t k) {
  if (layout == Bf16Layout::kRows) return row * k + column;
  const int64_t tile = row / kTileRows * Bf16RowTileChunks(k) + column / kTileColumns;
  return (tile * kTileRows + row % kTileRows) * kTileColumns + column % kTileColumns;
}

void SetBf16Columns(const Ops& ops, const float* x, const Bf16Columns& columns, uint16_t* operand) {
  const auto [row, begin, count, k] = columns;
  if (ops.bf16_layout == Bf16Layout::kRows) {
    return ops.round_bf16(x, operand + row * k + begin, count);
  }
  constexpr int64_t kPart = 32 * kTileColumns;
  uint16_t part[kPart];
  for (int64_t done = 0; done < count; done += kPart) {
    const int64_t left = std::min(kPart, count - done);
    ops.round_bf16(x + done, part, left);
    std::fill(part + left, part + RoundUp(left, kTileColumns), uint16_t{0});
    for (int64_t i = 0; i < left; i += kTileColumns) {
      std::memcpy(operand + Bf16OperandIndex(ops.bf16_layout, row, begin + done + i, k), part + i,
                  kTileColumns * sizeof(uint16_t));
    }
  }
}

}  // namespace gyrator
