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
  cases.push_back({5, 3, 53'248});  // the widest models: fewer rows than a tile fit a block
  return cases;
}

MatMulShape Shape(const Case& c) {
  return {.num_rows = c.rows, .k = c.k, .num_columns = c.columns, .y_stride = c.columns};
}

using Bf16MatMul = void (*)(const uint16_t*, const uint16_t*, float*, const MatMulShape&);

Bf16MatMul RefBf16Of(const Ops& ops) {
  return ops.bf16_numerics == "bf16.amx.v1" ? RefMatMulBf16Amx : RefOps().matmul_bf16;
}

// Activations as `quantize` makes them, with extremes.
struct Int8Rows {
  std::vector<int8_t> q;
  std::vector<float> scale;
  std::vector<int32_t> start;
  QuantizedRows rows() const { return {q.data(), scale.data(), start.data()}; }
};

constexpr int8_t kExtremes[] = {-127, 127, 0, -1};

Int8Rows RandomRows(int64_t rows, int64_t groups, uint32_t seed) {
  std::mt19937 random(seed);
  Int8Rows x;
  for (int64_t i = 0; i < rows * groups; ++i) {
    x.scale.push_back(static_cast<float>(random() % 1000) * 1e-3f);
    int32_t sum = 0;
    for (int j = 0; j < 32; ++j) {
      const bool extreme = random() % 4 == 0;
      x.q.push_back(extreme ? kExtremes[random() % 4] : static_cast<int8_t>(random() % 255 - 127));
      sum += x.q.back();
    }
    x.start.push_back(-128 * sum);
  }
  return x;
}

// Weights reach -128, in foreign files.
PackedInt8 RandomPanels(int64_t columns, int64_t groups, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<BlockQ8_0> blocks(static_cast<size_t>(columns * groups));
  for (BlockQ8_0& block : blocks) {
    block.scale = static_cast<uint16_t>(random() % 0x3c00);  // to 1.0, denormals too
    for (int8_t& w : block.q) {
      w = random() % 4 == 0 ? int8_t{-128} : static_cast<int8_t>(random() % 256);
    }
  }
  return PackedInt8(blocks, columns, groups * 32);
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
      const auto rows = RandomBf16(static_cast<size_t>(c.columns * c.k), 2, values);
      const auto w = PackedBf16(rows, c.columns, c.k);
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
    const Int8Rows x = RandomRows(c.rows, c.k / 32, 1);
    const PackedInt8 w = RandomPanels(c.columns, c.k / 32, 2);
    std::vector<float> expected(static_cast<size_t>(c.rows * c.columns)), y = expected;
    RefOps().matmul_int8(x.rows(), w.panels(), expected.data(), Shape(c));
    ops().matmul_int8(x.rows(), w.panels(), y.data(), Shape(c));
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
    const auto panels = PackedBf16(wb, c.columns, c.k);
    RefBf16Of(ops())(xb.data(), panels.data(), expected.data(), Shape(c));
    const auto operand = Bf16Operand(ops(), xb.data(), c.rows, c.k);
    ops().matmul_bf16(operand.data(), panels.data(), y.data(), Shape(c));
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
      const auto panels = PackedBf16(wb, 5, k);
      RefBf16Of(ops())(xb.data(), panels.data(), expected.data(), Shape(c));
      const auto operand = Bf16Operand(ops(), xb.data(), rows, k);
      ops().matmul_bf16(operand.data(), panels.data(), y.data(), Shape(c));
      ASSERT_TRUE(SameBits(expected, y)) << k;
    }
  }
}

