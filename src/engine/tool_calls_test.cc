// Agents: one question, then calls of tools with their results, in a window that is full.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "engine/context_manager_testing.h"

namespace gyrator {
namespace {

constexpr int32_t kContext = 192;
constexpr const char* kQuestion = "What is the sum of all of them?";

struct Case {
  Overflow overflow;
  EvictMode mode;
};

Message Call(int i) {
  const std::string id = "c" + std::to_string(i);
  return {.role = "assistant",
          .content = "",
          .extras = R"({"tool_calls":[{"id":")" + id +
                    R"(","type":"function","function":{"name":"f","arguments":"{}"}}]})"};
}

std::string ResultOf(int i, int part = 0) {
  return "result " + std::to_string(1000 + i) + " of part " + std::to_string(part) + " of the sum";
}

Message Answer(int i, int part = 0) {
  return {.role = "tool",
          .content = ResultOf(i, part),
          .extras = R"({"tool_call_id":"c)" + std::to_string(i) + R"("})"};
}

class ToolLoop : public testing::TestWithParam<Case> {
 protected:
  static void SetUpTestSuite() { model_ = LoadShipped(ComputeType::kInt8); }
  static void TearDownTestSuite() { model_.reset(); }

  std::unique_ptr<Session> New() {
    engine_ = MakeEngine(model_, {.context = kContext, .threads = 1});
    SessionOptions options;
    options.sampler.temperature = 0;
    options.window = {.overflow = GetParam().overflow, .mode = GetParam().mode, .headroom = 16};
    return *engine_->NewSession(options);
  }
  static void Say(Session& session, Message message) {
    const Status status = session.Append(std::move(message));
    EXPECT_TRUE(status.ok()) << status.ToString();
  }
  static std::string WindowText(const Session& session) {
    return model_->text()->Decode(session.tokens(), false);
  }
  static bool Has(const Session& session, const std::string& text) {
    return WindowText(session).find(text) != std::string::npos;
  }
  // A call stands with all of its results, or none of them does.
  static void ExpectNoCallWithoutItsResult(const Session& session, int parts) {
    const std::string text = WindowText(session);
    const std::string empty_call = "<|assistant|><|end|><|tool|>";
    size_t calls = 0, results = 0;
    for (size_t at = text.find(empty_call); at != std::string::npos; ++calls) {
      at = text.find(empty_call, at + 1);
    }
    for (size_t at = text.find("result 1"); at != std::string::npos; ++results) {
      at = text.find("result 1", at + 1);
    }
    EXPECT_EQ(calls * static_cast<size_t>(parts), results) << text;
  }

  inline static std::shared_ptr<const Model> model_;
  std::unique_ptr<Engine> engine_;
};

TEST_P(ToolLoop, FiftyCallsGoOnAndTheQuestionAndTheNewestResultStay) {
  const auto session = New();
  Say(*session, {.role = "system", .content = "Be kind.", .extras = {}});
  Say(*session, {.role = "user", .content = kQuestion, .extras = {}});
  for (int i = 0; i < 50; ++i) {
    const auto prepared = session->Prepare({});
    ASSERT_TRUE(prepared.ok()) << i << ": " << prepared.status().ToString();
    EXPECT_TRUE(Has(*session, "Be kind.")) << i;
    EXPECT_TRUE(Has(*session, kQuestion)) << i << WindowText(*session);
    EXPECT_TRUE(i == 0 || Has(*session, ResultOf(i - 1))) << i;
    ExpectNoCallWithoutItsResult(*session, 1);
    Say(*session, Call(i));
    Say(*session, Answer(i));
  }
  EXPECT_GT(session->info().evicted, kContext);
  EXPECT_EQ(0, session->info().windows_rebuilt);
  EXPECT_EQ(102u, session->transcript().size());
  const auto gone = session->EvictedMessages();
  ASSERT_TRUE(gone.ok());
  EXPECT_GT(gone->size(), 60u);
  EXPECT_EQ(2u, gone->front());  // behind system and question
  EXPECT_EQ(0u, gone->size() % 2);
}

TEST_P(ToolLoop, TheModelsOwnCallsWithTwoResultsEach) {
  const auto session = New();
  Say(*session, {.role = "user", .content = kQuestion, .extras = {}});
  for (int i = 0; i < 25; ++i) {
    const auto reply = session->Respond({.tokens_max = 6});
    ASSERT_TRUE(reply.ok()) << i << ": " << reply.status().ToString();
    Say(*session, Answer(i, 1));
    Say(*session, Answer(i, 2));
    ASSERT_TRUE(session->Prepare({}).ok());
    EXPECT_TRUE(Has(*session, kQuestion)) << i << WindowText(*session);
    EXPECT_TRUE(Has(*session, ResultOf(i, 1)) && Has(*session, ResultOf(i, 2))) << i;
    for (int old = 0; old < i; ++old) {
      EXPECT_EQ(Has(*session, ResultOf(old, 1)), Has(*session, ResultOf(old, 2))) << old;
    }
  }
  EXPECT_GT(session->info().evicted, 0);
}

// Instructions between the calls, and calls that nobody answered, keep no other call from leaving.
TEST_P(ToolLoop, InstructionsAndUnansweredCallsBetweenThemAreNoDeadEnd) {
  for (const bool instructs : {true, false}) {
    SCOPED_TRACE(instructs);
    const auto session = New();
    Say(*session, {.role = "system", .content = "Be kind.", .extras = {}});
    Say(*session, {.role = "user", .content = kQuestion, .extras = {}});
    for (int i = 0; i < 24; ++i) {
      if (i == 0 || i == 3) {
        Say(*session, instructs ? Message{.role = "system", .content = "Be brief.", .extras = {}}
                                : Call(100 + i));
      }
      Say(*session, Call(i));
      Say(*session, Answer(i));
      const auto prepared = session->Prepare({});
      ASSERT_TRUE(prepared.ok()) << i << ": " << prepared.status().ToString();
      EXPECT_TRUE(Has(*session, kQuestion) && Has(*session, ResultOf(i))) << WindowText(*session);
    }
    EXPECT_GT(session->info().evicted, 0);
  }
}

