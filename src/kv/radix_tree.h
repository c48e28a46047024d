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
// With a swap file there is a second tier: a node that goes leaves its block there and stays in the
// tree, cold, below the nodes whose blocks are in memory. Warm brings blocks back. What does not
// fit into the file, or cannot be read again, is forgotten; the cheapest loss first there too.
//
// Knows tokens and block ids, not text. Time is a count of calls given by the caller.
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
#include "kv/block_bytes.h"
#include "kv/block_pool.h"
#include "kv/swap_file.h"

namespace gyrator {

// What computing a token costs: per_token + per_position * position. Any unit.
struct RecomputeCost {
  double per_token = 1;
  double per_position = 0;
};

// Where cold blocks go: what others leave free of `swap`.
struct ColdStore {
  SwapFile* swap = nullptr;  // null: nowhere
  BlockBytes* bytes = nullptr;
};

class RadixTree {
 public:
  // All of them outlive the tree.
  RadixTree(BlockPool* pool, RecomputeCost cost, ColdStore cold = {})
      : pool_(pool), cost_(cost), cold_(cold) {}
  ~RadixTree();
  RadixTree(const RadixTree&) = delete;
  RadixTree& operator=(const RadixTree&) = delete;

  // A cached prefix: its length, and the blocks that hold it.
  struct Match {
    int32_t length = 0;
    std::vector<uint32_t> blocks;  // BlocksFor(length)
  };

  // The longest prefix of `tokens` that is cached in memory. The caller gets a reference to each
  // block.
  Match Acquire(std::string_view key, std::span<const TokenId> tokens, uint64_t now);
  // Its length alone; changes nothing.
  int32_t Find(std::string_view key, std::span<const TokenId> tokens) const;
  // The longest in memory or cold.
  int32_t FindAny(std::string_view key, std::span<const TokenId> tokens) const;
  // The longest that FindAny would find under a key other than `key`.
  int32_t FindElsewhere(std::string_view key, std::span<const TokenId> tokens) const;

  // How many blocks Warm would read.
  int32_t NumCold(std::string_view key, std::span<const TokenId> tokens) const;
  // Reads the cold blocks of `tokens` into free ones of the pool, as far as there are some. One
  // that cannot be read is forgotten with all that follows it. Returns how many were read.
  int32_t Warm(std::string_view key, std::span<const TokenId> tokens, uint64_t now);
  // Forgets up to `count` cold leaves. Returns how many.
  int32_t FreeCold(int32_t count, uint64_t now);

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

  // Keeps what is cached of `tokens`, in memory and cold, from going to make room, until the same
  // is let go.
  void Guard(std::string_view key, std::span<const TokenId> tokens) {
    SetGuarded(key, tokens, true);
  }
  void LetGo(std::string_view key, std::span<const TokenId> tokens) {
    SetGuarded(key, tokens, false);
  }

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

  int32_t num_nodes() const { return num_nodes_; }  // in memory
  int32_t num_cold() const { return num_cold_; }
  uint64_t written() const { return written_; }  // blocks that became cold so far
  int32_t num_leaves() const;
  // Keys of which something is cached. A key of which nothing is left costs nothing.
  int64_t num_keys() const { return std::ssize(roots_); }

  // Checks every invariant; for tests. True, or false with the reason.
  bool Check(std::string* why) const;
  std::map<uint32_t, uint32_t> Holds() const;  // references that the tree has; for tests

 private:
  struct Node {
    std::array<TokenId, kBlockPositions> tokens = {};
    int32_t count = 0;  // 1 .. 16; of a root 0
    bool cold = false;
    uint32_t block = 0;  // of the pool; of a cold node the slot of the swap file
    int32_t depth = 0;   // tokens before this node
    int32_t pins = 0;
    bool guarded = false;
    uint64_t lease_until = 0;
    uint64_t last_used = 0;
    Node* parent = nullptr;
    const std::string* key = nullptr;  // of a root: its key in roots_
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
  enum class Tier : uint8_t { kMemory, kAny };
  Walk Follow(std::string_view key, std::span<const TokenId> tokens, Tier tier) const;
  // Several nodes may begin with the part in which a walk in memory ends: the one that is `block`,
  // or `last`.
  static Node* LastOf(const Walk& walk, uint32_t block);

  // The child of `node` in the tier with the longest common prefix with `tokens`, and that length.
  static std::pair<Node*, int32_t> BestChild(const Node& node, std::span<const TokenId> tokens,
                                             Tier tier);
  Node* AddChild(Node* node, std::span<const TokenId> tokens, uint32_t block);
  // Takes a leaf away, and with the last one of a key the root above it too.
  void Remove(Node* node);
  void RemoveBelow(Node* node);  // REQUIRES: all cold
  void SetHot(Node* node, uint32_t block);
  // Takes the block of `node` out of memory: to the swap file, or with all of the node.
  void Leave(Node* node, uint64_t now);
  bool WriteOut(Node* node, uint64_t now);
  void SetGuarded(std::string_view key, std::span<const TokenId> tokens, bool guarded);
  Node* CheapestCold(uint64_t now) const;  // leaf; null: none
  static std::vector<Node*> Subtree(Node* node);
  static bool HasHotChild(const Node& node);
  bool CanGo(const Node& node, uint64_t now) const;
  double Score(const Node& node, uint64_t now) const;

  template <class Body>
  void ForEach(const Body& body) const;

  BlockPool* pool_;
  RecomputeCost cost_;
  ColdStore cold_;
  std::map<std::string, std::unique_ptr<Node>, std::less<>> roots_;  // none without children
  int32_t num_nodes_ = 0;
  int32_t num_cold_ = 0;
  uint64_t written_ = 0;
};

template <class Body>
void RadixTree::ForEach(const Body& body) const {
  std::vector<Node*> open;
  for (const auto& [key, root] : roots_) open.push_back(root.get());
  while (!open.empty()) {
    Node* node = open.back();
    open.pop_back();
    if (node->count > 0) body(node);
    for (const auto& child : node->children) open.push_back(child.get());
  }
}

}  // namespace gyrator
