// Conversations that outgrow their session: what leaves, what stays, and what exact means then.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "engine/eviction_testing.h"

namespace gyrator {
namespace {

TEST_P(EvictionTest, ASessionGoesOnTwentyTimesPastItsCapacity) {
  const auto session = New(*engine_);
  ASSERT_TRUE(session->Append({.role = "system", .content = "Be kind.", .extras = {}}).ok());
  int turn = 0;
  while (std::ssize(session->all_tokens()) < 20 * kContext && !HasFailure()) {
    ASSERT_LT(turn, 20 * kContext / 16);  // each turn adds sixteen tokens and its question
    Say(*session, "Tell me about number " + std::to_string(turn++) + ".", 16);
    const SessionInfo info = session->info();
    EXPECT_LE(info.cp, kContext);
    EXPECT_EQ(std::ssize(session->all_tokens()), info.cp + info.evicted);
  }
  EXPECT_EQ(static_cast<size_t>(1 + 2 * turn), session->transcript().size());  // never edited
  EXPECT_GT(session->info().evictions, 10);
  const EngineStats stats = engine_->stats();
  const auto policy = static_cast<size_t>(GetParam().overflow) - 1;
  EXPECT_EQ(static_cast<uint64_t>(session->info().evictions), stats.evictions[policy]);
  EXPECT_EQ(static_cast<uint64_t>(session->info().evicted), stats.tokens_evicted);
  EXPECT_EQ(0u, stats.windows_rebuilt);
}

TEST_P(EvictionTest, TheSystemPromptAndTheNewestTurnStay) {
  const auto session = New(*engine_);
  ASSERT_TRUE(session->Append({.role = "system", .content = "Be kind.", .extras = {}}).ok());
  Say(*session, "Hello.");
  const std::vector<TokenId> begun = session->tokens();
  const std::vector<TokenId> system =
      model_->text()->Encode("Be kind.", false);  // stands within the first tokens
  Talk(*session, 20);
  EXPECT_GT(session->info().evicted, 0);
  const std::vector<TokenId> window = session->tokens();
  const auto there = std::search(begun.begin(), begun.end(), system.begin(), system.end());
  ASSERT_NE(there, begun.end());
  EXPECT_TRUE(std::equal(begun.begin(), there + std::ssize(system), window.begin()));
  const std::string text = model_->text()->Decode(window, false);
  EXPECT_NE(std::string::npos, text.find("My number is 19."));
  EXPECT_EQ(std::string::npos, text.find("My number is 3."));
}

TEST_P(EvictionTest, EqualScriptsGiveEqualBitsWhateverTheNeighboursDo) {
  const auto quiet = Make(1);
  const auto alone = New(*quiet);
  const auto said = Talk(*alone, 30);
  const auto busy = Make(2, 1 << 20);  // parks to disk what does not fit
  const auto mine = New(*busy);
  std::vector<std::unique_ptr<Session>> others;
  for (uint64_t i = 0; i < 3; ++i) others.push_back(New(*busy, 100 + i));
  std::vector<TokenId> said_here;
  for (int turn = 0; turn < 30; ++turn) {
    const auto tokens = Talk(*mine, 1, turn);
    said_here.insert(said_here.end(), tokens.begin(), tokens.end());
    for (auto& other : others) Talk(*other, 1, turn / 2);
  }
  EXPECT_GT(busy->stats().sessions_parked, 0u);
  EXPECT_EQ(said, said_here);
  EXPECT_EQ(alone->tokens(), mine->tokens());
  EXPECT_TRUE(std::ranges::equal(alone->last_logits(), mine->last_logits()));
}

// What was parked without its blocks is decoded again before anything is evicted from it.
TEST_P(EvictionTest, WhatParkingLostIsThereAgainBeforeAnEviction) {
  const auto quiet = Make(1);
  const auto alone = New(*quiet);
  const auto busy = Make(1);
  const auto mine = New(*busy), other = New(*busy, 9);
  for (const auto& session : {alone.get(), mine.get()}) {
    Say(*session, "Hello there.");
    ASSERT_TRUE(session->Append({.role = "user", .content = "Go on.", .extras = {}}).ok());
    ASSERT_TRUE(session->Prepare({}).ok());
    ASSERT_TRUE(session->Respond(Steps(kContext - 4 - session->info().cp)).ok());
    ASSERT_GT(session->info().cp, kContext - 16);  // headroom is used up
    ASSERT_EQ(0, session->info().evicted);
  }
  const auto reply = other->Complete(Numbers(100, 3), Steps(2));
  ASSERT_TRUE(reply.ok());
  EXPECT_GT(busy->stats().sessions_parked, 0u);
  const std::string line =
      "Now I say so much that it cannot fit what is left of this session, "
      "and a little more than that, so that something has to leave.";
  EXPECT_EQ(Say(*alone, line).tokens, Say(*mine, line).tokens);
  EXPECT_GT(mine->info().evicted, 0);
  EXPECT_TRUE(std::ranges::equal(alone->last_logits(), mine->last_logits()));
}

TEST_P(EvictionTest, AForkIsUntouchedByItsParentsEvictions) {
  const auto parent = New(*engine_);
  Talk(*parent, 3);
  const auto fork = parent->Fork({});
  ASSERT_TRUE(fork.ok());
  const auto quiet = Make(1);
  const auto alone = New(*quiet);
  Talk(*alone, 3);
  Talk(*parent, 20, 50);
  EXPECT_GT(parent->info().evicted, 0);
  EXPECT_EQ(Talk(*alone, 20, 3), Talk(**fork, 20, 3));
  EXPECT_TRUE(std::ranges::equal(alone->last_logits(), (*fork)->last_logits()));
}

TEST_P(EvictionTest, ADifferenceBeforeWhatWasEvictedMakesTheWindowAnew) {
  const auto session = New(*engine_);
  Talk(*session, 12);
  ASSERT_GT(session->info().evicted, 0);
  ASSERT_TRUE(session->Edit(0, "Something else.").ok());
  const auto reply = session->Respond(Steps(4));
  ASSERT_TRUE(reply.ok());
  EXPECT_TRUE(reply->window_rebuilt);
  EXPECT_EQ(0, session->info().evicted);
  const auto quiet = Make(1);
  const auto alone = New(*quiet);
  EXPECT_EQ(Say(*alone, "Something else.", 4).tokens, reply->tokens);
  EXPECT_TRUE(std::ranges::equal(alone->last_logits(), session->last_logits()));
}

// The tokens of the window are then the whole prompt, but its K and V are not what they would be.
TEST_P(EvictionTest, AHistoryWithoutWhatWasEvictedIsDecodedAnew) {
  const auto session = New(*engine_);
  Talk(*session, 12);
  ASSERT_GT(session->info().evicted, 0);
  const std::vector<TokenId> window = session->tokens();
  const auto reply = session->Complete(window, Steps(0));
  ASSERT_TRUE(reply.ok()) << reply.status().ToString();
  EXPECT_TRUE(reply->window_rebuilt);
  const auto quiet = Make(1);
  const auto alone = MakeSession(*quiet, 1);
  ASSERT_TRUE(alone->Complete(session->tokens(), Steps(0)).ok());
  EXPECT_TRUE(std::ranges::equal(alone->last_logits(), session->last_logits()));
}

TEST_P(EvictionTest, AnEditBehindWhatWasEvictedKeepsTheWindow) {
  const auto session = New(*engine_);
  Talk(*session, 12);
  const int32_t evicted = session->info().evicted;
  ASSERT_GT(evicted, 0);
  const size_t last = session->transcript().size() - 2;
  ASSERT_TRUE(session->Edit(last, "My number is nine.").ok());
  const auto reply = session->Respond(Steps(4));
  ASSERT_TRUE(reply.ok());
  EXPECT_FALSE(reply->window_rebuilt);
  EXPECT_GT(reply->tokens_reused, 20);
}

TEST_P(EvictionTest, AnOversizePromptKeepsItsNewestTurnAndTheHeader) {
  const auto session = New(*engine_);
  std::vector<Message> history = {{.role = "system", .content = "Be kind.", .extras = {}}};
  for (int i = 0; i < 40; ++i) {
    history.push_back({.role = "user", .content = "Line " + std::to_string(i), .extras = {}});
    history.push_back({.role = "assistant", .content = "Yes.", .extras = {}});
  }
  history.push_back({.role = "user", .content = "What was the last line?", .extras = {}});
  ASSERT_TRUE(session->SetTranscript(history).ok());
  const auto prepared = session->Prepare({});
  ASSERT_TRUE(prepared.ok()) << prepared.status().ToString();
  EXPECT_GT(prepared->tokens_evicted, 0);
  const std::string text = model_->text()->Decode(session->tokens(), false);
  const std::string render = *model_->text()->Render(history, {});
  EXPECT_NE(std::string::npos, text.find("Be kind."));
  const size_t newest = render.find("What was the last line?");
  EXPECT_TRUE(text.ends_with(render.substr(newest)));
  EXPECT_EQ(history.size(), session->transcript().size());
}

TEST_P(EvictionTest, ATurnThatCannotFitIsATypedErrorAndLosesNothing) {
  const auto session = New(*engine_);
  Talk(*session, 2);
  std::string line;
  for (int i = 0; i < 200; ++i) line += "word" + std::to_string(i) + " ";
  const int32_t cp = session->info().cp;
  ASSERT_TRUE(session->Append({.role = "user", .content = line, .extras = {}}).ok());
  const auto reply = session->Respond(Steps(4));
  EXPECT_EQ(Code::kExhausted, reply.status().code());
  EXPECT_EQ("capacity", reply.status().name());
  EXPECT_EQ(cp, session->info().cp);
  ASSERT_TRUE(session->Rewind(4).ok());
  Talk(*session, 1, 2);
}

TEST_P(EvictionTest, ARefusalLosesNothingOfAParkedSession) {
  const bool shifts = GetParam().mode == EvictMode::kShift;  // parked whole or not at all
  const auto quiet = Make(1), busy = Make(1, shifts ? 1 << 20 : 0);
  const auto alone = New(*quiet), mine = New(*busy), other = MakeSession(*busy, 9);
  Talk(*alone, 12);
  Talk(*mine, 12);
  ASSERT_GT(mine->info().evicted, 0);
  ASSERT_TRUE(other->Complete(Numbers(120, 3), Steps(2)).ok());
  ASSERT_EQ(1, busy->stats().parked);
  for (Session* session : {alone.get(), mine.get()}) {
    EXPECT_EQ("capacity", session->MakeRoom(kContext).status().name());
  }
  EXPECT_EQ(alone->tokens(), mine->tokens());
  EXPECT_EQ(Talk(*alone, 12, 12), Talk(*mine, 12, 12));
  EXPECT_EQ(alone->all_tokens(), mine->all_tokens());
  EXPECT_TRUE(std::ranges::equal(alone->last_logits(), mine->last_logits()));
}

TEST_P(EvictionTest, WhatMovedIsNeverShared) {
  const auto session = New(*engine_);
  Talk(*session, 12);
  ASSERT_GT(session->info().evicted, 0);
  const auto other = MakeSession(*engine_, 1);
  const auto reply = other->Complete(session->tokens(), Steps(4));
  ASSERT_TRUE(reply.ok());
  const auto quiet = Make(1);
  EXPECT_EQ(MakeSession(*quiet, 1)->Complete(session->tokens(), Steps(4))->tokens, reply->tokens);
}

TEST_P(EvictionTest, ASavedWindowGoesOnAsIfItHadNotBeenSaved) {
  const std::string root = testing::TempDir() + "eviction_test_saved";
  std::filesystem::remove_all(root);
  const auto session = New(*engine_);
  Talk(*session, 12);
  ASSERT_GT(session->info().evicted, 0);
  const auto saved = session->Save({.root = root});
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  const auto elsewhere = Make(1);
  const auto loaded = elsewhere->LoadSession(saved->folder, nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  EXPECT_EQ(session->window(), (*loaded)->window());
  EXPECT_EQ(session->tokens(), (*loaded)->tokens());
  EXPECT_EQ(session->all_tokens(), (*loaded)->all_tokens());
  EXPECT_EQ(session->info().evictions, (*loaded)->info().evictions);
  EXPECT_EQ(Talk(*session, 12, 12), Talk(**loaded, 12, 12));
  EXPECT_EQ(session->all_tokens(), (*loaded)->all_tokens());
  EXPECT_TRUE(std::ranges::equal(session->last_logits(), (*loaded)->last_logits()));
  // The sampler's past came along too.
  ASSERT_TRUE(session->Rewind(3).ok());
  ASSERT_TRUE((*loaded)->Rewind(3).ok());
  EXPECT_EQ(session->Respond(Steps(6))->tokens, (*loaded)->Respond(Steps(6))->tokens);
  std::filesystem::remove_all(root);
}

TEST_P(EvictionTest, AToolCallIsNeverWithoutItsResult) {
  const auto session = New(*engine_);
  std::vector<Message> history;
  const auto add = [&](const char* role, const std::string& content, const char* extras = "") {
    history.push_back({.role = role, .content = content, .extras = extras});
  };
  for (int i = 0; i < 3; ++i) add("user", "First."), add("assistant", "Yes.");
  add("user", "Ask the tool.");
  add("assistant", "CALL",
      R"({"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]})");
  add("tool", "RESULT", R"({"tool_call_id":"1"})");
  add("assistant", "The tool says so.");
  add("user", "And now?");
  ASSERT_TRUE(session->SetTranscript(history).ok());
  int with = 0;
  for (int turn = 0; turn < 15; ++turn) {
    const auto reply = session->Respond(Steps(6));
    ASSERT_TRUE(reply.ok()) << reply.status().ToString();
    const std::string text = model_->text()->Decode(session->tokens(), false);
    EXPECT_EQ(text.find("CALL") == std::string::npos, text.find("RESULT") == std::string::npos);
    with += text.find("CALL") != std::string::npos ? 1 : 0;
    ASSERT_TRUE(session->Append({.role = "user", .content = "Go on.", .extras = {}}).ok());
  }
  EXPECT_GT(with, 0);
  EXPECT_LT(with, 15);  // it has left
}

INSTANTIATE_TEST_SUITE_P(Policies, EvictionTest,
                         testing::Values(EvictionCase{Overflow::kMessage, EvictMode::kShift},
                                         EvictionCase{Overflow::kFifo, EvictMode::kShift},
                                         EvictionCase{Overflow::kSink, EvictMode::kShift},
                                         EvictionCase{Overflow::kScore, EvictMode::kShift},
                                         EvictionCase{Overflow::kMessage, EvictMode::kRecompute},
                                         EvictionCase{Overflow::kFifo, EvictMode::kRecompute},
                                         EvictionCase{Overflow::kSink, EvictMode::kRecompute},
                                         EvictionCase{Overflow::kScore, EvictMode::kRecompute}),
                         EvictionCaseName);

class RecomputeTest : public EvictionTest {};

TEST_P(RecomputeTest, TheStateIsThatOfTheWindowAlone) {
  const auto session = New(*engine_);
  Talk(*session, 20);
  ASSERT_GT(session->info().evicted, 0);
  const auto quiet = Make(1);
  const auto alone = MakeSession(*quiet, 1);
  ASSERT_TRUE(alone->Complete(session->tokens(), Steps(0)).ok());
  EXPECT_TRUE(std::ranges::equal(alone->last_logits(), session->last_logits()));
}

// Turns that were taken back, a folder in between: nothing but the tokens of the window counts.
TEST_P(RecomputeTest, TheWayToAWindowLeavesNoTrace) {
  const std::string root = testing::TempDir() + "eviction_test_way";
  std::filesystem::remove_all(root);
  const auto session = New(*engine_);
  Talk(*session, 12);
  ASSERT_GT(session->info().evicted, 0);
  ASSERT_TRUE(session->Rewind(20).ok());  // two turns
  Talk(*session, 1, 30);
  const auto saved = session->Save({.root = root});
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  const auto loaded = engine_->LoadSession(saved->folder, nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  ASSERT_TRUE((*loaded)->SetWindow(Windowed()).ok());
  Talk(**loaded, 6, 31);
  const auto quiet = Make(1);
  const auto alone = MakeSession(*quiet, 1);
  ASSERT_TRUE(alone->Complete((*loaded)->tokens(), Steps(0)).ok());
  EXPECT_TRUE(std::ranges::equal(alone->last_logits(), (*loaded)->last_logits()));
  std::filesystem::remove_all(root);
}

// A reply that outgrows its session goes on from the window as from a prompt of those tokens.
TEST_P(RecomputeTest, BehindAnEvictionWithinAReplyTheStateIsThatOfTheWindowAlone) {
  const auto session = New(*engine_);
  const int32_t full = AskUntilFull(*session);
  const auto reply = session->Respond(Steps(full + 8));
  ASSERT_TRUE(reply.ok()) << reply.status().ToString();
  ASSERT_GT(reply->tokens_evicted, 0);
  ASSERT_EQ(full + 8, std::ssize(reply->tokens));
  const auto quiet = Make(1);
  const auto alone = MakeSession(*quiet, 1);
  ASSERT_TRUE(alone->Complete(session->tokens(), Steps(0)).ok());
  EXPECT_TRUE(std::ranges::equal(alone->last_logits(), session->last_logits()));
}

INSTANTIATE_TEST_SUITE_P(Policies, RecomputeTest,
                         testing::Values(EvictionCase{Overflow::kMessage, EvictMode::kRecompute},
                                         EvictionCase{Overflow::kFifo, EvictMode::kRecompute},
                                         EvictionCase{Overflow::kSink, EvictMode::kRecompute},
                                         EvictionCase{Overflow::kScore, EvictMode::kRecompute}),
                         EvictionCaseName);

}  // namespace
}  // namespace gyrator
