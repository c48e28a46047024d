// Many threads on one engine: callbacks, cancellation, deadlines, priorities.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <random>
#include <stdexcept>
#include <thread>

#include "engine/engine_testing.h"

namespace gyrator {
namespace {

using std::chrono::milliseconds;

class ThreadsTest : public testing::Test {
 protected:
  void SetUp() override { model_ = LoadShipped(ComputeType::kInt8); }

  std::unique_ptr<Engine> Make(int32_t sessions, int32_t batch_rows = 32) {
    EngineOptions options;
    options.context = 256;
    options.sessions_max = sessions;
    options.batch_rows = batch_rows;
    options.threads = 1;
    return MakeEngine(model_, options);
  }

  std::vector<TokenId> Alone(const std::vector<TokenId>& prompt, int32_t steps, uint64_t seed) {
    const auto engine = Make(1);
    return MakeSession(*engine, seed)->Complete(prompt, Steps(steps))->tokens;
  }

  std::shared_ptr<const Model> model_;
};

TEST_F(ThreadsTest, CallbacksRunOnTheThreadThatCalled) {
  const auto engine = Make(1);
  const auto session = MakeSession(*engine, 1);
  const auto here = std::this_thread::get_id();
  int texts = 0, logits = 0, prompt_logits = 0;
  GenerateOptions options = Steps(8);
  options.on_text = [&](std::string_view) {
    EXPECT_EQ(here, std::this_thread::get_id());
    ++texts;
    EXPECT_EQ(256, session->info().capacity);  // the engine may be called from it
    EXPECT_GT(engine->stats().tokens_decoded, 0u);
    return true;
  };
  options.on_logits = [&](std::span<const float>) {
    EXPECT_EQ(here, std::this_thread::get_id());
    ++logits;
  };
  options.on_prompt_logits = [&](std::span<const float>) {
    EXPECT_EQ(here, std::this_thread::get_id());
    ++prompt_logits;
  };
  ASSERT_TRUE(session->Complete(Numbers(40, 3), options).ok());
  EXPECT_GT(texts, 0);
  EXPECT_EQ(8, logits);
  EXPECT_EQ(39, prompt_logits);
}

TEST_F(ThreadsTest, EachReplyOfABatchIsStreamedToItsOwnCallback) {
  const auto engine = Make(4);
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<BatchRequest> batch;
  std::vector<std::string> streamed(4);
  for (size_t i = 0; i < streamed.size(); ++i) {
    sessions.push_back(MakeSession(*engine, i));
    const std::string line = "My number is " + std::to_string(i) + ".";
    ASSERT_TRUE(sessions.back()->Append({.role = "user", .content = line, .extras = {}}).ok());
    batch.push_back({.session = sessions.back().get(), .prefix = {}, .options = Steps(5 + 3 * i)});
    batch.back().options.on_text = [&text = streamed[i]](std::string_view piece) {
      text += piece;
      return true;
    };
  }
  const auto replies = engine->Run(batch);
  for (size_t i = 0; i < streamed.size(); ++i) {
    ASSERT_TRUE(replies[i].ok()) << replies[i].status().ToString();
    EXPECT_EQ(5 + 3 * i, replies[i]->tokens.size());
    EXPECT_EQ(StopReason::kLength, replies[i]->stop);
    EXPECT_FALSE(streamed[i].empty());
    EXPECT_EQ(replies[i]->text, streamed[i]);
    EXPECT_EQ(streamed[i], sessions[i]->transcript().back().content);
  }
}

TEST_F(ThreadsTest, ACallbackMayRunAnotherSession) {
  const auto engine = Make(2);
  const auto outer = MakeSession(*engine, 1), inner = MakeSession(*engine, 2);
  std::vector<TokenId> nested;
  GenerateOptions options = Steps(8);
  options.on_text = [&](std::string_view) {
    if (nested.empty()) nested = inner->Complete(Numbers(20, 9), Steps(5))->tokens;
    return true;
  };
  const auto reply = outer->Complete(Numbers(40, 3), options);
  ASSERT_TRUE(reply.ok()) << reply.status().ToString();
  EXPECT_EQ(Alone(Numbers(40, 3), 8, 1), reply->tokens);
  EXPECT_EQ(Alone(Numbers(20, 9), 5, 2), nested);
}

TEST_F(ThreadsTest, ACallbackThatThrowsEndsTheCallAndNothingElse) {
  const auto engine = Make(3);
  const auto a = MakeSession(*engine, 1), b = MakeSession(*engine, 2), c = MakeSession(*engine, 3);
  std::vector<BatchRequest> batch;
  batch.push_back({.session = a.get(), .prefix = Numbers(40, 3), .options = Steps(50)});
  batch.push_back({.session = b.get(), .prefix = Numbers(40, 9), .options = Steps(200)});
  batch[0].options.on_text = [](std::string_view) { return std::vector<bool>().at(0); };
  batch[1].options.on_text = [](std::string_view) { return true; };
  EXPECT_THROW((void)engine->Run(batch), std::out_of_range);
  const auto held = b->tokens();  // it was ended too, wherever it stood
  EXPECT_EQ(std::ssize(held), b->info().cp);
  EXPECT_LT(held.size(), 239u);
  const auto whole = Join(Numbers(40, 9), Alone(Numbers(40, 9), 200, 2));
  EXPECT_TRUE(std::equal(held.begin(), held.end(), whole.begin()));
  EXPECT_EQ(40, a->info().cp);  // the text of its first token threw
  const auto reply = c->Complete(Numbers(30, 5), Steps(6));
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(Alone(Numbers(30, 5), 6, 3), reply->tokens);
  EXPECT_TRUE(a->Complete(Numbers(20, 1), Steps(2)).ok());
}

TEST_F(ThreadsTest, ASlowReaderHoldsNobodyUp) {
  const auto engine = Make(2);
  const auto slow = MakeSession(*engine, 1), fast = MakeSession(*engine, 2);
  std::latch reading(1), done(1);
  std::thread reader([&] {
    GenerateOptions options = Steps(20);
    bool first = true;
    options.on_text = [&](std::string_view) {
      if (std::exchange(first, false)) {
        reading.count_down();
        done.wait();  // for the other one's whole reply
      }
      return true;
    };
    const auto reply = slow->Complete(Numbers(40, 3), options);
    EXPECT_EQ(Alone(Numbers(40, 3), 20, 1), reply->tokens);
  });
  reading.wait();
  const auto reply = fast->Complete(Numbers(40, 9), Steps(50));
  done.count_down();
  reader.join();
  EXPECT_EQ(Alone(Numbers(40, 9), 50, 2), reply->tokens);
}

TEST_F(ThreadsTest, TheTextThatStopsIsTheLastOne) {
  const auto engine = Make(1);
  const auto session = MakeSession(*engine, 1);
  const auto alone = Alone(Numbers(40, 3), 30, 1);
  GenerateOptions options = Steps(30);
  std::string heard;
  options.on_text = [&](std::string_view text) {
    heard += text;
    return heard.size() < 5;
  };
  const auto reply = session->Complete(Numbers(40, 3), options);
  EXPECT_EQ(StopReason::kCancelled, reply->stop);
  EXPECT_TRUE(std::equal(reply->tokens.begin(), reply->tokens.end(), alone.begin()));
  EXPECT_LT(reply->tokens.size(), 30u);
  // It goes on as if it had not been stopped.
  const auto rest = session->Complete(Join(Numbers(40, 3), reply->tokens),
                                      Steps(30 - static_cast<int32_t>(reply->tokens.size())));
  EXPECT_EQ(alone, Join(reply->tokens, rest->tokens));
}

TEST_F(ThreadsTest, ACancelEndsARequestWithinAPassAndFreesItsRoom) {
  const auto engine = Make(1);  // one session's room
  auto first = MakeSession(*engine, 1);
  const auto second = MakeSession(*engine, 2);
  std::stop_source stop;
  std::latch speaking(1);
  std::thread client([&] {
    GenerateOptions options = Steps(-1);
    options.cancel = stop.get_token();
    bool begun = false;
    options.on_text = [&](std::string_view) {
      if (!std::exchange(begun, true)) speaking.count_down();
      std::this_thread::sleep_for(milliseconds(1));
      return true;
    };
    const auto reply = first->Complete(Numbers(100, 3), options);
    ASSERT_TRUE(reply.ok()) << reply.status().ToString();
    EXPECT_EQ(StopReason::kCancelled, reply->stop);
    EXPECT_EQ(100 + std::ssize(reply->tokens) - 1, first->info().cp);
  });
  speaking.wait();
  std::thread waiter([&] {  // needs the room of the first
    const auto reply = second->Complete(Numbers(200, 9), Steps(5));
    ASSERT_TRUE(reply.ok()) << reply.status().ToString();
    EXPECT_EQ(Alone(Numbers(200, 9), 5, 2), reply->tokens);
  });
  stop.request_stop();
  const uint64_t passes = engine->stats().passes;
  client.join();
  EXPECT_LE(engine->stats().passes, passes + 1 + 7 + 5);  // the waiter's own
  waiter.join();
  first.reset();
  EXPECT_EQ(1, engine->stats().slots_total - engine->stats().slots_free);
}

TEST_F(ThreadsTest, ACancelledPromptStaysAsFarAsItCame) {
  const auto engine = Make(1, 16);
  const auto session = MakeSession(*engine, 1);
  std::stop_source stop;
  GenerateOptions options = Steps(5);
  options.cancel = stop.get_token();
  int rows = 0;
  options.on_prompt_logits = [&](std::span<const float>) {
    if (++rows == 20) stop.request_stop();
  };
  const auto reply = session->Complete(Numbers(200, 3), options);
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(StopReason::kCancelled, reply->stop);
  EXPECT_TRUE(reply->tokens.empty());
  const int32_t cp = session->info().cp;
  EXPECT_GE(cp, 20);
  EXPECT_LT(cp, 200);
  EXPECT_EQ(cp, reply->tokens_decoded) << "what was computed, not what was asked for";
  const auto again = session->Complete(Numbers(200, 3), Steps(5));
  EXPECT_EQ(cp, again->tokens_reused);
  EXPECT_EQ(Alone(Numbers(200, 3), 5, 1), again->tokens);
}

TEST_F(ThreadsTest, WhatWasCancelledBeforeItBeganEndsToo) {
  const auto engine = Make(1);
  const auto session = MakeSession(*engine, 1);
  std::stop_source stop;
  stop.request_stop();
  GenerateOptions options = Steps(5);
  options.cancel = stop.get_token();
  const auto reply = session->Complete(Numbers(20, 3), options);
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(StopReason::kCancelled, reply->stop);
  EXPECT_EQ(0, session->info().cp);
}

// It has blocks for its prompt then, and no row in them: parked, it has no tokens to come back
// with.
TEST_F(ThreadsTest, ADeadlineEndsAReplyAndAWaitingRequest) {
  const auto engine = Make(1);
  const auto running = MakeSession(*engine, 1), waiting = MakeSession(*engine, 2);
  std::vector<BatchRequest> batch;
  batch.push_back({.session = running.get(), .prefix = Numbers(200, 3), .options = Steps(50)});
  batch.push_back({.session = waiting.get(), .prefix = Numbers(200, 9), .options = Steps(50)});
  const auto deadline = std::chrono::steady_clock::now() + milliseconds(3000);
  batch[0].options.deadline = deadline;
  batch[1].options.deadline = std::chrono::steady_clock::now();
  batch[0].options.on_text = [&](std::string_view) {
    std::this_thread::sleep_until(deadline);
    return true;
  };
  const auto replies = engine->Run(batch);
  ASSERT_TRUE(replies[0].ok() && replies[1].ok());
  EXPECT_EQ(StopReason::kDeadline, replies[0]->stop);
  EXPECT_FALSE(replies[0]->tokens.empty());
  EXPECT_LT(replies[0]->tokens.size(), 50u);
  EXPECT_EQ(StopReason::kDeadline, replies[1]->stop);
  EXPECT_TRUE(replies[1]->tokens.empty());
}

// A callback may ask another session for something, also where the pool has room for one: the one
// that stands still gives its room away, comes back, and has lost nothing.
TEST_F(ThreadsTest, ACallbackOfASessionThatFillsThePoolMayRunAnother) {
  const auto engine = Make(1);
  const auto first = MakeSession(*engine, 1), second = MakeSession(*engine, 2);
  GenerateOptions options = Steps(5);
  int asked = 0;
  options.on_text = [&](std::string_view) {
    const auto reply = second->Complete(Numbers(200, 9), Steps(3));
    EXPECT_TRUE(reply.ok()) << reply.status().ToString();
    const std::vector<TokenId> said = reply.ok() ? reply->tokens : std::vector<TokenId>();
    EXPECT_EQ(asked == 0 ? Alone(Numbers(200, 9), 3, 2).size() : 3u, said.size());
    return ++asked < 2;
  };
  const auto reply = first->Complete(Numbers(200, 3), options);
  ASSERT_TRUE(reply.ok()) << reply.status().ToString();
  EXPECT_EQ(2, asked);
  const std::vector<TokenId> alone = Alone(Numbers(200, 3), 5, 1);
  ASSERT_EQ(2u, reply->tokens.size());
  EXPECT_TRUE(std::equal(reply->tokens.begin(), reply->tokens.end(), alone.begin()));
}

// Parked in its prompt, it decodes rows again; their logits were told.
TEST_F(ThreadsTest, TheLogitsOfAPromptAreToldOnceThoughItIsParked) {
  const auto engine = Make(1);
  const auto first = MakeSession(*engine, 1), second = MakeSession(*engine, 2);
  GenerateOptions options = Steps(0);
  std::vector<float> rows;
  bool asked = false;
  options.on_prompt_logits = [&](std::span<const float> row) {
    rows.insert(rows.end(), row.begin(), row.end());
    if (std::exchange(asked, true)) return;
    EXPECT_TRUE(second->Complete(Numbers(200, 9), Steps(1)).ok());
  };
  ASSERT_TRUE(first->Complete(Numbers(200, 3), options).ok());
  EXPECT_GT(engine->stats().sessions_parked, 0u);
  std::vector<float> alone;
  options.on_prompt_logits = [&](std::span<const float> row) {
    alone.insert(alone.end(), row.begin(), row.end());
  };
  const auto quiet = Make(1);
  ASSERT_TRUE(MakeSession(*quiet, 1)->Complete(Numbers(200, 3), options).ok());
  EXPECT_TRUE(rows == alone) << rows.size() << ", " << alone.size() << " expected";
}

// A pool for one; the order of the first tokens is the order of the ranks.
TEST_F(ThreadsTest, ALowerPriorityValueGoesFirst) {
  const auto engine = Make(1);
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<BatchRequest> batch;
  std::vector<int32_t> order;
  const std::vector<int32_t> priorities = {0, 3, 1, 0, 2};
  for (size_t i = 0; i < priorities.size(); ++i) {
    sessions.push_back(MakeSession(*engine, i));
    batch.push_back({.session = sessions.back().get(),
                     .prefix = Numbers(200, static_cast<TokenId>(i)),
                     .options = Steps(4)});
    batch.back().options.priority = priorities[i];
    bool first = true;
    batch.back().options.on_logits = [&order, first, p = priorities[i]](auto) mutable {
      if (std::exchange(first, false)) order.push_back(p);
    };
  }
  for (const auto& reply : engine->Run(batch)) ASSERT_TRUE(reply.ok());
  EXPECT_EQ((std::vector<int32_t>{0, 0, 1, 2, 3}), order);
}

// While others keep coming that are more urgent, the least urgent one is served too.
TEST_F(ThreadsTest, NobodyStarves) {
  const auto engine = Make(1);
  const auto patient = MakeSession(*engine, 99);
  std::atomic<bool> served = false;
  std::atomic<int> turns = 0;
  std::vector<std::thread> pushy;
  for (uint64_t i = 0; i < 3; ++i) {
    pushy.emplace_back([&, i] {
      for (TokenId round = 0; !served && turns < 20000; ++round, ++turns) {
        const auto session = MakeSession(*engine, i);
        ASSERT_TRUE(session->Complete(Numbers(150, round), Steps(3)).ok());
      }
    });
  }
  GenerateOptions options = Steps(3);
  options.priority = 2;
  const auto reply = patient->Complete(Numbers(200, 5), options);
  served = true;
  for (std::thread& thread : pushy) thread.join();
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(Alone(Numbers(200, 5), 3, 99), reply->tokens);
  EXPECT_LT(turns, 20000);
}

TEST_F(ThreadsTest, MixedPrioritiesAllFinish) {
  const auto engine = Make(4);
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<BatchRequest> batch;
  for (int32_t i = 0; i < 64; ++i) {
    sessions.push_back(MakeSession(*engine, static_cast<uint64_t>(i)));
    batch.push_back(
        {.session = sessions.back().get(), .prefix = Numbers(30 + i, i), .options = Steps(20)});
    batch.back().options.priority = i % 5;
  }
  const auto replies = engine->Run(batch);
  for (int32_t i = 0; i < 64; ++i) {
    ASSERT_TRUE(replies[static_cast<size_t>(i)].ok());
    EXPECT_EQ(Alone(Numbers(30 + i, i), 20, static_cast<uint64_t>(i)),
              replies[static_cast<size_t>(i)]->tokens);
  }
}

}  // namespace
}  // namespace gyrator
