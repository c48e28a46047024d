// After every request, whatever came of it, a session says what its cache holds: callbacks that
// throw or stop, neighbours that fail, refusals, and calls from a session's own callback.
#include <gtest/gtest.h>

#include <algorithm>
#include <exception>
#include <functional>
#include <map>
#include <stdexcept>
#include <thread>

#include "engine/engine_testing.h"
#include "gyrator/context_manager.h"
#include "gyrator/contexts.h"

namespace gyrator {
namespace {

constexpr int32_t kContext = 128;

std::unique_ptr<Engine> Make(const std::shared_ptr<const Model>& model, uint64_t kv_blocks = 0,
                             Progress progress = {}) {
  EngineOptions options;
  options.context = kContext;
  options.sessions_max = 4;
  options.threads = 1;
  options.batch_rows = 16;
  options.progress = std::move(progress);
  if (kv_blocks > 0) {
    options.kv_budget = kv_blocks * MakeEngine(model, options)->stats().block_bytes;
  }
  return MakeEngine(model, options);
}

std::vector<float> LogitsOf(const Session& session) {
  return {session.last_logits().begin(), session.last_logits().end()};
}

// What a session that decodes `tokens` in an engine of its own has as last logits.
std::vector<float> FreshLogits(const std::shared_ptr<const Model>& model,
                               const std::vector<TokenId>& tokens) {
  const auto engine = Make(model);
  const auto session = MakeSession(*engine, 1);
  EXPECT_TRUE(session->Complete(tokens, Steps(0)).ok());
  return LogitsOf(*session);
}

class Folder {
 public:
  Folder() : path_(testing::TempDir() + "settle_" + Name()) { std::filesystem::remove_all(path_); }
  ~Folder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  static std::string Name() {
    std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    std::ranges::replace(name, '/', '_');
    return name;
  }

