#include "kernels/ops_testing.h"

#include <algorithm>

#include "kernels/amx/ops_amx.h"
#include "kernels/avx512/emulated_testing.h"
#include "kernels/bf16_operand.h"
#include "kernels/cpu.h"

namespace gyrator {

std::vector<const Ops*> TestedOps() {
  const std::span<const Ops* const> available = AvailableOps();
  std::vector<const Ops*> tested(available.begin(), available.end());
  // Of the two ways that the CPU's own does not take; both where it has none.
  for (const bool prefetch : {false, true}) {
    const bool is_own = Cpu().avx512 && Cpu().prefetch == prefetch;
    if (Cpu().avx2 && !is_own) tested.push_back(&EmulatedAvx512Ops(prefetch));
  }
  static const Ops kTwin = [] {  // "amx" is the tiles themselves where the CPU has them
    Ops twin = *FindOps("amx");
    twin.name = "amx-twin";
    twin.matmul_bf16 = AmxTwinMatMulBf16;
    twin.matmul_int8 = AmxTwinMatMulInt8;
    return twin;
  }();
  if (Cpu().amx) tested.push_back(&kTwin);
  return tested;
}

std::string OpsTestName(const testing::TestParamInfo<const Ops*>& info) {
  std::string name(info.param->name);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

std::vector<float> RandomFloats(size_t count, uint32_t seed, Values values) {
  static constexpr float kWild[] = {0.0f,   -0.0f,   1e-40f, -1e-40f, 1.2e-38f, -1.2e-38f,
                                    1e-20f, -1e-20f, 1e18f,  -1e18f,  1.0f,     -1.0f};
  std::minstd_rand random(seed * 2654435761u + 1);
  std::normal_distribution<float> normal;
  std::vector<float> result(count);
  for (float& x : result) {
    x = normal(random);
    if (values == Values::kWild && random() % 3 == 0) x = kWild[random() % std::size(kWild)];
  }
  return result;
}

std::vector<uint16_t> RandomBf16(size_t count, uint32_t seed, Values values) {
  std::vector<uint16_t> result(count);
  const std::vector<float> floats = RandomFloats(count, seed, values);
  std::transform(floats.begin(), floats.end(), result.begin(), F32ToBF16);
  for (size_t i = 0; values == Values::kWild && i < count; i += 17) result[i] = 0x0001 + i % 64;
  return result;
}

std::vector<uint16_t> Bf16Operand(const Ops& ops, const uint16_t* x, int64_t rows, int64_t k) {
  std::vector<uint16_t> operand(static_cast<size_t>(Bf16OperandElements(rows, k)));
  for (int64_t i = 0; i < rows * k; ++i) {
    operand[static_cast<size_t>(Bf16OperandIndex(ops.bf16_layout, i / k, i % k, k))] = x[i];
  }
  return operand;
}

std::vector<uint16_t> PackedBf16(std::span<const uint16_t> rows, int64_t columns, int64_t k) {
  const int64_t groups = NumPanelGroups(k);
  std::vector<uint16_t> packed(static_cast<size_t>(NumPanels(columns) * groups * kPanelTile));
  for (int64_t n = 0; n < columns; ++n) {
    for (int64_t g = 0; g < groups; ++g) {
      SetBf16Column(rows.data() + n * k + g * kPanelGroup,
                    std::min(kPanelGroup, k - g * kPanelGroup), n % kPanelColumns,
                    packed.data() + (n / kPanelColumns * groups + g) * kPanelTile);
    }
  }
  return packed;
}

PackedInt8::PackedInt8(std::span<const BlockQ8_0> rows, int64_t columns, int64_t k)
    : q_(static_cast<size_t>(NumPanels(columns) * kPanelColumns * k)), scale_(q_.size() / 32) {
  const int64_t groups = k / kPanelGroup;
  for (int64_t i = 0; i < columns * groups; ++i) {
    const int64_t group = i / groups / kPanelColumns * groups + i % groups;
    SetInt8Column(rows[static_cast<size_t>(i)], i / groups % kPanelColumns,
                  q_.data() + group * kPanelTile, scale_.data() + group * kPanelColumns);
  }
}

testing::AssertionResult SameBits(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return testing::AssertionFailure() << a.size() << " and " << b.size();
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    if (std::bit_cast<uint32_t>(a[i]) != std::bit_cast<uint32_t>(b[i])) {
      return testing::AssertionFailure() << "element " << i << ": " << a[i] << " and " << b[i];
    }
  }
  return testing::AssertionSuccess();
}

}  // namespace gyrator
