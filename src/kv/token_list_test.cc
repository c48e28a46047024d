#include "kv/token_list.h"

#include <gtest/gtest.h>

namespace gyrator {
namespace {

using Tokens = std::vector<TokenId>;

TokenList Of(const Tokens& tokens) {
  TokenList list;
  list.Append(tokens);
  return list;
}

TEST(TokenList, KeepsWhatWasAppendedInOrder) {
  TokenList list;
  EXPECT_EQ(0, list.size());
  EXPECT_EQ(Tokens(), list.ToVector());
  list.Append(Tokens{3, 1});
  list.Append(Tokens{});
  list.Append(Tokens{2});
  EXPECT_EQ(3, list.size());
  EXPECT_EQ((Tokens{3, 1, 2}), list.ToVector());
  EXPECT_EQ(2, list[2]);
  Tokens out = {9};
  list.CopyTo(1, 3, &out);
  EXPECT_EQ((Tokens{9, 1, 2}), out);
}

// Each half may change what both have; the other keeps it.
TEST(TokenList, SharedPartsChangeForOneAlone) {
  TokenList a = Of({1, 2, 3, 4});
  TokenList b = a.Share();
  EXPECT_EQ(a.ToVector(), b.ToVector());
  b.Append(Tokens{5, 6});
  a.Truncate(2);
  a.Append(Tokens{7});
  EXPECT_EQ((Tokens{1, 2, 7}), a.ToVector());
  EXPECT_EQ((Tokens{1, 2, 3, 4, 5, 6}), b.ToVector());
  EXPECT_EQ(7, a[2]);
  EXPECT_EQ(4, b[3]);
  EXPECT_EQ(5, b[4]);
  TokenList c = b.Share();  // of a list that has a shared and an own part
  b.Truncate(5);
  c.Truncate(3);
  EXPECT_EQ((Tokens{1, 2, 3, 4, 5}), b.ToVector());
  EXPECT_EQ((Tokens{1, 2, 3}), c.ToVector());
  EXPECT_EQ((Tokens{1, 2, 7}), a.ToVector());
}

TEST(TokenList, TruncatesWithinAndBehindWhatIsShared) {
  for (int32_t length = 0; length <= 6; ++length) {
    TokenList parent = Of({0, 1, 2, 3});
    TokenList child = parent.Share();
    child.Append(Tokens{4, 5});
    child.Truncate(length);
    EXPECT_EQ(length, child.size());
    Tokens expected = {0, 1, 2, 3, 4, 5};
    expected.resize(static_cast<size_t>(length));
    EXPECT_EQ(expected, child.ToVector());
    child.Append(Tokens{8});
    EXPECT_EQ(8, child[length]);
    EXPECT_EQ((Tokens{0, 1, 2, 3}), parent.ToVector());
  }
}

TEST(TokenList, WhatFollowsAnErasedSpanMovesUp) {
  const struct {
    std::vector<TokenSpan> spans;
    Tokens left;
  } kList[] = {{{}, {0, 1, 2, 3, 4, 5, 6, 7}},
               {{{0, 3}}, {3, 4, 5, 6, 7}},
               {{{5, 8}}, {0, 1, 2, 3, 4}},
               {{{0, 8}}, {}},
               {{{1, 2}, {4, 6}}, {0, 2, 3, 6, 7}},
               {{{1, 2}, {2, 3}, {7, 8}}, {0, 3, 4, 5, 6}}};
  for (const auto& [spans, left] : kList) {
    TokenList parent = Of({0, 1, 2, 3});
    TokenList list = parent.Share();
    list.Append(Tokens{4, 5, 6, 7});
    list.Erase(spans);
    EXPECT_EQ(left, list.ToVector());
    EXPECT_EQ((Tokens{0, 1, 2, 3}), parent.ToVector());
  }
}

TEST(TokenList, TheCommonPrefixEndsAtTheFirstDifference) {
  TokenList list = Of({1, 2, 3});
  TokenList longer = list.Share();
  longer.Append(Tokens{4});
  EXPECT_EQ(0, list.CommonPrefix(Tokens{}));
  EXPECT_EQ(0, list.CommonPrefix(Tokens{2, 2}));
  EXPECT_EQ(2, list.CommonPrefix(Tokens{1, 2}));
  EXPECT_EQ(2, list.CommonPrefix(Tokens{1, 2, 4}));
  EXPECT_EQ(3, list.CommonPrefix(Tokens{1, 2, 3, 4}));
  EXPECT_EQ(4, longer.CommonPrefix(Tokens{1, 2, 3, 4, 5}));
  EXPECT_EQ(3, longer.CommonPrefix(Tokens{1, 2, 3, 5}));
}

TEST(TokenList, TheLengthOfSpansIsTheirSum) {
  EXPECT_EQ(0, LengthOf({}));
  const TokenSpan spans[] = {{2, 5}, {5, 6}, {9, 9}, {10, 14}};
  EXPECT_EQ(8, LengthOf(spans));
}

}  // namespace
}  // namespace gyrator
