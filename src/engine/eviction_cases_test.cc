// Evictions one by one: what the score takes, what is told of them, and when there is none.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "engine/engine_testing.h"

namespace gyrator {
namespace {

constexpr int32_t kContext = 128;

// Whether `part` is a beginning and an end of `whole`, as when the oldest tokens go.
bool IsBeginningAndEnd(const std::vector<TokenId>& part, const std::vector<TokenId>& whole) {
  const auto begun =
      std::mismatch(part.begin(), part.end(), whole.begin(), whole.end()).first - part.begin();
  const auto ended =
      std::mismatch(part.rbegin(), part.rend(), whole.rbegin(), whole.rend()).first - part.rbegin();
  return begun + ended >= std::ssize(part);
}

TEST(Eviction, TheScoreLooksAndTakesWhatIsNotLookedAt) {
  EngineOptions options;
  options.context = kContext;
  options.threads = 1;
  const auto engine = MakeEngine(LoadShipped(ComputeType::kInt8), options);
  std::map<Overflow, int> apart;  // turns after which something older than what had gone was left
  for (const Overflow overflow : {Overflow::kFifo, Overflow::kScore}) {
    const auto session = MakeSession(*engine, 3);
    ASSERT_TRUE(session->SetWindow({.overflow = overflow, .headroom = 16}).ok());
    for (int i = 0; i < 40; ++i) {
      const std::string line = i % 2 == 0 ? "My name is Ada." : "What is my name?";
      ASSERT_TRUE(session->Append({.role = "user", .content = line, .extras = {}}).ok());
      ASSERT_TRUE(session->Respond(Steps(12)).ok());
      apart[overflow] += IsBeginningAndEnd(session->tokens(), session->all_tokens()) ? 0 : 1;
    }
    ASSERT_GT(session->info().evicted, 0);
  }
  EXPECT_EQ(0, apart[Overflow::kFifo]);
  EXPECT_GT(apart[Overflow::kScore], 0);
  EXPECT_GT(engine->stats().passes_to_score, 0u);
}

// A token that only evicted text has would be the next one by far: it is not, for it was said.
TEST(Eviction, ATokenThatWasEvictedIsPenalizedAsOneThatWasSaid) {
  const auto model = LoadShipped(ComputeType::kInt8);
  const auto engine = MakeEngine(model, {.context = kContext, .threads = 1});
  for (const Overflow overflow :
       {Overflow::kMessage, Overflow::kFifo, Overflow::kSink, Overflow::kScore}) {
    SessionOptions options;
    options.sampler.temperature = 0;
    options.window = {.overflow = overflow, .headroom = 16};
    const auto session = *engine->NewSession(options);
    for (int i = 0; i < 14; ++i) {
      const std::string line = i < 2 ? "Zebras and quartz jugs." : "And what is it now?";
      ASSERT_TRUE(session->Append({.role = "user", .content = line, .extras = {}}).ok());
      ASSERT_TRUE(session->Respond(Steps(8)).ok());
    }
    const auto window = session->tokens(), all = session->all_tokens();
    const auto gone = std::ranges::find_if(
        all, [&](TokenId token) { return std::ranges::count(window, token) == 0; });
    ASSERT_NE(all.end(), gone);
    SamplerOptions wanted = options.sampler;
    wanted.logit_bias = {{*gone, 100.0f}};
    ASSERT_TRUE(session->SetSampler(wanted).ok());
    const auto eager = *session->Fork({});
    EXPECT_EQ(*gone, eager->Complete(all, Steps(1))->tokens[0]);
    wanted.penalty_last_n = -1;
    for (float SamplerOptions::* penalty :
         {&SamplerOptions::presence_penalty, &SamplerOptions::frequency_penalty,
          &SamplerOptions::repeat_penalty}) {
      SamplerOptions one = wanted;
      one.*penalty = 1e6f;
      ASSERT_TRUE(session->SetSampler(one).ok());
      const auto fork = *session->Fork({});
      EXPECT_NE(*gone, fork->Complete(all, Steps(1))->tokens[0]) << OverflowName(overflow);
    }
  }
}

// A template that puts a letter right before what the user says: in "the cat" a token lies across
// both, so that nobody can tell where that turn begins.
TEST(Eviction, MessagesThatLeftAreToldThoughSomeTurnsCannotBeFound) {
  const auto model = LoadBytes(WithTemplate(
      ReadTree("models/gyrator-chat.gguf"),
      "{% for message in messages %}{{ '<|' + message['role'] + '|>' + ('t' if message['role'] == "
      "'user' else '') + message['content'] + '<|end|>' }}{% endfor %}{% if add_generation_prompt "
      "%}{{ '<|assistant|>' }}{% endif %}"));
  EngineOptions options;
  options.context = kContext;
  options.threads = 1;
  const auto engine = MakeEngine(model, options);
  const auto session = MakeSession(*engine, 3);
  ASSERT_TRUE(session->SetWindow({.overflow = Overflow::kMessage, .headroom = 16}).ok());
  std::vector<Message> history;
  for (int i = 0; i < 20; ++i) {
    const std::string number = std::to_string(100 + i);
    history.push_back(
        {.role = "user", .content = (i % 3 == 1 ? "he cat " : "? dog ") + number, .extras = {}});
    history.push_back({.role = "assistant", .content = "Yes, " + number + ".", .extras = {}});
  }
  history.push_back({.role = "user", .content = "? Now.", .extras = {}});
  ASSERT_TRUE(session->SetTranscript(history).ok());
  ASSERT_TRUE(session->Prepare({}).ok());
  const auto evicted = session->EvictedMessages();
  ASSERT_TRUE(evicted.ok()) << evicted.status().ToString();
  ASSERT_GT(evicted->size(), 10u);
  const std::string window = model->text()->Decode(session->tokens(), false);
  for (size_t i = 0; i < history.size(); ++i) {
    EXPECT_EQ(std::ranges::count(*evicted, i) == 0,
              window.find(history[i].content) != std::string::npos)
        << i << " " << window;
  }
}

TEST(Eviction, SinksThatLeaveNoRoomAreRefused) {
  const auto engine = MakeEngine(LoadGolden("llama3", ComputeType::kF32), {.context = 64});
  const auto session = MakeSession(*engine, 3);
  for (const Overflow overflow : {Overflow::kFifo, Overflow::kSink, Overflow::kScore}) {
    const Status status = session->SetWindow({.overflow = overflow, .sinks = 64});
    EXPECT_EQ(Code::kInvalidArgument, status.code());
    EXPECT_NE(std::string::npos, status.message().find("64 tokens expected, found 64"));
    EXPECT_FALSE(engine->NewSession({.window = {.overflow = overflow, .sinks = 5000}}).ok());
    EXPECT_TRUE(session->SetWindow({.overflow = overflow, .sinks = 63}).ok());
  }
  EXPECT_TRUE(session->SetWindow({.overflow = Overflow::kMessage, .sinks = 5000}).ok());
}

// The one file in `folder` that is open; no path leads to it.
int DescriptorIn(const std::string& folder) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
    if (target.starts_with(folder)) return std::stoi(entry.path().filename().string());
  }
  ADD_FAILURE() << folder << ": nothing is open there";
  return -1;
}

