// Requests that end where their session is full: within an eviction, before one, or for want of
// one.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "engine/eviction_testing.h"

namespace gyrator {
namespace {

// A request that ended before it had decoded what stands in front of a gap: there is nothing yet
// that the gap could follow, so the save keeps what was decoded and no more.
TEST_P(EvictionTest, ASaveAfterARequestThatEndedWithinAnEvictionIsWhole) {
  const std::string root = testing::TempDir() + "eviction_test_ended";
  std::filesystem::remove_all(root);
  const auto engine = Make(2, 0, 1);  // a row a pass
  const auto session = StoppedBeforeItsGap(*engine);
  const auto saved = session->Save({.root = root});
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  EXPECT_EQ(0, session->info().evicted);
  const auto loaded = engine->LoadSession(saved->folder, nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  EXPECT_EQ(session->tokens(), (*loaded)->tokens());
  ASSERT_TRUE((*loaded)->SetWindow(Windowed()).ok());
  const auto here = session->Respond(Steps(4)), there = (*loaded)->Respond(Steps(4));
  ASSERT_TRUE(here.ok() && there.ok());
  EXPECT_EQ(here->tokens, there->tokens);
  std::filesystem::remove_all(root);
}

TEST_P(EvictionTest, AForkOfARequestThatEndedWithinAnEvictionIsWhole) {
  const auto engine = Make(2, 0, 1);
  const auto session = StoppedBeforeItsGap(*engine);
  const auto fork = session->Fork({});
  ASSERT_TRUE(fork.ok()) << fork.status().ToString();
  EXPECT_EQ(session->tokens(), (*fork)->tokens());
  EXPECT_EQ(0, (*fork)->info().evicted);
  const auto quiet = Make(1);
  const auto alone = New(*quiet);
  const auto messages = session->transcript();
  ASSERT_TRUE(alone->SetTranscript({messages.begin(), messages.end()}).ok());
  const auto expected = alone->Respond(Steps(4));
  ASSERT_TRUE(expected.ok()) << expected.status().ToString();
  for (Session* each : {session.get(), fork->get()}) {
    const auto reply = each->Respond(Steps(4));
    ASSERT_TRUE(reply.ok()) << reply.status().ToString();
    EXPECT_EQ(expected->tokens, reply->tokens);
    EXPECT_EQ(alone->all_tokens(), each->all_tokens());
    EXPECT_TRUE(std::ranges::equal(alone->last_logits(), each->last_logits()));
  }
}

// What was evicted stood behind tokens that are not there yet: joined to what is, it would be a
// text that nobody gave.
TEST_P(EvictionTest, ARequestThatEndedWithinAnEvictionHasNoTokensFromBehindIt) {
  const auto engine = Make(2, 0, 1);
  const auto session = StoppedBeforeItsGap(*engine);
  const std::vector<TokenId> all = session->all_tokens(), window = session->tokens();
  ASSERT_GT(session->info().evicted, 0);
  ASSERT_GT(all.size(), 0u);
  ASSERT_LE(all.size(), window.size());
  EXPECT_TRUE(std::equal(all.begin(), all.end(), window.begin()));
}

// Where no room can be made nothing changes, also when the window would have to be made anew for
// it.
TEST_P(EvictionTest, RoomThatCannotBeMadeChangesNothing) {
  const auto engine = Make(2, 0, 1);
  const auto session = StoppedBeforeItsGap(*engine);
  const SessionInfo before = session->info();
  const std::vector<TokenId> all = session->all_tokens();
  const auto expect_unchanged = [&] {
    EXPECT_EQ(before.evicted, session->info().evicted);
    EXPECT_EQ(before.windows_rebuilt, session->info().windows_rebuilt);
    EXPECT_EQ(before.cp, session->info().cp);
    EXPECT_EQ(all, session->all_tokens());
  };
  EXPECT_EQ("capacity", session->MakeRoom(100'000).status().name());
  expect_unchanged();
  ASSERT_TRUE(session->SetWindow({.overflow = Overflow::kError, .mode = GetParam().mode}).ok());
  EXPECT_EQ("capacity", session->MakeRoom(1).status().name());
  expect_unchanged();
}

// Stopped right after an eviction: no logits belong to what is there, and a last row that was
// decoded again would attend to less than it did.
TEST_P(EvictionTest, AForkOfAParkedSessionChangesNoBitOfIt) {
  const auto quiet = Make(2), busy = Make(2, 1 << 20);
  const auto alone = StoppedAtAnEviction(*quiet), mine = StoppedAtAnEviction(*busy);
  const auto other = MakeSession(*busy, 9), another = MakeSession(*busy, 10);
  ASSERT_TRUE(other->Complete(Numbers(120, 3), Steps(2)).ok());
  ASSERT_TRUE(another->Complete(Numbers(120, 5), Steps(2)).ok());
  ASSERT_GT(busy->stats().sessions_parked, 0u);
  const auto fork = mine->Fork({});
  ASSERT_TRUE(fork.ok()) << fork.status().ToString();
  EXPECT_EQ(alone->tokens(), (*fork)->tokens());
  EXPECT_EQ(Talk(*alone, 3, 5), Talk(**fork, 3, 5));
  EXPECT_TRUE(std::ranges::equal(alone->last_logits(), (*fork)->last_logits()));
}

// The stop comes between an eviction in the middle of a reply and the pass that follows.
TEST_P(EvictionTest, AReplyThatIsStoppedAtItsEvictionCanBeSaved) {
  const std::string root = testing::TempDir() + "eviction_test_stopped";
  std::filesystem::remove_all(root);
  const auto session = StoppedAtAnEviction(*engine_);
  const auto saved = session->Save({.root = root});
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  const auto loaded = engine_->LoadSession(saved->folder, nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  ASSERT_TRUE((*loaded)->SetWindow(Windowed()).ok());
  EXPECT_EQ(Talk(*session, 3, 5), Talk(**loaded, 3, 5));
  std::filesystem::remove_all(root);
}

// In the busy pool the session's room is taken by its neighbour at the very token whose callback
// stops it: parked, it could not evict any more.
TEST_P(EvictionTest, ACallbackThatStopsItsReplyComesBeforeAnEviction) {
  const auto quiet = Make(1);
  EngineOptions options;
  options.context = kContext;
  options.kv_budget = 12 * quiet->stats().block_bytes;  // of 16 positions
  options.threads = 1;
  const auto busy = MakeEngine(model_, options);
  const auto alone = New(*quiet), mine = New(*busy), other = New(*busy, 9);
  int32_t full = 0;
  for (Session* session : {alone.get(), mine.get()}) full = AskUntilFull(*session);
  const auto prompt = Numbers(64 - (full - 1), 3);  // its fifth block is due when `mine` is full
  ASSERT_TRUE(other->Complete(prompt, Steps(0)).ok());
  for (Session* session : {alone.get(), mine.get()}) {
    std::stop_source stop;
    std::vector<BatchRequest> batch;
    if (session == mine.get()) {
      batch.push_back({.session = other.get(), .prefix = prompt, .options = Steps(full + 3)});
      batch.back().options.on_logits = [](auto) {};
    }
    batch.push_back({.session = session, .prefix = {}, .options = Steps(-1)});
    batch.back().options.cancel = stop.get_token();
    batch.back().options.on_logits = [&stop, left = full](auto) mutable {
      if (--left == 0) stop.request_stop();
    };
    const auto replies = (session == mine.get() ? busy : quiet)->Run(batch);
    ASSERT_TRUE(replies.back().ok()) << replies.back().status().ToString();
    EXPECT_EQ(StopReason::kCancelled, replies.back()->stop);
    EXPECT_EQ(0, session->info().evicted);
  }
  EXPECT_EQ(alone->tokens(), mine->tokens());
  EXPECT_EQ(Talk(*alone, 3, 5), Talk(*mine, 3, 5));
  EXPECT_EQ(alone->all_tokens(), mine->all_tokens());
  EXPECT_TRUE(std::ranges::equal(alone->last_logits(), mine->last_logits()));
}

// The only turn fills its session: under the policy of whole turns nothing can go. In the busy pool
// the session is parked at the token behind the last that has room.
TEST_P(EvictionTest, AReplyThatFillsItsSessionEndsAsItEndsAlone) {
  const auto quiet = Make(1);
  EngineOptions options;
  options.context = kContext;
  options.kv_budget = 12 * quiet->stats().block_bytes;  // of 16 positions
  options.threads = 1;
  const auto busy = MakeEngine(model_, options);
  const auto alone = New(*quiet), mine = New(*busy), other = New(*busy, 9);
  std::string line = "I like tea.";
  for (int i = 0; i < 10; ++i) line += " My name is Ada.";
  int32_t full = 0;
  for (Session* session : {alone.get(), mine.get()}) {
    ASSERT_TRUE(session->Append({.role = "user", .content = line, .extras = {}}).ok());
    ASSERT_TRUE(session->Prepare({}).ok());
    full = kContext - session->info().cp + 1;
  }
  const auto expected = alone->Respond(Steps(full + 10));
  ASSERT_TRUE(expected.ok()) << expected.status().ToString();
  const auto prompt = Numbers(64 - (full - 1), 3);  // its fifth block is due when `mine` is full
  ASSERT_TRUE(other->Complete(prompt, Steps(0)).ok());
  BatchRequest batch[] = {{.session = other.get(), .prefix = prompt, .options = Steps(full + 3)},
                          {.session = mine.get(), .prefix = {}, .options = Steps(full + 10)}};
  for (BatchRequest& request : batch) request.options.on_logits = [](auto) {};
  const auto replies = busy->Run(batch);
  ASSERT_TRUE(replies[1].ok()) << replies[1].status().ToString();
  EXPECT_EQ(StopReason::kLength, replies[1]->stop);
  EXPECT_EQ(expected->tokens, replies[1]->tokens);
  EXPECT_EQ(Talk(*alone, 3, 5), Talk(*mine, 3, 5));
  EXPECT_TRUE(std::ranges::equal(alone->last_logits(), mine->last_logits()));
}

}  // namespace
}  // namespace gyrator
