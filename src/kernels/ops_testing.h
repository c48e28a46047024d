// What the tests of the kernels share: the implementations under test, data, and bit comparison.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "kernels/ops.h"
#include "kernels/ref/ops_ref.h"

namespace gyrator {

// AvailableOps, and the AVX-512 source compiled over portable definitions of its instructions
// ("avx512-emulated", "avx512-emulated-prefetch"), so that its logic is tested on every machine; on
// a CPU with AMX also the twin.
std::vector<const Ops*> TestedOps();
std::string OpsTestName(const testing::TestParamInfo<const Ops*>& info);

// Each test runs under the float environment, as every caller of the kernels does.
class OpsTest : public testing::TestWithParam<const Ops*> {
 protected:
  const Ops& ops() const { return *GetParam(); }
  FloatEnvironment environment_;
};

enum class Values {
  kNormal,
  kWild
};  // kWild: zeros of both signs, denormals, huge and tiny among them

std::vector<float> RandomFloats(size_t count, uint32_t seed, Values values = Values::kNormal);
std::vector<uint16_t> RandomBf16(size_t count, uint32_t seed, Values values = Values::kNormal);

// x [rows][k] as the left operand of the implementation's matmul_bf16.
std::vector<uint16_t> Bf16Operand(const Ops& ops, const uint16_t* x, int64_t rows, int64_t k);

// `columns` rows of k elements, packed.
std::vector<uint16_t> PackedBf16(std::span<const uint16_t> rows, int64_t columns, int64_t k);

class PackedInt8 {
 public:
  PackedInt8(std::span<const BlockQ8_0> rows, int64_t columns, int64_t k);
  Int8Panels panels() const { return {q_.data(), scale_.data()}; }

 private:
  std::vector<int8_t> q_;
  std::vector<uint16_t> scale_;
};

// Equal bits; any NaN equals any NaN.
testing::AssertionResult SameBits(std::span<const float> a, std::span<const float> b);

}  // namespace gyrator
