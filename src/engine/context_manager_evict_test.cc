// The context manager when conversations outgrow their rows: what leaves, who is told, what stands
// for it.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "engine/context_manager_testing.h"
#include "engine/text_model.h"

namespace gyrator {
namespace {

// Keeps what OnEvict tells, and puts `splice` in its place when there is one.
struct Reports {
  explicit Reports(ContextManager* manager, std::vector<Message> splice = {})
      : hook(manager, OnEvict{[this, splice](const EvictionReport& report, const Conversation&) {
               list.push_back(report);
               return Result<std::optional<std::vector<Message>>>(
                   splice.empty() ? std::nullopt : std::optional(splice));
             }}) {}

  std::vector<EvictionReport> list;
  ScopedHook hook;
};

class EvictingManager : public ContextManagerTest {
 protected:
  void SetUp() override { Start(8, 128, {.headroom = 16}); }

  // At most forty turns.
  void TalkUntil(Conversation& conversation, const std::function<bool()>& done) {
    for (int turn = 0; turn < 40 && !done(); ++turn) {
      Turn(conversation, "Line " + std::to_string(turn) + ".");
    }
    ASSERT_TRUE(done());
  }
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
  TalkUntil(conversation, [&] { return summaries > 0; });
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

// The model is shown other words than the record has: what left is still that message of the
// record.
TEST_F(EvictingManager, ASpliceTakesMessagesThatAHookReworded) {
  const Reports reports(manager_.get(), {{.role = "user", .content = "Summary", .extras = {}},
                                         {.role = "assistant", .content = "Yes.", .extras = {}}});
  std::vector<Message> shown;
  manager_->SetHook(BeforeEncode{[&](std::span<const Message> messages, const Conversation&) {
    shown.assign(messages.begin(), messages.end());
    std::vector<Message> reworded = shown;
    for (Message& message : reworded) message.content += message.role == "user" ? " Please." : "";
    return Result<std::optional<std::vector<Message>>>(std::move(reworded));
  }});
  Conversation conversation;
  TalkUntil(conversation, [&] { return !reports.list.empty(); });
  Turn(conversation, "One more.");
  EXPECT_EQ("Summary", shown[0].content);
  EXPECT_EQ("Yes.", shown[1].content);
  EXPECT_EQ(conversation.messages().size() - 1, shown.size() - 2 + reports.list[0].dropped.size());
  EXPECT_NE("Line 0.", shown[2].content);
}

TEST_F(EvictingManager, MakeRoomFreesAtLeastThatManyOrSaysWhyNot) {
  Conversation none = Saying("Hello.");
  EXPECT_EQ(0, *manager_->MakeRoom(none, 10));  // no row
  Conversation conversation;
  for (int turn = 0; turn < 4; ++turn) Turn(conversation, "Line " + std::to_string(turn) + ".");
  ASSERT_TRUE(conversation.AddUser("Now.").ok());
  MustPrepare(conversation);
  const int32_t n_past = conversation.n_past();
  EXPECT_EQ(0, *manager_->MakeRoom(conversation, 0));
  const auto freed = manager_->MakeRoom(conversation, 10);
  ASSERT_TRUE(freed.ok()) << freed.status().ToString();
  EXPECT_GE(*freed, 10);
  EXPECT_EQ(static_cast<uint64_t>(*freed), manager_->Stats().n_tokens_evicted);
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

// Only what lies behind the sinks can go.
TEST_F(EvictingManager, SinksComeFromTheHook) {
  Start(8, 128, {.headroom = 16, .eviction = Overflow::kSink});
  Conversation conversation;
  for (int turn = 0; turn < 3; ++turn) Turn(conversation, "Line " + std::to_string(turn) + ".");
  const auto sinks = [](int32_t count) {
    return SinkCount{[count](const Conversation&) { return Result<int32_t>(count); }};
  };
  const HookId many = manager_->SetHook(sinks(100));
  manager_->SetHook(sinks(-1));  // has no opinion
  ASSERT_TRUE(conversation.AddUser("Now.").ok());
  MustPrepare(conversation);
  EXPECT_EQ("capacity", manager_->MakeRoom(conversation, 1).status().name());
  ASSERT_TRUE(manager_->ClearHook(many).ok());
  MustPrepare(conversation);
  EXPECT_GT(*manager_->MakeRoom(conversation, 1), 0);
}

// A prompt that fits is not cut because another row has it already.
TEST_F(EvictingManager, AnIdenticalLongPromptEvictsNothing) {
  std::string line;
  for (int i = 0; i < 70; ++i) line += "word ";
  Conversation a, b;
  ASSERT_TRUE(a.AddUser(line).ok() && b.AddUser(line).ok());
  const int32_t n_past = MustPrepare(a);
  EXPECT_GT(n_past, 64);  // more than half
  EXPECT_EQ(n_past, MustPrepare(b));
  EXPECT_EQ(1u, manager_->Stats().radix.hits);
  EXPECT_EQ(0u, manager_->Stats().n_evictions);
  EXPECT_EQ(0u, engine_->stats().tokens_evicted);
}

TEST_F(EvictingManager, WhatLeftDuringAReplyIsToldAtTheNextPrepare) {
  Reports reports(manager_.get());
  Conversation conversation;
  for (int turn = 0; turn < 3; ++turn) Turn(conversation, "Line " + std::to_string(turn) + ".");
  ASSERT_EQ(0u, engine_->stats().tokens_evicted);
  ASSERT_TRUE(conversation.AddUser("Go on.").ok());
  const Reply reply = MustRespond(conversation, 90);
  EXPECT_EQ(90u, reply.tokens.size());
  EXPECT_GT(reply.tokens_evicted, 0);
  EXPECT_TRUE(reports.list.empty());
  EXPECT_EQ(engine_->stats().tokens_evicted, manager_->Stats().n_tokens_evicted);
  EXPECT_GT(manager_->Stats().n_evictions, 0u);
  ASSERT_TRUE(conversation.AddAssistant(reply.text).ok());
  ASSERT_TRUE(conversation.AddUser("And?").ok());
  MustPrepare(conversation);
  ASSERT_EQ(1u, reports.list.size());
  ASSERT_FALSE(reports.list[0].dropped.empty());
  EXPECT_EQ(conversation.messages()[0], reports.list[0].dropped[0]);
  EXPECT_EQ(Overflow::kMessage, reports.list[0].policy);
  EXPECT_EQ(engine_->stats().tokens_evicted, manager_->Stats().n_tokens_evicted);
}

// One render of the prompt, and one that finds where its messages begin; as many again to say which
// ones left.
TEST_F(EvictingManager, ATurnRendersAsOftenInALongConversationAsInAShortOne) {
  const auto& text = static_cast<const TextModelImpl&>(*model_->text());
  uint64_t evicting = 0;
  Conversation conversation;
  for (int turn = 0; turn < 60; ++turn) {
    ASSERT_TRUE(conversation.AddUser("Line " + std::to_string(turn) + ".").ok());
    const uint64_t renders = text.num_renders();
    const uint64_t evicted = manager_->Stats().n_tokens_evicted;
    MustPrepare(conversation);
    const bool evicts = manager_->Stats().n_tokens_evicted > evicted;
    EXPECT_EQ(evicts ? 4u : 2u, text.num_renders() - renders);
    evicting += evicts ? 1 : 0;
    const uint64_t prepared = text.num_renders();
    ASSERT_TRUE(conversation.AddAssistant(MustRespond(conversation).text).ok());
    EXPECT_EQ(4u, text.num_renders() - prepared);  // prepares again, then asks
  }
  EXPECT_GT(evicting, 5u);
}

TEST_F(EvictingManager, EveryPolicyKeepsTheRecordAndCounts) {
  for (const Overflow policy :
       {Overflow::kMessage, Overflow::kFifo, Overflow::kSink, Overflow::kScore}) {
    for (const EvictMode mode : {EvictMode::kShift, EvictMode::kRecompute}) {
      Start(8, 128, {.headroom = 16, .eviction = policy, .evict_mode = mode});
      Conversation conversation;
      for (int turn = 0; turn < 12; ++turn) {
        Turn(conversation, "Line " + std::to_string(turn) + ".");
      }
      EXPECT_EQ(24u, conversation.messages().size());
      EXPECT_EQ("Line 0.", conversation.messages()[0].content);
      const ContextManagerStats stats = manager_->Stats();
      EXPECT_EQ(policy, stats.eviction);
      EXPECT_GT(stats.n_evictions, 0u);
      EXPECT_EQ(engine_->stats().evictions[static_cast<size_t>(policy) - 1], stats.n_evictions);
      EXPECT_EQ(engine_->stats().tokens_evicted, stats.n_tokens_evicted);
    }
  }
}

TEST_F(EvictingManager, NoPolicyEvictsFromASystemPromptThatStandsAlone) {
  std::string system = "Be kind";
  for (const Overflow policy :
       {Overflow::kMessage, Overflow::kFifo, Overflow::kSink, Overflow::kScore}) {
    Start(8, 128, {.headroom = 16, .eviction = policy});
    int32_t prefix = 0;
    while (prefix < 118) {  // it fits, but not beside the headroom
      prefix = *manager_->SetSystem(system);
      if (prefix < 118) system += " and brief";
    }
    ASSERT_LE(prefix, 128);
    Conversation empty;
    EXPECT_EQ(prefix, MustPrepare(empty));
    EXPECT_EQ("capacity", manager_->MakeRoom(empty, 4).status().name());
    EXPECT_EQ(0u, manager_->Stats().n_evictions);
    ASSERT_TRUE(manager_->SetSystem(system + system).ok());
    EXPECT_EQ(Code::kExhausted, manager_->Prepare(empty).status().code());
  }
}

// In mode recompute the row is that of what is left, so a session alone says what is left: the
// system prompt, the turns that were not reported, the newest one and the header of the reply.
TEST_F(EvictingManager, AnOversizeConversationIsItsSystemPromptAndWhatWasNotReported) {
  Start(1, 128, {.headroom = 16, .evict_mode = EvictMode::kRecompute});
  Reports reports(manager_.get());
  ASSERT_TRUE(manager_->SetSystem("Be kind.").ok());
  Conversation conversation;
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(conversation.AddUser("Line " + std::to_string(i) + ".").ok());
    ASSERT_TRUE(conversation.AddAssistant("Yes.").ok());
  }
  ASSERT_TRUE(conversation.AddUser("What was the last line?").ok());
  const Reply reply = MustRespond(conversation);
  ASSERT_EQ(1u, reports.list.size());
  const std::vector<Message>& dropped = reports.list[0].dropped;
  const auto messages = conversation.messages();
  ASSERT_LT(dropped.size(), messages.size() - 1);
  ASSERT_GT(dropped.size(), 0u);
  EXPECT_TRUE(std::equal(dropped.begin(), dropped.end(), messages.begin()));
  std::vector<Message> left(messages.begin() + std::ssize(dropped), messages.end());
  left.insert(left.begin(), {.role = "system", .content = "Be kind.", .extras = {}});
  EXPECT_EQ(Alone(left), reply.tokens);
  EXPECT_EQ(81u, messages.size());
}

// Another history that loses more than the one before it had lost.
TEST_F(EvictingManager, AWindowMadeAnewIsToldFromItsBeginning) {
  Reports reports(manager_.get());
  Conversation conversation;
  TalkUntil(conversation, [&] { return engine_->stats().tokens_evicted > 0; });
  ASSERT_TRUE(conversation.AddUser("Now.").ok());
  MustPrepare(conversation);
  reports.list.clear();
  const uint64_t before = manager_->Stats().n_tokens_evicted;
  ASSERT_TRUE(conversation.Truncate(0).ok());
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(conversation.AddUser("Other " + std::to_string(i) + ".").ok());
    ASSERT_TRUE(conversation.AddAssistant("Yes.").ok());
  }
  ASSERT_TRUE(conversation.AddUser("What was the last line?").ok());
  MustPrepare(conversation);
  ASSERT_EQ(1u, reports.list.size());
  const EvictionReport& report = reports.list[0];
  ASSERT_GT(report.dropped.size(), 20u);
  EXPECT_TRUE(
      std::equal(report.dropped.begin(), report.dropped.end(), conversation.messages().begin()));
  EXPECT_EQ(engine_->stats().tokens_evicted - before, static_cast<uint64_t>(report.tokens));
  EXPECT_EQ(engine_->stats().tokens_evicted, manager_->Stats().n_tokens_evicted);
}

TEST_F(EvictingManager, AForkKnowsWhatItsParentWasTold) {
  const std::vector<Message> summary = {{.role = "user", .content = "Summary", .extras = {}},
                                        {.role = "assistant", .content = "Yes.", .extras = {}}};
  for (const bool splices : {false, true}) {
    Start(8, 128, {.headroom = 16});
    Reports reports(manager_.get(), splices ? summary : std::vector<Message>());
    Conversation parent;
    TalkUntil(parent, [&] { return !reports.list.empty(); });
    auto child = manager_->Fork(parent);
    ASSERT_TRUE(child.ok()) << child.status().ToString();
    std::vector<Message> shown;
    const ScopedHook look(manager_.get(), BeforeEncode{[&](auto messages, const Conversation&) {
                            shown.assign(messages.begin(), messages.end());
                            return Result<std::optional<std::vector<Message>>>(std::nullopt);
                          }});
    Turn(*child, "More.");
    ASSERT_FALSE(shown.empty());
    EXPECT_EQ(splices ? "Summary" : "Line 0.", shown[0].content);
    for (int turn = 0; turn < 6; ++turn) Turn(*child, "More " + std::to_string(turn) + ".");
    uint64_t told = 0;
    for (const EvictionReport& report : reports.list) told += static_cast<uint64_t>(report.tokens);
    EXPECT_EQ(engine_->stats().tokens_evicted, told);
    EXPECT_EQ(engine_->stats().tokens_evicted, manager_->Stats().n_tokens_evicted);
    const auto evictions = engine_->stats().evictions;
    EXPECT_EQ(std::accumulate(evictions.begin(), evictions.end(), uint64_t{0}),
              manager_->Stats().n_evictions);
    if (splices) continue;
    size_t next = 0;  // each message once
    for (const EvictionReport& report : reports.list) {
      for (const Message& message : report.dropped) {
        EXPECT_EQ(child->messages()[next++], message);
      }
    }
  }
}

// The stop comes before the eviction that the next row would need.
TEST_F(EvictingManager, AForkOfAReplyThatWasStoppedWhereItIsFullCountsNothingTwice) {
  Start(8, 128, {.headroom = 16, .evict_mode = EvictMode::kRecompute});
  Conversation parent;
  for (int turn = 0; turn < 3; ++turn) Turn(parent, "Line " + std::to_string(turn) + ".");
  ASSERT_TRUE(parent.AddUser("Go on.").ok());
  std::stop_source stop;
  GenerateOptions options = Steps(-1);
  options.cancel = stop.get_token();
  int32_t left = 128 - MustPrepare(parent) + 1;
  options.on_logits = [&](auto) {
    if (--left == 0) stop.request_stop();
  };
  const auto reply = manager_->Respond(parent, options);
  ASSERT_TRUE(reply.ok()) << reply.status().ToString();
  ASSERT_EQ(StopReason::kCancelled, reply->stop);
  EXPECT_EQ(0, reply->tokens_evicted);
  auto child = manager_->Fork(parent);
  ASSERT_TRUE(child.ok()) << child.status().ToString();
  for (Conversation* each : {&parent, &*child}) {
    ASSERT_TRUE(each->AddAssistant(reply->text).ok());
    Turn(*each, "And now?");
    EXPECT_EQ(engine_->stats().tokens_evicted, manager_->Stats().n_tokens_evicted);
  }
}

// A hook that shows more messages than there are: a splice stands for those that left, no others.
TEST_F(EvictingManager, ASpliceTakesNoMessageThatAHookOnlyShifted) {
  Reports reports(manager_.get(), {{.role = "user", .content = "Summary", .extras = {}},
                                   {.role = "assistant", .content = "Yes.", .extras = {}}});
  std::vector<Message> given;  // to the hook
  manager_->SetHook(BeforeEncode{[&](auto messages, const Conversation&) {
    given.assign(messages.begin(), messages.end());
    std::vector<Message> more = given;
    more.insert(more.begin(), {{.role = "user", .content = "Note.", .extras = {}},
                               {.role = "assistant", .content = "Noted.", .extras = {}}});
    return Result<std::optional<std::vector<Message>>>(std::move(more));
  }});
  Conversation conversation;
  TalkUntil(conversation, [&] { return !reports.list.empty(); });
  ASSERT_FALSE(reports.list.empty());
  const std::vector<Message>& dropped = reports.list[0].dropped;
  ASSERT_GT(dropped.size(), 2u);
  ASSERT_EQ("Note.", dropped[0].content);
  ASSERT_TRUE(conversation.AddUser("Now.").ok());
  MustPrepare(conversation);
  ASSERT_GT(given.size(), 2u);
  EXPECT_EQ("Summary", given[0].content);
  const auto rest = conversation.messages().subspan(dropped.size() - 2);
  EXPECT_TRUE(std::equal(given.begin() + 2, given.end(), rest.begin(), rest.end()));
}

}  // namespace
}  // namespace gyrator
