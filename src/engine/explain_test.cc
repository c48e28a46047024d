// What Explain says is what the next request does, and saying it changes nothing.
#include "gyrator/explain.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <string>

#include "engine/engine_impl.h"
#include "engine/engine_testing.h"

namespace gyrator {
namespace {

namespace fs = std::filesystem;

Message User(std::string text) {
  return {.role = "user", .content = std::move(text), .extras = {}};
}

class ExplainTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { model_ = LoadShipped(ComputeType::kInt8); }
  static void TearDownTestSuite() { model_.reset(); }
  void SetUp() override { engine_ = Make({}); }

  std::unique_ptr<Engine> Make(EngineOptions options, std::shared_ptr<const Model> model = model_) {
    if (options.context == 0) options.context = 256;
    if (options.sessions_max == 1) options.sessions_max = 4;
    options.threads = 1;
    options.explain_namespaces = true;
    return MakeEngine(model, options);
  }

  // What Explain says, checked against what it may not change.
  static Explanation Ask(Engine& engine, const Session& session,
                         const std::vector<TokenId>& prefix = {}) {
    auto& sequences = static_cast<EngineImpl&>(engine).loop().sequences();
    const std::string before = PrometheusText(engine.stats());
    const uint64_t now = sequences.now();
    const std::vector<TokenId> tokens = session.all_tokens();
    const auto said = prefix.empty() ? session.Explain() : session.Explain(prefix);
    EXPECT_TRUE(said.ok()) << said.status().ToString();
    EXPECT_EQ(Quiet(before), Quiet(PrometheusText(engine.stats())));
    EXPECT_EQ(now, sequences.now());
    EXPECT_EQ(tokens, session.all_tokens());
    std::string why;
    EXPECT_TRUE(sequences.Check(&why)) << why;
    return said.ok() ? *said : Explanation();
  }

  // Without the clocks.
  static std::string Quiet(const std::string& text) {
    std::string quiet;
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      const std::string line = text.substr(at, end - at);
      if (line.find("seconds") == std::string::npos) quiet += line + "\n";
      at = end + 1;
    }
    return quiet;
  }

  // That a request of the session does what was said.
  static void ExpectDone(const Explanation& said, const Result<Reply>& reply) {
    ASSERT_TRUE(reply.ok()) << reply.status().ToString();
    EXPECT_EQ(said.fits, reply->tokens_evicted == 0);
    EXPECT_EQ(said.divergence && said.divergence->rule == Rule::kEvicted && said.evicted > 0,
              reply->window_rebuilt);
    if (!said.fits) return;  // the numbers are those of a session with room
    EXPECT_EQ(said.own, reply->tokens_reused - reply->tokens_shared);
    EXPECT_EQ(said.shared, reply->tokens_shared);
    EXPECT_EQ(said.decode, reply->tokens_decoded);
    EXPECT_EQ(said.prompt_tokens, reply->tokens_reused + reply->tokens_decoded);
  }

  // Explains the next turn, takes it, compares. Gives what was said.
  static Explanation Turn(Engine& engine, Session& session, int32_t steps = 8) {
    const Explanation said = Ask(engine, session);
    ExpectDone(said, session.Respond(Steps(steps)));
    return said;
  }
  static Explanation Say(Engine& engine, Session& session, const std::string& line,
                         int32_t steps = 8) {
    EXPECT_TRUE(session.Append(User(line)).ok());
    return Turn(engine, session, steps);
  }

  static void ExpectRule(Rule rule, const Explanation& said) {
    ASSERT_TRUE(said.divergence.has_value());
    EXPECT_EQ(RuleName(rule), RuleName(said.divergence->rule)) << said.divergence->detail;
    EXPECT_FALSE(said.divergence->detail.empty());
  }

  static std::shared_ptr<const Model> ShippedWith(const std::string& text) {
    return LoadBytes(WithTemplate(ReadTree("models/gyrator-chat.gguf"), text));
  }

  static std::shared_ptr<const Model> model_;
  std::unique_ptr<Engine> engine_;
};

std::shared_ptr<const Model> ExplainTest::model_;

