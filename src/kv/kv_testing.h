// An executor for tests: what a position holds is a hash of the tokens up to it, as K and V are a
// function of them.
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
  std::vector<std::span<std::byte>> Pieces(uint32_t block) override {
    return {std::as_writable_bytes(std::span(blocks_[block]))};
  }
  static constexpr int64_t kBlockBytes = kBlockPositions * sizeof(uint64_t);
  int num_copies() const { return num_copies_; }

  // "Decodes": stores positions [sequence.cp(), + tokens.size()) of a sequence that has reserved.
  void Store(const Sequence& sequence, std::span<const TokenId> tokens) {
    uint64_t hash = HashOf(sequence.tokens(), sequence.cp());
    for (size_t i = 0; i < tokens.size(); ++i) {
      hash = Next(hash, tokens[i]);
      const auto position = static_cast<size_t>(sequence.cp()) + i;
      const uint32_t block = sequence.blocks()[position / kBlockPositions];
      blocks_[block][position % kBlockPositions] = hash;
    }
  }

  // Whether every position of the sequence holds what its own tokens give.
  bool Holds(const Sequence& sequence) const {
    return Holds(sequence.tokens().ToVector(), sequence.blocks());
  }
  bool Holds(std::span<const TokenId> tokens, std::span<const uint32_t> blocks) const {
    uint64_t hash = 0;
    for (size_t p = 0; p < tokens.size(); ++p) {
      hash = Next(hash, tokens[p]);
      if (blocks_[blocks[p / kBlockPositions]][p % kBlockPositions] != hash) return false;
    }
    return true;
  }

 private:
  static uint64_t Next(uint64_t hash, TokenId token) {
    return (hash ^ (static_cast<uint64_t>(token) + 0x9e3779b97f4a7c15u)) * 0xff51afd7ed558ccdu + 1;
  }
  static uint64_t HashOf(const TokenList& tokens, int32_t length) {
    uint64_t hash = 0;
    for (int32_t i = 0; i < length; ++i) hash = Next(hash, tokens[i]);
    return hash;
  }

  std::vector<std::array<uint64_t, kBlockPositions>> blocks_;
  int num_copies_ = 0;
};

}  // namespace gyrator
