// Whose row it is: a row belongs to the Conversation object, and comes back when that is gone.
#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "engine/context_manager_testing.h"

namespace gyrator {
namespace {

class ManagerRows : public ContextManagerTest {
 protected:
  int32_t SlotsFree() { return manager_->Stats().slots_free; }

  // Two records read from one text: they have one id.
  static Conversation Read(const std::string& json) {
    auto conversation = Conversation::FromJson(json);
    EXPECT_TRUE(conversation.ok()) << conversation.status().ToString();
    return *std::move(conversation);
  }
};

TEST_F(ManagerRows, RecordsOfOneIdAreAnsweredEachForItself) {
  Conversation start("Be kind.");
  ASSERT_TRUE(start.AddUser("Hello.").ok() && start.AddAssistant("Hello!").ok());
  const std::string json = start.ToJson();
  std::vector<Conversation> people;
  const std::vector<std::string> names = {"Ada", "Ben", "Cy"};
  for (const std::string& name : names) {
    people.push_back(Read(json));
    ASSERT_TRUE(people.back().AddUser("My name is " + name + ".").ok());
  }
  EXPECT_EQ(people[0].id(), people[2].id());
  std::vector<Conversation*> all;
  for (Conversation& person : people) all.push_back(&person);
  const auto replies = manager_->RespondAll(all, Steps(12));
  for (size_t i = 0; i < people.size(); ++i) {
    ASSERT_TRUE(replies[i].ok()) << replies[i].status().ToString();
    EXPECT_EQ(Alone(people[i].AllMessages(), 12), replies[i]->tokens) << names[i];
  }
  EXPECT_EQ(5, SlotsFree());
}

TEST_F(ManagerRows, RecordsOfOneIdTalkOneAfterTheOther) {
  Conversation ada = Saying("My name is Ada.");
  Conversation ben = Read(ada.ToJson());
  ASSERT_TRUE(ben.Edit(0, "My name is Ben.").ok());
  for (int turn = 0; turn < 3; ++turn) {
    for (Conversation* one : {&ada, &ben}) {
      const std::vector<TokenId> alone = Alone(one->AllMessages());
      const Reply reply = MustRespond(*one);
      EXPECT_EQ(alone, reply.tokens);
      ASSERT_TRUE(one->AddAssistant(reply.text).ok() && one->AddUser("What is my name?").ok());
    }
  }
  manager_->Release(ada);  // the other one keeps its row
  EXPECT_EQ(7, SlotsFree());
  const uint64_t decoded = engine_->stats().tokens_decoded;
  MustPrepare(ben);
  EXPECT_LT(engine_->stats().tokens_decoded - decoded, 20u);
}

TEST_F(ManagerRows, ACopyReadFromAFileHasNoRowUntilItIsPrepared) {
  Conversation original = Saying("Hello.");
  MustPrepare(original);
  Conversation copy = Read(original.ToJson());
  EXPECT_EQ(0, *manager_->MakeRoom(copy, 5));
  manager_->Release(copy);  // nothing of it to release
  EXPECT_EQ(7, SlotsFree());
  MustPrepare(copy);
  EXPECT_EQ(6, SlotsFree());
}

TEST_F(ManagerRows, WhatIsDestroyedGivesItsRowBack) {
  for (int i = 0; i < 20; ++i) {  // eight slots
    Conversation visitor = Saying("Hello.");
    MustRespond(visitor, 2);
    EXPECT_EQ(7, SlotsFree());
  }
  EXPECT_EQ(8, SlotsFree());
  std::map<std::string, Conversation> talks;
  for (const char* name : {"a", "b", "c"}) {
    MustPrepare(talks.emplace(name, Saying(name)).first->second);
  }
  EXPECT_EQ(5, SlotsFree());
  talks.erase("b");
  EXPECT_EQ(6, SlotsFree());
  talks.clear();
  EXPECT_EQ(8, SlotsFree());
  EXPECT_THROW(
      {
        Conversation lost = Saying("Hello.");
        MustPrepare(lost);
        (void)std::vector<int>().at(1);
      },
      std::out_of_range);
  EXPECT_EQ(8, SlotsFree());
}

TEST_F(ManagerRows, WhatIsAssignedOverGivesItsRowBack) {
  Conversation talk = Saying("Hello.");
  MustPrepare(talk);
  talk = Saying("Bye.");
  EXPECT_EQ(8, SlotsFree());
  EXPECT_EQ(Alone(talk.AllMessages()), MustRespond(talk).tokens);
  EXPECT_EQ(7, SlotsFree());
  Conversation other = Saying("What is the time?");
  MustPrepare(other);
  talk = std::move(other);  // takes the row of the other one over
  EXPECT_EQ(7, SlotsFree());
  EXPECT_EQ(Alone(talk.AllMessages()), MustRespond(talk).tokens);
  Conversation& same = talk;
  talk = std::move(same);
  EXPECT_EQ(7, SlotsFree());
  EXPECT_EQ(1u, talk.messages().size());
}

TEST_F(ManagerRows, WhatIsMovedTakesItsRowAlong) {
  std::vector<Conversation> talks;
  for (int i = 0; i < 4; ++i) {  // the vector grows and moves them
    talks.push_back(Saying("Line " + std::to_string(i)));
    MustPrepare(talks.back());
  }
  EXPECT_EQ(4, SlotsFree());
  const uint64_t decoded = engine_->stats().tokens_decoded;
  for (Conversation& talk : talks) MustPrepare(talk);
  EXPECT_EQ(decoded, engine_->stats().tokens_decoded);
  Conversation from = std::move(talks[0]);
  EXPECT_TRUE(talks[0].messages().empty());
  EXPECT_EQ(0, talks[0].n_past());
  EXPECT_FALSE(talks[0].dirty());
  EXPECT_EQ(0, *manager_->MakeRoom(talks[0], 3));
  MustPrepare(from);
  EXPECT_EQ(decoded, engine_->stats().tokens_decoded);
}

TEST_F(ManagerRows, WhatWasTakenBackIsNotAnswered) {
  Conversation talk = Saying("My name is Ada.");
  MustPrepare(talk);
  ASSERT_TRUE(talk.Truncate(0).ok());
  EXPECT_EQ(0, MustPrepare(talk));
  EXPECT_FALSE(manager_->Respond(talk, Steps(3)).ok());
  const auto prefix = manager_->SetSystem(kSystem);
  EXPECT_EQ(*prefix, MustPrepare(talk));
  EXPECT_FALSE(manager_->Respond(talk, Steps(3)).ok());
}

TEST_F(ManagerRows, AResetConversationGivesItsRowBackAndBeginsAnew) {
  Conversation talk = Saying("My name is Ada.");
  MustRespond(talk);
  talk.Reset();
  EXPECT_EQ(8, SlotsFree());
  EXPECT_EQ(0, MustPrepare(talk));  // nothing is left of what was said
  ASSERT_TRUE(talk.AddUser("What is my name?").ok());
  EXPECT_EQ(Alone(talk.AllMessages()), MustRespond(talk).tokens);
  const auto prefix = manager_->SetSystem(kSystem);
  talk.Reset();
  EXPECT_EQ(*prefix, MustPrepare(talk));
  talk.Reset();
  manager_->Release(talk);
  EXPECT_EQ(*prefix, MustPrepare(talk));
}

// A rendered prompt says itself where it begins: the tokens of the shared system prompt have no
// second beginning before it.
TEST_F(ManagerRows, TheSystemPromptIsSharedUnderATokenizerThatAddsItsBeginning) {
  std::string gguf = ReadTree("models/gyrator-chat.gguf");
  const std::string end = "tokenizer.ggml.eos_token_id", begin = "tokenizer.ggml.bos_token_id";
  ASSERT_NE(std::string::npos, gguf.find(end));
  gguf.replace(gguf.find(end), end.size(), begin);
  gguf[ValueOf(gguf, "tokenizer.ggml.add_bos_token")] = 1;
  const auto model = LoadBytes(gguf);
  ASSERT_NE(model->text()->Encode("Hello.", true), model->text()->Encode("Hello.", false));
  const auto engine = MakeEngine(model, {.context = 256, .threads = 1});
  const auto manager = *ContextManager::New(engine.get(), {});
  const auto prefix = manager->SetSystem(kSystem);
  ASSERT_TRUE(prefix.ok());
  Conversation first = Saying("My name is Ada."), second = Saying("Good morning.");
  ASSERT_TRUE(manager->Prepare(first).ok());
  const uint64_t decoded = engine->stats().tokens_decoded;
  const auto prepared = manager->Prepare(second);
  ASSERT_TRUE(prepared.ok());
  EXPECT_EQ(engine->stats().tokens_decoded - decoded, static_cast<uint64_t>(*prepared - *prefix));
}

TEST_F(ManagerRows, AConversationMayOutliveManagerAndEngine) {
  Conversation with_engine = Saying("Hello."), without = Saying("Hello."), later = Saying("Bye.");
  MustPrepare(with_engine);
  MustPrepare(without);
  manager_.reset();
  {
    const Conversation gone = std::move(with_engine);
  }
  EXPECT_EQ(engine_->stats().slots_total, engine_->stats().slots_free);
  engine_.reset();
  {
    const Conversation gone = std::move(without);
  }
  Start(8, 256);
  MustPrepare(later);
  Start(8, 256);
  EXPECT_EQ(Alone(later.AllMessages()), MustRespond(later).tokens);
}

TEST_F(ManagerRows, AnotherManagerMakesARowOfItsOwn) {
  const auto other = NewManager({.cache_namespace = "other"});
  Conversation talk = Saying("What is your name?");
  MustPrepare(talk);
  EXPECT_EQ(0, *other->MakeRoom(talk, 3));
  other->Release(talk);
  EXPECT_EQ(7, SlotsFree());
  EXPECT_EQ(Alone(talk.AllMessages()), other->Respond(talk, Steps(8))->tokens);
  EXPECT_EQ(7, SlotsFree());  // the first row was given back
  EXPECT_EQ(0, *manager_->MakeRoom(talk, 3));
  EXPECT_EQ(Alone(talk.AllMessages()), MustRespond(talk).tokens);
  const auto elsewhere = MakeEngine(model_, {.context = 128, .threads = 1});
  const auto third = *ContextManager::New(elsewhere.get(), {.sampler = sampler_});
  EXPECT_EQ(Alone(talk.AllMessages()), third->Respond(talk, Steps(8))->tokens);
  EXPECT_EQ(8, SlotsFree());
}

TEST_F(ManagerRows, OneGivenTwiceIsAnsweredOnceAndRefusedOnce) {
  Conversation a = Saying("Hello."), b = Saying("What is your name?");
  Conversation* all[] = {&a, &b, &a, nullptr, &b, &a};
  const auto replies = manager_->RespondAll(all, Steps(8));
  ASSERT_TRUE(replies[0].ok() && replies[1].ok());
  EXPECT_EQ(Alone(a.AllMessages()), replies[0]->tokens);
  EXPECT_EQ(Alone(b.AllMessages()), replies[1]->tokens);
  for (const size_t i : {2, 4, 5}) {
    EXPECT_EQ(Code::kInvalidArgument, replies[i].status().code());
    EXPECT_EQ("busy", replies[i].status().name());
  }
  EXPECT_EQ(Code::kInvalidArgument, replies[3].status().code());
  EXPECT_EQ(6, SlotsFree());
  EXPECT_EQ(Alone(a.AllMessages()), MustRespond(a).tokens);  // and both go on
  EXPECT_EQ(Alone(b.AllMessages()), MustRespond(b).tokens);
}

TEST_F(ManagerRows, AManagerWithoutAnEngineIsRefused) {
  EXPECT_EQ(Code::kInvalidArgument, ContextManager::New(nullptr, {}).status().code());
}

// What a hook does to its own conversation, and whether the Prepare is refused for it.
using Deed = std::function<void(ContextManager*, Conversation*)>;

class OwnHook : public ManagerRows, public testing::WithParamInterface<int> {
 protected:
  // 0: before_encode, 1: sink_fn, 2: on_evict.
  void Hook(Conversation* talk, const Deed& deed) {
    const auto run = [this, talk, deed] { deed(manager_.get(), talk); };
    using Messages = std::optional<std::vector<Message>>;
    if (GetParam() == 0) {
      manager_->SetHook(BeforeEncode{[run](auto, const Conversation&) -> Result<Messages> {
        run();
        return Messages();
      }});
    } else if (GetParam() == 1) {
      manager_->SetHook(SinkCount{[run](const Conversation&) -> Result<int32_t> {
        run();
        return -1;
      }});
    } else {
      manager_->SetHook(OnEvict{[run](auto&&, const Conversation&) -> Result<Messages> {
        run();
        return Messages(
            std::vector<Message>{{.role = "user", .content = "Before.", .extras = {}},
                                 {.role = "assistant", .content = "So.", .extras = {}}});
      }});
    }
  }
  // A conversation that has to evict at its next Prepare.
  Conversation Long() {
    Start(8, 96, {.headroom = 0});
    Conversation talk;
    for (int i = 0; i < 12; ++i) {
      EXPECT_TRUE(talk.AddUser("Line " + std::to_string(i) + " of a story.").ok());
      if (i < 11) {
        EXPECT_TRUE(talk.AddAssistant("Yes.").ok());
      }
    }
    return talk;
  }
};

TEST_P(OwnHook, WhoReleasesItsConversationIsRefusedByName) {
  const Deed deeds[] = {
      [](ContextManager* manager, Conversation* talk) { manager->Release(*talk); },
      [](ContextManager*, Conversation* talk) { *talk = Saying("Another."); },
      [](ContextManager*, Conversation* talk) { talk->Reset(); },
      [](ContextManager*, Conversation* talk) { const Conversation gone = std::move(*talk); },
  };
  for (const Deed& deed : deeds) {
    Conversation talk = Long();
    Hook(&talk, deed);
    const auto prepared = manager_->Prepare(talk);
    EXPECT_EQ(Code::kInvalidArgument, prepared.status().code());
    EXPECT_EQ("released", prepared.status().name()) << prepared.status().ToString();
    EXPECT_NE(std::string::npos, prepared.status().message().find("hook "));
    EXPECT_EQ(8, SlotsFree());
    EXPECT_EQ(0, talk.n_past());
  }
}

TEST_P(OwnHook, WhoChangesItsConversationIsRefusedAndTheNextPrepareIsRight) {
  Conversation talk = Long();
  bool once = true;
  Hook(&talk, [&once](ContextManager*, Conversation* own) {
    if (std::exchange(once, false)) {
      EXPECT_TRUE(own->Truncate(3).ok());
    }
  });
  EXPECT_EQ(Code::kInvalidArgument, manager_->Prepare(talk).status().code());
  ASSERT_EQ(3u, talk.messages().size());
  EXPECT_TRUE(talk.dirty());
  EXPECT_EQ(Alone(talk.AllMessages()), MustRespond(talk).tokens);
}

TEST_P(OwnHook, WhoAsksForItsOwnConversationFindsItBusy) {
  std::vector<Status> answers;
  Conversation talk = Long();
  Hook(&talk, [&answers](ContextManager* manager, Conversation* own) {
    answers.push_back(manager->Prepare(*own).status());
    answers.push_back(manager->Respond(*own, Steps(2)).status());
    answers.push_back(manager->MakeRoom(*own, 3).status());
    answers.push_back(manager->Fork(*own).status());
  });
  MustPrepare(talk);
  ASSERT_EQ(4u, answers.size());
  for (const Status& status : answers) EXPECT_EQ("busy", status.name()) << status.ToString();
  EXPECT_EQ(7, SlotsFree());
}

TEST_P(OwnHook, WhoAsksForAnotherConversationIsServed) {
  Conversation talk = Long(), other = Saying("What is your name?");
  std::vector<TokenId> said;
  bool first = true;  // the hook runs for the other one too
  Hook(&talk, [&](ContextManager* manager, Conversation*) {
    if (std::exchange(first, false)) said = manager->Respond(other, Steps(8))->tokens;
  });
  MustPrepare(talk);
  EXPECT_EQ(Alone(other.AllMessages()), said);
}

INSTANTIATE_TEST_SUITE_P(Hooks, OwnHook, testing::Values(0, 1, 2));

TEST_F(ManagerRows, ACallbackMayReleaseItsConversation) {
  const std::vector<TokenId> alone = Alone(Saying("Hello.").AllMessages());
  for (const bool destroys : {false, true}) {
    auto talk = std::make_unique<Conversation>(Saying("Hello."));
    GenerateOptions options = Steps(8);
    options.on_text = [&](std::string_view) {
      if (talk != nullptr && !destroys) manager_->Release(*talk);
      if (destroys) talk.reset();
      return true;
    };
    const auto reply = manager_->Respond(*talk, options);
    ASSERT_TRUE(reply.ok()) << reply.status().ToString();
    EXPECT_EQ(alone, reply->tokens);
    EXPECT_EQ(8, SlotsFree());
    if (talk != nullptr) {
      EXPECT_EQ(0, talk->n_past());
    }
  }
}

TEST_F(ManagerRows, ACallbackFindsItsConversationBusy) {
  Conversation talk = Saying("Hello.");
  std::vector<std::string> names;
  GenerateOptions options = Steps(3);
  options.on_text = [&](std::string_view) {
    names.push_back(manager_->Prepare(talk).status().name());
    names.push_back(manager_->MakeRoom(talk, 2).status().name());
    names.push_back(manager_->Fork(talk).status().name());
    return true;
  };
  EXPECT_TRUE(manager_->Respond(talk, options).ok());
  ASSERT_GE(names.size(), 3u);
  for (const std::string& name : names) EXPECT_EQ("busy", name);
}

// --- What a reply and the counters say.

TEST_F(ManagerRows, AReplyCountsWhatItsPrepareDid) {
  std::string line;
  for (int i = 0; i < 20; ++i) line += "The rain falls. ";
  Conversation cold = Saying(line), again = Saying(line);
  const int32_t tokens = PromptTokens(cold.AllMessages());
  const Reply first = MustRespond(cold, 3);
  EXPECT_EQ(0, first.tokens_reused);
  EXPECT_EQ(tokens, first.tokens_decoded);
  EXPECT_GT(first.prompt_ms, 0);
  const Reply second = MustRespond(again, 3);
  EXPECT_EQ(first.tokens_decoded, second.tokens_reused + second.tokens_decoded);
  EXPECT_EQ(second.tokens_reused, second.tokens_shared);
  ASSERT_TRUE(again.AddAssistant(second.text).ok() && again.AddUser("And now?").ok());
  const Reply third = MustRespond(again, 3);
  EXPECT_GE(third.tokens_reused, first.tokens_decoded);
  EXPECT_EQ(0, third.tokens_shared);
  EXPECT_LT(third.tokens_decoded, 20);
}

TEST_F(ManagerRows, RepliesTogetherEvictedWhatTheEngineDid) {
  for (const Overflow policy : {Overflow::kMessage, Overflow::kFifo, Overflow::kSink}) {
    Start(2, 128, {.headroom = 16, .eviction = policy});
    Conversation talk;
    uint64_t said = 0;
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(talk.AddUser("Line " + std::to_string(i) + ".").ok());
      const Reply reply = MustRespond(talk, 12);
      said += static_cast<uint64_t>(reply.tokens_evicted);
      ASSERT_TRUE(talk.AddAssistant(reply.text).ok());
    }
    EXPECT_GT(said, 0u);
    EXPECT_EQ(engine_->stats().tokens_evicted, said);
    EXPECT_EQ(manager_->Stats().n_tokens_evicted, said);
  }
}

TEST_F(ManagerRows, ARequestIsCountedOnce) {
  Conversation talk = Saying("Hello there, how are you?");
  const Reply reply = MustRespond(talk, 3);
  EngineStats stats = engine_->stats();
  EXPECT_EQ(1u, stats.requests);
  EXPECT_EQ(0u, stats.tokens_reused_own);
  EXPECT_EQ(0u, stats.tokens_reused_shared);
  Conversation fork = *manager_->Fork(talk);
  EXPECT_EQ(1u, engine_->stats().requests);  // a fork is no request
  const auto room = manager_->MakeRoom(talk, 1);
  EXPECT_EQ(1u, engine_->stats().requests);  // nor is this
  EXPECT_FALSE(room.ok());                   // there is one turn, which stays
  EXPECT_EQ(0u, engine_->stats().requests_failed);
  ASSERT_TRUE(fork.AddAssistant(reply.text).ok() && fork.AddUser("And you?").ok());
  const Reply next = MustRespond(fork, 3);
  stats = engine_->stats();
  EXPECT_EQ(2u, stats.requests);
  EXPECT_EQ(static_cast<uint64_t>(next.tokens_reused), stats.tokens_reused_own);
  MustPrepare(fork);
  EXPECT_EQ(3u, engine_->stats().requests);
}

}  // namespace
}  // namespace gyrator
