#include "model/forward.h"

#include <gtest/gtest.h>

#include "model/model_testing.h"
#include "model/reference.h"

namespace gyrator {
namespace {

class Golden : public testing::TestWithParam<const char*> {
 protected:
  std::string folder() const { return GoldenPath(GetParam()); }
  std::vector<TokenId> tokens() const { return ReadTokens(folder() + "/tokens.npy"); }
};

// The oracle against transformers, in f32.
TEST_P(Golden, ReferenceGivesTheLogitsOfTransformers) {
  const LoadedModel model = MustLoad(folder(), ComputeType::kF32);
  const auto logits = ReferenceLogits(
      {&model.config, &model.weights, ComputeType::kF32, DType::kF32, FindOps("ref")}, tokens());
  ASSERT_TRUE(logits.ok()) << logits.status().ToString();
  const double delta = RelativeDelta(*logits, ReadFloats(folder() + "/logits.npy"));
  RecordProperty("delta", std::to_string(delta * 1e6) + "e-6");
  EXPECT_LT(delta, 1e-4);
}

TEST_P(Golden, ForwardGivesTheBitsOfTheReference) {
  std::vector<TokenId> some = tokens();
  some.resize(44);  // three blocks, two tiles of attention
  for (const ComputeType compute : {ComputeType::kF32, ComputeType::kBF16, ComputeType::kInt8}) {
    const LoadedModel model = MustLoad(folder(), compute);
    for (const DType kv_dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
      const auto expected =
          ReferenceLogits({&model.config, &model.weights, compute, kv_dtype, FindOps("ref")}, some);
      ASSERT_TRUE(expected.ok()) << expected.status().ToString();
      EXPECT_TRUE(SameBits(RunForward({.model = &model, .kv_dtype = kv_dtype}, some), *expected))
          << ComputeTypeName(compute) << " with kv " << DTypeName(kv_dtype);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Golden, testing::ValuesIn(kGoldenFolders),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace gyrator
