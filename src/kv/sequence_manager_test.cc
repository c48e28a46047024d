#include "kv/sequence_manager.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/state.h>
#include <unistd.h>

#include "kv/manager_testing.h"

namespace gyrator {
namespace {

TEST(SequenceManager, ASharedPrefixIsDecodedOnce) {
  Kv kv(64, 4);
  const SlotId a = *kv.manager.Open("m", 512), b = *kv.manager.Open("m", 512);
  ASSERT_TRUE(kv.Decode(a, Ramp(1, 100)));
  kv.manager.Publish(a);
  std::vector<TokenId> other = Ramp(1, 90);
  other.push_back(5000);
  ASSERT_TRUE(kv.Decode(b, other));
  EXPECT_EQ(101, kv.decoded);
  EXPECT_EQ(0, kv.last.own);
  EXPECT_EQ(90, kv.last.cached);
  EXPECT_TRUE(kv.bytes.Holds(kv.manager.sequence(b)));
  // 7 blocks of a, and the one in which b differs.
  EXPECT_EQ(56, kv.manager.counts().blocks_free);
}

TEST(SequenceManager, AHitLeavesARowToDecode) {
  Kv kv(64, 4);
  const SlotId a = *kv.manager.Open("m", 512), b = *kv.manager.Open("m", 512);
  ASSERT_TRUE(kv.Decode(a, Ramp(1, 64)));
  kv.manager.Publish(a);
  EXPECT_EQ(63, kv.manager.Sync(b, Ramp(1, 64)).cached);
  EXPECT_EQ(63, kv.manager.sequence(b).cp());
  EXPECT_EQ(64, kv.manager.Sync(a, Ramp(1, 64)).own);  // its own logits are kept
}

TEST(SequenceManager, KeysShareNothing) {
  Kv kv(64, 4);
  const SlotId a = *kv.manager.Open("tenant 1", 512), b = *kv.manager.Open("tenant 2", 512);
  ASSERT_TRUE(kv.Decode(a, Ramp(1, 64)));
  kv.manager.Publish(a);
  EXPECT_EQ(0, kv.manager.Sync(b, Ramp(1, 100)).cached);
}

TEST(SequenceManager, AppendingAfterPublishingCopiesNothing) {
  Kv kv(4, 1);
  const SlotId a = *kv.manager.Open("m", 64);
  ASSERT_TRUE(kv.Decode(a, Ramp(1, 60)));
  kv.manager.Publish(a);
  ASSERT_TRUE(kv.Decode(a, Ramp(1, 64)));  // the pool has no block for a copy
  EXPECT_EQ(0u, kv.manager.counts().blocks_copied);
}

TEST(SequenceManager, ADamagedBlockIsComputedAgainOrFailsItsSequenceAlone) {
  for (const bool foreign : {false, true}) {
    Kv kv(16, 2, INT32_MAX, 100);
    const SlotId a = *kv.manager.Open("m", 64), b = *kv.manager.Open("m", 64);
    ASSERT_TRUE(kv.Decode(a, Ramp(1, 60)));
    ASSERT_TRUE(kv.Decode(b, Ramp(100, 60)));
    if (foreign) kv.manager.SetForeign(a);
    ASSERT_TRUE(kv.manager.Park(a).ok());
    ASSERT_EQ(1, ::pwrite(DescriptorOf(*kv.swap), "x", 1, FakeBytes::kBlockBytes));  // slot 1
    const Status status = kv.manager.Resume(a);
    EXPECT_EQ(foreign ? Code::kCorruption : Code::kOk, status.code());
    EXPECT_EQ(foreign ? 0 : 16, kv.manager.sequence(a).cp());
    EXPECT_EQ(0u, kv.swap->stats().blocks_in_use);
    ASSERT_TRUE(kv.Decode(a, Ramp(1, 60)));
    EXPECT_TRUE(kv.bytes.Holds(kv.manager.sequence(a)));
    EXPECT_EQ(60, kv.manager.sequence(b).cp());
    EXPECT_TRUE(kv.bytes.Holds(kv.manager.sequence(b)));
    std::string why;
    EXPECT_TRUE(kv.manager.Check(&why)) << why;
  }
}

// The last block is a part of a longer one that is cached: the pool has no room for a copy of it.
TEST(SequenceManager, AFullPoolGivesUpWhatIsCachedRatherThanFail) {
  Kv kv(4, 2);
  const SlotId a = *kv.manager.Open("m", 64), b = *kv.manager.Open("m", 64);
  ASSERT_TRUE(kv.Decode(a, Ramp(1, 64)));
  kv.manager.Publish(a);
  ASSERT_TRUE(kv.manager.Close(a).ok());
  std::vector<TokenId> tokens = Ramp(1, 50);  // ends within the fourth block
  tokens.push_back(999);
  kv.decoded = 0;
  ASSERT_TRUE(kv.Decode(b, tokens));
  EXPECT_EQ(1, kv.decoded);
  EXPECT_TRUE(kv.bytes.Holds(kv.manager.sequence(b)));
}

TEST(SequenceManager, OfEqualBlocksOneIsKept) {
  Kv kv(16, 2);
  const SlotId a = *kv.manager.Open("m", 128), b = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(a, Ramp(1, 40)));  // both compute the same, as two of one batch may
  ASSERT_TRUE(kv.Decode(b, Ramp(1, 70)));
  EXPECT_EQ(16 - 3 - 5, kv.manager.counts().blocks_free);
  kv.manager.Publish(a);
  kv.manager.Publish(b);
  EXPECT_EQ(16 - 2 - 4, kv.manager.counts().blocks_free);  // two whole ones are shared
  EXPECT_EQ(kv.manager.sequence(a).blocks()[1], kv.manager.sequence(b).blocks()[1]);
  EXPECT_TRUE(kv.bytes.Holds(kv.manager.sequence(b)));
}

TEST(SequenceManager, CachedBlocksMakeRoom) {
  Kv kv(4, 2);
  const SlotId a = *kv.manager.Open("m", 64);
  ASSERT_TRUE(kv.Decode(a, Ramp(1, 64)));
  kv.manager.Publish(a);
  ASSERT_TRUE(kv.manager.Close(a).ok());
  EXPECT_EQ(0, kv.manager.counts().blocks_free);
  const SlotId b = *kv.manager.Open("m", 64);
  ASSERT_TRUE(kv.Decode(b, Ramp(500, 33)));
  EXPECT_EQ(3u, kv.manager.counts().blocks_evicted);
  kv.manager.SetBusy(b, true);
  const SlotId c = *kv.manager.Open("m", 64);
  EXPECT_FALSE(kv.Decode(c, Ramp(900, 40)));  // b's blocks are in use
  EXPECT_TRUE(kv.bytes.Holds(kv.manager.sequence(b)));
}

TEST(SequenceManager, TheLongestIdleSequenceIsParkedAndComesBack) {
  Kv kv(8, 4, INT32_MAX, 100);
  const SlotId a = *kv.manager.Open("m", 64), b = *kv.manager.Open("m", 64),
               c = *kv.manager.Open("m", 64);
  ASSERT_TRUE(kv.Decode(a, Ramp(1, 60)));
  ASSERT_TRUE(kv.Decode(b, Ramp(100, 60)));
  ASSERT_TRUE(kv.Decode(a, Ramp(1, 61)));
  ASSERT_TRUE(kv.Decode(c, Ramp(200, 20)));
  EXPECT_TRUE(kv.manager.IsParked(b));
  EXPECT_FALSE(kv.manager.IsParked(a));
  EXPECT_EQ(4u, kv.swap->stats().blocks_in_use);
  EXPECT_EQ(Ramp(100, 60), kv.manager.tokens(b).ToVector());
  kv.decoded = 0;
  ASSERT_TRUE(kv.Decode(b, Ramp(100, 62)));
  EXPECT_EQ(2, kv.decoded);  // nothing was lost
  EXPECT_TRUE(kv.bytes.Holds(kv.manager.sequence(b)));
  EXPECT_TRUE(kv.manager.IsParked(a));
  EXPECT_EQ(0u, kv.manager.counts().tokens_lost);
}

TEST(SequenceManager, WhatTheSwapFileDoesNotTakeIsComputedAgain) {
  Kv kv(4, 2, INT32_MAX, 2);
  const SlotId a = *kv.manager.Open("m", 64), b = *kv.manager.Open("m", 64);
  ASSERT_TRUE(kv.Decode(a, Ramp(1, 60)));
  ASSERT_TRUE(kv.Decode(b, Ramp(100, 60)));
  kv.decoded = 0;
  ASSERT_TRUE(kv.Decode(a, Ramp(1, 60)));
  EXPECT_EQ(60 - 32, kv.decoded);
  EXPECT_EQ(28u, kv.manager.counts().tokens_lost);
}

TEST(SequenceManager, AParkedSequenceSharesAgainWhatIsCached) {
  Kv kv(16, 3);  // no swap file
  const SlotId a = *kv.manager.Open("m", 64), b = *kv.manager.Open("m", 64);
  ASSERT_TRUE(kv.Decode(a, Ramp(1, 60)));
  kv.manager.Publish(a);
  ASSERT_TRUE(kv.manager.Park(a).ok());
  ASSERT_TRUE(kv.Decode(b, Ramp(1, 50)));
  kv.decoded = 0;
  ASSERT_TRUE(kv.Decode(a, Ramp(1, 60)));
  EXPECT_EQ(1, kv.decoded);
  EXPECT_EQ(kv.manager.sequence(a).blocks()[0], kv.manager.sequence(b).blocks()[0]);
}

TEST(SequenceManager, AForeignSequenceIsParkedWholeOrNotAtAll) {
  Kv kv(8, 3, INT32_MAX, 3);
  const SlotId a = *kv.manager.Open("m", 64), b = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(a, Ramp(1, 60)));
  kv.manager.SetForeign(a);
  EXPECT_EQ("swap_full", kv.manager.Park(a).name());
  EXPECT_FALSE(kv.manager.IsParked(a));
  EXPECT_EQ(0u, kv.swap->stats().blocks_in_use);
  EXPECT_FALSE(kv.Decode(b, Ramp(100, 100)));
  EXPECT_TRUE(kv.bytes.Holds(kv.manager.sequence(a)));
  kv.manager.Truncate(a, 40);
  ASSERT_TRUE(kv.manager.Park(a).ok());
  ASSERT_TRUE(kv.manager.Resume(a).ok());
  EXPECT_EQ(40, kv.manager.sequence(a).cp());
  EXPECT_TRUE(kv.bytes.Holds(kv.manager.sequence(a)));
}

