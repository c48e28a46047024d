// One rule for the end of a reply, whoever asks: a conversation alone or among others of a manager,
// a session alone or in a batch of its engine.
//
// What the model would say plays no part: the sampler's bias has it say one letter until a penalty
// has eaten the letter's lead over the end of generation.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "engine/context_manager_testing.h"

namespace gyrator {
namespace {

constexpr int32_t kSlots = 16;
constexpr int32_t kCapacity = 128;
constexpr int64_t kLetters = 4;  // before the end

class ReplyEnd : public ContextManagerTest {
 protected:
  void SetUp() override {
    const TokenId letter = model_->text()->Encode("z", false).back();
    const TokenId end = model_->text()->end_of_generation().front();
    // The prompt has the end once, which costs it one penalty: 16250 - 1500 is well below
    // 20000 - 3 * 1500 and well above 20000 - 4 * 1500.
    sampler_.logit_bias = {{letter, 20000.0f}, {end, 16250.0f}};
    sampler_.frequency_penalty = 1500.0f;
    sampler_.penalty_last_n = -1;
    Start(kSlots, kCapacity, {.headroom = 0, .eviction = Overflow::kMessage});
  }

  // Of one question, asked in every way that there is; others ask beside it.
  std::vector<Reply> InEveryWay(const GenerateOptions& options) {
    std::vector<Reply> replies;
    const auto keep = [&](Result<Reply> reply) {
      EXPECT_TRUE(reply.ok()) << reply.status().ToString();
      if (reply.ok()) replies.push_back(*std::move(reply));
    };
    Conversation alone = Saying("Hello."), among = Saying("Hello."), other = Saying("Bye.");
    keep(manager_->Respond(alone, options));
    Conversation* const both[] = {&other, &among};
    keep(std::move(manager_->RespondAll(both, options)[1]));
    EXPECT_EQ(alone.n_past(), among.n_past());
    const auto single = NewSession(), batched = NewSession(), beside = NewSession();
    keep(single->Respond(options));
    std::vector<BatchRequest> batch;
    for (Session* session : {beside.get(), batched.get()}) {
      batch.push_back({.session = session, .prefix = {}, .options = options});
    }
    keep(std::move(engine_->Run(batch)[1]));
    return replies;
  }

  std::unique_ptr<Session> NewSession() {
    const WindowOptions window = {.overflow = Overflow::kMessage, .headroom = 0};
    auto session = *engine_->NewSession({.sampler = sampler_, .window = window});
    EXPECT_TRUE(session->Append({.role = "user", .content = "Hello.", .extras = {}}).ok());
    return session;
  }

  void ExpectEnd(const GenerateOptions& options, StopReason stop, int64_t length) {
    const auto replies = InEveryWay(options);
    ASSERT_EQ(4u, replies.size());
    for (size_t way = 0; way < replies.size(); ++way) {
      EXPECT_EQ(stop, replies[way].stop) << "way " << way;
      EXPECT_EQ(length, std::ssize(replies[way].tokens)) << "way " << way;
      EXPECT_EQ(replies[0].tokens, replies[way].tokens) << "way " << way;
      EXPECT_EQ(replies[0].text, replies[way].text) << "way " << way;
    }
  }
};

TEST_F(ReplyEnd, AtAnEndOfGeneration) {
  ExpectEnd({.tokens_max = 20}, StopReason::kEndOfGeneration, kLetters);
  ExpectEnd({.tokens_max = kLetters + 1}, StopReason::kEndOfGeneration, kLetters);
}

TEST_F(ReplyEnd, AtItsLengthWhereThatComesFirst) {
  ExpectEnd({.tokens_max = kLetters}, StopReason::kLength, kLetters);
  ExpectEnd({.tokens_max = kLetters - 1}, StopReason::kLength, kLetters - 1);
  ExpectEnd({.tokens_max = 0}, StopReason::kLength, 0);
}

TEST_F(ReplyEnd, WithoutALengthItIsTheEndOfTheReply) {
  ExpectEnd({}, StopReason::kEndOfGeneration, kLetters);
}

// The last token needs no place of its own. The only turn of a conversation cannot be evicted.
TEST_F(ReplyEnd, WithoutALengthAndAnEndItIsTheCapacity) {
  const int32_t prompt = PromptTokens({{.role = "user", .content = "Hello.", .extras = {}}});
  ExpectEnd({.ignore_end = true}, StopReason::kLength, kCapacity - prompt + 1);
  ExpectEnd({.tokens_max = 1000, .ignore_end = true}, StopReason::kLength, kCapacity - prompt + 1);
}

TEST_F(ReplyEnd, AtTheTokenWhoseCallbackSaysNo) {
  ExpectEnd({.on_text = [](std::string_view) { return false; }}, StopReason::kCancelled, 1);
}

TEST_F(ReplyEnd, BeforeItsFirstTokenWhenItIsCancelledAlready) {
  std::stop_source stop;
  stop.request_stop();
  ExpectEnd({.cancel = stop.get_token()}, StopReason::kCancelled, 0);
}

TEST_F(ReplyEnd, BeforeItsFirstTokenWhenItsTimeIsOver) {
  ExpectEnd({.deadline = std::chrono::steady_clock::now()}, StopReason::kDeadline, 0);
}

// What was sampled until a token's callback stops the reply stays with the conversation.
TEST_F(ReplyEnd, WithWhatWasSampledUntilItWasCancelled) {
  const auto until = [](int64_t length) {
    GenerateOptions options;
    options.on_text = [left = length](std::string_view) mutable { return --left > 0; };
    return options;
  };
  for (const int64_t length : {1, 2, 3}) {
    Conversation alone = Saying("Hello.");
    const auto reply = manager_->Respond(alone, until(length));
    ASSERT_TRUE(reply.ok()) << reply.status().ToString();
    EXPECT_EQ(StopReason::kCancelled, reply->stop);
    EXPECT_EQ(std::string(static_cast<size_t>(length), 'z'), reply->text);
    const auto session = NewSession();
    const auto same = session->Respond(until(length));
    ASSERT_TRUE(same.ok()) << same.status().ToString();
    EXPECT_EQ(reply->tokens, same->tokens);
    EXPECT_EQ(reply->text, session->transcript().back().content);
    manager_->Release(alone);
  }
}

}  // namespace
}  // namespace gyrator
