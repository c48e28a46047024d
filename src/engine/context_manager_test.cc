// The context manager: rows, system prompts, hooks. Every reply is that of a session alone in a
// fresh engine.
#include "gyrator/context_manager.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include "engine/context_manager_testing.h"

namespace gyrator {
namespace {

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
  const auto alone = Alone(a.AllMessages());
  EXPECT_NE(alone, Alone(b.AllMessages()));
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

// Its messages stayed; the row that it had is another's meanwhile.
TEST_F(ContextManagerTest, AReleasedConversationGoesOnWhenItIsPreparedAgain) {
  Start(1, 256);
  Conversation a, b;
  Turn(a, "My name is Ada.");
  const int32_t n_past = a.n_past();
  manager_->Release(a);
  Turn(b, "Hello.");
  EXPECT_EQ("slots", manager_->Prepare(a).status().name());
  EXPECT_EQ(0, a.n_past());
  manager_->Release(b);
  ASSERT_TRUE(a.AddUser("What is my name?").ok());
  const auto alone = Alone(a.AllMessages());
  EXPECT_GT(MustPrepare(a), n_past);
  EXPECT_EQ(PromptTokens(a.AllMessages()), a.n_past());
  EXPECT_EQ(alone, MustRespond(a).tokens);
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
  EXPECT_FALSE(manager_->HasPrefix());
  EXPECT_EQ(0, manager_->PrefixTokens());
  EXPECT_EQ("", manager_->PrefixText());
  EXPECT_FALSE(manager_->Stats().prefix_cached);
  const auto prefix = manager_->SetSystem(kSystem);
  ASSERT_TRUE(prefix.ok()) << prefix.status().ToString();
  EXPECT_GT(*prefix, 10);
  EXPECT_TRUE(manager_->Stats().prefix_cached);
  EXPECT_EQ(*prefix, manager_->Stats().prefix_tokens);
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
  EXPECT_GT(*manager_->SetSystem(kSystem), 10);
  EXPECT_EQ(kSystem, manager_->PrefixText());
  const std::vector<Message> shown = {{.role = "system", .content = kSystem, .extras = {}},
                                      {.role = "user", .content = "Who are you?", .extras = {}}};
  Conversation conversation = Saying("Who are you?");
  EXPECT_EQ(PromptTokens(shown), MustPrepare(conversation));
  EXPECT_EQ(Alone(shown), MustRespond(conversation).tokens);
}

TEST_F(ContextManagerTest, AConversationsOwnSystemPromptWins) {
  ASSERT_TRUE(manager_->SetSystem(kSystem).ok());
  Conversation conversation = Saying("Who are you?", "You are a pirate.");
  EXPECT_EQ(PromptTokens(conversation.AllMessages()), MustPrepare(conversation));
  EXPECT_EQ(Alone(conversation.AllMessages()), MustRespond(conversation).tokens);
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
  const std::vector<Message> shown = {
      {.role = "system", .content = "Speak like a sailor.", .extras = {}},
      {.role = "user", .content = "One.", .extras = {}}};
  EXPECT_EQ(PromptTokens(shown), MustPrepare(kept));
  EXPECT_EQ(Alone(shown), MustRespond(kept).tokens);
  EXPECT_EQ(1u, manager_->Stats().n_system_changes);
  ASSERT_TRUE(manager_->SetSystem("").ok());
  EXPECT_FALSE(manager_->HasPrefix());
}

TEST_F(ContextManagerTest, ASystemPromptTakesNoSlot) {
  Start(2, 256);
  ASSERT_TRUE(manager_->SetSystem(kSystem).ok());
  EXPECT_EQ(2, manager_->Stats().slots_total);
  EXPECT_EQ(2, manager_->Stats().slots_free);
  Conversation a = Saying("A."), b = Saying("B.");
  EXPECT_GT(MustPrepare(a), manager_->PrefixTokens());
  EXPECT_GT(MustPrepare(b), manager_->PrefixTokens());
  EXPECT_EQ(0, manager_->Stats().slots_free);
}

TEST_F(ContextManagerTest, AnotherSystemPromptLeavesNothingOfConversationsThatAreGone) {
  ASSERT_TRUE(manager_->SetSystem(kSystem).ok());
  for (const char* line : {"One.", "Two."}) {
    Conversation gone = Saying(line);
    MustRespond(gone);
    manager_->Release(gone);
  }
  const int32_t cached = manager_->Stats().radix.n_blobs;
  EXPECT_GT(cached, 1);
  ASSERT_TRUE(manager_->SetSystem(kSystem).ok());  // the same: nothing to do
  EXPECT_EQ(cached, manager_->Stats().radix.n_blobs);
  ASSERT_TRUE(manager_->SetSystem("Speak like a sailor.").ok());
  EXPECT_EQ(0, manager_->Stats().radix.n_blobs);
}

TEST_F(ContextManagerTest, AResetAndAnotherSystemOfItsOwnBeginAnew) {
  Conversation conversation;
  Turn(conversation, "My name is Ada.");
  conversation.Reset();
  ASSERT_TRUE(conversation.AddUser("What is my name?").ok());
  EXPECT_EQ(Alone(conversation.AllMessages()), MustRespond(conversation).tokens);
  ASSERT_TRUE(conversation.SetSystem("You are a pirate.").ok());
  EXPECT_EQ(Alone(conversation.AllMessages()), MustRespond(conversation).tokens);
  EXPECT_EQ(1u, manager_->Stats().n_system_changes);
  MustPrepare(conversation);
  const uint64_t decoded = engine_->stats().tokens_decoded;
  ASSERT_TRUE(conversation.SetSystem("You are a pirate.").ok());
  EXPECT_FALSE(conversation.dirty());
  MustPrepare(conversation);
  EXPECT_EQ(decoded, engine_->stats().tokens_decoded);
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

TEST_F(ContextManagerTest, AForkHasARowOfItsOwnAndTakesNoBlock) {
  Conversation parent;
  Turn(parent, "My name is Ada.");
  ASSERT_TRUE(parent.AddUser("What is my name?").ok());
  MustPrepare(parent);
  const EngineStats before = engine_->stats();
  auto child = manager_->Fork(parent);
  ASSERT_TRUE(child.ok()) << child.status().ToString();
  EXPECT_EQ(before.slots_free - 1, engine_->stats().slots_free);
  EXPECT_EQ(before.blocks_free, engine_->stats().blocks_free);
  EXPECT_TRUE(std::ranges::equal(parent.messages(), child->messages()));
  EXPECT_EQ(parent.n_past(), child->n_past());
  EXPECT_FALSE(child->dirty());
  EXPECT_EQ(parent.n_past(), MustPrepare(*child));
  EXPECT_EQ(before.tokens_decoded, engine_->stats().tokens_decoded);
  // What becomes of it is nothing to its parent.
  ASSERT_TRUE(child->AddAssistant(MustRespond(*child).text).ok());
  Turn(*child, "And yours?");
  EXPECT_EQ(3u, parent.messages().size());
  const uint64_t decoded = engine_->stats().tokens_decoded;
  EXPECT_EQ(parent.n_past(), MustPrepare(parent));
  EXPECT_EQ(decoded, engine_->stats().tokens_decoded);
  EXPECT_EQ(Alone(parent.AllMessages()), MustRespond(parent).tokens);
  manager_->Release(*child);
  EXPECT_EQ(before.slots_free, engine_->stats().slots_free);
}

TEST_F(ContextManagerTest, AForkWithoutARowGetsOneWhenItIsPrepared) {
  Conversation parent = Saying("What is your name?");
  auto child = manager_->Fork(parent);
  ASSERT_TRUE(child.ok()) << child.status().ToString();
  EXPECT_EQ(8, manager_->Stats().slots_free);
  const auto alone = Alone(parent.AllMessages());
  EXPECT_EQ(alone, MustRespond(*child).tokens);
  EXPECT_EQ(alone, MustRespond(parent).tokens);
  Conversation copy = parent.Fork();  // of the record alone: its n_past is another row's
  EXPECT_GT(copy.n_past(), 0);
  EXPECT_EQ(alone, MustRespond(copy).tokens);
  EXPECT_EQ(5, manager_->Stats().slots_free);
}

TEST_F(ContextManagerTest, HitsAndMissesAreCounted) {
  const auto expect = [this](uint64_t hits, uint64_t misses) {
    EXPECT_EQ(hits, manager_->Stats().radix.hits);
    EXPECT_EQ(misses, manager_->Stats().radix.misses);
  };
  Conversation a = Saying("What is your name?"), b = Saying("What is your name?"),
               c = Saying("What is the time?");
  MustPrepare(a);
  expect(0, 1);
  MustPrepare(b);
  expect(1, 1);
  MustPrepare(b);  // nothing was looked for
  expect(1, 1);
  MustPrepare(c);  // the same until a word
  expect(2, 1);
  Turn(c, "And now?");
  expect(2, 2);  // new, and nobody has it
}

TEST_F(ContextManagerTest, ManagersOfOtherNamespacesShareNothing) {
  const auto other = NewManager({.cache_namespace = "other"});
  Conversation mine = Saying("What is your name?"), theirs = Saying("What is your name?"),
               late = Saying("What is your name?");
  MustRespond(mine);
  EXPECT_EQ(Alone(mine.AllMessages()), other->Respond(theirs, Steps(8))->tokens);
  EXPECT_EQ(0u, other->Stats().radix.hits);
  EXPECT_EQ(1u, other->Stats().radix.misses);
  manager_->Release(mine);
  other->Release(theirs);
  EXPECT_EQ(2, other->Stats().radix.n_blobs);
  manager_->ClearRadix();
  EXPECT_EQ(1, other->Stats().radix.n_blobs);
  EXPECT_TRUE(other->Prepare(late).ok());
  EXPECT_EQ(1u, other->Stats().radix.hits);
}

TEST_F(ContextManagerTest, NoThinkIsGivenToTheTemplate) {
  const auto model = LoadBytes(WithTemplate(ReadTree("models/gyrator-chat.gguf"),
                                            ReadTree("tests/golden/templates/qwen3.jinja")));
  for (const bool no_think : {false, true}) {
    EngineOptions options;
    options.context = 256;
    StartWith(model, options, {.no_think = no_think});
    Conversation conversation = Saying("Hello.");
    RenderOptions rendering;
    if (no_think) rendering.variables = R"({"enable_thinking": false})";
    const auto rendered = model->text()->Render(conversation.messages(), rendering);
    ASSERT_TRUE(rendered.ok());
    EXPECT_EQ(no_think, rendered->ends_with("</think>\n\n"));
    const auto prompt = model->text()->Encode(*rendered, false);
    EXPECT_EQ(std::ssize(prompt), MustPrepare(conversation));
    const auto session = *engine_->NewSession({.sampler = sampler_});
    EXPECT_EQ(session->Complete(prompt, Steps(8))->tokens, MustRespond(conversation).tokens);
  }
}

// A row's sampler is its own, and stands where the conversation does.
TEST_F(ContextManagerTest, SamplersCarryNothingFromCallToCallOrRowToRow) {
  sampler_ = {.temperature = 1.5f, .repeat_penalty = 1.3f, .penalty_last_n = -1, .seed = 5};
  Start(8, 256);
  Conversation a = Saying("What is your name?"), b = Saying("Tell me about the sea.");
  const auto alone_a = Alone(a.AllMessages()), alone_b = Alone(b.AllMessages());
  EXPECT_EQ(alone_a, MustRespond(a).tokens);
  EXPECT_EQ(alone_b, MustRespond(b).tokens);
  EXPECT_EQ(alone_a, MustRespond(a).tokens);  // its reply was not added: the same question again
  Conversation c = Saying("What is your name?");
  EXPECT_EQ(alone_a, MustRespond(c).tokens);
}

TEST_F(ContextManagerTest, OneThatCannotBeServedLeavesTheOthers) {
  Conversation a = Saying("Hello."), b = Saying("What is your name?"), long_one;
  Turn(long_one, "Hello.");
  std::string line;
  for (int i = 0; i < 300; ++i) line += "word ";
  ASSERT_TRUE(long_one.AddUser(line).ok());
  const int32_t n_past = long_one.n_past();
  Conversation* const all[] = {&a, &long_one, &b};
  const auto replies = manager_->RespondAll(all, Steps(8));
  ASSERT_TRUE(replies[0].ok() && replies[2].ok());
  EXPECT_EQ(Alone(a.AllMessages()), replies[0]->tokens);
  EXPECT_EQ(Alone(b.AllMessages()), replies[2]->tokens);
  EXPECT_EQ(Code::kExhausted, replies[1].status().code());
  EXPECT_EQ("capacity", replies[1].status().name());
  // Nothing of it was cut, and nothing is lost: without that line it goes on.
  EXPECT_EQ(line, long_one.messages()[2].content);
  EXPECT_TRUE(long_one.dirty());
  EXPECT_EQ(n_past, long_one.n_past());
  ASSERT_TRUE(long_one.Edit(2, "And now?").ok());
  EXPECT_EQ(Alone(long_one.AllMessages()), MustRespond(long_one).tokens);
}

TEST_F(ContextManagerTest, ATurnWritesNothingToDiskAndCopiesNoBlock) {
  EngineOptions options;
  options.context = 256;
  options.swap_budget = 1 << 20;
  options.swap_directory = testing::TempDir();
  StartWith(model_, options);
  Conversation conversation;
  for (int turn = 0; turn < 5; ++turn) {
    Turn(conversation, "Hello again.");
    const EngineStats stats = engine_->stats();
    EXPECT_EQ(0u, stats.swap_bytes);
    EXPECT_EQ(0u, stats.blocks_copied);
    EXPECT_EQ(0u, stats.sessions_parked);
    EXPECT_EQ((conversation.n_past() + 15) / 16, stats.blocks_total - stats.blocks_free);
  }
}

TEST_F(ContextManagerTest, FromTheFirstLineToTheRelease) {
  ASSERT_TRUE(manager_->SetSystem(kSystem).ok());
  Conversation conversation;
  for (const char* line : {"My name is Ada.", "I live in Oslo.", "What is my name?"}) {
    const size_t before = conversation.messages().size();
    const int32_t n_past = conversation.n_past();
    ASSERT_TRUE(conversation.AddUser(line).ok());
    std::string streamed;
    GenerateOptions options = Steps(8);
    options.on_text = [&](std::string_view piece) {
      streamed += piece;
      return true;
    };
    const auto reply = manager_->Respond(conversation, options);
    ASSERT_TRUE(reply.ok()) << reply.status().ToString();
    EXPECT_FALSE(reply->text.empty());
    EXPECT_EQ(reply->text, streamed);
    ASSERT_TRUE(conversation.AddAssistant(reply->text).ok());
    EXPECT_EQ(before + 2, conversation.messages().size());
    EXPECT_GT(conversation.n_past(), n_past + 8);
  }
  EXPECT_EQ(7, manager_->Stats().slots_free);
  manager_->Release(conversation);
  EXPECT_EQ(8, manager_->Stats().slots_free);
  EXPECT_EQ(6u, conversation.messages().size());
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
  EXPECT_EQ(3, manager_->Stats().slots_free);  // each has a row of its own
}

TEST_F(ContextManagerTest, ARecordFromAFileGoesOnCold) {
  const std::string path = testing::TempDir() + "context_manager_test.json";
  Conversation conversation;
  Turn(conversation, "My name is Ada.");
  ASSERT_TRUE(conversation.Save(path).ok());
  auto loaded = Conversation::Load(path);
  std::filesystem::remove(path);
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  EXPECT_EQ(0, loaded->n_past());
  EXPECT_TRUE(loaded->dirty());
  EXPECT_TRUE(std::ranges::equal(conversation.messages(), loaded->messages()));
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

TEST_F(ContextManagerTest, AHookThatThrowsEndsWithItsScope) {
  Conversation conversation = Saying("Hello.");
  const auto prepare = [&] {
    const ScopedHook scoped(
        manager_.get(), BeforeEncode{[](auto, const Conversation&) {
          return std::vector<Result<std::optional<std::vector<Message>>>>().at(0);
        }});
    (void)manager_->Prepare(conversation);
  };
  EXPECT_THROW(prepare(), std::out_of_range);
  EXPECT_TRUE(conversation.dirty());
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

TEST_F(ContextManagerTest, BadOptionsAreRefused) {
  EXPECT_EQ(Code::kInvalidArgument,
            ContextManager::New(engine_.get(), {.headroom = -1}).status().code());
  EXPECT_EQ(Code::kInvalidArgument,
            ContextManager::New(engine_.get(), {.n_sink = -1}).status().code());
}

}  // namespace
}  // namespace gyrator