TEST(SequenceManager, TheCacheKeepsItsBudget) {
  Kv kv(64, 4, 3);
  for (int i = 0; i < 4; ++i) {
    const SlotId slot = *kv.manager.Open("m", 512);
    ASSERT_TRUE(kv.Decode(slot, Ramp(100 * i, 32)));
    kv.manager.Publish(slot);
    ASSERT_TRUE(kv.manager.Close(slot).ok());
    EXPECT_LE(kv.manager.counts().blocks_cached, i == 0 ? 2 : 5);
  }
  const SlotId slot = *kv.manager.Open("m", 512);
  kv.manager.Publish(slot);  // nobody holds a block now
  EXPECT_EQ(3, kv.manager.counts().blocks_cached);
}

TEST(SequenceManager, ReleasesAreChecked) {
  Kv kv(4, 2);
  const SlotId a = *kv.manager.Open("m", 64);
  ASSERT_TRUE(kv.manager.Close(a).ok());
  EXPECT_EQ(Code::kInvalidArgument, kv.manager.Close(a).code());
  EXPECT_EQ(Code::kInvalidArgument, kv.manager.Close(7).code());
  ASSERT_TRUE(kv.manager.Open("m", 64).ok());
  ASSERT_TRUE(kv.manager.Open("m", 64).ok());
  EXPECT_EQ(Code::kExhausted, kv.manager.Open("m", 64).status().code());
}