TEST_P(ToolLoop, OldTurnsGoBeforeTheCallsOfTheNewestOne) {
  const auto session = New();
  for (int i = 0; i < 4; ++i) {
    Say(*session, {.role = "user", .content = "Line " + std::to_string(i), .extras = {}});
    Say(*session, {.role = "assistant", .content = "Yes.", .extras = {}});
  }
  Say(*session, {.role = "user", .content = kQuestion, .extras = {}});
  for (int i = 0; i < 20; ++i) {
    Say(*session, Call(i));
    Say(*session, Answer(i));
    ASSERT_TRUE(session->Prepare({}).ok()) << i;
    EXPECT_TRUE(Has(*session, kQuestion) && Has(*session, ResultOf(i))) << i;
    if (GetParam().overflow == Overflow::kMessage && !Has(*session, ResultOf(0))) {
      EXPECT_FALSE(Has(*session, "Line 3")) << i;
    }
  }
  // The next question closes the turn; all of it may go from then on.
  for (int i = 0; i < 12; ++i) {
    Say(*session, {.role = "assistant", .content = "It is so.", .extras = {}});
    Say(*session, {.role = "user", .content = "And line " + std::to_string(i) + "?", .extras = {}});
    ASSERT_TRUE(session->Prepare({}).ok()) << i;
  }
}

TEST_P(ToolLoop, OneResultThatDoesNotFitIsATypedErrorAndTheTalkGoesOn) {
  const auto session = New();
  Say(*session, {.role = "user", .content = kQuestion, .extras = {}});
  for (int i = 0; i < 8; ++i) {
    Say(*session, Call(i));
    Say(*session, Answer(i));
    ASSERT_TRUE(session->Prepare({}).ok());
  }
  Message large = Answer(8);
  for (int i = 0; i < 100; ++i) large.content += " and one more";
  Say(*session, Call(8));
  Say(*session, large);
  EXPECT_EQ("capacity", session->Prepare({}).status().name());
  ASSERT_TRUE(session->Rewind(session->transcript().size() - 1).ok());
  Say(*session, Answer(8));
  EXPECT_TRUE(session->Prepare({}).ok());
  EXPECT_TRUE(Has(*session, kQuestion) && Has(*session, ResultOf(8)));
}

INSTANTIATE_TEST_SUITE_P(Policies, ToolLoop,
                         testing::Values(Case{Overflow::kMessage, EvictMode::kShift},
                                         Case{Overflow::kMessage, EvictMode::kRecompute},
                                         Case{Overflow::kFifo, EvictMode::kShift},
                                         Case{Overflow::kFifo, EvictMode::kRecompute},
                                         Case{Overflow::kSink, EvictMode::kShift},
                                         Case{Overflow::kSink, EvictMode::kRecompute},
                                         Case{Overflow::kScore, EvictMode::kShift},
                                         Case{Overflow::kScore, EvictMode::kRecompute}),
                         [](const auto& test) {
                           return std::string(OverflowName(test.param.overflow)) +
                                  (test.param.mode == EvictMode::kShift ? "_shift" : "_recompute");
                         });

// --- The manager: what left is told, and a summary stands where the calls stood.

class ToolManager : public ContextManagerTest {};

TEST_F(ToolManager, ASummaryOfOldCallsStandsBehindTheQuestion) {
  Start(2, kContext, {.headroom = 16});
  std::vector<std::string> dropped;
  manager_->SetHook(OnEvict{[&](const EvictionReport& report, const Conversation&) {
    for (const Message& message : report.dropped) dropped.push_back(message.content);
    return Result<std::optional<std::vector<Message>>>(
        std::vector<Message>{{.role = "assistant", .content = "I asked for some.", .extras = {}}});
  }});
  std::vector<Message> shown;
  manager_->SetHook(BeforeEncode{[&](auto messages, const Conversation&) {
    shown.assign(messages.begin(), messages.end());
    return Result<std::optional<std::vector<Message>>>(std::nullopt);
  }});
  Conversation talk = Saying(kQuestion);
  for (int i = 0; i < 30; ++i) {
    MustPrepare(talk);
    EXPECT_EQ(kQuestion, shown[0].content) << i;
    EXPECT_EQ(i == 0 ? kQuestion : ResultOf(i - 1), shown.back().content);
    if (!dropped.empty() && shown.size() < talk.messages().size()) {
      EXPECT_EQ("I asked for some.", shown[1].content);
    }
    ASSERT_TRUE(talk.Add(Call(i)).ok() && talk.Add(Answer(i)).ok());
  }
  EXPECT_LT(shown.size(), 30u);
  EXPECT_EQ(61u, talk.messages().size());
  std::vector<std::string> results;
  for (const std::string& text : dropped) {
    EXPECT_NE(kQuestion, text);
    if (text.starts_with("result")) results.push_back(text);
  }
  ASSERT_GT(results.size(), 10u);
  for (size_t i = 0; i < results.size(); ++i) {  // each once, in order
    EXPECT_EQ(ResultOf(static_cast<int>(i)), results[i]);
  }
  ASSERT_TRUE(talk.Edit(0, "Another question.").ok());  // nothing of it is hidden any more
  MustPrepare(talk);
  EXPECT_EQ(1u, shown.size());
}

}  // namespace
}  // namespace gyrator
