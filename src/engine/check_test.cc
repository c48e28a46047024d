// Session::Check: what Respond would refuse, told before anything is decoded or saved.
#include <gtest/gtest.h>

#include <set>

#include "engine/engine_testing.h"

namespace gyrator {
namespace {

constexpr int32_t kCapacity = 128;

Message User(std::string text) {
  return {.role = "user", .content = std::move(text), .extras = {}};
}

std::string Words(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "word" + std::to_string(i % 10) + " ";
  return text;
}

std::unique_ptr<Engine> Small(const std::shared_ptr<const Model>& model) {
  EngineOptions options;
  options.context = kCapacity;
  options.threads = 1;
  return MakeEngine(model, options);
}

std::unique_ptr<Session> New(Engine& engine, const WindowOptions& window) {
  auto session = engine.NewSession({.sampler = {.temperature = 0}, .window = window});
  EXPECT_TRUE(session.ok()) << session.status().ToString();
  return *std::move(session);
}

class CheckTest : public testing::TestWithParam<Overflow> {
 protected:
  static void SetUpTestSuite() { model_ = LoadShipped(ComputeType::kInt8); }
  static void TearDownTestSuite() { model_.reset(); }

  WindowOptions Window() const { return {.overflow = GetParam(), .headroom = 16}; }

  static std::shared_ptr<const Model> model_;
  std::unique_ptr<Engine> engine_ = Small(model_);
};

std::shared_ptr<const Model> CheckTest::model_;

TEST_P(CheckTest, SaysOfEveryLengthWhatRespondSays) {
  int refused = 0, answered = 0;
  for (const int words : {1, 20, 40, 50, 54, 56, 58, 60, 62, 64, 66, 70, 100, 200}) {
    for (const int turns : {0, 3}) {
      const auto session = New(*engine_, Window());
      for (int turn = 0; turn < turns; ++turn) {
        ASSERT_TRUE(session->Append(User("My name is Ada.")).ok());
        ASSERT_TRUE(session->Respond(Steps(4)).ok());
      }
      ASSERT_TRUE(session->Append(User(Words(words))).ok());
      const Status checked = session->Check();
      const auto reply = session->Respond(Steps(1));
      EXPECT_EQ(reply.status().code(), checked.code()) << words << " " << turns;
      EXPECT_EQ(reply.status().name(), checked.name()) << words << " " << turns;
      ++(checked.ok() ? answered : refused);
    }
  }
  EXPECT_GT(refused, 4);
  EXPECT_GT(answered, 4);
}

// A template that writes users' messages alone has nothing to say of a system prompt.
TEST(Check, MessagesThatRenderToNothingAreRefused) {
  const auto model = LoadBytes(
      WithTemplate(ReadTree("models/gyrator-chat.gguf"),
                   "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}"
                   "{% endfor %}"));
  const auto engine = Small(model);
  const auto session = New(*engine, {});
  ASSERT_TRUE(session->Append({.role = "system", .content = "Be kind.", .extras = {}}).ok());
  EXPECT_EQ(Code::kInvalidArgument, session->Check().code());
  EXPECT_EQ(Code::kInvalidArgument, session->Prepare({}).status().code());
  EXPECT_EQ(Code::kInvalidArgument, session->Respond(Steps(3)).status().code());
  ASSERT_TRUE(session->Append(User("Hello.")).ok());
  EXPECT_TRUE(session->Respond(Steps(3)).ok());
}

// Token by token over the capacity.
TEST_P(CheckTest, SaysOfTheLongestPromptAndTheOneBehindItWhatRespondSays) {
  std::set<int32_t> lengths;
  for (int more = 0; more < 60; ++more) {
    const auto session = New(*engine_, Window());
    std::string text = Words(45);
    for (int i = 0; i < more; ++i) text += " a";
    ASSERT_TRUE(session->Append(User(text)).ok());
    lengths.insert(session->Explain()->prompt_tokens);
    const Status checked = session->Check();
    const auto reply = session->Respond(Steps(0));
    EXPECT_EQ(reply.status().name(), checked.name()) << more;
    EXPECT_EQ(checked.ok(), *lengths.rbegin() <= kCapacity) << *lengths.rbegin();
  }
  EXPECT_TRUE(lengths.contains(kCapacity) && lengths.contains(kCapacity + 1));
}

TEST_P(CheckTest, ChangesNothing) {
  const auto session = New(*engine_, Window());
  for (int turn = 0; turn < 3; ++turn) {
    ASSERT_TRUE(session->Append(User("My name is Ada.")).ok());
    ASSERT_TRUE(session->Respond(Steps(8)).ok());
  }
  ASSERT_TRUE(session->Append(User(Words(400))).ok());
  const auto tokens = session->all_tokens();
  const uint64_t decoded = engine_->stats().tokens_decoded;
  for (int i = 0; i < 3; ++i) EXPECT_EQ("capacity", session->Check().name());
  EXPECT_EQ(tokens, session->all_tokens());
  EXPECT_EQ(7u, session->transcript().size());
  EXPECT_EQ(decoded, engine_->stats().tokens_decoded);
  ASSERT_TRUE(session->Rewind(6).ok());
  ASSERT_TRUE(session->Append(User("What is my name?")).ok());
  EXPECT_TRUE(session->Check().ok());
  EXPECT_TRUE(session->Respond(Steps(8)).ok());
}

TEST_P(CheckTest, NamesTheNumbersAndTheRemedy) {
  const auto session = New(*engine_, Window());
  ASSERT_TRUE(session->Append(User(Words(400))).ok());
  const std::string message = session->Check().message();
  EXPECT_NE(std::string::npos, message.find("-c")) << message;
  EXPECT_NE(std::string::npos, message.find("shorter text")) << message;
}

INSTANTIATE_TEST_SUITE_P(Policies, CheckTest,
                         testing::Values(Overflow::kError, Overflow::kMessage, Overflow::kFifo,
                                         Overflow::kSink, Overflow::kScore),
                         [](const auto& test) { return std::string(OverflowName(test.param)); });

TEST(Check, TheTemplatesRefusal) {
  const std::string gguf = ReadTree("models/gyrator-chat.gguf");
  const auto engine = Small(LoadBytes(WithTemplate(
      gguf,
      "{% for m in messages %}{% if 'never' in m['content'] %}{{ raise_exception('no such word') }}"
      "{% endif %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
      "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}")));
  for (const Overflow overflow : {Overflow::kError, Overflow::kMessage, Overflow::kSink}) {
    const auto session = New(*engine, {.overflow = overflow});
    EXPECT_FALSE(session->Check().ok());  // there is nothing to answer
    ASSERT_TRUE(session->Append(User("Say never.")).ok());
    const Status status = session->Check();
    EXPECT_NE(std::string::npos, status.message().find("no such word")) << status.message();
    EXPECT_EQ(session->Respond(Steps(2)).status().message(), status.message());
    ASSERT_TRUE(session->Rewind(0).ok());
    ASSERT_TRUE(session->Append(User("Say it.")).ok());
    EXPECT_TRUE(session->Check().ok());
  }
}

}  // namespace
}  // namespace gyrator
