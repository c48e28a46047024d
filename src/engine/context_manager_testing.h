// What tests of the context manager share: an engine with the shipped model, a manager over it, and
// what a session alone says.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine_testing.h"
#include "gyrator/context_manager.h"

namespace gyrator {

inline constexpr const char* kSystem = "You are kind and you answer in one short sentence.";

class ContextManagerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { model_ = LoadShipped(ComputeType::kInt8); }
  static void TearDownTestSuite() { model_.reset(); }
  void SetUp() override { Start(8, 256); }

  void Start(int32_t slots, int32_t context, const ContextManagerOptions& options = {}) {
    EngineOptions engine_options;
    engine_options.context = context;
    engine_options.slots = slots;
    StartWith(model_, engine_options, options);
  }

  void StartWith(const std::shared_ptr<const Model>& model, EngineOptions engine_options,
                 const ContextManagerOptions& options = {}) {
    manager_.reset();
    engine_options.sessions_max = 4;
    engine_options.threads = 1;
    engine_ = MakeEngine(model, engine_options);
    manager_ = NewManager(options);
  }

  // Another one over the same engine.
  std::unique_ptr<ContextManager> NewManager(ContextManagerOptions options) {
    options.sampler = sampler_;
    auto manager = ContextManager::New(engine_.get(), options);
    EXPECT_TRUE(manager.ok()) << manager.status().ToString();
    return *std::move(manager);
  }

  static Conversation Saying(const std::string& text, std::string system = {}) {
    Conversation conversation(std::move(system));
    EXPECT_TRUE(conversation.AddUser(text).ok());
    return conversation;
  }

  int32_t MustPrepare(Conversation& conversation) {
    const auto n_past = manager_->Prepare(conversation);
    EXPECT_TRUE(n_past.ok()) << n_past.status().ToString();
    return n_past.ok() ? *n_past : -1;
  }

  Reply MustRespond(Conversation& conversation, int32_t steps = 8) {
    auto reply = manager_->Respond(conversation, Steps(steps));
    EXPECT_TRUE(reply.ok()) << reply.status().ToString();
    return reply.ok() ? *std::move(reply) : Reply();
  }

  void Turn(Conversation& conversation, const std::string& line) {
    ASSERT_TRUE(conversation.AddUser(line).ok());
    ASSERT_TRUE(conversation.AddAssistant(MustRespond(conversation).text).ok());
  }

  // The length of what these messages render to, in tokens.
  static int32_t PromptTokens(const std::vector<Message>& messages) {
    const auto rendered = model_->text()->Render(messages, {});
    EXPECT_TRUE(rendered.ok()) << rendered.status().ToString();
    return static_cast<int32_t>(model_->text()->Encode(*rendered, false).size());
  }

  // What a session alone says to these messages.
  std::vector<TokenId> Alone(const std::vector<Message>& messages, int32_t steps = 8) {
    EngineOptions options;
    options.context = 256;
    options.threads = 1;
    const auto engine = MakeEngine(model_, options);
    const auto session = *engine->NewSession({.sampler = sampler_});
    EXPECT_TRUE(session->SetTranscript(messages).ok());
    return session->Respond(Steps(steps))->tokens;
  }

  inline static std::shared_ptr<const Model> model_;
  SamplerOptions sampler_ = {.temperature = 0};  // of all rows, and of sessions alone
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<ContextManager> manager_;
};

}  // namespace gyrator
