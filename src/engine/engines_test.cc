// Several engines in one process share nothing but a model object: what one has computed is neither
// found nor counted by another, whatever model and compute type they have.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "engine/engine_testing.h"

namespace gyrator {
namespace {

std::unique_ptr<Engine> Make(const std::shared_ptr<const Model>& model) {
  EngineOptions options;
  options.context = 128;
  options.sessions_max = 3;
  options.threads = 1;
  return MakeEngine(model, options);
}

struct Said {
  Reply reply;
  std::vector<float> logits;  // behind the reply
};

Said Say(Engine& engine, const std::vector<TokenId>& prompt) {
  const auto session = MakeSession(engine, 5);
  Said said;
  auto reply = session->Complete(prompt, Steps(6));
  EXPECT_TRUE(reply.ok()) << reply.status().ToString();
  if (reply.ok()) said.reply = *std::move(reply);
  said.logits.assign(session->last_logits().begin(), session->last_logits().end());
  return said;
}

void ExpectEqual(const Said& a, const Said& b) {
  EXPECT_EQ(a.reply.tokens, b.reply.tokens);
  EXPECT_EQ(a.logits, b.logits);
}

TEST(EnginesTest, TwoOfOneModelShareNoPrefix) {
  const auto model = LoadGolden("llama3", ComputeType::kF32);
  const auto first = Make(model), second = Make(model);
  const auto prompt = Numbers(64, 3);
  const Said here = Say(*first, prompt);
  EXPECT_EQ(63, Say(*first, prompt).reply.tokens_shared);
  const Said there = Say(*second, prompt);
  EXPECT_EQ(0, there.reply.tokens_shared);
  EXPECT_EQ(64, there.reply.tokens_decoded);
  ExpectEqual(here, there);
  EXPECT_EQ(2u, first->stats().requests);
  EXPECT_EQ(1u, second->stats().requests);
  EXPECT_EQ(0u, second->stats().tokens_reused_shared);
  const auto session = MakeSession(*second, 5);
  const auto explained = session->Explain(Numbers(64, 90));
  ASSERT_TRUE(explained.ok()) << explained.status().ToString();
  EXPECT_EQ(0, explained->shared);
}

TEST(EnginesTest, ModelsOfOneVocabularyDoNotMeet) {
  const auto prompt = Numbers(64, 3);
  const auto llama = LoadGolden("llama3", ComputeType::kF32);
  const auto qwen = LoadGolden("qwen3", ComputeType::kF32);
  const Said of_llama = Say(*Make(llama), prompt), of_qwen = Say(*Make(qwen), prompt);
  EXPECT_NE(of_llama.logits, of_qwen.logits);
  const auto first = Make(llama), second = Make(qwen);
  for (int turn = 0; turn < 3; ++turn) {  // one after the other, with what each has by then
    ExpectEqual(of_llama, Say(*first, prompt));
    ExpectEqual(of_qwen, Say(*second, prompt));
  }
  EXPECT_EQ(2u * 63, first->stats().tokens_reused_shared);
  EXPECT_EQ(2u * 63, second->stats().tokens_reused_shared);
}

TEST(EnginesTest, ComputeTypesOfOneModelDoNotMeet) {
  const auto prompt = Numbers(64, 3);
  std::vector<std::unique_ptr<Engine>> engines;
  std::vector<Said> alone;
  for (const ComputeType compute : {ComputeType::kF32, ComputeType::kBF16, ComputeType::kInt8}) {
    const auto model = LoadGolden("llama3", compute);
    engines.push_back(Make(model));
    alone.push_back(Say(*Make(model), prompt));
  }
  EXPECT_NE(alone[0].logits, alone[1].logits);
  EXPECT_NE(alone[1].logits, alone[2].logits);
  EXPECT_NE(alone[0].logits, alone[2].logits);
  for (size_t i = 0; i < engines.size(); ++i) {
    const Said said = Say(*engines[i], prompt);
    EXPECT_EQ(0, said.reply.tokens_shared);
    ExpectEqual(alone[i], said);
  }
}

// What was saved under one compute type is not continued under another.
TEST(EnginesTest, AContextOfAnotherComputeTypeIsRefusedByName) {
  const std::string root = testing::TempDir() + "engines_test_context";
  std::filesystem::remove_all(root);
  const auto bf16 =
      Make(LoadGolden("llama3", ComputeType::kBF16));  // with K and V as int8 has them
  const auto int8 = Make(LoadGolden("llama3", ComputeType::kInt8));
  const auto session = MakeSession(*bf16, 1);
  ASSERT_TRUE(session->Complete(Numbers(20, 3), Steps(2)).ok());
  const auto saved = session->Save({.root = root});
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  const Status refused = int8->LoadSession(saved->folder, nullptr).status();
  EXPECT_EQ(Code::kMismatch, refused.code());
  EXPECT_NE(std::string::npos, refused.message().find("compute")) << refused.ToString();
  EXPECT_TRUE(bf16->LoadSession(saved->folder, nullptr).ok());
  std::filesystem::remove_all(root);
}

// The end of an engine is nothing to another that has its model.
TEST(EnginesTest, AnEngineOutlivesTheOtherOfItsModel) {
  const auto model = LoadGolden("qwen3", ComputeType::kF32);
  auto first = Make(model);
  const auto second = Make(model);
  const auto prompt = Numbers(40, 9);
  const Said before = Say(*first, prompt);
  ExpectEqual(before, Say(*second, prompt));
  first.reset();
  ExpectEqual(before, Say(*second, prompt));
}

}  // namespace
}  // namespace gyrator