  const std::string path_;
};

// Tokens, count, logits and blocks are of one state: that of a session that was given the tokens.
// The session evicted nothing.
void ExpectTrue(const std::shared_ptr<const Model>& model, Session& session) {
  const std::vector<TokenId> tokens = session.tokens();
  ASSERT_EQ(0, session.info().evicted);
  EXPECT_EQ(std::ssize(tokens), session.info().cp);
  if (!tokens.empty() && !session.last_logits().empty()) {
    EXPECT_EQ(FreshLogits(model, tokens), LogitsOf(session));
  }
  const Folder folder;
  const auto saved = session.Save({.root = folder.path(), .name = {}});
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  EXPECT_TRUE(VerifyContext(saved->folder, {}).ok());
  const auto engine = Make(model);
  const auto loaded = engine->LoadSession(saved->folder, nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  EXPECT_EQ(tokens, (*loaded)->tokens());
  EXPECT_EQ(LogitsOf(session), LogitsOf(**loaded));
  const auto longer = Join(tokens, {5});
  for (Session* one : {loaded->get(), &session}) {
    const auto reply = one->Complete(longer, Steps(0));
    ASSERT_TRUE(reply.ok()) << reply.status().ToString();
    EXPECT_EQ(std::ssize(tokens), reply->tokens_reused);
    EXPECT_EQ(FreshLogits(model, longer), LogitsOf(*one));
  }
}

// A callback that throws when it is called for the n-th time.
auto ThrowAt(int n) {
  return [left = n](auto&&...) mutable {
    if (--left == 0)
      std::rethrow_exception(std::make_exception_ptr(std::runtime_error("thrown by the test")));
    return true;
  };
}

struct Kind {
  const char* name;
  const char* model;
  ComputeType compute;
};

class SettleTest : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override { model_ = LoadFromTree(GetParam().model, GetParam().compute); }
  std::shared_ptr<const Model> model_;
};

TEST_P(SettleTest, ACallbackThatThrowsLeavesTheSessionWithWhatWasDecoded) {
  for (const int at : {1, 5, 20}) {
    const auto engine = Make(model_);
    const auto session = MakeSession(*engine, 1);
    ASSERT_TRUE(session->Complete(Numbers(10, 3), Steps(0)).ok());
    GenerateOptions options = Steps(20);
    options.on_logits = ThrowAt(at);
    EXPECT_THROW((void)session->Complete(Numbers(40, 3), options), std::runtime_error);
    EXPECT_EQ(39 + at, session->info().cp);
    EXPECT_EQ(static_cast<uint64_t>(at), session->info().tokens_generated);
    ExpectTrue(model_, *session);
  }
}

TEST_P(SettleTest, ACallbackForThePromptThatThrowsDoesToo) {
  for (const int at : {1, 17, 39}) {
    const auto engine = Make(model_);
    const auto session = MakeSession(*engine, 1);
    ASSERT_TRUE(session->Complete(Numbers(60, 9), Steps(3)).ok());
    GenerateOptions options = Steps(2);
    options.on_prompt_logits = ThrowAt(at);
    EXPECT_THROW((void)session->Complete(Numbers(40, 3), options), std::runtime_error);
    EXPECT_GE(session->info().cp, at);
    const std::vector<TokenId> tokens = session->tokens(), asked = Numbers(40, 3);
    EXPECT_TRUE(std::equal(asked.begin(), asked.begin() + at, tokens.begin()));
    ExpectTrue(model_, *session);
  }
}

TEST_P(SettleTest, ProgressThatThrowsDoesToo) {
  bool throws = false;
  const auto engine = Make(model_, 0, [&](auto, uint64_t done, uint64_t) {
    if (throws && done > 20)
      std::rethrow_exception(std::make_exception_ptr(std::runtime_error("thrown by the test")));
  });
  const auto session = MakeSession(*engine, 1);
  ASSERT_TRUE(session->Complete(Numbers(10, 3), Steps(0)).ok());
  throws = true;
  EXPECT_THROW((void)session->Complete(Numbers(100, 3), Steps(4)), std::runtime_error);
  throws = false;
  EXPECT_GT(session->info().cp, 20);
  ExpectTrue(model_, *session);
}

TEST_P(SettleTest, ThoseThatAThrowEndsWithItAgreeToo) {
  const auto engine = Make(model_);
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<BatchRequest> batch;
  for (TokenId i = 0; i < 3; ++i) {
    sessions.push_back(MakeSession(*engine, static_cast<uint64_t>(i)));
    ASSERT_TRUE(sessions.back()->Complete(Numbers(10, 3 + i), Steps(2)).ok());
    batch.push_back({.session = sessions.back().get(),
                     .prefix = Numbers(40, 3 + i),
                     .options = Steps(i == 2 ? 1 : 60)});
    batch.back().options.on_logits = [](auto) {};  // it waits for the thread that called
  }
  batch[1].options.on_logits = ThrowAt(6);
  EXPECT_THROW((void)engine->Run(batch), std::runtime_error);
  EXPECT_EQ(45, sessions[1]->info().cp);
  EXPECT_LT(sessions[0]->info().cp, 60);
  EXPECT_EQ(40, sessions[2]->info().cp);  // its reply was over
  for (const auto& session : sessions) ExpectTrue(model_, *session);
  ASSERT_TRUE(sessions[1]->Complete(Numbers(40, 4), Steps(2)).ok());
}

TEST_P(SettleTest, ANeighbourThatFailsChangesNothing) {
  const auto engine = Make(model_);
  const auto good = MakeSession(*engine, 1), bad = MakeSession(*engine, 2);
  ASSERT_TRUE(bad->Complete(Numbers(30, 9), Steps(3)).ok());
  for (const std::vector<TokenId>& wrong :
       {std::vector<TokenId>{1, -1}, std::vector<TokenId>{1 << 30}, Numbers(kContext + 1, 3)}) {
    std::vector<BatchRequest> batch;
    batch.push_back({.session = bad.get(), .prefix = wrong, .options = Steps(2)});
    batch.push_back({.session = good.get(), .prefix = Numbers(40, 3), .options = Steps(4)});
    const auto replies = engine->Run(batch);
    EXPECT_FALSE(replies[0].ok());
    ASSERT_TRUE(replies[1].ok()) << replies[1].status().ToString();
    EXPECT_EQ(32, bad->info().cp);
    ExpectTrue(model_, *bad);
    ASSERT_TRUE(bad->Complete(bad->tokens(), Steps(0)).ok());
    ASSERT_TRUE(bad->Complete(Numbers(30, 9), Steps(3)).ok());
    ExpectTrue(model_, *good);
  }
}

TEST_P(SettleTest, OneSessionTwiceInABatchRunsOnce) {
  for (const size_t times : {2, 3, 5}) {
    const auto engine = Make(model_);
    const auto session = MakeSession(*engine, 1), other = MakeSession(*engine, 2);
    ASSERT_TRUE(session->Complete(Numbers(10, 3), Steps(0)).ok());
    std::vector<BatchRequest> batch(
        times, {.session = session.get(), .prefix = Numbers(40, 3), .options = Steps(4)});
    batch[1].prefix = Numbers(20, 50);
    batch.insert(batch.begin() + 1,
                 {.session = other.get(), .prefix = Numbers(30, 9), .options = Steps(2)});
    const auto replies = engine->Run(batch);
    for (const size_t i : {0, 1}) ASSERT_TRUE(replies[i].ok()) << replies[i].status().ToString();
    for (size_t i = 2; i <= times; ++i) {
      EXPECT_EQ(Code::kInvalidArgument, replies[i].status().code());
      EXPECT_EQ("busy", replies[i].status().name());
    }
    EXPECT_EQ(43, session->info().cp);
    EXPECT_EQ(31, other->info().cp);
    EXPECT_EQ(4u, session->info().tokens_generated);
    EXPECT_EQ(0u, engine->stats().requests_failed);
    ExpectTrue(model_, *session);
    ExpectTrue(model_, *other);
  }
}

TEST_P(SettleTest, ATwinOfOneThatFailsIsRefusedToo) {
  const auto engine = Make(model_);
  const auto session = MakeSession(*engine, 1);
  ASSERT_TRUE(session->Complete(Numbers(10, 3), Steps(2)).ok());
  std::vector<BatchRequest> batch;
  batch.push_back({.session = session.get(), .prefix = {-7}, .options = Steps(4)});
  batch.push_back({.session = session.get(), .prefix = Numbers(20, 3), .options = Steps(4)});
  const auto replies = engine->Run(batch);
  EXPECT_EQ("", replies[0].status().name());
  EXPECT_EQ("busy", replies[1].status().name());
  EXPECT_EQ(11, session->info().cp);
  ExpectTrue(model_, *session);
}

// What is asked of a session in its own callback.
std::map<std::string, std::function<Status(Session&)>> Calls(const std::string& folder) {
  std::map<std::string, std::function<Status(Session&)>> calls;
  const Message line = {.role = "user", .content = "Hello.", .extras = {}};
  calls["append"] = [line](Session& s) { return s.Append(line); };
  calls["respond"] = [](Session& s) { return s.Respond(Steps(1)).status(); };
  calls["prepare"] = [](Session& s) { return s.Prepare({}).status(); };
  calls["complete"] = [](Session& s) { return s.Complete(Numbers(3, 3), Steps(1)).status(); };
  calls["explain"] = [](Session& s) { return s.Explain(Numbers(3, 3)).status(); };
  calls["save"] = [folder](Session& s) { return s.Save({.root = folder, .name = {}}).status(); };
  calls["fork"] = [](Session& s) { return s.Fork({}).status(); };
  calls["rewind"] = [](Session& s) { return s.Rewind(0); };
  calls["edit"] = [](Session& s) { return s.Edit(0, "Bye."); };
  calls["set transcript"] = [line](Session& s) { return s.SetTranscript({line}); };
  calls["make room"] = [](Session& s) { return s.MakeRoom(4).status(); };
  calls["evicted messages"] = [](Session& s) { return s.EvictedMessages().status(); };
  calls["set window"] = [](Session& s) { return s.SetWindow({.overflow = Overflow::kFifo}); };
  calls["set sampler"] = [](Session& s) { return s.SetSampler({.temperature = 0}); };
  return calls;
}

void ExpectRefused(const std::string& what, const Status& status) {
  EXPECT_EQ(Code::kInvalidArgument, status.code()) << what;
  EXPECT_EQ("busy", status.name()) << what;
  EXPECT_TRUE(status.message().starts_with(what + ": ")) << status.message();
}

TEST_P(SettleTest, InItsOwnCallbackASessionRefusesWhatWouldTouchIt) {
  const Folder folder;
  for (const auto& refused : Calls(folder.path())) {
    const auto engine = Make(model_);
    const auto session = MakeSession(*engine, 1);
    ASSERT_TRUE(session->Complete(Numbers(10, 3), Steps(0)).ok());
    const std::vector<float> before = LogitsOf(*session);
    GenerateOptions options = Steps(8);
    int asked = 0;
    options.on_logits = [&](auto) {
      ++asked;
      ExpectRefused(refused.first, refused.second(*session));
      EXPECT_EQ(Numbers(10, 3), session->tokens());  // as it stood when the request began
      EXPECT_EQ(Numbers(10, 3), session->all_tokens());
      EXPECT_EQ(10, session->info().cp);
      EXPECT_EQ(before, LogitsOf(*session));
    };
    ASSERT_TRUE(session->Complete(Numbers(40, 3), options).ok());
    EXPECT_EQ(8, asked);
    EXPECT_TRUE(session->transcript().empty());
    EXPECT_NE(0, session->sampler().temperature);
    EXPECT_EQ(Overflow::kError, session->window().overflow);
    EXPECT_FALSE(std::filesystem::exists(folder.path()));
    EXPECT_EQ(47, session->info().cp);
    ExpectTrue(model_, *session);
    EXPECT_NE("busy", refused.second(*session).name()) << refused.first << ": it is free again";
    std::filesystem::remove_all(folder.path());
  }
}

TEST_P(SettleTest, AnotherThreadIsRefusedWhileARequestRuns) {
  const Folder folder;
  const auto engine = Make(model_);
  const auto session = MakeSession(*engine, 1);
  GenerateOptions options = Steps(3);
  options.on_logits = [&](auto) {
    std::vector<std::thread> threads;
    for (const auto& [what, call] : Calls(folder.path())) {
      threads.emplace_back([&, call = call, what = what] { ExpectRefused(what, call(*session)); });
    }
    for (std::thread& thread : threads) thread.join();
  };
  ASSERT_TRUE(session->Complete(Numbers(40, 3), options).ok());
  EXPECT_EQ(42, session->info().cp);
  ExpectTrue(model_, *session);
}

TEST_P(SettleTest, OtherSessionsAreFreeInACallback) {
  const Folder folder;
  for (const auto& [what, call] : Calls(folder.path())) {
    const auto engine = Make(model_);
    const auto session = MakeSession(*engine, 1), other = MakeSession(*engine, 2);
    ASSERT_TRUE(other->Complete(Numbers(10, 3), Steps(0)).ok());
    GenerateOptions options = Steps(2);
    options.on_logits = [&, call = call, what = what](auto) {
      EXPECT_NE("busy", call(*other).name()) << what;
    };
    ASSERT_TRUE(session->Complete(Numbers(40, 3), options).ok());
    ExpectTrue(model_, *session);
  }
}

// A neighbour of the same batch is in use until the batch returns.
TEST_P(SettleTest, ANeighbourOfTheBatchIsInUseUntilItReturns) {
  const Folder folder;
  const auto engine = Make(model_);
  const auto first = MakeSession(*engine, 1), last = MakeSession(*engine, 2);
  std::vector<BatchRequest> batch;
  batch.push_back({.session = first.get(), .prefix = Numbers(10, 3), .options = Steps(1)});
  batch.push_back({.session = last.get(), .prefix = Numbers(10, 9), .options = Steps(20)});
  batch[1].options.on_logits = [&](auto) {
    for (const auto& [what, call] : Calls(folder.path())) ExpectRefused(what, call(*first));
  };
  for (const auto& reply : engine->Run(batch)) ASSERT_TRUE(reply.ok());
  ExpectTrue(model_, *first);
  ExpectTrue(model_, *last);
}

TEST_P(SettleTest, ForksInItsOwnCallbackAreRefusedInACrowdedPool) {
  const auto engine = Make(model_, 8);
  const auto session = MakeSession(*engine, 1), other = MakeSession(*engine, 2);
  std::vector<BatchRequest> batch;
  batch.push_back({.session = session.get(), .prefix = Numbers(40, 3), .options = Steps(60)});
  batch.push_back({.session = other.get(), .prefix = Numbers(40, 99), .options = Steps(60)});
  for (BatchRequest& request : batch) {
    request.options.on_logits = [&](auto) {
      EXPECT_EQ("busy", session->Fork({}).status().name());
      EXPECT_EQ("busy", other->Fork({}).status().name());
    };
  }
  const auto replies = engine->Run(batch);
  const auto quiet = Make(model_);
  for (uint64_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(replies[i].ok()) << replies[i].status().ToString();
    const auto alone = MakeSession(*quiet, i + 1);
    EXPECT_EQ(alone->Complete(Numbers(40, i == 0 ? 3 : 99), Steps(60))->tokens, replies[i]->tokens);
  }
  ExpectTrue(model_, *session);
  ExpectTrue(model_, *other);
}

TEST_P(SettleTest, SessionsThatAreNotTheEnginesOwnAreRefusedByName) {
  const auto one = Make(model_), two = Make(model_);
  const auto own = MakeSession(*two, 1), foreign = MakeSession(*one, 2);
  ASSERT_TRUE(foreign->Complete(Numbers(20, 9), Steps(2)).ok());
  std::vector<BatchRequest> batch;
  batch.push_back({.session = foreign.get(), .prefix = Numbers(30, 9), .options = Steps(2)});
  batch.push_back({.session = nullptr, .prefix = Numbers(10, 3), .options = Steps(2)});
  batch.push_back({.session = own.get(), .prefix = Numbers(40, 3), .options = Steps(4)});
  batch.push_back({.session = nullptr, .prefix = {}, .options = Steps(2)});
  batch.push_back({.session = foreign.get(), .prefix = {}, .options = Steps(2)});
  const auto replies = two->Run(batch);
  EXPECT_EQ("foreign_session", replies[0].status().name());
  EXPECT_EQ("no_session", replies[1].status().name());
  EXPECT_TRUE(replies[2].ok()) << replies[2].status().ToString();
  EXPECT_EQ("no_session", replies[3].status().name());
  EXPECT_EQ("foreign_session", replies[4].status().name());
  for (const size_t i : {0, 1, 3, 4}) {
    EXPECT_EQ(Code::kInvalidArgument, replies[i].status().code());
  }
  EXPECT_EQ(21, foreign->info().cp);
  ExpectTrue(model_, *foreign);
  ExpectTrue(model_, *own);
  EXPECT_TRUE(one->Run({&batch[0], 1})[0].ok()) << "what was refused was not changed";
}

INSTANTIATE_TEST_SUITE_P(
    Models, SettleTest,
    testing::Values(Kind{"llama3_f32", "tests/golden/models/llama3", ComputeType::kF32},
                    Kind{"qwen3_bf16", "tests/golden/models/qwen3", ComputeType::kBF16},
                    Kind{"qwen2_int8", "tests/golden/models/qwen2", ComputeType::kInt8}),
    [](const auto& test) { return std::string(test.param.name); });

class SettleTalkTest : public testing::Test {
 protected:
  void SetUp() override { model_ = LoadShipped(ComputeType::kInt8); }

