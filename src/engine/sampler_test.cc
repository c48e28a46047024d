#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

namespace gyrator {
namespace {

SamplerOptions Plain() {  // the chain's filters off
  return {.temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0};
}

// Shares of each id over many draws.
std::map<TokenId, double> Shares(SamplerOptions options, const std::vector<float>& logits,
                                 const std::vector<TokenId>& history = {}) {
  Sampler sampler(options, 0);
  std::map<TokenId, double> shares;
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) shares[sampler.Sample(logits, history, {})] += 1.0 / kDraws;
  return shares;
}

TEST(Sampler, DrawsFollowTheSoftmax) {
  const auto shares = Shares(Plain(), {std::log(1.f), std::log(2.f), std::log(7.f)});
  EXPECT_NEAR(0.1, shares.at(0), 0.01);
  EXPECT_NEAR(0.2, shares.at(1), 0.01);
  EXPECT_NEAR(0.7, shares.at(2), 0.01);
}

TEST(Sampler, GreedyTakesTheLowestIdOfEqualsAndDrawsNothing) {
  auto options = Plain();
  options.temperature = 0;
  Sampler sampler(options, 0);
  EXPECT_EQ(1, sampler.Sample(std::vector<float>{0, 5, 5, 1}, {}, {}));
  EXPECT_EQ(2, sampler.Sample(std::vector<float>{0, 5, 5, 1}, {}, std::vector<TokenId>{1}));
  EXPECT_EQ(3, sampler.Sample(std::vector<float>{0, NAN, NAN, 1}, {}, {}));
  EXPECT_EQ(0u, sampler.draws());
}

TEST(Sampler, GreedyFindsTheBestWhereverItIs) {
  auto options = Plain();
  options.temperature = 0;
  for (const size_t vocab : {1, 5, 16, 17, 40}) {
    for (size_t at = 0; at < vocab; ++at) {
      std::vector<float> logits(vocab, -2.0f);
      logits[at] = -1.0f;
      EXPECT_EQ(static_cast<TokenId>(at), Sampler(options, 0).Sample(logits, {}, {}));
    }
  }
}

TEST(Sampler, GreedyChoosesAnIdThoughNothingCanBeChosen) {
  auto options = Plain();
  options.temperature = 0;
  EXPECT_EQ(0, Sampler(options, 0).Sample(std::vector<float>{NAN, NAN}, {}, {}));
  options.logit_bias = {{0, INFINITY}};  // NaN stays the worst
  EXPECT_EQ(1, Sampler(options, 0).Sample(std::vector<float>{NAN, -1}, {}, {}));
  EXPECT_EQ(0, Sampler(options, 0).Sample(std::vector<float>{NAN, NAN}, {}, {}));
}

TEST(Sampler, TopKKeepsTheBestWithTiesToTheLowestId) {
  auto options = Plain();
  options.top_k = 2;
  const auto shares = Shares(options, {1, 3, 3, 3});
  EXPECT_EQ(2u, shares.size());
  EXPECT_TRUE(shares.count(1) && shares.count(2));
}

TEST(Sampler, TopPKeepsTheSmallestSetThatReachesTheMass) {
  auto options = Plain();
  options.top_p = 0.85f;
  const auto shares = Shares(options, {std::log(.1f), std::log(.2f), std::log(.7f)});
  EXPECT_EQ(2u, shares.size());
  EXPECT_NEAR(0.7 / 0.9, shares.at(2), 0.01);
}

TEST(Sampler, TopPTakesTheLowestIdOfEquals) {
  auto options = Plain();
  options.top_p = 0.25f;
  const auto shares = Shares(options, {1, 3, 3, 3});
  EXPECT_EQ(1u, shares.size());
  EXPECT_TRUE(shares.count(1));
}

// Of (.5, .3, .2) top-p .6 keeps two, and both pass min-p; the other way round, the third would be
// cut first, and the best would reach .6 alone.
TEST(Sampler, TopPActsBeforeMinP) {
  auto options = Plain();
  options.top_p = 0.6f;
  options.min_p = 0.5f;
  EXPECT_EQ(2u, Shares(options, {std::log(.5f), std::log(.3f), std::log(.2f)}).size());
}

TEST(Sampler, MinPCutsBelowAShareOfTheBest) {
  auto options = Plain();
  options.min_p = 0.25f;
  const auto shares = Shares(options, {std::log(.1f), std::log(.2f), std::log(.7f)});
  EXPECT_EQ(2u, shares.size());
  EXPECT_FALSE(shares.count(0));
}

TEST(Sampler, TypicalPrefersTheExpectedSurprise) {
  // Entropy of (.5, .3, .1, .1) is 1.168 nats; surprises .69, 1.20, 2.30, 2.30: id 1 is nearest,
  // then 0.
  auto options = Plain();
  options.typical_p = 0.2f;
  EXPECT_EQ(1u,
            Shares(options, {std::log(.5f), std::log(.3f), std::log(.1f), std::log(.1f)}).count(1));
  EXPECT_EQ(1u,
            Shares(options, {std::log(.5f), std::log(.3f), std::log(.1f), std::log(.1f)}).size());
}

TEST(Sampler, TemperatureSharpens) {
  auto options = Plain();
  options.temperature = 0.5f;
  EXPECT_NEAR(4.0 / 5.0, Shares(options, {std::log(1.f), std::log(2.f)}).at(1), 0.01);
}

TEST(Sampler, PenaltiesActOnRecentTokensOnly) {
  auto options = Plain();
  options.temperature = 0;
  options.repeat_penalty = 4;
  options.penalty_last_n = 2;
  Sampler sampler(options, 0);
  const std::vector<float> logits{3, 2, 1};
  EXPECT_EQ(0, sampler.Sample(logits, std::vector<TokenId>{0, 1, 1}, {}));
  EXPECT_EQ(1, sampler.Sample(logits, std::vector<TokenId>{2, 0}, {}));
  options.repeat_penalty = 1;
  options.presence_penalty = 1.5f;
  options.penalty_last_n = -1;
  EXPECT_EQ(1, Sampler(options, 0).Sample(logits, std::vector<TokenId>{0, 2, 2}, {}));
  options.presence_penalty = 0;
  options.frequency_penalty = 0.75f;
  EXPECT_EQ(1, Sampler(options, 0).Sample(logits, std::vector<TokenId>{0, 0, 2}, {}));
  EXPECT_EQ(0, Sampler(options, 0).Sample(logits, std::vector<TokenId>{0, 2}, {}));
}

TEST(Sampler, LogitBiasMovesAndBans) {
  auto options = Plain();
  options.temperature = 0;
  options.logit_bias = {{0, -std::numeric_limits<float>::infinity()}, {2, 10}, {99, 1}};
  EXPECT_EQ(2, Sampler(options, 0).Sample(std::vector<float>{30, 1, 0}, {}, {}));
}

TEST(Sampler, ResumesAtItsDraw) {
  const std::vector<float> logits(50, 0.f);
  SamplerOptions options = Plain();
  options.seed = 99;
  Sampler whole(options, 0);
  std::vector<TokenId> picks;
  for (int i = 0; i < 20; ++i) picks.push_back(whole.Sample(logits, {}, {}));
  Sampler resumed(options, 10);
  for (int i = 10; i < 20; ++i)
    EXPECT_EQ(picks[static_cast<size_t>(i)], resumed.Sample(logits, {}, {}));
  EXPECT_EQ(20u, resumed.draws());
}

TEST(CheckSampler, NamesTheField) {
  EXPECT_TRUE(CheckSampler({}).ok());
  SamplerOptions options;
  options.top_p = 1.5f;
  EXPECT_EQ(Code::kInvalidArgument, CheckSampler(options).code());
  EXPECT_NE(std::string::npos, CheckSampler(options).message().find("top-p"));
  options = {};
  options.temperature = NAN;
  EXPECT_NE(std::string::npos, CheckSampler(options).message().find("temperature"));
}

}  // namespace
}  // namespace gyrator