TEST_F(ExplainTest, ATalkGoesOnFromWhatItHolds) {
  const auto session = MakeSession(*engine_, 1);
  const Explanation first = Say(*engine_, *session, "My name is Ada.");
  EXPECT_EQ(0, first.own + first.shared);
  ExpectRule(Rule::kNeverSeen, first);
  EXPECT_EQ(0, first.divergence->position);
  EXPECT_EQ(-1, first.divergence->had);
  EXPECT_EQ("", first.divergence->had_text);
  EXPECT_EQ("<|user|>", first.divergence->wants_text);
  for (const char* line : {"I live in Oslo.", "What is my name?"}) {
    const auto held = static_cast<int32_t>(session->tokens().size());
    const Explanation said = Say(*engine_, *session, line);
    EXPECT_EQ(held, said.own);
    EXPECT_FALSE(said.divergence.has_value());
    EXPECT_TRUE(said.fits);
  }
}

TEST_F(ExplainTest, ASharedPrefixIsNotItsOwn) {
  const auto one = MakeSession(*engine_, 1), two = MakeSession(*engine_, 2);
  const std::string line = "My name is Ada and I live in Oslo with a cat and a dog and a horse.";
  Say(*engine_, *one, line);
  const Explanation said = Say(*engine_, *two, line);
  EXPECT_EQ(0, said.own);
  EXPECT_EQ(1, said.decode);
  EXPECT_FALSE(said.divergence.has_value());  // the last row is always decoded
  const auto three = MakeSession(*engine_, 3);
  const Explanation part = Say(*engine_, *three, "My name is Ada and I live in Rome.");
  EXPECT_GT(part.shared, 5);
  ExpectRule(Rule::kNeverSeen, part);
  EXPECT_EQ(part.shared, part.divergence->position);
}

TEST_F(ExplainTest, AnEditIsToldWhereItStands) {
  const auto session = MakeSession(*engine_, 1);
  ASSERT_TRUE(
      session->Append({.role = "system", .content = "Be kind and brief.", .extras = {}}).ok());
  Say(*engine_, *session, "My name is Ada.");
  Say(*engine_, *session, "I live in Oslo.");
  const std::vector<TokenId> before = session->all_tokens();
  ASSERT_TRUE(session->Edit(3, "I live in Rome.").ok());
  const Explanation said = Turn(*engine_, *session);
  ExpectRule(Rule::kEditedHistory, said);
  EXPECT_EQ(before[static_cast<size_t>(said.divergence->position)], said.divergence->had);
  EXPECT_EQ(said.own, said.divergence->position);
  EXPECT_NE(std::string::npos, said.divergence->detail.find("message 3"));
  EXPECT_NE(said.divergence->had_text, said.divergence->wants_text);
  // The first user message shares its turn with the system prompt.
  ASSERT_TRUE(session->Edit(1, "My name is Bob.").ok());
  ExpectRule(Rule::kEditedHistory, Turn(*engine_, *session));
  EXPECT_FALSE(Say(*engine_, *session, "Hello.").divergence.has_value());
}

TEST_F(ExplainTest, ARewindAndAnotherHistoryAreEdits) {
  const auto session = MakeSession(*engine_, 1);
  for (const char* line : {"My name is Ada.", "I live in Oslo.", "I have a cat."}) {
    Say(*engine_, *session, line);
  }
  ASSERT_TRUE(session->Rewind(2).ok());
  ExpectRule(Rule::kEditedHistory, Say(*engine_, *session, "I live in Rome."));
  // Back to a message without its reply: nothing differs, one row is decoded for its logits.
  ASSERT_TRUE(session->Rewind(3).ok());
  const Explanation again = Turn(*engine_, *session);
  EXPECT_EQ(1, again.decode);
  EXPECT_FALSE(again.divergence.has_value());
  const auto transcript = session->transcript();
  std::vector<Message> other(transcript.begin(), transcript.end());
  other[1].content = "Another reply.";
  other.push_back(User("Hello."));
  ASSERT_TRUE(session->SetTranscript(other).ok());
  ExpectRule(Rule::kEditedHistory, Turn(*engine_, *session));
}

TEST_F(ExplainTest, TokensThatAreNoMessagesAreAnotherHistory) {
  const auto session = MakeSession(*engine_, 1);
  Say(*engine_, *session, "My name is Ada.");
  ASSERT_TRUE(session->Complete(Join(session->all_tokens(), Numbers(9, 40)), Steps(1)).ok());
  ExpectRule(Rule::kEditedHistory, Say(*engine_, *session, "I live in Oslo."));
}