// What has moved cannot be computed again: its session is told, makes its window anew with the next
// request, and nobody else is concerned. What has not is computed again, to the same bits.
TEST(Eviction, WhatTheSwapFileLostIsToldOrComputedAgain) {
  const std::string folder = testing::TempDir() + "eviction_test_swap";
  std::filesystem::create_directories(folder);
  for (const bool moved : {false, true}) {
    EngineOptions options;
    options.context = kContext;
    options.swap_budget = 1 << 20;
    options.swap_directory = folder;
    options.threads = 1;
    const auto model = LoadGolden("llama3", ComputeType::kF32);
    const auto engine = MakeEngine(model, options);
    const auto session = MakeSession(*engine, 1), other = MakeSession(*engine, 2);
    ASSERT_TRUE(session->SetWindow({.overflow = Overflow::kSink, .headroom = 16}).ok());
    std::vector<TokenId> said = Numbers(moved ? 200 : 100, 3);
    ASSERT_TRUE(session->Complete({said.data(), 100}, Steps(0)).ok());
    ASSERT_TRUE(session->Complete(said, Steps(0)).ok());
    ASSERT_EQ(moved, session->info().evicted > 0);
    ASSERT_TRUE(other->Complete(Numbers(100, 9), Steps(2)).ok());
    ASSERT_EQ(1, engine->stats().parked);
    const int file = DescriptorIn(folder);
    for (uint64_t at = 0; at < engine->stats().swap_bytes; at += engine->stats().block_bytes) {
      ASSERT_EQ(1, ::pwrite(file, "x", 1, static_cast<off_t>(at)));
    }
    said.push_back(7);
    const auto reply = session->Complete(said, Steps(4));
    EXPECT_EQ(moved ? Code::kCorruption : Code::kOk, reply.status().code());
    EXPECT_TRUE(other->Complete(Numbers(100, 9), Steps(2)).ok());
    const auto again = session->Complete(said, Steps(4));
    ASSERT_TRUE(again.ok()) << again.status().ToString();
    EXPECT_EQ(moved, again->window_rebuilt);
    if (moved) continue;
    EXPECT_GT(engine->stats().tokens_lost, 0u);
    const auto quiet = MakeEngine(model, options);
    EXPECT_EQ(MakeSession(*quiet, 1)->Complete(said, Steps(4))->tokens, reply->tokens);
  }
  std::filesystem::remove_all(folder);
}

