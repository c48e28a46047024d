#include <algorithm>
#include <limits>

#include "kernels/ops_testing.h"

namespace gyrator {
namespace {

struct Case {
  int64_t rows, columns, k;
};

// Sizes around every tile, panel, block and vector of the implementations.
std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (int64_t k = 1; k <= 70; ++k) cases.push_back({k % 6 + 1, k % 23 + 1, k});
  for (int64_t n = 1; n <= 70; ++n) cases.push_back({n % 2 == 0 ? 1 : 5, n, 67});
  for (int64_t m = 1; m <= 70; ++m) cases.push_back({m, m % 19 + 1, 45});
  for (int64_t m : {1, 3, 4, 49, 97, 300}) cases.push_back({m, 53, 130});
  for (int64_t k : {255, 511, 513, 1023, 1025, 2049, 2080, 2817}) {
    cases.push_back({1, 9, k});
    cases.push_back({7, 9, k});
  }
  cases.push_back({23, 19, 2100});
  cases.push_back({70, 37, 4220});
  return cases;
}

MatMulShape Shape(const Case& c) {
  return {.num_rows = c.rows,
          .k = c.k,
          .column_begin = 0,
          .column_end = c.columns,
          .y_stride = c.columns};
}

using Bf16MatMul = void (*)(const uint16_t*, const uint16_t*, float*, const MatMulShape&);

Bf16MatMul RefBf16Of(const Ops& ops) {
  return ops.bf16_numerics == "bf16.amx.v1" ? RefMatMulBf16Amx : RefOps().matmul_bf16;
}

struct Int8Matrix {
  std::vector<int8_t> q;
  std::vector<float> scale;
  std::vector<BlockQ8_0> blocks;  // the weights, when it is one
  QuantizedRows rows() const { return {q.data(), scale.data()}; }
};

// Activations lie in -127..127 (as quantize makes them); weights reach -128 (foreign files).
Int8Matrix RandomInt8(int64_t rows, int64_t groups, uint32_t seed) {
  std::mt19937 random(seed);
  Int8Matrix m;
  static constexpr int8_t kExtremes[] = {-127, 127, 0, -1};
  for (int64_t i = 0; i < rows * groups; ++i) {
    BlockQ8_0 block;
    block.scale = static_cast<uint16_t>(random() % 0x3c00);  // to 1.0, denormals too
    m.scale.push_back(static_cast<float>(random() % 1000) * 1e-3f);
    for (int8_t& w : block.q) {
      const bool extreme = random() % 4 == 0;
      m.q.push_back(extreme ? kExtremes[random() % 4] : static_cast<int8_t>(random() % 255 - 127));
      w = extreme ? int8_t{-128} : static_cast<int8_t>(random() % 256);
    }
    m.blocks.push_back(block);
  }
  return m;
}

class MatMul : public OpsTest {};
INSTANTIATE_TEST_SUITE_P(All, MatMul, testing::ValuesIn(TestedOps()), OpsTestName);

TEST_P(MatMul, F32EqualsTheReference) {
  for (const Case& c : Cases()) {
    for (Values values : {Values::kNormal, Values::kWild}) {
      const auto x = RandomFloats(static_cast<size_t>(c.rows * c.k), 1, values);
      const auto w = RandomFloats(static_cast<size_t>(c.columns * c.k), 2, values);
      std::vector<float> expected(static_cast<size_t>(c.rows * c.columns)), y = expected;
      RefOps().matmul_f32(x.data(), w.data(), expected.data(), Shape(c));
      ops().matmul_f32(x.data(), w.data(), y.data(), Shape(c));
      ASSERT_TRUE(SameBits(expected, y)) << c.rows << " x " << c.columns << " x " << c.k;
    }
  }
}

TEST_P(MatMul, Bf16EqualsTheReferenceOfItsNumerics) {
  for (const Case& c : Cases()) {
    for (Values values : {Values::kNormal, Values::kWild}) {
      const auto x = RandomBf16(static_cast<size_t>(c.rows * c.k), 1, values);
      const auto w = RandomBf16(static_cast<size_t>(c.columns * c.k), 2, values);
      std::vector<float> expected(static_cast<size_t>(c.rows * c.columns)), y = expected;
      RefBf16Of(ops())(x.data(), w.data(), expected.data(), Shape(c));
      const auto operand = Bf16Operand(ops(), x.data(), c.rows, c.k);
      ops().matmul_bf16(operand.data(), w.data(), y.data(), Shape(c));
      ASSERT_TRUE(SameBits(expected, y)) << c.rows << " x " << c.columns << " x " << c.k;
    }
  }
}

TEST_P(MatMul, Int8EqualsTheReference) {
  for (Case c : Cases()) {
    c.k = (c.k + 31) / 32 * 32;
    const Int8Matrix x = RandomInt8(c.rows, c.k / 32, 1);
    const Int8Matrix w = RandomInt8(c.columns, c.k / 32, 2);
    std::vector<float> expected(static_cast<size_t>(c.rows * c.columns)), y = expected;
    RefOps().matmul_int8(x.rows(), w.blocks.data(), expected.data(), Shape(c));
    ops().matmul_int8(x.rows(), w.blocks.data(), y.data(), Shape(c));
    ASSERT_TRUE(SameBits(expected, y)) << c.rows << " x " << c.columns << " x " << c.k;
  }
}

TEST_P(MatMul, NotANumberAndInfinityPropagate) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (int64_t rows : {1, 6}) {
    const Case c{rows, 5, 39};
    auto x = RandomFloats(static_cast<size_t>(c.rows * c.k), 1);
    auto w = RandomFloats(static_cast<size_t>(c.columns * c.k), 2);
    x[static_cast<size_t>(c.k - 1)] = NAN;
    w[static_cast<size_t>(2 * c.k - 1)] = kInf;
    std::vector<float> expected(static_cast<size_t>(c.rows * c.columns)), y = expected;
    RefOps().matmul_f32(x.data(), w.data(), expected.data(), Shape(c));
    ops().matmul_f32(x.data(), w.data(), y.data(), Shape(c));
    EXPECT_TRUE(SameBits(expected, y));
    EXPECT_TRUE(std::isnan(y[0]));
    std::vector<uint16_t> xb(x.size()), wb(w.size());
    std::transform(x.begin(), x.end(), xb.begin(), F32ToBF16);
    std::transform(w.begin(), w.end(), wb.begin(), F32ToBF16);
    RefBf16Of(ops())(xb.data(), wb.data(), expected.data(), Shape(c));
    const auto operand = Bf16Operand(ops(), xb.data(), c.rows, c.k);
    ops().matmul_bf16(operand.data(), wb.data(), y.data(), Shape(c));
    EXPECT_TRUE(SameBits(expected, y));
    EXPECT_TRUE(std::isnan(y[0]));
  }
}

