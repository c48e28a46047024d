// The prefix cache: which token lists have their K and V in blocks already.
//
// A tree a key (model, compute type, template, adapters, banks and namespace: whatever must be
// equal for K and V to be equal). A node is one block: up to 16 tokens, and the block that holds
// them; only a full block has children. A lookup compares tokens, never hashes, and ends at the
// token where the lists part: the last block may be taken in part, and who appends to it copies it
// (Sequence).
//
// The tree holds one reference to each of its blocks. Leaves go first, cheapest loss first: what a
// node would cost to compute again, over its age, over its bytes (all blocks have the same). Nodes
// that are pinned or leased stay, and so do blocks that someone else holds: dropping them would
// free nothing.
//
// Knows tokens and block ids, neither bytes nor text. Time is a count of calls given by the caller.
// Engine thread only.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gyrator/types.h"
#include "kernels/paged_kv.h"
#include "kv/block_pool.h"

namespace gyrator {

// What computing a token costs: per_token + per_position * position. Any unit.
struct RecomputeCost {
  double per_token = 1;
  double per_position = 0;
};

class RadixTree {
 public:
  RadixTree(BlockPool* pool, RecomputeCost cost) : pool_(pool), cost_(cost) {}
  ~RadixTree();
  RadixTree(const RadixTree&) = delete;
  RadixTree& operator=(const RadixTree&) = delete;

  // A cached prefix: its length, and the blocks that hold it.
  struct Match {
    int32_t length = 0;
    std::vector<uint32_t> blocks;  // BlocksFor(length)
  };

  // The longest cached prefix of `tokens`. The caller gets a reference to each block.
  Match Acquire(std::string_view key, std::span<const TokenId> tokens, uint64_t now);
  // Its length alone; changes nothing.
  int32_t Find(std::string_view key, std::span<const TokenId> tokens) const;

  // The longest that Find would find under a key other than `key`.
  int32_t FindElsewhere(std::string_view key, std::span<const TokenId> tokens) const;

  // Remembers `tokens`, which `blocks` hold; takes a reference to those that are new to it. Of
  // equal blocks the first stays. REQUIRES: blocks.size() == BlocksFor(tokens.size()).
  void Insert(std::string_view key, std::span<const TokenId> tokens,
              std::span<const uint32_t> blocks, uint64_t now);

  // Keeps the whole blocks of `tokens` that are cached now. Returns their tokens' number; Unpin
  // takes as many. Counted.
  int32_t Pin(std::string_view key, std::span<const TokenId> tokens);
  void Unpin(std::string_view key, std::span<const TokenId> tokens);
  // Keeps those blocks while the time is below `until`.
  void Lease(std::string_view key, std::span<const TokenId> tokens, uint64_t until);

  // Drops the node in which `tokens` end when it is a part of a block, it is `block`, and it is
  // neither pinned nor leased, so that the sequence which shares it can append to it. One that
  // holds more than `tokens` stays unless `longer_too`.
  void Detach(std::string_view key, std::span<const TokenId> tokens, uint32_t block,
              bool longer_too);
  // Drops the nodes of `tokens` behind the first `length`, the last one first, as far as they are
  // `blocks`, nothing else begins with them and they are neither pinned nor leased, so that the
  // sequence that shares them can write them. REQUIRES: blocks.size() >= BlocksFor(tokens.size()).
  void Forget(std::string_view key, std::span<const TokenId> tokens,
              std::span<const uint32_t> blocks, int32_t length, uint64_t now);
  // Drops nodes until `count` blocks are free that were not, or nothing more can go. Returns how
  // many it freed.
  int32_t Evict(int32_t count, uint64_t now);
  // Drops what begins with `tokens`, and of `tokens` what nothing else begins with, as far as
  // nobody else holds it and it is neither pinned nor leased. Returns nodes dropped.
  int32_t Drop(std::string_view key, std::span<const TokenId> tokens, uint64_t now);
  // Drops all but what is pinned.
  void Clear();

  int32_t num_nodes() const { return num_nodes_; }
  int32_t num_leaves() const;

  // Checks every invariant; for tests. True, or false with the reason.
  bool Check(std::string* why) const;
  std::map<uint32_t, uint32_t> Holds() const;  // references that the tree has; for tests

 private:
  struct Node {
    std::array<TokenId, kBlockPositions> tokens = {};
    int32_t count = 0;  // 1 .. 16; of a root 0
    uint32_t block = 0;
    int32_t depth = 0;  // tokens before this node
    int32_t pins = 0;
    uint64_t lease_until = 0;
    uint64_t last_used = 0;
    Node* parent = nullptr;
    std::vector<std::unique_ptr<Node>>
        children;  // by tokens, ascending; none is a prefix of another

    std::span<const TokenId> view() const { return {tokens.data(), static_cast<size_t>(count)}; }
  };

  // Where a walk along `tokens` ends: whole nodes, then `partial` tokens of `last`.
  struct Walk {
    std::vector<Node*> nodes;
    Node* last = nullptr;
    int32_t partial = 0;
    int32_t length = 0;
  };
  Walk Follow(std::string_view key, std::span<const TokenId> tokens) const;
  // Several nodes may begin with the part in which a walk ends: the one that is `block`, or `last`.
  static Node* LastOf(const Walk& walk, uint32_t block);

  // The child of `node` with the longest common prefix with `tokens`, and that length.
  static std::pair<Node*, int32_t> BestChild(const Node& node, std::span<const TokenId> tokens);
  Node* AddChild(Node* node, std::span<const TokenId> tokens, uint32_t block);
  void Remove(Node* node);
  static std::vector<Node*> Subtree(Node* node);
  bool CanGo(const Node& node, uint64_t now) const;
  double Score(const Node& node, uint64_t now) const;

  template <class Body>
  void ForEach(const Body& body) const;

  BlockPool* pool_;
  RecomputeCost cost_;
  std::map<std::string, std::unique_ptr<Node>, std::less<>> roots_;
  int32_t num_nodes_ = 0;
};

}  // namespace gyrator
