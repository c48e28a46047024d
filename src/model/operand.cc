#include "model/operand.h"

#include <algorithm>
#include <cstring>

#include "base/aligned_buffer.h"
#include "kernels/bf16_operand.h"

namespace gyrator {

namespace {

constexpr int64_t kGroup = 32;          // int8 activations of one scale
constexpr int64_t kStoredColumns = 64;  // packed at once: they stay in the second cache

uint64_t RoundUp(uint64_t bytes) { return (bytes + kCacheLine - 1) / kCacheLine * kCacheLine; }

uint64_t Int8Bytes(int64_t rows, int64_t cols) {
  return RoundUp(static_cast<uint64_t>(rows * cols));
}

uint64_t GroupBytes(int64_t rows, int64_t cols) {  // a number of 4 bytes for each group
  return RoundUp(static_cast<uint64_t>(rows * (cols / kGroup)) * sizeof(float));
}

}  // namespace

uint64_t Operand::Bytes(ComputeType compute, int64_t rows, int64_t cols_max) {
  switch (compute) {
    case ComputeType::kF32:
      return RoundUp(static_cast<uint64_t>(rows * cols_max) * sizeof(float));
    case ComputeType::kBF16:
      return RoundUp(static_cast<uint64_t>(Bf16OperandElements(rows, cols_max)) * sizeof(uint16_t));
    case ComputeType::kInt8:
      return Int8Bytes(rows, cols_max) + 2 * GroupBytes(rows, cols_max);
  }
  return 0;
}

Operand::Operand(ComputeType compute, std::byte* memory, int64_t rows, int64_t cols_max)
    : compute_(compute) {
  switch (compute) {
    case ComputeType::kF32:
      f32_ = reinterpret_cast<float*>(memory);
      break;
    case ComputeType::kBF16:
      bf16_ = reinterpret_cast<uint16_t*>(memory);
      break;
    case ComputeType::kInt8:
      int8_ = reinterpret_cast<int8_t*>(memory);
      memory += Int8Bytes(rows, cols_max);
      scale_ = reinterpret_cast<float*>(memory);
      start_ = reinterpret_cast<int32_t*>(memory + GroupBytes(rows, cols_max));
      break;
  }
}

void Operand::Reshape(int64_t rows, int64_t cols) {
  rows_ = rows;
  cols_ = cols;
}

bool Operand::Set(const Ops& ops, const float* x, int64_t row, Columns columns) {
  const int64_t at = row * cols_ + columns.begin;
  switch (compute_) {
    case ComputeType::kF32:
      std::memcpy(f32_ + at, x, static_cast<size_t>(columns.count) * sizeof(float));
      return true;
    case ComputeType::kBF16:
      SetBf16Columns(ops, x, {row, columns.begin, columns.count, cols_}, bf16_);
      return true;
    case ComputeType::kInt8:
      return ops.quantize(x, {int8_ + at, scale_ + at / kGroup, start_ + at / kGroup},
                          columns.count);
  }
  return false;
}

uint64_t Operand::ScratchBytes(ComputeType compute, int64_t cols_max) {
  return OperandBytes(compute, kStoredColumns, cols_max).value_or(kAllocationMax);
}

bool Operand::Multiply(const Ops& ops, const Matrix& w, Columns columns, const Results& results,
                       std::byte* scratch) const {
  if (w.operand != nullptr) {
    MultiplyPacked(ops, {w.operand, w.rows, w.cols}, columns, results);
    return true;
  }
  for (int64_t at = 0; at < columns.count; at += kStoredColumns) {
    const int64_t count = std::min(kStoredColumns, columns.count - at);
    if (PackRows(w, columns.begin + at, count, scratch) != ConversionFault::kNone) return false;
    MultiplyPacked(ops, {scratch, count, w.cols}, {0, count}, {results.y + at, results.stride});
  }
  return true;
}

void Operand::MultiplyPacked(const Ops& ops, const PackedRows& w, Columns columns,
                             const Results& results) const {
  const MatMulShape shape = {rows_, cols_, columns.count, results.stride};
  switch (compute_) {
    case ComputeType::kF32:
      ops.matmul_f32(f32_, F32WeightsAt(w, columns.begin), results.y, shape);
      break;
    case ComputeType::kBF16:
      ops.matmul_bf16(bf16_, Bf16WeightsAt(w, columns.begin), results.y, shape);
      break;
    case ComputeType::kInt8:
      ops.matmul_int8({int8_, scale_, start_}, Int8WeightsAt(w, columns.begin), results.y, shape);
      break;
  }
}

}  // namespace gyrator
