#include "kv/radix_tree.h"

#include <algorithm>
#include <queue>
#include <utility>

#include "base/check.h"

namespace gyrator {

namespace {

int32_t CommonLength(std::span<const TokenId> a, std::span<const TokenId> b) {
  const auto [mine, theirs] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<int32_t>(mine - a.begin());
}

std::span<const TokenId> FirstBlock(std::span<const TokenId> tokens) {
  return tokens.first(std::min(tokens.size(), static_cast<size_t>(kBlockPositions)));
}

bool Before(std::span<const TokenId> a, std::span<const TokenId> b) {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
}

}  // namespace

// Of sorted lists that are no prefixes of each other, the neighbours of where `tokens` would stand
// have the longest common prefix with it.
std::pair<RadixTree::Node*, int32_t> RadixTree::BestChild(const Node& node,
                                                          std::span<const TokenId> tokens,
                                                          Tier tier) {
  const auto at = std::lower_bound(node.children.begin(), node.children.end(), tokens,
                                   [](const auto& child, std::span<const TokenId> wanted) {
                                     return Before(child->view(), wanted);
                                   });
  const auto counts = [tier](const auto& child) { return tier == Tier::kAny || !child->cold; };
  const auto before = std::find_if(std::reverse_iterator(at), node.children.rend(), counts);
  const auto behind = std::find_if(at, node.children.end(), counts);
  Node* best = nullptr;
  int32_t length = 0;
  const auto consider = [&](Node* child) {
    const int32_t common = CommonLength(child->view(), tokens);
    if (common > length) {
      best = child;
      length = common;
    }
  };
  if (before != node.children.rend()) consider(before->get());
  if (behind != node.children.end()) consider(behind->get());
  return {best, length};
}

RadixTree::Walk RadixTree::Follow(std::string_view key, std::span<const TokenId> tokens,
                                  Tier tier) const {
  Walk walk;
  const auto root = roots_.find(key);
  const Node* node = root == roots_.end() ? nullptr : root->second.get();
  while (node != nullptr && !tokens.empty()) {
    const auto [child, common] = BestChild(*node, FirstBlock(tokens), tier);
    if (child == nullptr) break;
    walk.length += common;
    if (common < kBlockPositions) {
      walk.last = child;
      walk.partial = common;
      break;
    }
    walk.nodes.push_back(child);
    tokens = tokens.subspan(kBlockPositions);
    node = child;
  }
  return walk;
}

RadixTree::Node* RadixTree::LastOf(const Walk& walk, uint32_t block) {
  if (walk.last == nullptr) return nullptr;
  const auto common = walk.last->view().first(static_cast<size_t>(walk.partial));
  for (const auto& child : walk.last->parent->children) {
    if (!child->cold && child->block == block &&
        CommonLength(child->view(), common) == walk.partial) {
      return child.get();
    }
  }
  return walk.last;
}

int32_t RadixTree::Find(std::string_view key, std::span<const TokenId> tokens) const {
  return Follow(key, tokens, Tier::kMemory).length;
}

int32_t RadixTree::FindAny(std::string_view key, std::span<const TokenId> tokens) const {
  return Follow(key, tokens, Tier::kAny).length;
}

int32_t RadixTree::FindElsewhere(std::string_view key, std::span<const TokenId> tokens) const {
  int32_t longest = 0;
  for (const auto& [other, root] : roots_) {
    if (other != key) longest = std::max(longest, FindAny(other, tokens));
  }
  return longest;
}

RadixTree::Match RadixTree::Acquire(std::string_view key, std::span<const TokenId> tokens,
                                    uint64_t now) {
  const Walk walk = Follow(key, tokens, Tier::kMemory);
  Match match{.length = walk.length, .blocks = {}};
  for (Node* node : walk.nodes) {
    node->last_used = now;
    match.blocks.push_back(node->block);
  }
  if (walk.last != nullptr) {
    walk.last->last_used = now;
    match.blocks.push_back(walk.last->block);
  }
  pool_->Share(match.blocks);
  return match;
}

RadixTree::Node* RadixTree::AddChild(Node* node, std::span<const TokenId> tokens, uint32_t block) {
  auto child = std::make_unique<Node>();
  std::copy(tokens.begin(), tokens.end(), child->tokens.begin());
  child->count = static_cast<int32_t>(tokens.size());
  child->block = block;
  child->depth = node->depth + node->count;
  child->parent = node;
  pool_->Share({&block, 1});
  ++num_nodes_;
  const auto at = std::lower_bound(node->children.begin(), node->children.end(), tokens,
                                   [](const auto& other, std::span<const TokenId> wanted) {
                                     return Before(other->view(), wanted);
                                   });
  return node->children.insert(at, std::move(child))->get();
}

void RadixTree::Insert(std::string_view key, std::span<const TokenId> tokens,
                       std::span<const uint32_t> blocks, uint64_t now) {
  if (tokens.empty()) return;
  auto root = roots_.find(key);
  if (root == roots_.end()) {
    root = roots_.emplace(std::string(key), std::make_unique<Node>()).first;
    root->second->key = &root->first;
  }
  Node* node = root->second.get();
  for (size_t i = 0; !tokens.empty(); ++i) {
    const std::span<const TokenId> wanted = FirstBlock(tokens);
    auto [child, common] = BestChild(*node, wanted, Tier::kAny);
    const auto all = static_cast<int32_t>(wanted.size());
    if (child != nullptr && child->cold && common == all) {
      if (child->count > all) return;  // what is cold says more
      SetHot(child, blocks[i]);
      pool_->Share(blocks.subspan(i, 1));
    } else if (child != nullptr && common == child->count && common < all) {
      // The longer block says what the shorter did. It comes first, so that the root stays.
      Node* shorter = std::exchange(child, AddChild(node, wanted, blocks[i]));
      Remove(shorter);
    } else if (child == nullptr || common < all) {
      child = AddChild(node, wanted, blocks[i]);
    }
    child->last_used = now;
    node = child;
    tokens = tokens.subspan(wanted.size());
  }
}

void RadixTree::Remove(Node* node) {
  GYRATOR_CHECK(node->children.empty());
  const Node& parent = *node->parent;
  auto& siblings = node->parent->children;
  const auto at = std::find_if(siblings.begin(), siblings.end(),
                               [node](const auto& child) { return child.get() == node; });
  GYRATOR_CHECK(at != siblings.end());
  if (node->cold) {
    cold_.swap->Free(node->block);
    --num_cold_;
  } else {
    pool_->Release({&node->block, 1});
    --num_nodes_;
  }
  siblings.erase(at);
  if (parent.key != nullptr && siblings.empty()) roots_.erase(roots_.find(*parent.key));
}

int32_t RadixTree::Pin(std::string_view key, std::span<const TokenId> tokens) {
  const Walk walk = Follow(key, tokens, Tier::kMemory);
  for (Node* node : walk.nodes) ++node->pins;
  return static_cast<int32_t>(walk.nodes.size()) * kBlockPositions;
}

void RadixTree::Unpin(std::string_view key, std::span<const TokenId> tokens) {
  const Walk walk = Follow(key, tokens, Tier::kMemory);
  GYRATOR_CHECK(walk.length == static_cast<int32_t>(tokens.size()) && walk.partial == 0);
  for (Node* node : walk.nodes) {
    GYRATOR_CHECK(node->pins > 0);
    --node->pins;
  }
}

void RadixTree::Lease(std::string_view key, std::span<const TokenId> tokens, uint64_t until) {
  for (Node* node : Follow(key, tokens, Tier::kMemory).nodes) {
    node->lease_until = std::max(node->lease_until, until);
  }
}

void RadixTree::SetGuarded(std::string_view key, std::span<const TokenId> tokens, bool guarded) {
  const Walk walk = Follow(key, tokens, Tier::kAny);
  for (Node* node : walk.nodes) node->guarded = guarded;
  if (walk.last != nullptr) walk.last->guarded = guarded;
}

void RadixTree::Detach(std::string_view key, std::span<const TokenId> tokens, uint32_t block,
                       bool longer_too) {
  const Walk walk = Follow(key, tokens, Tier::kMemory);
  Node* last = LastOf(walk, block);
  if (last == nullptr || last->block != block || HasHotChild(*last)) return;
  if (last->count != walk.partial && !longer_too) return;
  if (last->pins > 0 || last->lease_until > 0) return;
  RemoveBelow(last);
  Remove(last);
}

void RadixTree::Forget(std::string_view key, std::span<const TokenId> tokens,
                       std::span<const uint32_t> blocks, int32_t length, uint64_t now) {
  Walk walk = Follow(key, tokens, Tier::kMemory);
  if (walk.last != nullptr) walk.nodes.push_back(LastOf(walk, blocks[walk.nodes.size()]));
  for (size_t i = walk.nodes.size(); i-- > 0;) {
    Node* node = walk.nodes[i];
    const bool ours = node->block == blocks[i] && node->depth + node->count > length;
    if (!ours || HasHotChild(*node) || node->pins > 0 || node->lease_until > now) return;
    RemoveBelow(node);
    Remove(node);
  }
}

bool RadixTree::HasHotChild(const Node& node) {
  return std::any_of(node.children.begin(), node.children.end(),
                     [](const auto& child) { return !child->cold; });
}

bool RadixTree::CanGo(const Node& node, uint64_t now) const {
  return node.count > 0 && !node.cold && !HasHotChild(node) && node.pins == 0 && !node.guarded &&
         node.lease_until <= now && pool_->num_refs(node.block) == 1;
}

double RadixTree::Score(const Node& node, uint64_t now) const {
  const double middle = node.depth + 0.5 * node.count;
  const double cost = node.count * (cost_.per_token + cost_.per_position * middle);
  const double age = now > node.last_used ? static_cast<double>(now - node.last_used) : 0.5;
  return cost / age;
}

int32_t RadixTree::Evict(int32_t count, uint64_t now) {
  using Entry = std::pair<double, Node*>;
  const auto later = [](const Entry& a, const Entry& b) {
    return a.first != b.first ? a.first > b.first : a.second->block > b.second->block;
  };
  std::vector<Entry> leaves;
  ForEach([&](Node* node) {
    if (CanGo(*node, now)) leaves.emplace_back(Score(*node, now), node);
  });
  std::priority_queue<Entry, std::vector<Entry>, decltype(later)> order(later, std::move(leaves));
  int32_t freed = 0;
  while (freed < count && !order.empty()) {
    Node* node = order.top().second;
    order.pop();
    Node* parent = node->parent->key == nullptr ? node->parent : nullptr;  // a root may go with it
    Leave(node, now);
    ++freed;
    if (parent != nullptr && CanGo(*parent, now)) order.emplace(Score(*parent, now), parent);
  }
  return freed;
}

// `node` and all below it, parents first.
std::vector<RadixTree::Node*> RadixTree::Subtree(Node* node) {
  std::vector<Node*> nodes = {node};
  for (size_t i = 0; i < nodes.size(); ++i) {
    for (const auto& child : nodes[i]->children) nodes.push_back(child.get());
  }
  return nodes;
}

int32_t RadixTree::Drop(std::string_view key, std::span<const TokenId> tokens, uint64_t now) {
  const auto root = roots_.find(key);
  const Walk walk = Follow(key, tokens, Tier::kAny);
  if (root == roots_.end() || walk.length < static_cast<int32_t>(tokens.size())) return 0;
  std::vector<Node*> nodes = walk.nodes;  // parents first
  const Node& whole = nodes.empty() ? *root->second : *nodes.back();
  const auto rest = tokens.subspan(static_cast<size_t>(whole.depth + whole.count));
  for (const auto& child : whole.children) {  // several may go on from within a block
    const std::span<const TokenId> its = child->view();
    if (its.size() < rest.size() || !std::equal(rest.begin(), rest.end(), its.begin())) continue;
    const std::vector<Node*> below = Subtree(child.get());
    nodes.insert(nodes.end(), below.begin(), below.end());
  }
  int32_t dropped = 0;
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    if (!(*node)->children.empty() || !((*node)->cold || CanGo(**node, now))) continue;
    Remove(*node);
    ++dropped;
  }
  return dropped;
}