TEST(SequenceManager, AThousandForksCostABlockEach) {
  Kv kv(256 + 1000, 1001);
  const SlotId parent = *kv.manager.Open("m", 4200);
  std::vector<TokenId> tokens = Ramp(1, 4090);
  ASSERT_TRUE(kv.Decode(parent, tokens));
  EXPECT_EQ(1000, kv.manager.counts().blocks_free);
  std::vector<SlotId> forks;
  for (int i = 0; i < 1000; ++i) forks.push_back(*kv.manager.Fork(parent));
  EXPECT_EQ(1000, kv.manager.counts().blocks_free);
  tokens.push_back(0);
  for (int i = 0; i < 1000; ++i) {
    tokens.back() = 10000 + i;
    ASSERT_TRUE(kv.Decode(forks[static_cast<size_t>(i)], tokens));
  }
  EXPECT_EQ(0, kv.manager.counts().blocks_free);
  EXPECT_EQ(4090 + 1000, kv.decoded);
  for (SlotId fork : forks) ASSERT_TRUE(kv.bytes.Holds(kv.manager.sequence(fork)));
}

// --- against a plain map of lists, with shrinking

constexpr int32_t kSlots = 5;
constexpr int32_t kCapacity = 100;
constexpr int32_t kSequenceBlocks = 7;
constexpr uint32_t kBlocks = 16;  // two full sequences and a little: the others are parked

