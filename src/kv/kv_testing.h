// An executor for tests: what a position holds is a hash of its token and of what the position
// before it holds, and so of the tokens up to it, as K and V are a function of them; a move makes
// another hash of it.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "kv/block_bytes.h"
#include "kv/sequence.h"
#include "kv/swap_file.h"

namespace gyrator {

// The descriptor behind the one swap file of its name that is open; no path leads to it.
inline int DescriptorOf(const SwapFile& swap) {
  const std::string name = std::filesystem::path(swap.path()).filename().string();
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
    if (target.find(name) != std::string::npos) return std::stoi(entry.path().filename().string());
  }
  ADD_FAILURE() << swap.path() << " is not open";
  return -1;
}

class FakeBytes final : public BlockBytes {
 public:
  explicit FakeBytes(uint32_t num_blocks) : blocks_(num_blocks) {}

  void Copy(uint32_t from, uint32_t to) override {
    blocks_[to] = blocks_[from];
    ++num_copies_;
  }
  [[nodiscard]] bool Move(std::span<const PositionMove> moves) override {
    for (const PositionMove& move : moves) {
      blocks_[move.to_block][static_cast<size_t>(move.to_slot)] =
          After(blocks_[move.from_block][static_cast<size_t>(move.from_slot)], move.delta);
    }
    num_moves_ += static_cast<int>(moves.size());
    return true;
  }
  std::vector<std::span<std::byte>> Pieces(uint32_t block) override {
    return {std::as_writable_bytes(std::span(blocks_[block]))};
  }
  static constexpr int64_t kBlockBytes = kBlockPositions * sizeof(uint64_t);
  int num_copies() const { return num_copies_; }
  int num_moves() const { return num_moves_; }

  // What a position holds after a move.
  static uint64_t After(uint64_t content, int32_t delta) {
    return delta == 0 ? content : Next(~content, delta);
  }
  // What positions hold when `tokens` are decoded behind positions that hold `before`.
  static std::vector<uint64_t> Decoded(std::vector<uint64_t> before,
                                       std::span<const TokenId> tokens) {
    for (const TokenId token : tokens) {
      before.push_back(Next(before.empty() ? 0 : before.back(), token));
    }
    return before;
  }

  // "Decodes": stores positions [sequence.cp(), + tokens.size()) of a sequence that has reserved.
  void Store(const Sequence& sequence, std::span<const TokenId> tokens) {
    const auto at = [&](size_t position) -> uint64_t& {
      return blocks_[sequence.blocks()[position / kBlockPositions]][position % kBlockPositions];
    };
    const auto cp = static_cast<size_t>(sequence.cp());
    for (size_t i = cp; i < cp + tokens.size(); ++i) {
      at(i) = Next(i == 0 ? 0 : at(i - 1), tokens[i - cp]);
    }
  }

  // Whether every position of the sequence holds what its own tokens give.
  bool Holds(const Sequence& sequence) const {
    return Holds(sequence.tokens().ToVector(), sequence.blocks());
  }
  bool Holds(std::span<const TokenId> tokens, std::span<const uint32_t> blocks) const {
    return Holds(Decoded({}, tokens), blocks);
  }
  bool Holds(std::span<const uint64_t> contents, std::span<const uint32_t> blocks) const {
    for (size_t p = 0; p < contents.size(); ++p) {
      if (blocks_[blocks[p / kBlockPositions]][p % kBlockPositions] != contents[p]) return false;
    }
    return true;
  }

 private:
  static uint64_t Next(uint64_t hash, TokenId token) {
    return (hash ^ (static_cast<uint64_t>(token) + 0x9e3779b97f4a7c15u)) * 0xff51afd7ed558ccdu + 1;
  }

  std::vector<std::array<uint64_t, kBlockPositions>> blocks_;
  int num_copies_ = 0;
  int num_moves_ = 0;
};

}  // namespace gyrator