void RadixTree::Clear() {
  std::vector<Node*> nodes;  // parents first
  for (const auto& [key, root] : roots_) {
    const std::vector<Node*> its = Subtree(root.get());
    nodes.insert(nodes.end(), its.begin() + 1, its.end());
  }
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    if ((*node)->children.empty() && (*node)->pins == 0) Remove(*node);
  }
}

RadixTree::~RadixTree() {
  ForEach([&](const Node* node) {
    if (node->cold) {
      cold_.swap->Free(node->block);
    } else {
      pool_->Release({&node->block, 1});
    }
  });
}

int32_t RadixTree::num_leaves() const {
  int32_t leaves = 0;
  ForEach([&](const Node* node) { leaves += node->children.empty() ? 1 : 0; });
  return leaves;
}

std::map<uint32_t, uint32_t> RadixTree::Holds() const {
  std::map<uint32_t, uint32_t> holds;
  ForEach([&](const Node* node) {
    if (!node->cold) ++holds[node->block];
  });
  return holds;
}

bool RadixTree::Check(std::string* why) const {
  int32_t nodes = 0, cold = 0;
  *why = "";
  ForEach([&](const Node* node) {
    ++(node->cold ? cold : nodes);
    if (node->cold && (node->pins > 0 || HasHotChild(*node))) *why = "a cold node in use";
    if (node->count < 1 || node->count > kBlockPositions) *why = "count of a node";
    if (!node->children.empty() && node->count < kBlockPositions) *why = "children of a part";
    if (!node->cold && pool_->num_refs(node->block) == 0) *why = "a free block in the tree";
    if (node->depth != node->parent->depth + node->parent->count) *why = "depth";
    const auto& siblings = node->parent->children;
    for (size_t i = 1; i < siblings.size(); ++i) {
      const auto a = siblings[i - 1]->view(), b = siblings[i]->view();
      if (!Before(a, b)) *why = "order of children";
      if (CommonLength(a, b) == static_cast<int32_t>(a.size()))
        *why = "a child is another's prefix";
    }
  });
  if (nodes != num_nodes_ || cold != num_cold_) *why = "number of nodes";
  for (const auto& [key, root] : roots_) {
    if (root->children.empty()) *why = "a key of which nothing is cached";
    if (root->key != &key) *why = "the key of a root";
  }
  return why->empty();
}

}  // namespace gyrator