// Nothing of such a prompt is left in the window, or only what stands before the gap: a reply needs
// the logits after its last token, which was evicted.
TEST(Eviction, APromptThatEndsWithWhatWasEvictedMakesTheWindowAnew) {
  EngineOptions options;
  options.context = kContext;
  options.threads = 1;
  const auto engine = MakeEngine(LoadGolden("llama3", ComputeType::kF32), options);
  for (const Overflow overflow : {Overflow::kFifo, Overflow::kSink}) {
    for (const EvictMode mode : {EvictMode::kShift, EvictMode::kRecompute}) {
      for (const int32_t more : {-1, 0, 1}) {
        SCOPED_TRACE(std::string(OverflowName(overflow)) + " " + std::to_string(more));
        const auto session = MakeSession(*engine, 1), fresh = MakeSession(*engine, 1);
        for (Session* each : {session.get(), fresh.get()}) {
          ASSERT_TRUE(each->SetWindow({.overflow = overflow, .mode = mode, .sinks = 4}).ok());
        }
        ASSERT_TRUE(session->Complete(Numbers(200, 3), Steps(0)).ok());
        const std::vector<TokenId> all = session->all_tokens(), kept = session->tokens();
        const auto before = std::ranges::mismatch(all, kept).in1 - all.begin();
        const auto gap_end = before + session->info().evicted;
        ASSERT_GT(gap_end, 60);
        const auto prefix = std::span(all).first(static_cast<size_t>(gap_end + more));
        const auto explained = session->Explain(prefix);
        const auto reply = session->Complete(prefix, Steps(3));
        ASSERT_TRUE(reply.ok() && explained.ok()) << reply.status().ToString();
        EXPECT_EQ(reply->window_rebuilt, more <= 0);
        EXPECT_EQ(explained->prompt_tokens, more <= 0 ? std::ssize(prefix) : before + more);
        if (more > 0) continue;
        const auto expected = fresh->Complete(prefix, Steps(3));
        ASSERT_TRUE(expected.ok());
        EXPECT_EQ(reply->tokens, expected->tokens);
        EXPECT_TRUE(std::ranges::equal(session->last_logits(), fresh->last_logits()));
      }
    }
  }
}

// A history that differs before what was evicted needs a new window. When it cannot have one, the
// old one stays.
TEST(Eviction, ARefusedPromptDoesNotCostTheWindow) {
  EngineOptions options;
  options.context = kContext;
  options.threads = 1;
  const auto engine = MakeEngine(LoadGolden("llama3", ComputeType::kF32), options);
  for (const Overflow later : {Overflow::kError, Overflow::kMessage}) {
    const auto session = MakeSession(*engine, 1);
    ASSERT_TRUE(session->SetWindow({.overflow = Overflow::kSink}).ok());
    ASSERT_TRUE(session->Complete(Numbers(200, 3), Steps(2)).ok());
    ASSERT_TRUE(session->SetWindow({.overflow = later}).ok());
    const std::vector<TokenId> window = session->tokens(), all = session->all_tokens();
    const std::vector<float> logits(session->last_logits().begin(), session->last_logits().end());
    const auto refused = session->Complete(Numbers(150, 9), Steps(2));
    EXPECT_EQ(refused.status().name(), "capacity");
    EXPECT_EQ(session->tokens(), window);
    EXPECT_EQ(session->all_tokens(), all);
    EXPECT_TRUE(std::ranges::equal(session->last_logits(), logits));
    const auto fits = session->Complete(Numbers(20, 9), Steps(2));
    ASSERT_TRUE(fits.ok()) << fits.status().ToString();
    EXPECT_TRUE(fits->window_rebuilt);
  }
}

TEST(Eviction, WithoutTheCacheItIsRefused) {
  EngineOptions options;
  options.context = 64;
  options.use_cache = false;
  options.threads = 1;
  const auto engine = MakeEngine(LoadGolden("llama3", ComputeType::kF32), options);
  SessionOptions session;
  session.window.overflow = Overflow::kSink;
  EXPECT_EQ(Code::kInvalidArgument, engine->NewSession(session).status().code());
}

TEST(Eviction, WithoutAPolicyAFullSessionIsAnError) {
  EngineOptions options;
  options.context = 64;
  options.threads = 1;
  const auto engine = MakeEngine(LoadGolden("llama3", ComputeType::kF32), options);
  const auto session = MakeSession(*engine, 1);
  EXPECT_EQ(Code::kExhausted, session->Complete(Numbers(65, 3), Steps(1)).status().code());
}

}  // namespace
}  // namespace gyrator
