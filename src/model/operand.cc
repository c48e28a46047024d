#include "model/operand.h"

#include <cstring>

#include "base/aligned_buffer.h"
#include "kernels/bf16_operand.h"

namespace gyrator {

namespace {

constexpr int64_t kGroup = 32;  // int8 activations of one scale

uint64_t RoundUp(uint64_t bytes) { return (bytes + kCacheLine - 1) / kCacheLine * kCacheLine; }

uint64_t Int8Bytes(int64_t rows, int64_t cols) {
  return RoundUp(static_cast<uint64_t>(rows * cols));
}

}  // namespace

uint64_t Operand::Bytes(ComputeType compute, int64_t rows, int64_t cols_max) {
  switch (compute) {
    case ComputeType::kF32:
      return RoundUp(static_cast<uint64_t>(rows * cols_max) * sizeof(float));
    case ComputeType::kBF16:
      return RoundUp(static_cast<uint64_t>(Bf16OperandElements(rows, cols_max)) * sizeof(uint16_t));
    case ComputeType::kInt8:
      return Int8Bytes(rows, cols_max) +
             RoundUp(static_cast<uint64_t>(rows * (cols_max / kGroup)) * sizeof(float));
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
      scale_ = reinterpret_cast<float*>(memory + Int8Bytes(rows, cols_max));
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
      return ops.quantize(x, int8_ + at, scale_ + at / kGroup, columns.count);
  }
  return false;
}

void Operand::Multiply(const Ops& ops, const Matrix& w, Columns columns, float* y,
                       int64_t stride) const {
  const MatMulShape shape = {rows_, cols_, 0, columns.count, stride};
  const int64_t first = columns.begin * cols_;
  switch (compute_) {
    case ComputeType::kF32:
      ops.matmul_f32(f32_, static_cast<const float*>(w.data) + first, y, shape);
      break;
    case ComputeType::kBF16:
      ops.matmul_bf16(bf16_, static_cast<const uint16_t*>(w.data) + first, y, shape);
      break;
    case ComputeType::kInt8:
      ops.matmul_int8({int8_, scale_}, static_cast<const BlockQ8_0*>(w.data) + first / kGroup, y,
                      shape);
      break;
  }
}

}  // namespace gyrator