// Of those sequences that hold something of their own: what each position holds, and how many
// leading ones are exact.
struct Own {
  std::vector<uint64_t> contents;
  int32_t exact = 0;
};

struct Model {
  int32_t own_max = kSlots;  // sequences that hold something of their own
  std::map<SlotId, std::vector<TokenId>> sequences;
  std::map<SlotId, std::string> keys;
  std::map<SlotId, Own> own;

  std::vector<uint64_t> Contents(SlotId slot) const {
    if (own.contains(slot)) return own.at(slot).contents;
    return FakeBytes::Decoded({}, sequences.at(slot));
  }
  void Sync(SlotId slot, const std::vector<TokenId>& tokens) {
    const auto& before = sequences.at(slot);
    const auto [mine, theirs] =
        std::mismatch(before.begin(), before.end(), tokens.begin(), tokens.end());
    const auto common = static_cast<size_t>(mine - before.begin());
    if (own.contains(slot)) {
      Own& held = own.at(slot);
      held.contents.resize(common);
      held.contents =
          FakeBytes::Decoded(std::move(held.contents), std::span(tokens).subspan(common));
      if (static_cast<int32_t>(common) <= held.exact) own.erase(slot);
    }
    sequences.at(slot) = tokens;
  }
  void Evict(SlotId slot, std::span<const TokenSpan> spans) {
    if (spans.empty()) return;
    std::vector<TokenId>& tokens = sequences.at(slot);
    const int32_t exact = own.contains(slot) ? own.at(slot).exact : kCapacity;
    Own held = {ContentsAfter(Contents(slot), spans), std::min(exact, spans.front().begin)};
    tokens = TokensAfter(tokens, spans);
    own.erase(slot);
    if (std::ssize(tokens) > held.exact) own[slot] = std::move(held);
  }
};

using Command = rc::state::Command<Model, Kv>;

constexpr int kOperationsMin = 100000;
int num_operations = 0;

// After every command the manager agrees with the model and with itself.
void CheckAll(const Model& model, Kv& kv) {
  ++num_operations;
  std::string why;
  RC_ASSERT(kv.manager.Check(&why));
  for (const auto& [slot, tokens] : model.sequences) {
    RC_ASSERT(kv.manager.tokens(slot).ToVector() == tokens);
    RC_ASSERT(kv.manager.HoldsItsOwn(slot) == model.own.contains(slot));
    if (kv.manager.IsParked(slot)) continue;
    RC_ASSERT(kv.bytes.Holds(model.Contents(slot), kv.manager.sequence(slot).blocks()));
  }
}

SlotId AnySlot(const Model& model) {
  RC_PRE(!model.sequences.empty());
  std::vector<SlotId> held;
  for (const auto& [slot, tokens] : model.sequences) held.push_back(slot);
  return *rc::gen::elementOf(held);
}

// What a slot holds, cut, with some tokens added: shares much with what is there.
std::vector<TokenId> AnyTokens(const Model& model) {
  std::vector<TokenId> tokens = model.sequences.at(AnySlot(model));
  tokens.resize(*rc::gen::inRange<size_t>(0, tokens.size() + 1));
  const auto more = *rc::gen::container<std::vector<TokenId>>(rc::gen::inRange(0, 3));
  tokens.insert(tokens.end(), more.begin(), more.end());
  while (tokens.size() > static_cast<size_t>(kCapacity)) tokens.pop_back();
  return tokens;
}