// Products that flush to -0 in every lane: a tail padded with +0 would turn the sum into +0.
TEST_P(MatMul, TailsKeepTheSignOfZero) {
  for (int64_t rows : {1, 5}) {
    for (int64_t k = 1; k <= 70; ++k) {
      const Case c{rows, 5, k};
      const std::vector<float> x(static_cast<size_t>(rows * k), 1e-30f);
      const std::vector<float> w(static_cast<size_t>(5 * k), -1e-30f);
      std::vector<float> expected(static_cast<size_t>(rows * 5)), y = expected;
      RefOps().matmul_f32(x.data(), w.data(), expected.data(), Shape(c));
      ops().matmul_f32(x.data(), w.data(), y.data(), Shape(c));
      ASSERT_TRUE(SameBits(expected, y)) << k;
      EXPECT_EQ(std::signbit(expected[0]), k >= 16) << k;
      const std::vector<uint16_t> xb(x.size(), F32ToBF16(x[0])), wb(w.size(), F32ToBF16(w[0]));
      RefBf16Of(ops())(xb.data(), wb.data(), expected.data(), Shape(c));
      const auto operand = Bf16Operand(ops(), xb.data(), rows, k);
      ops().matmul_bf16(operand.data(), wb.data(), y.data(), Shape(c));
      ASSERT_TRUE(SameBits(expected, y)) << k;
    }
  }
}

