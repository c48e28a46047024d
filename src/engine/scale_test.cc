// What long sessions and many of them cost, counted to the token, the block and the pass.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <random>
#include <thread>

#include "engine/engine_testing.h"

namespace gyrator {
namespace {

// The same weights, and longer positions than they were made for: what is counted here does not
// depend on what the model says.
std::string WithContext(std::string gguf, uint32_t context) {
  std::memcpy(gguf.data() + ValueOf(gguf, ".context_length"), &context, sizeof context);
  return gguf;
}

int32_t CommonPrefix(std::span<const TokenId> a, std::span<const TokenId> b) {
  return static_cast<int32_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first -
                              a.begin());
}

// A sanitizer's memory is not the engine's: there the blocks alone are counted.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kIsSanitized = true;
#elif defined(__has_feature)
constexpr bool kIsSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kIsSanitized = false;
#endif

uint64_t ResidentBytes() {
  if (kIsSanitized) return 0;
  std::ifstream file("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

Message Says(const std::string& role, std::string content) {
  return {.role = role, .content = std::move(content), .extras = {}};
}

class ScaleTest : public testing::Test {
 protected:
  // Random weights, no tokenizer.
  std::shared_ptr<const Model> LoadTiny(uint32_t context) {
    return LoadBytes(WithContext(ReadTree("tests/golden/models/qwen3.q8_0.gguf"), context));
  }

  std::shared_ptr<const Model> LoadChat(uint32_t context) {
    return LoadBytes(WithContext(ReadTree("models/gyrator-chat.gguf"), context));
  }

  static EngineOptions Options(int32_t context, int32_t sessions) {
    EngineOptions options;
    options.context = context;
    options.sessions_max = sessions;
    options.threads = 1;
    return options;
  }

  static Reply Must(const Result<Reply>& reply) {
    EXPECT_TRUE(reply.ok()) << reply.status().ToString();
    return reply.ok() ? *reply : Reply();
  }
};

TEST_F(ScaleTest, AnEngineFillsInItsDefaults) {
  for (const uint32_t context : {512u, 16384u}) {
    const auto engine = MakeEngine(LoadTiny(context), {});
    const EngineOptions& options = engine->options();
    EXPECT_EQ(std::min(context, 4096u), static_cast<uint32_t>(options.context));
    EXPECT_EQ(options.context / 16, engine->stats().blocks_total);  // one full session
    EXPECT_EQ(512, options.batch_rows);
    EXPECT_EQ(65536, engine->stats().slots_total);
    EXPECT_GE(options.threads, 1);
    EXPECT_EQ(DType::kBF16, options.kv_dtype);
    EXPECT_EQ(0u, options.swap_budget);
  }
  EXPECT_EQ(DType::kF32,
            MakeEngine(LoadGolden("llama3", ComputeType::kF32), {})->options().kv_dtype);
}

TEST_F(ScaleTest, AForkOf4096TokensTakesNoBlockUntilItDiffersAndThenOne) {
  const auto engine = MakeEngine(LoadTiny(8192), Options(5000, 2));
  const auto parent = MakeSession(*engine, 1);
  const auto prompt = Numbers(4096, 3);
  Must(parent->Complete(prompt, Steps(0)));
  const EngineStats before = engine->stats();
  const auto behind = parent->Fork({}), within = parent->Fork({});
  ASSERT_TRUE(behind.ok() && within.ok());
  EXPECT_EQ(before.blocks_free, engine->stats().blocks_free);
  Must((*behind)->Complete(Join(prompt, {9}), Steps(0)));  // behind the last block, which is full
  EXPECT_EQ(before.blocks_free - 1, engine->stats().blocks_free);
  EXPECT_EQ(before.blocks_copied, engine->stats().blocks_copied);
  const auto other = Join({prompt.begin(), prompt.end() - 6}, {9});
  ASSERT_NE(9, prompt[4090]);
  Must((*within)->Complete(other, Steps(0)));  // within a shared one, which is copied
  EXPECT_EQ(before.blocks_free - 2, engine->stats().blocks_free);
  EXPECT_EQ(before.blocks_copied + 1, engine->stats().blocks_copied);
  EXPECT_EQ(before.tokens_decoded + 2, engine->stats().tokens_decoded);
}

// The shipped model: 2,560 bytes of K and V a token, so a block of 40 KiB is 0.39 % of the parent's
// 10 MiB. Tokens, logits and the rest were another 39 KiB a fork when this was written.
TEST_F(ScaleTest, AThousandForksThatDifferCostLessThanOnePercentOfTheirParentEach) {
  constexpr int32_t kForks = 1000;
  const auto engine = MakeEngine(LoadChat(8192), Options(4112, 5));
  const auto parent = MakeSession(*engine, 1);
  const auto prompt = Numbers(4096, 3);
  Must(parent->Complete(prompt, Steps(0)));
  const EngineStats before = engine->stats();
  const uint64_t resident = ResidentBytes();
  std::vector<std::unique_ptr<Session>> forks;
  for (int32_t i = 0; i < kForks; ++i) {
    auto fork = parent->Fork({});
    ASSERT_TRUE(fork.ok()) << fork.status().ToString();
    forks.push_back(*std::move(fork));
  }
  EXPECT_EQ(before.blocks_free, engine->stats().blocks_free);
  for (int32_t i = 0; i < kForks; ++i) {
    Must(forks[static_cast<size_t>(i)]->Complete(Join(prompt, {i}), Steps(0)));
  }
  const EngineStats after = engine->stats();
  EXPECT_EQ(before.blocks_free - kForks, after.blocks_free);
  EXPECT_EQ(before.tokens_decoded + kForks, after.tokens_decoded);
  // Blocks that were never used become resident when they are: growth has them in it.
  const uint64_t grown = ResidentBytes() - resident;
  const uint64_t cost = std::max(grown, kForks * after.block_bytes) / kForks;
  const uint64_t parents = prompt.size() / 16 * after.block_bytes;
  RecordProperty("bytes_of_a_fork", std::to_string(cost));
  RecordProperty("bytes_of_the_parent", std::to_string(parents));
  EXPECT_LT(cost, parents / 100);
}

TEST_F(ScaleTest, ASystemPromptOf2000TokensIsComputedOnceFor64Sessions) {
  EngineOptions options = Options(2064, 4);
  options.batch_rows = 128;
  const auto engine = MakeEngine(LoadTiny(4096), options);
  const auto system = Numbers(2000, 3);
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<BatchRequest> requests;
  for (int32_t i = 0; i < 64; ++i) {
    sessions.push_back(MakeSession(*engine, static_cast<uint64_t>(i)));
    requests.push_back({.session = sessions.back().get(),
                        .prefix = Join(system, Numbers(5, i)),
                        .options = Steps(1)});
  }
  int64_t shared = 0;
  for (const auto& reply : engine->Run(requests)) shared += Must(reply).tokens_shared;
  EXPECT_EQ(63 * 2000, shared);
  EXPECT_EQ(2000u + 64 * 5, engine->stats().tokens_decoded);  // sampled tokens are not decoded yet
}

// The same through messages: 64 users whose lines begin with letters of their own.
TEST_F(ScaleTest, ASystemMessageOf2000TokensIsComputedOnceFor64Conversations) {
  const auto model = LoadChat(4096);
  const std::string letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
  std::vector<std::vector<Message>> chats(letters.size());
  std::string system = "Be kind.";
  std::vector<std::vector<TokenId>> tokens(letters.size());
  // Up to a whole block: of a shorter piece each session has its own.
  for (int32_t shared = 0; shared < 2000 || shared % 16 != 0;) {
    system += " And be brief.";
    if (shared % 16 != 0 && shared > 1900) system += " Ok";
    for (size_t i = 0; i < letters.size(); ++i) {
      chats[i] = {Says("system", system), Says("user", letters.substr(i, 1) + " is my letter.")};
      if (i > 1 && shared < 1900) continue;
      tokens[i] = model->text()->Encode(*model->text()->Render(chats[i], {}), false);
    }
    shared = CommonPrefix(tokens[0], tokens[1]);
  }
  const int32_t shared = CommonPrefix(tokens[0], tokens[1]);
  const auto engine = MakeEngine(model, Options(2400, 4));
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<BatchRequest> requests;
  uint64_t expected = static_cast<uint64_t>(shared);
  for (size_t i = 0; i < letters.size(); ++i) {
    ASSERT_EQ(i == 0 ? std::ssize(tokens[0]) : shared, CommonPrefix(tokens[0], tokens[i]));
    expected += tokens[i].size() - static_cast<size_t>(shared);
    sessions.push_back(MakeSession(*engine, i));
    ASSERT_TRUE(sessions.back()->SetTranscript(chats[i]).ok());
    requests.push_back({.session = sessions.back().get(), .prefix = {}, .options = Steps(1)});
  }
  for (const auto& reply : engine->Run(requests)) Must(reply);
  EXPECT_EQ(expected, engine->stats().tokens_decoded);
}

class CountTest : public ScaleTest {
 protected:
  // The session's own: states that it had before an edit are not kept for it.
  void Make(const std::shared_ptr<const Model>& model, int32_t context) {
    EngineOptions options = Options(context, 1);
    options.share_prefixes = false;
    engine_ = MakeEngine(model, options);
    session_ = MakeSession(*engine_, 1);
  }

  // The turn decoded so many tokens, by its own account and by the engine's.
  void ExpectDecoded(int32_t expected, const Reply& reply) {
    EXPECT_EQ(expected, reply.tokens_decoded);
    EXPECT_EQ(decoded_ + static_cast<uint64_t>(expected), engine_->stats().tokens_decoded);
    decoded_ = engine_->stats().tokens_decoded;
  }

  uint64_t decoded_ = 0;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Session> session_;
};

TEST_F(CountTest, ATurnDecodesItsNewTokensAndAnEditAtKAllFromThere) {
  Make(LoadTiny(2048), 2048);
  std::mt19937 random(5);
  std::vector<TokenId> said;
  for (int turn = 0; turn < 50; ++turn) {
    const auto line = Numbers(1 + static_cast<int32_t>(random() % 30), turn);
    said.insert(said.end(), line.begin(), line.end());
    ExpectDecoded(static_cast<int32_t>(line.size()), Must(session_->Complete(said, Steps(0))));
  }
  for (int edit = 0; edit < 50; ++edit) {
    const size_t k = random() % said.size();
    said[k] = (said[k] + 1 + static_cast<TokenId>(random() % 200)) % 250;
    ExpectDecoded(static_cast<int32_t>(said.size() - k), Must(session_->Complete(said, Steps(0))));
  }
}

TEST_F(CountTest, ATurnOfAChatDecodesItsNewTokensAndAnEditAllFromItsFirstOne) {
  Make(LoadShipped(ComputeType::kInt8), 2048);
  std::mt19937 random(5);
  const auto prepare = [&] {
    const std::vector<TokenId> before = session_->tokens();
    const Reply reply = Must(session_->Prepare({}));
    const std::vector<TokenId> now = session_->tokens();
    const int32_t common = CommonPrefix(before, now);
    ExpectDecoded(static_cast<int32_t>(now.size()) - common, reply);
    return static_cast<size_t>(common) == before.size();
  };
  for (int turn = 0; turn < 20; ++turn) {
    ASSERT_TRUE(session_->Append(Says("user", "My number is " + std::to_string(turn) + ".")).ok());
    EXPECT_TRUE(prepare());  // nothing that was there changed
    const Reply reply = Must(session_->Respond(Steps(8)));
    EXPECT_EQ(0, reply.tokens_decoded);
    decoded_ = engine_->stats().tokens_decoded;
  }
  const std::vector<Message> talk(session_->transcript().begin(), session_->transcript().end());
  for (int edit = 0; edit < 50; ++edit) {
    std::vector<Message> edited = talk;
    const size_t line = 2 * (random() % 20);
    edited[line].content = "Number " + std::to_string(random() % 1000) + " is mine.";
    edited.back().role = "user";
    ASSERT_TRUE(session_->SetTranscript(edited).ok());
    EXPECT_FALSE(prepare());
  }
}

// Qwen3's template shows what was thought in the newest reply only. When the next line comes the
// thinking of the reply before it is dropped from the prompt: what follows moves up and is decoded
// a second time, from the first token of the thinking on. Everything before that stays, so a turn
// costs one reply without its thinking more than its new tokens, however long the conversation is.
TEST_F(CountTest, ATemplateThatDropsThinkingCostsTheReplyBehindItAgain) {
  Make(LoadBytes(WithTemplate(ReadTree("models/gyrator-chat.gguf"),
                              ReadTree("tests/golden/templates/qwen3.jinja"))),
       2048);
  const TextModel& text = *engine_->model().text();
  const auto tokens_of = [&](const std::string& words) { return text.Encode(words, false); };
  std::vector<Message> talk;
  std::vector<TokenId> before;
  std::string answer;
  for (int turn = 0; turn < 6; ++turn) {
    const std::string line = "My number is " + std::to_string(turn) + ".";
    talk.push_back(Says("user", line));
    ASSERT_TRUE(session_->SetTranscript(talk).ok());
    const Reply reply = Must(session_->Prepare({}));
    const std::vector<TokenId> now = session_->tokens();
    const std::string next = "<|im_start|>user\n" + line + "<|im_end|>\n<|im_start|>assistant\n";
    // As the template writes the history: the answer where the thinking was, then the new turn.
    const std::string rest = turn == 0 ? next : answer + "<|im_end|>\n" + next;
    const auto redone = static_cast<int32_t>(tokens_of(rest).size());
    ExpectDecoded(redone, reply);
    EXPECT_EQ(redone, std::ssize(now) - CommonPrefix(before, now));
    EXPECT_EQ(std::string::npos, text.Decode(now, false).find("<think>"));
    // What a model that thinks would have said.
    answer = "You said " + std::to_string(turn) + ".";
    const std::string said = "<think>\nThe user has told me a number once more, number " +
                             std::to_string(turn) + ".\n</think>\n\n" + answer;
    before = Join(now, tokens_of(said));
    Must(session_->Complete(before, Steps(0)));
    decoded_ = engine_->stats().tokens_decoded;
    talk.push_back(Says("assistant", said));
  }
}

// One row of every pass is the speaking session's: were there a pass of the prompt alone between
// two of its tokens, there would be more passes than tokens.
TEST_F(ScaleTest, BesideAPromptOf64ChunksEveryPassGivesTheSpeakingSessionItsToken) {
  constexpr int32_t kChunk = 128, kTokens = 200;
  EngineOptions options = Options(8192, 2);
  options.batch_rows = kChunk;
  const auto engine = MakeEngine(LoadTiny(16384), options);
  const auto speaking = MakeSession(*engine, 1), reading = MakeSession(*engine, 2);
  const auto line = Numbers(20, 9);
  Must(speaking->Complete({line.data(), 19}, Steps(0)));
  const uint64_t passes = engine->stats().passes;
  std::vector<BatchRequest> requests = {
      {.session = speaking.get(), .prefix = line, .options = Steps(kTokens)},
      {.session = reading.get(), .prefix = Numbers(8128, 3), .options = Steps(0)}};
  for (const auto& reply : engine->Run(requests)) Must(reply);
  EXPECT_EQ(8128, reading->info().cp);
  EXPECT_EQ(8128 / (kChunk - 1), 64);
  EXPECT_EQ(passes + kTokens, engine->stats().passes);
}

TEST_F(ScaleTest, ACancelledPromptTakesNoRowMoreAndItsBlocksAreFree) {
  constexpr int32_t kChunk = 32, kStop = 10, kTokens = 20;
  EngineOptions options = Options(4096, 2);
  options.batch_rows = kChunk;
  options.share_prefixes = false;
  const auto engine = MakeEngine(LoadTiny(4096), options);
  const auto speaking = MakeSession(*engine, 1);
  auto reading = MakeSession(*engine, 2);
  std::stop_source stop;
  std::vector<BatchRequest> requests = {
      {.session = speaking.get(), .prefix = Numbers(20, 9), .options = Steps(kTokens)},
      {.session = reading.get(), .prefix = Numbers(4000, 3), .options = Steps(5)}};
  requests[1].options.cancel = stop.get_token();
  EngineStats at_stop;
  int step = 0;
  requests[0].options.on_logits = [&](auto) {
    if (++step != kStop) return;
    stop.request_stop();
    at_stop = engine->stats();
  };
  const auto replies = engine->Run(requests);
  EXPECT_EQ(kTokens, std::ssize(Must(replies[0]).tokens));
  EXPECT_EQ(StopReason::kCancelled, Must(replies[1]).stop);
  EXPECT_LT(reading->info().cp, 4000);
  const EngineStats after = engine->stats();
  const uint64_t passes = after.passes - at_stop.passes;
  EXPECT_GE(passes, static_cast<uint64_t>(kTokens - kStop - 1));  // ten steps later
  // One row a pass, the speaking session's; one pass may have been under way.
  EXPECT_LE(after.tokens_decoded - at_stop.tokens_decoded, passes + kChunk - 1);
  const auto blocks = [](int32_t tokens) { return (tokens + 15) / 16; };
  reading.reset();
  const EngineStats closed = engine->stats();
  EXPECT_EQ(blocks(speaking->info().cp), closed.blocks_total - closed.blocks_free);
}

}  // namespace
}  // namespace gyrator
