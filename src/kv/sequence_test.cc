#include "kv/sequence.h"

#include <gtest/gtest.h>

#include "kv/kv_testing.h"

namespace gyrator {
namespace {

TEST(Sequence, CapacityIsATypedErrorThatChangesNothing) {
  BlockPool pool(8);
  FakeBytes bytes(8);
  Sequence sequence(&pool, &bytes, 20);
  ASSERT_TRUE(sequence.Reserve(17).ok());
  sequence.Commit(std::vector<TokenId>(17, 3));
  const Status status = sequence.Reserve(4);
  EXPECT_EQ(Code::kExhausted, status.code());
  EXPECT_EQ("capacity", status.name());
  EXPECT_NE(std::string::npos, status.message().find("cp 17"));
  EXPECT_NE(std::string::npos, status.message().find("20 tokens"));
  EXPECT_EQ(17, sequence.cp());
  EXPECT_EQ(6u, pool.num_free());
  EXPECT_TRUE(sequence.Reserve(3).ok());
}

TEST(Sequence, CommonPrefixStopsAtTheFirstDifference) {
  BlockPool pool(8);
  FakeBytes bytes(8);
  Sequence sequence(&pool, &bytes, 64);
  ASSERT_TRUE(sequence.Reserve(4).ok());
  sequence.Commit(std::vector<TokenId>{1, 2, 3, 4});
  EXPECT_EQ(4, sequence.CommonPrefix(std::vector<TokenId>{1, 2, 3, 4, 5}));
  EXPECT_EQ(2, sequence.CommonPrefix(std::vector<TokenId>{1, 2, 9, 4}));
  EXPECT_EQ(1, sequence.CommonPrefix(std::vector<TokenId>{1}));
  EXPECT_EQ(0, sequence.CommonPrefix({}));
}

TEST(Sequence, AForkTakesNoBlockUntilItDiffersAndOneThen) {
  BlockPool pool(8);
  FakeBytes bytes(8);
  Sequence parent(&pool, &bytes, 64);
  const std::vector<TokenId> tokens = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17};
  ASSERT_TRUE(parent.Reserve(17).ok());
  bytes.Store(parent, tokens);
  parent.Commit(tokens);
  Sequence child = parent.Fork();
  EXPECT_EQ(6u, pool.num_free());
  EXPECT_EQ(17, child.cp());
  EXPECT_EQ(1, child.BlocksNeeded(15));
  ASSERT_TRUE(child.Reserve(1).ok());
  EXPECT_EQ(1, bytes.num_copies());
  EXPECT_EQ(5u, pool.num_free());
  bytes.Store(child, std::vector<TokenId>{99});
  child.Commit(std::vector<TokenId>{99});
  ASSERT_TRUE(parent.Reserve(1).ok());  // alone in its block again
  EXPECT_EQ(1, bytes.num_copies());
  EXPECT_EQ(5u, pool.num_free());
  bytes.Store(parent, std::vector<TokenId>{18});
  parent.Commit(std::vector<TokenId>{18});
  EXPECT_TRUE(bytes.Holds(parent));
  EXPECT_TRUE(bytes.Holds(child));
  EXPECT_EQ(parent.blocks()[0], child.blocks()[0]);
  EXPECT_NE(parent.blocks()[1], child.blocks()[1]);
}

TEST(Sequence, AForkOnABlockBoundaryCopiesNothing) {
  BlockPool pool(8);
  FakeBytes bytes(8);
  Sequence parent(&pool, &bytes, 64);
  ASSERT_TRUE(parent.Reserve(16).ok());
  parent.Commit(std::vector<TokenId>(16, 1));
  Sequence child = parent.Fork();
  ASSERT_TRUE(child.Reserve(1).ok());
  EXPECT_EQ(0, bytes.num_copies());
}

TEST(Sequence, ACopyThatDoesNotFitChangesNothing) {
  BlockPool pool(1);
  FakeBytes bytes(1);
  Sequence parent(&pool, &bytes, 64);
  ASSERT_TRUE(parent.Reserve(3).ok());
  parent.Commit(std::vector<TokenId>(3, 1));
  Sequence child = parent.Fork();
  EXPECT_EQ(Code::kExhausted, child.Reserve(1).code());
  EXPECT_EQ(3, child.cp());
  EXPECT_EQ(parent.blocks()[0], child.blocks()[0]);
  EXPECT_EQ(2u, pool.num_refs(0));
}

TEST(TokenList, CopiesShareUntilOneChanges) {
  TokenList list;
  const std::vector<TokenId> tokens = {1, 2, 3, 4};
  list.Append(tokens);
  TokenList copy = list.Share();
  copy.Truncate(2);
  copy.Append(std::vector<TokenId>{9, 8});
  list.Append(std::vector<TokenId>{5});
  EXPECT_EQ((std::vector<TokenId>{1, 2, 3, 4, 5}), list.ToVector());
  EXPECT_EQ((std::vector<TokenId>{1, 2, 9, 8}), copy.ToVector());
  EXPECT_EQ(2, list.CommonPrefix(copy.ToVector()));
  TokenList third = copy.Share();
  third.Truncate(0);
  EXPECT_EQ(0, third.size());
  EXPECT_EQ(4, copy.size());
}

}  // namespace
}  // namespace gyrator
