// The context manager: rows, system prompts, hooks, eviction. Every reply is that of a session
// alone in a fresh engine.
#include "gyrator/context_manager.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "engine/engine_testing.h"

namespace gyrator {
namespace {

constexpr const char* kSystem = "You are kind and you answer in one short sentence.";

class ContextManagerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { model_ = LoadShipped(ComputeType::kInt8); }
  static void TearDownTestSuite() { model_.reset(); }
  void SetUp() override { Start(8, 256); }

  void Start(int32_t slots, int32_t context, ContextManagerOptions options = {}) {
    manager_.reset();
    EngineOptions engine_options;
    engine_options.context = context;
    engine_options.sessions_max = 4;
    engine_options.slots = slots;
    engine_options.threads = 1;
    engine_ = MakeEngine(model_, engine_options);
    options.sampler.temperature = 0;
    auto manager = ContextManager::New(engine_.get(), options);
    ASSERT_TRUE(manager.ok()) << manager.status().ToString();
    manager_ = *std::move(manager);
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

  // What a session alone says to these messages.
  static std::vector<TokenId> Alone(const std::vector<Message>& messages, int32_t steps = 8) {
    EngineOptions options;
    options.context = 256;
    options.threads = 1;
    const auto engine = MakeEngine(model_, options);
    SessionOptions session_options;
    session_options.sampler.temperature = 0;
    const auto session = *engine->NewSession(session_options);
    EXPECT_TRUE(session->SetTranscript(messages).ok());
    return session->Respond(Steps(steps))->tokens;
  }

  static std::shared_ptr<const Model> model_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<ContextManager> manager_;
};

std::shared_ptr<const Model> ContextManagerTest::model_;

TEST_F(ContextManagerTest, TheFirstPrepareAssignsARowAndTheNextDecodesNothing) {
  Conversation conversation = Saying("Hello.");
  EXPECT_TRUE(conversation.dirty());
  const int32_t n_past = MustPrepare(conversation);
  EXPECT_GT(n_past, 0);
  EXPECT_EQ(n_past, conversation.n_past());
  EXPECT_FALSE(conversation.dirty());
  EXPECT_EQ(7, manager_->Stats().slots_free);
  const uint64_t decoded = engine_->stats().tokens_decoded;
  EXPECT_EQ(n_past, MustPrepare(conversation));
  EXPECT_EQ(decoded, engine_->stats().tokens_decoded);
}

TEST_F(ContextManagerTest, APreparedRowHasItsOwnFreshLogitsWhateverWasDecodedBetween) {
  Conversation a = Saying("Hello."), b = Saying("What is your name?"), c = Saying("Hello.");
  MustPrepare(a);
  MustPrepare(b);
  MustPrepare(c);  // an exact hit
  MustPrepare(a);  // nothing new
  const auto alone = Alone({{.role = "user", .content = "Hello.", .extras = {}}});
  EXPECT_EQ(alone, MustRespond(a).tokens);
  EXPECT_EQ(alone, MustRespond(c).tokens);
  EXPECT_GT(manager_->Stats().radix.hits, 0u);
}

TEST_F(ContextManagerTest, ReleaseGivesTheRowBackAndKeepsTheMessages) {
  Conversation a = Saying("Hello."), b = Saying("Bye.");
  MustPrepare(a);
  MustPrepare(b);
  EXPECT_EQ(6, manager_->Stats().slots_free);
  manager_->Release(a);
  manager_->Release(a);
  EXPECT_EQ(7, manager_->Stats().slots_free);
  EXPECT_EQ(0, a.n_past());
  EXPECT_EQ(1u, a.messages().size());
  EXPECT_GT(MustPrepare(a), 0);
}

TEST_F(ContextManagerTest, WithoutAFreeSlotPrepareIsRefused) {
  Start(2, 256);
  Conversation a = Saying("A."), b = Saying("B."), c = Saying("C.");
  MustPrepare(a);
  MustPrepare(b);
  const auto refused = manager_->Prepare(c);
  EXPECT_EQ("slots", refused.status().name());
  manager_->Release(a);
  EXPECT_GT(MustPrepare(c), 0);
}

TEST_F(ContextManagerTest, ATurnDecodesWhatIsNewAndNothingElse) {
  Conversation conversation;
  ASSERT_TRUE(manager_->SetSystem(kSystem).ok());
  for (int turn = 0; turn < 4; ++turn) {
    ASSERT_TRUE(conversation.AddUser("Hello again.").ok());
    const int32_t before = conversation.n_past();
    const uint64_t decoded = engine_->stats().tokens_decoded;
    const int32_t n_past = MustPrepare(conversation);
    EXPECT_EQ(static_cast<uint64_t>(n_past - before), engine_->stats().tokens_decoded - decoded);
    ASSERT_TRUE(conversation.AddAssistant(MustRespond(conversation).text).ok());
  }
}

TEST_F(ContextManagerTest, OneSystemPromptIsComputedOnceForAll) {
  const auto prefix = manager_->SetSystem(kSystem);
  ASSERT_TRUE(prefix.ok()) << prefix.status().ToString();
  EXPECT_GT(*prefix, 10);
  EXPECT_EQ(*prefix, manager_->PrefixTokens());
  EXPECT_TRUE(manager_->HasPrefix());
  EXPECT_EQ(kSystem, manager_->PrefixText());
  EXPECT_EQ(*prefix, *manager_->SetSystem(kSystem));
  Conversation a = Saying("One."), b = Saying("Two.");
  MustPrepare(a);
  const uint64_t decoded = engine_->stats().tokens_decoded;
  const int32_t n_past = MustPrepare(b);
  EXPECT_LE(engine_->stats().tokens_decoded - decoded, static_cast<uint64_t>(n_past - *prefix));
  EXPECT_EQ(Alone({{.role = "system", .content = kSystem, .extras = {}},
                   {.role = "user", .content = "Two.", .extras = {}}}),
            MustRespond(b).tokens);
}

TEST_F(ContextManagerTest, TheSystemPromptReachesTheModelInASingleSlotToo) {
  Start(1, 256);
  ASSERT_TRUE(manager_->SetSystem(kSystem).ok());
  Conversation conversation = Saying("Who are you?");
  EXPECT_EQ(Alone({{.role = "system", .content = kSystem, .extras = {}},
                   {.role = "user", .content = "Who are you?", .extras = {}}}),
            MustRespond(conversation).tokens);
}

TEST_F(ContextManagerTest, AConversationsOwnSystemPromptWins) {
  ASSERT_TRUE(manager_->SetSystem(kSystem).ok());
  Conversation conversation = Saying("Who are you?", "You are a pirate.");
  EXPECT_EQ(Alone({{.role = "system", .content = "You are a pirate.", .extras = {}},
                   {.role = "user", .content = "Who are you?", .extras = {}}}),
            MustRespond(conversation).tokens);
}

TEST_F(ContextManagerTest, AnotherSystemPromptTakesTheOldOneOutOfTheCacheAndRowsDecodeAgain) {
  ASSERT_TRUE(manager_->SetSystem(kSystem).ok());
  Conversation kept = Saying("One.");
  {
    Conversation gone = Saying("Two.");
    MustRespond(gone);
    manager_->Release(gone);
  }
  MustRespond(kept);
  const int32_t cached = manager_->Stats().radix.n_blobs;
  ASSERT_TRUE(manager_->SetSystem("Speak like a sailor.").ok());
  EXPECT_LT(manager_->Stats().radix.n_blobs, cached);
  EXPECT_EQ(0u, manager_->Stats().n_system_changes);
  EXPECT_EQ(Alone({{.role = "system", .content = "Speak like a sailor.", .extras = {}},
                   {.role = "user", .content = "One.", .extras = {}}}),
            MustRespond(kept).tokens);
  EXPECT_EQ(1u, manager_->Stats().n_system_changes);
  ASSERT_TRUE(manager_->SetSystem("").ok());
  EXPECT_FALSE(manager_->HasPrefix());
}

TEST_F(ContextManagerTest, AConversationWithoutMessagesHoldsItsSystemPrompt) {
  Conversation empty;
  EXPECT_EQ(0, MustPrepare(empty));
  const auto prefix = manager_->SetSystem(kSystem);
  EXPECT_EQ(*prefix, MustPrepare(empty));
}

TEST_F(ContextManagerTest, AForkTakesMessagesAlongThatWereNotPreparedYet) {
  Conversation parent;
  Turn(parent, "My name is Ada.");
  ASSERT_TRUE(parent.AddUser("What is my name?").ok());
  auto child = manager_->Fork(parent);
  ASSERT_TRUE(child.ok()) << child.status().ToString();
  EXPECT_NE(parent.id(), child->id());
  const uint64_t decoded = engine_->stats().tokens_decoded;
  const int32_t before = parent.n_past();
  const int32_t n_past = MustPrepare(*child);
  EXPECT_EQ(static_cast<uint64_t>(n_past - before), engine_->stats().tokens_decoded - decoded);
  const auto alone = Alone(parent.AllMessages());
  EXPECT_EQ(alone, MustRespond(*child).tokens);
  EXPECT_EQ(alone, MustRespond(parent).tokens);
  EXPECT_EQ(3u, parent.messages().size());
}

TEST_F(ContextManagerTest, ManyAtOnceAreEachAsAlone) {
  std::vector<Conversation> conversations;
  for (int i = 0; i < 5; ++i) conversations.push_back(Saying("Line " + std::to_string(i)));
  std::vector<Conversation*> pointers;
  for (Conversation& conversation : conversations) pointers.push_back(&conversation);
  const auto replies = manager_->RespondAll(pointers, Steps(8));
  for (size_t i = 0; i < replies.size(); ++i) {
    ASSERT_TRUE(replies[i].ok()) << replies[i].status().ToString();
    EXPECT_EQ(Alone(conversations[i].AllMessages()), replies[i]->tokens);
    EXPECT_GT(conversations[i].n_past(), 0);
  }
}

TEST_F(ContextManagerTest, ARecordFromAFileGoesOnCold) {
  Conversation conversation;
  Turn(conversation, "My name is Ada.");
  auto loaded = Conversation::FromJson(conversation.ToJson());
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ(0, loaded->n_past());
  manager_->Release(conversation);
  for (Conversation* each : {&conversation, &*loaded}) {
    ASSERT_TRUE(each->AddUser("What is my name?").ok());
    EXPECT_EQ(Alone(each->AllMessages()), MustRespond(*each).tokens);
  }
}

// --- Hooks.

TEST_F(ContextManagerTest, HooksRunInOrderScopedOnesLastAndOncePerPrepare) {
  std::string order;
  const auto add = [&](char name) {
    return BeforeEncode{[&order, name](std::span<const Message> messages, const Conversation&) {
      order += name;
      std::vector<Message> more(messages.begin(), messages.end());
      more.back().content += name;
      return Result<std::optional<std::vector<Message>>>(std::move(more));
    }};
  };
  manager_->SetHook(add('a'));
  Conversation conversation = Saying("Hello ");
  {
    const ScopedHook scoped(manager_.get(), add('s'));
    const HookId late = manager_->SetHook(add('b'));
    MustPrepare(conversation);
    EXPECT_EQ("abs", order);
    EXPECT_TRUE(manager_->ClearHook(late).ok());
    EXPECT_EQ(Code::kNotFound, manager_->ClearHook(late).code());
    EXPECT_EQ(Alone({{.role = "user", .content = "Hello as", .extras = {}}}),
              MustRespond(conversation).tokens);
  }
  order.clear();
  MustPrepare(conversation);
  EXPECT_EQ("a", order);
  EXPECT_EQ("Hello ", conversation.messages()[0].content);  // the record is not edited
}

TEST_F(ContextManagerTest, AHookThatFailsLeavesTheConversationAsItWasAndIsNamed) {
  Conversation conversation = Saying("Hello.");
  const int32_t n_past = MustPrepare(conversation);
  ASSERT_TRUE(conversation.AddAssistant("Hi.").ok());
  ASSERT_TRUE(conversation.AddUser("And now?").ok());
  const HookId id = manager_->SetHook(BeforeEncode{[](auto, const Conversation&) {
    return Result<std::optional<std::vector<Message>>>(Status::Internal("no index"));
  }});
  const auto refused = manager_->Prepare(conversation);
  EXPECT_EQ(Code::kInternal, refused.status().code());
  EXPECT_NE(std::string::npos, refused.status().message().find("before_encode"));
  EXPECT_EQ(n_past, conversation.n_past());
  EXPECT_TRUE(conversation.dirty());
  ASSERT_TRUE(manager_->ClearHook(id).ok());
  EXPECT_EQ(Alone(conversation.AllMessages()), MustRespond(conversation).tokens);
}

TEST_F(ContextManagerTest, HooksRunOnTheThreadThatPrepares) {
  std::thread::id ran;
  manager_->SetHook(SinkCount{[&](const Conversation&) {
    ran = std::this_thread::get_id();
    return Result<int32_t>(2);
  }});
  Conversation conversation = Saying("Hello.");
  MustPrepare(conversation);
  EXPECT_EQ(std::this_thread::get_id(), ran);
}

// --- Eviction.

class EvictingManager : public ContextManagerTest {
 protected:
  void SetUp() override { Start(8, 128, {.headroom = 16}); }
};

TEST_F(EvictingManager, ALongConversationKeepsItsRecordAndItsSystemPrompt) {
  ASSERT_TRUE(manager_->SetSystem("Be kind.").ok());
  Conversation conversation;
  for (int turn = 0; turn < 30; ++turn) Turn(conversation, "Line " + std::to_string(turn) + ".");
  EXPECT_EQ(60u, conversation.messages().size());
  EXPECT_EQ("Line 0.", conversation.messages()[0].content);
  const ContextManagerStats stats = manager_->Stats();
  EXPECT_GT(stats.n_evictions, 0u);
  EXPECT_GT(stats.n_tokens_evicted, 200u);
  EXPECT_EQ(Overflow::kMessage, stats.eviction);
  EXPECT_EQ(4, stats.n_sink);
}

TEST_F(EvictingManager, OnEvictSaysWhatLeftEachMessageOnce) {
  std::vector<std::string> dropped;
  int32_t tokens = 0;
  manager_->SetHook(OnEvict{[&](const EvictionReport& report, const Conversation&) {
    for (const Message& message : report.dropped) {
      if (message.role == "user") dropped.push_back(message.content);
    }
    tokens += report.tokens;
    return Result<std::optional<std::vector<Message>>>(std::nullopt);
  }});
  Conversation conversation;
  for (int turn = 0; turn < 30; ++turn) Turn(conversation, "Line " + std::to_string(turn) + ".");
  ASSERT_GT(dropped.size(), 10u);
  for (size_t i = 0; i < dropped.size(); ++i) {
    EXPECT_EQ("Line " + std::to_string(i) + ".", dropped[i]);
  }
  EXPECT_EQ(manager_->Stats().n_tokens_evicted, static_cast<uint64_t>(tokens));
}

TEST_F(EvictingManager, ASpliceStandsForWhatLeftFromTheNextPrepareOn) {
  size_t summaries = 0;
  manager_->SetHook(OnEvict{[&](const EvictionReport& report, const Conversation&) {
    std::vector<Message> summary;
    if (!report.dropped.empty()) {
      ++summaries;
      summary = {{.role = "user", .content = "Summary " + std::to_string(summaries), .extras = {}},
                 {.role = "assistant", .content = "Yes.", .extras = {}}};
    }
    return Result<std::optional<std::vector<Message>>>(std::move(summary));
  }});
  std::vector<Message> shown;
  const ScopedHook look(manager_.get(),
                        BeforeEncode{[&](std::span<const Message> messages, const Conversation&) {
                          shown.assign(messages.begin(), messages.end());
                          return Result<std::optional<std::vector<Message>>>(std::nullopt);
                        }});
  Conversation conversation;
  int turn = 0;
  while (summaries == 0) Turn(conversation, "Line " + std::to_string(turn++) + ".");
  Turn(conversation, "One more.");
  EXPECT_EQ("Summary 1", shown[0].content);
  EXPECT_EQ("Yes.", shown[1].content);
  EXPECT_NE("Line 0.", shown[2].content);
  EXPECT_EQ("One more.", shown.back().content);
  EXPECT_LT(shown.size(), conversation.messages().size());
  // The row is what a session alone makes of what was shown.
  Conversation fresh;
  for (const Message& message : shown) ASSERT_TRUE(fresh.Add(message).ok());
  EXPECT_EQ(Alone(fresh.AllMessages()), MustRespond(fresh).tokens);
  for (int i = 0; i < 20; ++i) Turn(conversation, "Later " + std::to_string(i) + ".");
  EXPECT_GT(summaries, 1u);
  // An edit of what the summary stands for brings the whole history back.
  ASSERT_TRUE(conversation.Edit(0, "Another beginning.").ok());
  MustPrepare(conversation);
  EXPECT_EQ(1u, shown.size());
  EXPECT_EQ("Another beginning.", shown[0].content);
}

TEST_F(EvictingManager, MakeRoomFreesAtLeastThatManyOrSaysWhyNot) {
  Conversation none = Saying("Hello.");
  EXPECT_EQ(0, *manager_->MakeRoom(none, 10));  // no row
  Conversation conversation;
  for (int turn = 0; turn < 4; ++turn) Turn(conversation, "Line " + std::to_string(turn) + ".");
  MustPrepare(conversation.AddUser("Now.").ok() ? conversation : conversation);
  const int32_t n_past = conversation.n_past();
  EXPECT_EQ(0, *manager_->MakeRoom(conversation, 0));
  const auto freed = manager_->MakeRoom(conversation, 10);
  ASSERT_TRUE(freed.ok()) << freed.status().ToString();
  EXPECT_GE(*freed, 10);
  EXPECT_EQ(n_past - *freed, conversation.n_past());
  const auto refused = manager_->MakeRoom(conversation, 1000);
  EXPECT_EQ("capacity", refused.status().name());
  EXPECT_EQ(n_past - *freed, conversation.n_past());
}

TEST_F(EvictingManager, ClearRadixForgetsWhatNobodyHolds) {
  Conversation conversation = Saying("Hello.");
  MustRespond(conversation);
  manager_->Release(conversation);
  EXPECT_GT(manager_->Stats().radix.n_blobs, 0);
  manager_->ClearRadix();
  EXPECT_EQ(0, manager_->Stats().radix.n_blobs);
}

TEST_F(EvictingManager, SinksComeFromTheHook) {
  Start(8, 128, {.headroom = 16, .eviction = Overflow::kSink});
  manager_->SetHook(SinkCount{[](const Conversation&) { return Result<int32_t>(-1); }});
  manager_->SetHook(SinkCount{[](const Conversation&) { return Result<int32_t>(-1); }});
  Conversation conversation;
  for (int turn = 0; turn < 12; ++turn) Turn(conversation, "Line " + std::to_string(turn) + ".");
  EXPECT_GT(manager_->Stats().n_evictions, 0u);
}

TEST_F(ContextManagerTest, BadOptionsAreRefused) {
  EXPECT_EQ(Code::kInvalidArgument,
            ContextManager::New(engine_.get(), {.headroom = -1}).status().code());
  EXPECT_EQ(Code::kInvalidArgument,
            ContextManager::New(engine_.get(), {.n_sink = -1}).status().code());
}

}  // namespace
}  // namespace gyrator
