#include "engine/bench_cost.h"

#include <gtest/gtest.h>

#include "engine/engine_impl.h"
#include "engine/engine_testing.h"

namespace gyrator {
namespace {

// 2 layers of 4 heads of 16 over 2 KV heads, 96 wide within, 256 tokens.
TEST(BenchCost, CountsWhatATokenReadsAndMultiplies) {
  const auto model = LoadGolden("qwen2", ComputeType::kF32);
  EngineOptions options;
  options.threads = 1;
  const auto engine = MakeEngine(model, options);
  auto& made = static_cast<EngineImpl&>(*engine);
  const TokenCost cost = CountCost(made.model_impl().loaded().weights, made.kv());
  const double layers = 2 * (64 * 64 + 2 * 32 * 64 + 64 * 64 + 3 * 64 * 96), head = 256 * 64;
  EXPECT_EQ(4 * (layers + head), cost.weight_bytes);
  EXPECT_EQ(2 * layers, cost.layer_ops);
  EXPECT_EQ(2 * head, cost.head_ops);
  EXPECT_EQ(2 * 2 * 32 * 4, cost.kv_bytes);  // K and V of each layer
}

TEST(BenchCost, TheMedianIsTheMiddleOne) {
  EXPECT_EQ(2, Median({3, 1, 2}));
  EXPECT_EQ(7, Median({7}));
}

TEST(BenchCost, RandomTokensAreOfTheVocabulary) {
  for (const TokenId token : RandomTokens(1000, 5, 3)) EXPECT_TRUE(token >= 0 && token < 5);
  EXPECT_EQ(RandomTokens(8, 100, 3), RandomTokens(8, 100, 3));
  EXPECT_NE(RandomTokens(8, 100, 3), RandomTokens(8, 100, 4));
}

}  // namespace
}  // namespace gyrator