struct OpenSlot : Command {
  std::string key = *rc::gen::elementOf(std::vector<std::string>{"a", "b"});
  void checkPreconditions(const Model& model) const override {
    RC_PRE(model.sequences.size() < kSlots);
  }
  static SlotId Lowest(const Model& model) {
    SlotId slot = 0;
    while (model.sequences.contains(slot)) ++slot;
    return slot;
  }
  void apply(Model& model) const override {
    const SlotId slot = Lowest(model);
    model.sequences[slot] = {};
    model.keys[slot] = key;
  }
  void run(const Model& model, Kv& kv) const override {
    const auto slot = kv.manager.Open(key, kCapacity);
    RC_ASSERT(slot.ok());
    RC_ASSERT(*slot == Lowest(model));
    CheckAll(nextState(model), kv);
  }
  void show(std::ostream& os) const override { os << "Open(" << key << ")"; }
};

struct OnSlot : Command {
  SlotId slot;
  explicit OnSlot(const Model& model) : slot(AnySlot(model)) {}
  void checkPreconditions(const Model& model) const override {
    RC_PRE(model.sequences.contains(slot));
  }
};

struct CloseSlot : OnSlot {
  using OnSlot::OnSlot;
  void apply(Model& model) const override {
    model.sequences.erase(slot);
    model.keys.erase(slot);
    model.own.erase(slot);
  }
  void run(const Model& model, Kv& kv) const override {
    RC_ASSERT(kv.manager.Close(slot).ok());
    RC_ASSERT(!kv.manager.Close(slot).ok());
    CheckAll(nextState(model), kv);
  }
  void show(std::ostream& os) const override { os << "Close(" << slot << ")"; }
};

struct ForkSlot : OnSlot {
  using OnSlot::OnSlot;
  void checkPreconditions(const Model& model) const override {
    OnSlot::checkPreconditions(model);
    RC_PRE(model.sequences.size() < kSlots);
    RC_PRE((!model.own.contains(slot) || std::ssize(model.own) < model.own_max));
  }
  void apply(Model& model) const override {
    const SlotId child = OpenSlot::Lowest(model);
    model.sequences[child] = model.sequences.at(slot);
    model.keys[child] = model.keys.at(slot);
    if (model.own.contains(slot)) model.own[child] = model.own.at(slot);
  }
  void run(const Model& model, Kv& kv) const override {
    RC_ASSERT(kv.Decode(slot, model.sequences.at(slot)));
    const uint32_t before = kv.pool.num_free();
    RC_ASSERT(kv.manager.Fork(slot).ok());
    RC_ASSERT(kv.pool.num_free() == before);
    CheckAll(nextState(model), kv);
  }
  void show(std::ostream& os) const override { os << "Fork(" << slot << ")"; }
};

struct TruncateSlot : OnSlot {
  int32_t length;
  explicit TruncateSlot(const Model& model)
      : OnSlot(model),
        length(*rc::gen::inRange<int32_t>(
            0, static_cast<int32_t>(model.sequences.at(slot).size()) + 1)) {}
  void checkPreconditions(const Model& model) const override {
    OnSlot::checkPreconditions(model);
    RC_PRE(length <= std::ssize(model.sequences.at(slot)));
  }
  void apply(Model& model) const override {
    std::vector<TokenId> tokens = model.sequences.at(slot);
    tokens.resize(static_cast<size_t>(length));
    model.Sync(slot, tokens);
  }
  void run(const Model& model, Kv& kv) const override {
    const auto& tokens = model.sequences.at(slot);
    RC_ASSERT(kv.Decode(slot, std::span(tokens).first(static_cast<size_t>(length))));
    CheckAll(nextState(model), kv);
  }
  void show(std::ostream& os) const override { os << "Truncate(" << slot << ", " << length << ")"; }
};

struct PublishSlot : OnSlot {
  using OnSlot::OnSlot;
  void run(const Model& model, Kv& kv) const override {
    RC_ASSERT(kv.Decode(slot, model.sequences.at(slot)));
    kv.manager.Publish(slot);
    CheckAll(model, kv);
  }
  void show(std::ostream& os) const override { os << "Publish(" << slot << ")"; }
};