// One product, whole; then rows alone and columns in pieces, each to its own place.
template <class Multiply>
void ExpectNoTraceOfTheCut(int64_t rows, int64_t columns, int64_t k, Multiply multiply) {
  std::vector<float> whole(static_cast<size_t>(rows * columns)), parts = whole;
  const MatMulShape shape = Shape({rows, columns, k});
  multiply(0, shape, whole.data());
  std::mt19937 random(7);
  for (int64_t m = 0; m < rows;) {
    const int64_t some = std::min<int64_t>(random() % 9 + 1, rows - m);
    for (int64_t n = 0; n < columns;) {
      MatMulShape part = shape;
      part.num_rows = some;
      part.column_begin = n;
      part.column_end = n = std::min<int64_t>(n + random() % 30 + 1, columns);
      multiply(m, part, parts.data() + m * columns);
    }
    m += some;
  }
  EXPECT_TRUE(SameBits(whole, parts));
}

TEST_P(MatMul, BitsDoNotDependOnTheCut) {
  constexpr int64_t kRows = 61, kColumns = 75, kK = 1120;
  const auto x = RandomFloats(kRows * kK, 1), w = RandomFloats(kColumns * kK, 2);
  ExpectNoTraceOfTheCut(kRows, kColumns, kK, [&](int64_t m, const MatMulShape& s, float* y) {
    ops().matmul_f32(x.data() + m * kK, w.data(), y, s);
  });
  const auto xb = RandomBf16(kRows * kK, 3), wb = RandomBf16(kColumns * kK, 4);
  ExpectNoTraceOfTheCut(kRows, kColumns, kK, [&](int64_t m, const MatMulShape& s, float* y) {
    const auto operand = Bf16Operand(ops(), xb.data() + m * kK, s.num_rows, kK);
    ops().matmul_bf16(operand.data(), wb.data(), y, s);
  });
  const Int8Matrix xq = RandomInt8(kRows, kK / 32, 5), wq = RandomInt8(kColumns, kK / 32, 6);
  ExpectNoTraceOfTheCut(kRows, kColumns, kK, [&](int64_t m, const MatMulShape& s, float* y) {
    const QuantizedRows rows{xq.q.data() + m * kK, xq.scale.data() + m * kK / 32};
    ops().matmul_int8(rows, wq.blocks.data(), y, s);
  });
}

TEST_P(MatMul, WritesOnlyItsColumns) {
  for (int64_t rows : {1, 5}) {
    const auto x = RandomFloats(static_cast<size_t>(rows * 40), 1), w = RandomFloats(20 * 40, 2);
    std::vector<float> y(static_cast<size_t>(rows * 25), 7.0f);
    const MatMulShape shape{
        .num_rows = rows, .k = 40, .column_begin = 3, .column_end = 17, .y_stride = 25};
    ops().matmul_f32(x.data(), w.data(), y.data(), shape);
    const auto xb = RandomBf16(static_cast<size_t>(rows * 40), 1), wb = RandomBf16(20 * 40, 2);
    const auto operand = Bf16Operand(ops(), xb.data(), rows, 40);
    ops().matmul_bf16(operand.data(), wb.data(), y.data(), shape);
    const Int8Matrix xq = RandomInt8(rows, 1, 5), wq = RandomInt8(20, 1, 6);
    MatMulShape short_shape = shape;
    short_shape.k = 32;
    ops().matmul_int8(xq.rows(), wq.blocks.data(), y.data(), short_shape);
    for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i] == 7.0f, i % 25 < 3 || i % 25 >= 17) << i;
  }
}

}  // namespace
}  // namespace gyrator