// What was edited away is gone from a fork and from a folder, so that nothing is there to differ.
TEST_F(ExplainTest, AnEditIsToldWhereItsTokensStillAre) {
  const auto session = MakeSession(*engine_, 1);
  Say(*engine_, *session, "My name is Ada.");
  Say(*engine_, *session, "I live in Oslo.");
  ASSERT_TRUE(session->Edit(2, "I live in Rome.").ok());
  ExpectRule(Rule::kEditedHistory, *session->Explain());
  const auto fork = *session->Fork({});
  const Explanation of_fork = Ask(*engine_, *fork);
  EXPECT_FALSE(of_fork.divergence.has_value());
  EXPECT_GT(of_fork.own, 0);
  const std::string root = testing::TempDir() + "explain_test_folder";
  const auto saved = session->Save({.root = root, .name = {}});
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  const auto engine = Make({});
  auto loaded = engine->LoadSession(saved->folder, nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  const Explanation of_folder = Turn(*engine, **loaded);
  EXPECT_FALSE(of_folder.divergence.has_value());
  EXPECT_EQ(of_fork.own, of_folder.own);
  fs::remove_all(root);
}

TEST_F(ExplainTest, ATemplateThatDropsThinkingIsTold) {
  const auto model = ShippedWith(ReadTree("tests/golden/templates/qwen3.jinja"));
  ASSERT_NE(nullptr, model);
  const auto engine = Make({.context = 512}, model);
  const auto session = MakeSession(*engine, 1);
  // Behind a tool's result the template repeats what the reply thought.
  ASSERT_TRUE(
      session
          ->SetTranscript({User("Who am I?"),
                           {.role = "assistant",
                            .content = "<think>\nWho may that be?\n</think>\n\nI look it up.",
                            .extras = {}},
                           {.role = "tool", .content = "Ada", .extras = R"({"tool_call_id":"1"})"}})
          .ok());
  ExpectRule(Rule::kNeverSeen, Turn(*engine, *session));
  const std::vector<TokenId> before = session->all_tokens();
  EXPECT_NE(std::string::npos, model->text()->Decode(before, false).find("Who may that be"));
  // Behind another line of the user it does not.
  ASSERT_TRUE(session->Append(User("And you?")).ok());
  const Explanation said = Turn(*engine, *session);
  ExpectRule(Rule::kTemplateDrift, said);
  EXPECT_EQ("the template renders one of the messages 0 to 2 otherwise than it was decoded",
            said.divergence->detail);
  EXPECT_EQ(before[static_cast<size_t>(said.divergence->position)], said.divergence->had);
  EXPECT_EQ(std::string::npos,
            model->text()->Decode(session->all_tokens(), false).find("Who may that be"));
}

// The reply's tokens stay only while the template repeats them.
TEST_F(ExplainTest, ATemplateThatShoutsEarlierRepliesDrifts) {
  const auto model = ShippedWith(
      "{% for message in messages %}{{ '<|' + message['role'] + '|>' + (message['content'] | upper "
      "if message['role'] == 'assistant' else message['content']) + '<|end|>' }}{% endfor %}{% if "
      "add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}");
  ASSERT_NE(nullptr, model);
  const auto engine = Make({}, model);
  const auto session = MakeSession(*engine, 1);
  Say(*engine, *session, "My name is Ada.");
  const auto begin = static_cast<int32_t>(session->all_tokens().size()) - 8;
  const Explanation said = Say(*engine, *session, "Who am I?");
  ExpectRule(Rule::kTemplateDrift, said);
  EXPECT_GE(said.divergence->position, begin);
  EXPECT_EQ(said.own, said.divergence->position);
  EXPECT_NE(std::string::npos, said.divergence->detail.find("message 1"));
  // An edit of the last line does not hide it: the difference comes before.
  ASSERT_TRUE(session->Edit(2, "Who am I now?").ok());
  ExpectRule(Rule::kEditedHistory, Turn(*engine, *session));  // that reply is decoded as rendered
  ASSERT_TRUE(session->Append(User("And you?")).ok());
  ASSERT_TRUE(session->Edit(4, "And who are you?").ok());
  ExpectRule(Rule::kTemplateDrift, Turn(*engine, *session));
}

TEST_F(ExplainTest, AnotherNamespaceIsToldOnlyWhenAsked) {
  const auto line = "My name is Ada and I live in Oslo with a cat and a dog and a horse.";
  const auto one = MakeSession(*engine_, 1, "one");
  Say(*engine_, *one, line);
  const auto two = MakeSession(*engine_, 2, "two");
  ASSERT_TRUE(two->Append(User(line)).ok());
  const Explanation said = Turn(*engine_, *two);
  ExpectRule(Rule::kOtherNamespace, said);
  EXPECT_EQ(0, said.divergence->position);
  EXPECT_EQ(
      std::to_string(said.prompt_tokens - 1) + " tokens of it are cached in another namespace",
      said.divergence->detail);
  EngineOptions options;
  options.context = 256;
  options.sessions_max = 4;
  options.threads = 1;
  const auto silent = MakeEngine(model_, options);
  const auto mine = MakeSession(*silent, 1, "one"), other = MakeSession(*silent, 2, "two");
  Say(*silent, *mine, line);
  const Explanation nothing = Say(*silent, *other, line);
  ExpectRule(Rule::kNeverSeen, nothing);
  EXPECT_EQ("nobody has computed it", nothing.divergence->detail);
}

TEST_F(ExplainTest, AnEditBeforeWhatWasEvictedMakesTheWindowAnew) {
  const auto engine = Make({.context = 128});
  SessionOptions options;
  options.window = {.overflow = Overflow::kMessage, .headroom = 16};
  const auto session = *engine->NewSession(options);
  int seen = 0;
  for (int turn = 0; turn < 20; ++turn) {
    const Explanation said = Say(*engine, *session, "My number is " + std::to_string(turn) + ".");
    EXPECT_FALSE(said.divergence && turn > 0) << turn;
    seen += said.fits ? 0 : 1;
  }
  EXPECT_GT(seen, 1);
  ASSERT_TRUE(session->Append(User("Hello.")).ok());
  const Explanation fits = Ask(*engine, *session);
  EXPECT_GT(fits.evicted, 0);
  EXPECT_EQ(session->info().evicted, fits.evicted);
  ASSERT_TRUE(session->Edit(4, "Another number.").ok());
  const Explanation said = Turn(*engine, *session);
  ExpectRule(Rule::kEvicted, said);
  EXPECT_LT(said.divergence->position, 100);
}

TEST_F(ExplainTest, WhatAParkedSessionLostIsTold) {
  const auto engine = Make({.context = 128, .kv_budget = 0});
  std::vector<std::unique_ptr<Session>> sessions;
  for (TokenId i = 0; i < 5; ++i) {
    sessions.push_back(MakeSession(*engine, 1));
    ASSERT_TRUE(sessions.back()->Complete(std::vector<TokenId>(120, 30 + i), Steps(1)).ok());
  }
  ASSERT_GT(engine->stats().parked, 0);
  std::vector<TokenId> more = sessions[0]->all_tokens();
  more.push_back(9);
  const Explanation said = Ask(*engine, *sessions[0], more);
  EXPECT_GT(said.decode, 1);
  ExpectRule(Rule::kEvicted, said);
  EXPECT_EQ(said.own + said.shared, said.divergence->position);
  ExpectDone(said, sessions[0]->Complete(more, Steps(1)));
}

TEST_F(ExplainTest, RawTokensAreExplainedAsTheyAreCompleted) {
  const auto session = MakeSession(*engine_, 1);
  EXPECT_EQ(Code::kInvalidArgument, session->Explain(std::vector<TokenId>()).status().code());
  EXPECT_EQ(Code::kInvalidArgument,
            session->Explain(std::vector<TokenId>{1, 1 << 30}).status().code());
  EXPECT_EQ(Code::kInvalidArgument, session->Explain().status().code());
  const auto complete = [&](const std::vector<TokenId>& prefix) {
    const Explanation said = Ask(*engine_, *session, prefix);
    ExpectDone(said, session->Complete(prefix, Steps(4)));
    return said;
  };
  ExpectRule(Rule::kNeverSeen, complete(Numbers(50, 3)));
  EXPECT_FALSE(complete(Join(session->all_tokens(), Numbers(5, 9))).divergence.has_value());
  EXPECT_EQ(0, complete(session->all_tokens()).decode);
  std::vector<TokenId> other = session->all_tokens();
  other[20] += 1;
  const Explanation said = complete(other);
  ExpectRule(Rule::kEditedHistory, said);
  EXPECT_EQ(20, said.divergence->position);
  EXPECT_EQ(20, said.own);
}

TEST_F(ExplainTest, WithoutACacheAllIsDecoded) {
  const auto engine = Make({.use_cache = false});
  const auto session = MakeSession(*engine, 1);
  Say(*engine, *session, "My name is Ada.");
  const Explanation said = Say(*engine, *session, "I live in Oslo.");
  EXPECT_EQ(said.prompt_tokens, said.decode);
  EXPECT_FALSE(said.divergence.has_value());
}

TEST_F(ExplainTest, WhatDoesNotFitIsToldBeforehand) {
  const auto engine = Make({.context = 32});
  const auto session = MakeSession(*engine, 1);
  ASSERT_TRUE(session->Append(User(std::string(400, 'x'))).ok());
  EXPECT_FALSE(Ask(*engine, *session).fits);
  EXPECT_EQ(Code::kExhausted, session->Respond(Steps(1)).status().code());
}

TEST_F(ExplainTest, ASessionCountsItsTokens) {
  const auto session = MakeSession(*engine_, 1);
  Reply sum;
  size_t generated = 0;
  for (const char* line : {"My name is Ada.", "I live in Oslo."}) {
    ASSERT_TRUE(session->Append(User(line)).ok());
    const auto reply = session->Respond(Steps(6));
    ASSERT_TRUE(reply.ok());
    sum.tokens_reused += reply->tokens_reused;
    sum.tokens_decoded += reply->tokens_decoded;
    generated += reply->tokens.size();
  }
  ASSERT_TRUE(session->Fork({}).ok());  // holds it, which is no request
  const SessionInfo info = session->info();
  EXPECT_EQ(static_cast<uint64_t>(sum.tokens_reused), info.tokens_reused);
  EXPECT_EQ(static_cast<uint64_t>(sum.tokens_decoded), info.tokens_decoded);
  EXPECT_EQ(0u, info.tokens_shared);
  EXPECT_EQ(generated, info.tokens_generated);
  EXPECT_EQ(12u, info.tokens_generated);
}

// To fork a parked session is to bring it back, which nobody asked for.
TEST_F(ExplainTest, WhatASessionIsHeldForDoesNotCount) {
  const auto engine = Make({.context = 128});
  std::vector<std::unique_ptr<Session>> sessions;
  for (TokenId i = 0; i < 5; ++i) {
    sessions.push_back(MakeSession(*engine, 1));
    ASSERT_TRUE(sessions.back()->Complete(std::vector<TokenId>(120, 30 + i), Steps(1)).ok());
  }
  ASSERT_GT(engine->stats().parked, 0);
  ASSERT_TRUE(sessions[0]->Fork({}).ok());
  EXPECT_GT(engine->stats().sessions_resumed, 0u);
  EXPECT_EQ(120u, sessions[0]->info().tokens_decoded);
  EXPECT_EQ(0u, sessions[0]->info().tokens_reused);
}

TEST_F(ExplainTest, TheCacheKeepsItsBudget) {
  const auto unbounded = Make({});
  const uint64_t block = unbounded->stats().block_bytes;
  for (const uint64_t blocks : {0, 3, 8}) {
    const auto engine = Make({.cache_budget = blocks * block + block / 2});
    for (TokenId i = 0; i < 6; ++i) {
      const auto session = MakeSession(*engine, 1);
      ASSERT_TRUE(session->Complete(std::vector<TokenId>(60, 30 + i), Steps(1)).ok());
    }
    // The last one was in use when it was published.
    EXPECT_LE(engine->stats().blocks_cached, static_cast<int32_t>(std::max<uint64_t>(blocks, 4)));
    EXPECT_GT(engine->stats().blocks_evicted, 0u);
  }
}

}  // namespace
}  // namespace gyrator
