#include "engine/window.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace gyrator {
namespace {

using Tokens = std::vector<TokenId>;

Eviction Of(std::vector<TokenSpan> spans) {
  return {.cp = 0, .policy = EvictionPolicy::kFifo, .spans = std::move(spans)};
}

TEST(Window, AnEmptyOneIsAllOfIt) {
  const Window window;
  const Tokens tokens = {1, 2, 3};
  EXPECT_TRUE(window.empty());
  EXPECT_EQ(tokens, window.All(tokens));
  EXPECT_EQ(tokens, window.View(tokens));
  EXPECT_TRUE(window.Matches(Tokens{9}, tokens));
}

TEST(Window, WhatWasEvictedIsPutBackWhereItStood) {
  Window window;
  Tokens tokens = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  window.Evict(Of({{2, 4}, {6, 7}}), &tokens);
  EXPECT_EQ((Tokens{0, 1, 4, 5, 7, 8, 9}), tokens);
  window.Evict(Of({{1, 3}}), &tokens);  // 1 and 4: what lay between is between them
  EXPECT_EQ((Tokens{0, 5, 7, 8, 9}), tokens);
  EXPECT_EQ((Tokens{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}), window.All(tokens));
  EXPECT_EQ(5, window.num_evicted());
  ASSERT_EQ(2u, window.gone().size());
  EXPECT_EQ((Window::Gone{1, {1, 2, 3, 4}}), window.gone()[0]);
  EXPECT_EQ((Window::Gone{2, {6}}), window.gone()[1]);
  EXPECT_EQ(2u, window.log().size());
}

TEST(Window, AReplyGoesOnBehindTheLastGapOnly) {
  Window window;
  EXPECT_TRUE(window.Continues(Tokens{9}, Tokens{1}));
  Tokens tokens = {0, 1, 2, 3, 4, 5};
  window.Evict(Of({{0, 1}, {2, 4}}), &tokens);
  ASSERT_EQ((Tokens{1, 4, 5}), tokens);
  EXPECT_FALSE(window.Continues(Tokens{0, 1, 2}, tokens));
  EXPECT_TRUE(window.Matches(Tokens{0, 1, 2, 3}, tokens));
  EXPECT_FALSE(window.Continues(Tokens{0, 1, 2, 3}, tokens));
  EXPECT_TRUE(window.Continues(Tokens{0, 1, 2, 3, 4}, tokens));
  EXPECT_TRUE(window.Continues(Tokens{0, 1, 2, 3, 9}, tokens));
  EXPECT_FALSE(window.Continues(Tokens{0, 1, 2, 9, 4}, tokens));
}

TEST(Window, ARewindIsToldWhereItChangesWhatWasSeen) {
  Window window;
  Tokens tokens(10);
  window.Rewind(3);
  EXPECT_TRUE(window.log().empty());
  window.Evict({.cp = 10, .policy = EvictionPolicy::kFifo, .spans = {{2, 4}, {6, 7}}}, &tokens);
  window.Rewind(7);  // what is behind them has been decoded since
  EXPECT_EQ(1u, window.log().size());
  window.Rewind(5);
  window.Rewind(6);
  ASSERT_EQ(2u, window.log().size());
  EXPECT_TRUE(window.log()[1].is_rewind());
  EXPECT_EQ(5, window.log()[1].cp);
  window.Rewind(4);
  EXPECT_EQ(4, window.log()[1].cp);
  EXPECT_EQ(1, window.num_evictions());
  Window prompt;  // of its spans one position was never decoded
  tokens.assign(10, 0);
  prompt.Evict({.cp = 6, .policy = EvictionPolicy::kFifo, .spans = {{2, 4}, {8, 9}}}, &tokens);
  prompt.Rewind(4);
  EXPECT_EQ(1u, prompt.log().size());
  prompt.Rewind(3);
  EXPECT_EQ(2u, prompt.log().size());
}

TEST(Window, ADifferenceAtOrBeforeAnEvictedTokenIsNoMatch) {
  Window window;
  Tokens tokens = {0, 1, 2, 3, 4, 5};
  window.Evict(Of({{2, 4}}), &tokens);
  EXPECT_TRUE(window.Matches(Tokens{0, 1, 2, 3, 9, 9}, tokens));
  EXPECT_TRUE(window.Matches(Tokens{0, 1, 2, 3}, tokens));
  EXPECT_FALSE(window.Matches(Tokens{0, 1, 2}, tokens));
  EXPECT_FALSE(window.Matches(Tokens{0, 1, 2, 9, 4, 5}, tokens));
  EXPECT_FALSE(window.Matches(Tokens{0, 9, 2, 3, 4, 5}, tokens));
  EXPECT_EQ((Tokens{0, 1, 9, 9}), window.View(Tokens{0, 1, 2, 3, 9, 9}));
}

// Any evictions after each other: All undoes View, and positions map both ways.
void AllUndoesView() {
  auto all = *rc::gen::container<Tokens>(rc::gen::inRange(0, 500));
  Window window;
  Tokens tokens = all;
  const int rounds = *rc::gen::inRange(0, 5);
  for (int round = 0; round < rounds; ++round) {
    std::vector<TokenSpan> spans;
    int32_t at = 0;
    while (true) {
      at += *rc::gen::inRange(0, 9);
      const int32_t end = at + *rc::gen::inRange(1, 9);
      if (end > std::ssize(tokens)) break;
      spans.push_back({at, end});
      at = end + 1;
    }
    if (spans.empty()) continue;
    window.Evict(Of(spans), &tokens);
    const TokenId more = *rc::gen::inRange(0, 500);
    tokens.push_back(more);
    all.push_back(more);
  }
  RC_ASSERT(window.All(tokens) == all);
  RC_ASSERT(window.Matches(all, tokens));
  RC_ASSERT(window.View(all) == tokens);
  // All of a part of the window, too, and of a history that differs somewhere.
  const auto part = std::span(tokens).first(*rc::gen::inRange<size_t>(0, tokens.size() + 1));
  std::vector<TokenId> others = all;
  if (!others.empty()) others[*rc::gen::inRange<size_t>(0, others.size())] += 1;
  others.resize(*rc::gen::inRange<size_t>(0, others.size() + 1));
  for (const auto& asked : {all, others}) {
    const std::vector<TokenId> whole = window.All(part);
    const auto same = std::mismatch(asked.begin(), asked.end(), whole.begin(), whole.end()).first;
    RC_ASSERT(window.CommonPrefix(asked, part) == same - asked.begin());
  }
  RC_ASSERT(std::ssize(all) - window.num_evicted() == std::ssize(tokens));
  for (int32_t p = 0; p < std::ssize(tokens); ++p) {
    const int32_t there = window.ToAll(p);
    RC_ASSERT(all[static_cast<size_t>(there)] == tokens[static_cast<size_t>(p)]);
    RC_ASSERT(window.FromAll(there) == p);
  }
  int32_t last = 0;
  for (int32_t p = 0; p <= std::ssize(all); ++p) {
    RC_ASSERT(window.FromAll(p) >= last);
    last = window.FromAll(p);
  }
}

TEST(Window, AllUndoesView) { EXPECT_TRUE(rc::check("all undoes view", AllUndoesView)); }

}  // namespace
}  // namespace gyrator