struct ParkSlot : OnSlot {
  using OnSlot::OnSlot;
  void run(const Model& model, Kv& kv) const override {
    const bool own = model.own.contains(slot);
    const bool was_parked = kv.manager.IsParked(slot);
    const bool parked = kv.manager.Park(slot).ok();
    RC_ASSERT((parked || (own && !was_parked && model.own_max == 1)));
    RC_ASSERT(kv.manager.IsParked(slot) == parked);
    CheckAll(model, kv);
  }
  void show(std::ostream& os) const override { os << "Park(" << slot << ")"; }
};

struct DecodeSlot : OnSlot {
  std::vector<TokenId> tokens;
  int32_t chunk = *rc::gen::inRange(1, 40);
  explicit DecodeSlot(const Model& model) : OnSlot(model), tokens(AnyTokens(model)) {}
  void apply(Model& model) const override { model.Sync(slot, tokens); }
  void run(const Model& model, Kv& kv) const override {
    const int32_t decoded = kv.decoded;
    RC_ASSERT(kv.Decode(slot, tokens, chunk));  // what is idle makes room
    RC_ASSERT(kv.decoded - decoded == std::ssize(tokens) - kv.last.own - kv.last.cached);
    CheckAll(nextState(model), kv);
  }
  void show(std::ostream& os) const override {
    os << "Decode(" << slot << ", " << tokens.size() << " tokens, chunks of " << chunk << ")";
  }
};

struct EvictSpans : OnSlot {
  std::vector<TokenSpan> spans;
  explicit EvictSpans(const Model& model) : OnSlot(model) {
    const auto length = static_cast<int32_t>(model.sequences.at(slot).size());
    auto ends = *rc::gen::container<std::vector<int32_t>>(2 * *rc::gen::inRange<size_t>(0, 4),
                                                          rc::gen::inRange<int32_t>(0, length + 1));
    std::sort(ends.begin(), ends.end());
    for (size_t i = 0; i < ends.size(); i += 2) {
      if (ends[i] < ends[i + 1]) spans.push_back({ends[i], ends[i + 1]});
    }
  }
  void checkPreconditions(const Model& model) const override {
    OnSlot::checkPreconditions(model);
    RC_PRE((spans.empty() || spans.back().end <= std::ssize(model.sequences.at(slot))));
    RC_PRE((model.own.contains(slot) || std::ssize(model.own) < model.own_max));
  }
  void apply(Model& model) const override { model.Evict(slot, spans); }
  void run(const Model& model, Kv& kv) const override {
    RC_ASSERT(kv.Decode(slot, model.sequences.at(slot)));
    const uint64_t before = kv.manager.counts().tokens_evicted;
    RC_ASSERT(kv.manager.Evict(slot, spans).ok());  // what is idle makes room
    RC_ASSERT(kv.manager.counts().tokens_evicted - before ==
              static_cast<uint64_t>(LengthOf(spans)));
    CheckAll(nextState(model), kv);
  }
  void show(std::ostream& os) const override {
    os << "Evict(" << slot;
    for (const TokenSpan& span : spans) os << ", [" << span.begin << ", " << span.end << ")";
    os << ")";
  }
};

TEST(SequenceManagerModel, RandomCommands) {
  // Prints the seed when it fails, and the shortest sequence of commands that does.
  bool holds = true;
  while (holds && num_operations < kOperationsMin) {
    holds = rc::check("the manager agrees with a map of lists", [] {
      // Beside a sequence that can neither be parked nor computed again another one has room.
      const bool parks_all = *rc::gen::arbitrary<bool>();
      const int32_t swapped_max = parks_all ? kSlots * kSequenceBlocks : *rc::gen::inRange(0, 30);
      Kv kv(kBlocks, kSlots, *rc::gen::inRange(0, 40), swapped_max);
      Model model;
      model.own_max = parks_all ? kSlots : 1;
      rc::state::check(
          model, kv,
          rc::state::gen::execOneOfWithArgs<OpenSlot, CloseSlot, ForkSlot, TruncateSlot, ParkSlot,
                                            PublishSlot, EvictSpans, EvictSpans, DecodeSlot,
                                            DecodeSlot, DecodeSlot>());
    });
  }
  EXPECT_TRUE(holds);
}

}  // namespace
}  // namespace gyrator
