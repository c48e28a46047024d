// The second tier of the prefix cache: nodes whose blocks are in the swap file.
#include <algorithm>

#include "base/check.h"
#include "kv/radix_tree.h"

namespace gyrator {

int32_t RadixTree::NumCold(std::string_view key, std::span<const TokenId> tokens) const {
  const Walk walk = Follow(key, tokens, Tier::kAny);
  const auto cold = [](const Node* node) { return node->cold; };
  const auto count = std::count_if(walk.nodes.begin(), walk.nodes.end(), cold);
  return static_cast<int32_t>(count) + (walk.last != nullptr && walk.last->cold ? 1 : 0);
}

int32_t RadixTree::Warm(std::string_view key, std::span<const TokenId> tokens, uint64_t now) {
  Walk walk = Follow(key, tokens, Tier::kAny);
  if (walk.last != nullptr) walk.nodes.push_back(walk.last);
  int32_t warmed = 0;
  for (Node* node : walk.nodes) {
    if (!node->cold) continue;
    std::vector<uint32_t> block;
    if (!pool_->Allocate(1, &block).ok()) break;
    if (!cold_.swap->Read(node->block, cold_.bytes->Pieces(block.front())).ok()) {
      pool_->Release(block);
      RemoveBelow(node);
      Remove(node);
      break;
    }
    SetHot(node, block.front());
    node->last_used = now;
    ++warmed;
  }
  return warmed;
}

int32_t RadixTree::FreeCold(int32_t count, uint64_t now) {
  int32_t freed = 0;
  for (Node* node = CheapestCold(now); freed < count && node != nullptr; node = CheapestCold(now)) {
    Remove(node);
    ++freed;
  }
  return freed;
}

void RadixTree::SetHot(Node* node, uint32_t block) {
  GYRATOR_CHECK(node->cold && !node->parent->cold);
  cold_.swap->Free(node->block);
  node->cold = false;
  node->block = block;
  --num_cold_;
  ++num_nodes_;
}

void RadixTree::Leave(Node* node, uint64_t now) {
  if (cold_.swap != nullptr && WriteOut(node, now)) return;
  RemoveBelow(node);
  Remove(node);
}

bool RadixTree::WriteOut(Node* node, uint64_t now) {
  const auto pieces = cold_.bytes->Pieces(node->block);
  Result<uint32_t> slot = cold_.swap->Write(pieces);
  if (slot.status().code() == Code::kExhausted) {
    Node* other = CheapestCold(now);
    if (other == nullptr || Score(*other, now) >= Score(*node, now)) return false;
    Remove(other);
    slot = cold_.swap->Write(pieces);
  }
  if (!slot.ok()) return false;
  pool_->Release({&node->block, 1});
  node->block = *slot;
  node->cold = true;
  --num_nodes_;
  ++num_cold_;
  ++written_;
  return true;
}

RadixTree::Node* RadixTree::CheapestCold(uint64_t now) const {
  Node* cheapest = nullptr;
  if (num_cold_ == 0) return nullptr;
  ForEach([&](Node* node) {
    if (!node->cold || !node->children.empty() || node->guarded) return;
    if (cheapest == nullptr || Score(*node, now) < Score(*cheapest, now)) cheapest = node;
  });
  return cheapest;
}

void RadixTree::RemoveBelow(Node* node) {
  const std::vector<Node*> nodes = Subtree(node);
  for (size_t i = nodes.size(); i-- > 1;) {
    GYRATOR_CHECK(nodes[i]->cold);
    Remove(nodes[i]);
  }
}

}  // namespace gyrator