// One product, whole; then some rows by some panels, each to its own place. multiply(m, n, shape,
// y) multiplies rows from m and columns from n on.
template <class Multiply>
void ExpectNoTraceOfTheCut(const Case& whole, Multiply multiply) {
  const auto [rows, columns, k] = whole;
  std::vector<float> expected(static_cast<size_t>(rows * columns)), parts = expected;
  MatMulShape shape = Shape(whole);
  multiply(0, 0, shape, expected.data());
  std::mt19937 random(7);
  for (int64_t m = 0; m < rows; m += shape.num_rows) {
    shape.num_rows = std::min<int64_t>(random() % 9 + 1, rows - m);
    for (int64_t n = 0; n < columns; n += shape.num_columns) {
      const auto panels = static_cast<int64_t>(random() % 3 + 1);
      shape.num_columns = std::min(panels * kPanelColumns, columns - n);
      multiply(m, n, shape, parts.data() + m * columns + n);
    }
  }
  EXPECT_TRUE(SameBits(expected, parts));
}

TEST_P(MatMul, BitsDoNotDependOnTheCut) {
  constexpr int64_t kRows = 61, kColumns = 155, kK = 1120;
  constexpr Case kCase = {kRows, kColumns, kK};
  const auto x = RandomFloats(kRows * kK, 1), w = RandomFloats(kColumns * kK, 2);
  ExpectNoTraceOfTheCut(kCase, [&](int64_t m, int64_t n, const MatMulShape& s, float* y) {
    ops().matmul_f32(x.data() + m * kK, w.data() + n * kK, y, s);
  });
  const auto xb = RandomBf16(kRows * kK, 3);
  const auto wb = PackedBf16(RandomBf16(kColumns * kK, 4), kColumns, kK);
  ExpectNoTraceOfTheCut(kCase, [&](int64_t m, int64_t n, const MatMulShape& s, float* y) {
    const auto operand = Bf16Operand(ops(), xb.data() + m * kK, s.num_rows, kK);
    ops().matmul_bf16(operand.data(), wb.data() + n * NumPanelGroups(kK) * kPanelGroup, y, s);
  });
  const Int8Rows xq = RandomRows(kRows, kK / 32, 5);
  const PackedInt8 wq = RandomPanels(kColumns, kK / 32, 6);
  ExpectNoTraceOfTheCut(kCase, [&](int64_t m, int64_t n, const MatMulShape& s, float* y) {
    ops().matmul_int8(xq.rows().At(m, 0, kK), wq.panels().At(n / kPanelColumns, 0, kK), y, s);
  });
}

TEST_P(MatMul, WritesOnlyItsColumns) {
  constexpr int64_t kBegin = 3, kColumns = 21, kStride = 27;
  for (int64_t rows : {1, 5, 20}) {
    const auto x = RandomFloats(static_cast<size_t>(rows * 40), 1), w = RandomFloats(21 * 40, 2);
    std::vector<float> y(static_cast<size_t>(rows * kStride), 7.0f);
    MatMulShape shape = {.num_rows = rows, .k = 40, .num_columns = kColumns, .y_stride = kStride};
    const auto expect_frame = [&](const char* what) {
      for (size_t i = 0; i < y.size(); ++i) {
        const auto column = static_cast<int64_t>(i) % kStride;
        const bool written = column >= kBegin && column < kBegin + kColumns;
        EXPECT_EQ(y[i] != 7.0f, written) << what << " " << i;
      }
      std::fill(y.begin(), y.end(), 7.0f);
    };
    ops().matmul_f32(x.data(), w.data(), y.data() + kBegin, shape);
    expect_frame("f32");
    const auto xb = RandomBf16(static_cast<size_t>(rows * 40), 1);
    const auto wb = PackedBf16(RandomBf16(21 * 40, 2), kColumns, 40);
    const auto operand = Bf16Operand(ops(), xb.data(), rows, 40);
    ops().matmul_bf16(operand.data(), wb.data(), y.data() + kBegin, shape);
    expect_frame("bf16");
    shape.k = 32;
    const Int8Rows xq = RandomRows(rows, 1, 5);
    const PackedInt8 wq = RandomPanels(kColumns, 1, 6);
    ops().matmul_int8(xq.rows(), wq.panels(), y.data() + kBegin, shape);
    expect_frame("int8");
  }
}

}  // namespace
}  // namespace gyrator
