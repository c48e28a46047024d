// A manager over a fake executor, which decodes as turns do.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kv/kv_testing.h"
#include "kv/sequence_manager.h"

namespace gyrator {

inline std::vector<TokenId> Ramp(TokenId first, int32_t count) {
  std::vector<TokenId> tokens(static_cast<size_t>(count));
  for (int32_t i = 0; i < count; ++i) tokens[static_cast<size_t>(i)] = first + i;
  return tokens;
}

// The positions that an eviction leaves.
inline std::vector<int32_t> Survivors(int32_t length, std::span<const TokenSpan> spans) {
  std::vector<int32_t> left;
  for (int32_t p = 0; p < length; ++p) {
    const bool goes = std::any_of(spans.begin(), spans.end(), [p](const TokenSpan& span) {
      return span.begin <= p && p < span.end;
    });
    if (!goes) left.push_back(p);
  }
  return left;
}

// What is left of a list of tokens, and of what positions hold.
inline std::vector<TokenId> TokensAfter(std::span<const TokenId> tokens,
                                        std::span<const TokenSpan> spans) {
  std::vector<TokenId> left;
  for (const int32_t p : Survivors(static_cast<int32_t>(tokens.size()), spans)) {
    left.push_back(tokens[static_cast<size_t>(p)]);
  }
  return left;
}
inline std::vector<uint64_t> ContentsAfter(std::span<const uint64_t> contents,
                                           std::span<const TokenSpan> spans) {
  std::vector<uint64_t> left;
  for (const int32_t p : Survivors(static_cast<int32_t>(contents.size()), spans)) {
    const auto delta = static_cast<int32_t>(left.size()) - p;
    left.push_back(FakeBytes::After(contents[static_cast<size_t>(p)], delta));
  }
  return left;
}

struct Kv {
  Kv(uint32_t blocks, int32_t slots, int32_t cached_max = INT32_MAX, int64_t swapped_max = 0,
     uint64_t spilled_max = 0)
      : pool(blocks),
        bytes(blocks),
        swap(MakeSwap(swapped_max)),
        spill(FakeBytes::kBlockBytes, spilled_max * FakeBytes::kBlockBytes),
        manager(&pool, &bytes, {slots, swap.get(), &spill, cached_max, {1, 0.01}}) {}

  static std::unique_ptr<SwapFile> MakeSwap(int64_t blocks_max) {
    if (blocks_max == 0) return nullptr;
    auto swap =
        SwapFile::Create({.directory = testing::TempDir(),
                          .block_bytes = FakeBytes::kBlockBytes,
                          .bytes_max = static_cast<uint64_t>(blocks_max * FakeBytes::kBlockBytes)});
    EXPECT_TRUE(swap.ok()) << swap.status().ToString();
    return *std::move(swap);
  }

  // As a turn does it: Resume, Sync, then decode what is left in chunks. False: the pool is
  // exhausted.
  bool Decode(SlotId slot, std::span<const TokenId> tokens, int32_t chunk = 1000) {
    manager.SetBusy(slot, true);
    const bool fits = manager.Resume(slot).ok() && DecodeLive(slot, tokens, chunk);
    manager.SetBusy(slot, false);
    return fits;
  }

  bool DecodeLive(SlotId slot, std::span<const TokenId> tokens, int32_t chunk) {
    last = manager.Sync(slot, tokens);
    while (manager.sequence(slot).cp() < std::ssize(tokens)) {
      const int32_t cp = manager.sequence(slot).cp();
      const auto count = std::min(chunk, static_cast<int32_t>(tokens.size()) - cp);
      const Status status = manager.Reserve(slot, count);
      if (!status.ok()) return false;
      const auto rows = tokens.subspan(static_cast<size_t>(cp), static_cast<size_t>(count));
      bytes.Store(manager.sequence(slot), rows);
      manager.Commit(slot, rows);
      decoded += count;
    }
    return true;
  }

  BlockPool pool;
  FakeBytes bytes;
  std::unique_ptr<SwapFile> swap;
  SpillMemory spill;
  SequenceManager manager;
  Reused last;
  int32_t decoded = 0;
};

}  // namespace gyrator
