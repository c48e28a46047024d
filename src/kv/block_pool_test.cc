#include "kv/block_pool.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/state.h>

#include <map>

namespace gyrator {
namespace {

constexpr uint32_t kBlocks = 24;

TEST(BlockPool, AllOrNothingLowestFirst) {
  BlockPool pool(4);
  std::vector<uint32_t> blocks;
  ASSERT_TRUE(pool.Allocate(3, &blocks).ok());
  EXPECT_EQ((std::vector<uint32_t>{0, 1, 2}), blocks);
  std::vector<uint32_t> more;
  EXPECT_EQ(Code::kExhausted, pool.Allocate(2, &more).code());
  EXPECT_TRUE(more.empty());
  EXPECT_EQ(1u, pool.num_free());
  pool.Share(std::span(blocks).first(1));
  pool.Release(blocks);
  EXPECT_EQ(3u, pool.num_free());  // block 0 has a reference left
  ASSERT_TRUE(pool.Allocate(1, &more).ok());
  EXPECT_EQ(1u, more[0]);
}

TEST(BlockPool, BlocksCostNothingUntilTheyAreUsed) {
  BlockPool pool(UINT32_MAX);
  EXPECT_EQ(UINT32_MAX, pool.num_free());
  std::vector<uint32_t> blocks;
  ASSERT_TRUE(pool.Allocate(3, &blocks).ok());
  pool.Release(std::span(blocks).first(2));
  EXPECT_EQ(UINT32_MAX - 1, pool.num_free());
  EXPECT_EQ(0u, pool.num_refs(UINT32_MAX - 1));
  std::vector<uint32_t> more;
  ASSERT_TRUE(pool.Allocate(3, &more).ok());
  EXPECT_EQ((std::vector<uint32_t>{0, 1, 3}), more);  // returned ones first
}

TEST(BlockPoolDeath, DoubleReleaseIsABug) {
  BlockPool pool(1);
  std::vector<uint32_t> blocks;
  ASSERT_TRUE(pool.Allocate(1, &blocks).ok());
  pool.Release(blocks);
  EXPECT_DEATH(pool.Release(blocks), "check failed");
}

using Model = std::map<uint32_t, uint32_t>;  // references of the blocks that are held
using Command = rc::state::Command<Model, BlockPool>;

int commands = 0;  // that were run in all cases

void Check(const Model& model, const BlockPool& pool) {
  ++commands;
  RC_ASSERT(pool.num_free() == kBlocks - model.size());
  for (uint32_t block = 0; block < kBlocks; ++block) {
    const auto held = model.find(block);
    RC_ASSERT(pool.num_refs(block) == (held == model.end() ? 0 : held->second));
  }
}

std::vector<uint32_t> LowestFree(const Model& model, uint32_t count) {
  std::vector<uint32_t> free;
  for (uint32_t block = 0; block < kBlocks && free.size() < count; ++block) {
    if (model.count(block) == 0) free.push_back(block);
  }
  return free;
}

struct Allocate final : Command {
  uint32_t count = *rc::gen::inRange(0u, kBlocks / 3);
  void apply(Model& model) const override {
    const auto blocks = LowestFree(model, count);
    if (blocks.size() < count) return;
    for (uint32_t block : blocks) model[block] = 1;
  }
  void run(const Model& model, BlockPool& pool) const override {
    std::vector<uint32_t> blocks;
    const auto expected = LowestFree(model, count);
    const bool fits = expected.size() == count;
    RC_ASSERT(pool.Allocate(count, &blocks).ok() == fits);
    RC_ASSERT(blocks == (fits ? expected : std::vector<uint32_t>()));
    Check(nextState(model), pool);
  }
  void show(std::ostream& out) const override { out << "Allocate(" << count << ")"; }
};

// One of the held blocks, by its place among them.
uint32_t Held(const Model& model, uint32_t place) {
  return std::next(model.begin(), place % model.size())->first;
}

struct Share final : Command {
  uint32_t place = *rc::gen::inRange(0u, kBlocks);
  void checkPreconditions(const Model& model) const override { RC_PRE(!model.empty()); }
  void apply(Model& model) const override { ++model[Held(model, place)]; }
  void run(const Model& model, BlockPool& pool) const override {
    const uint32_t block = Held(model, place);
    pool.Share({&block, 1});
    Check(nextState(model), pool);
  }
  void show(std::ostream& out) const override { out << "Share(" << place << ")"; }
};

struct Release final : Command {
  uint32_t place = *rc::gen::inRange(0u, kBlocks);
  void checkPreconditions(const Model& model) const override { RC_PRE(!model.empty()); }
  void apply(Model& model) const override {
    const uint32_t block = Held(model, place);
    if (--model[block] == 0) model.erase(block);
  }
  void run(const Model& model, BlockPool& pool) const override {
    const uint32_t block = Held(model, place);
    pool.Release({&block, 1});
    Check(nextState(model), pool);
  }
  void show(std::ostream& out) const override { out << "Release(" << place << ")"; }
};

void AgreesWithAMap() {
  BlockPool pool(kBlocks);
  rc::state::check(Model(), pool, rc::state::gen::execOneOfWithArgs<Allocate, Share, Release>());
}

// 100,000 random commands against a map; every count after each. The seed is printed.
TEST(BlockPoolModel, RandomCommands) {
  while (commands < 100000) ASSERT_TRUE(rc::check("a pool is a map of counts", AgreesWithAMap));
}

}  // namespace
}  // namespace gyrator