  static Status Say(Session& session, const std::string& line) {
    return session.Append({.role = "user", .content = line, .extras = {}});
  }

  std::shared_ptr<const Model> model_;
};

TEST_F(SettleTalkTest, AThrowAfterAnEvictionLeavesWhatCanBeSavedAndGoesOn) {
  for (const WindowOptions& window :
       {WindowOptions{.overflow = Overflow::kFifo, .headroom = 16},
        WindowOptions{.overflow = Overflow::kSink, .headroom = 16},
        WindowOptions{.overflow = Overflow::kScore, .headroom = 16},
        WindowOptions{
            .overflow = Overflow::kFifo, .mode = EvictMode::kRecompute, .headroom = 16}}) {
    const Folder folder;
    const auto engine = Make(model_);
    const auto session = MakeSession(*engine, 7);
    ASSERT_TRUE(session->SetWindow(window).ok());
    ASSERT_TRUE(Say(*session, "Hello there.").ok());
    ASSERT_TRUE(session->Respond(Steps(60)).ok());
    ASSERT_TRUE(Say(*session, "Go on.").ok());
    GenerateOptions options = Steps(200);
    options.on_text = ThrowAt(90);
    EXPECT_THROW((void)session->Respond(options), std::runtime_error);
    EXPECT_GT(session->info().evicted, 0);
    EXPECT_EQ(session->info().cp + session->info().evicted, std::ssize(session->all_tokens()));
    EXPECT_EQ(Phase::kPending, session->info().phase);  // no reply joined
    const auto saved = session->Save({.root = folder.path(), .name = {}});
    ASSERT_TRUE(saved.ok()) << saved.status().ToString();
    const auto loaded = engine->LoadSession(saved->folder, nullptr);
    ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
    const auto there = (*loaded)->Respond(Steps(12)), here = session->Respond(Steps(12));
    ASSERT_TRUE(here.ok() && there.ok()) << here.status().ToString() << there.status().ToString();
    EXPECT_EQ(here->tokens, there->tokens);
    EXPECT_EQ(LogitsOf(*session), LogitsOf(**loaded));
  }
}

TEST_F(SettleTalkTest, TheReplyOfACallThatThrewDoesNotJoinTheTranscript) {
  const auto engine = Make(model_);
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<BatchRequest> batch;
  for (uint64_t i = 0; i < 3; ++i) {
    sessions.push_back(MakeSession(*engine, i));
    ASSERT_TRUE(Say(*sessions.back(), "Tell me more.").ok());
    batch.push_back({.session = sessions.back().get(), .options = Steps(i == 0 ? 1 : 40)});
    batch.back().options.on_text = [](auto) { return true; };
  }
  batch[1].options.on_text = ThrowAt(8);
  EXPECT_THROW((void)engine->Run(batch), std::runtime_error);
  for (const auto& session : sessions) {
    EXPECT_EQ(1u, session->transcript().size());
    EXPECT_EQ(Phase::kPending, session->info().phase);
    ExpectTrue(model_, *session);
    EXPECT_TRUE(session->Respond(Steps(3)).ok());
  }
}

TEST_F(SettleTalkTest, ASessionTwiceInABatchOfReplies) {
  const auto engine = Make(model_);
  const auto session = MakeSession(*engine, 1);
  ASSERT_TRUE(Say(*session, "Hello.").ok());
  std::vector<BatchRequest> batch(2, {.session = session.get(), .options = Steps(6)});
  const auto replies = engine->Run(batch);
  ASSERT_TRUE(replies[0].ok());
  EXPECT_EQ("busy", replies[1].status().name());
  ASSERT_EQ(2u, session->transcript().size());
  EXPECT_EQ(replies[0]->text, session->transcript()[1].content);
  ExpectTrue(model_, *session);
}

TEST_F(SettleTalkTest, AConversationTwiceInRespondAllIsAnsweredOnce) {
  const auto engine = Make(model_);
  auto manager = ContextManager::New(engine.get(), {.sampler = {.temperature = 0}});
  ASSERT_TRUE(manager.ok());
  Conversation one, two;
  ASSERT_TRUE(one.AddUser("My name is Ada.").ok());
  ASSERT_TRUE(two.AddUser("My name is Ben.").ok());
  Conversation* const all[] = {&one, &two, &one, &one};
  const auto replies = (*manager)->RespondAll(all, Steps(8));
  ASSERT_TRUE(replies[0].ok() && replies[1].ok());
  for (const size_t i : {2, 3}) EXPECT_EQ("busy", replies[i].status().name());
  ASSERT_TRUE(one.AddAssistant(replies[0]->text).ok());
  ASSERT_TRUE(one.AddUser("What is my name?").ok());
  const auto next = (*manager)->Respond(one, Steps(8));
  ASSERT_TRUE(next.ok()) << next.status().ToString();

  const auto quiet = Make(model_);
  auto alone = ContextManager::New(quiet.get(), {.sampler = {.temperature = 0}});
  Conversation other;
  ASSERT_TRUE(other.AddUser("My name is Ada.").ok());
  EXPECT_EQ((*alone)->Respond(other, Steps(8))->tokens, replies[0]->tokens);
  ASSERT_TRUE(other.AddAssistant(replies[0]->text).ok());
  ASSERT_TRUE(other.AddUser("What is my name?").ok());
  EXPECT_EQ((*alone)->Respond(other, Steps(8))->tokens, next->tokens);
  EXPECT_EQ(other.n_past(), one.n_past());
}

TEST(SettleDeathTest, ASessionDestroyedInItsOwnCallbackEndsTheProgramWithAMessage) {
  const auto model = LoadGolden("llama3", ComputeType::kF32);
  EXPECT_DEATH(
      {
        const auto engine = Make(model);
        auto session = MakeSession(*engine, 1);
        GenerateOptions options = Steps(4);
        options.on_logits = [&](auto) { session.reset(); };
        (void)session->Complete(Numbers(10, 3), options);
      },
      "a session is destroyed while it runs a request of its own");
}

}  // namespace
}  // namespace gyrator
