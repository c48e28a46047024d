#include "kv/sequence.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"

namespace gyrator {

namespace {

void CheckSpans(std::span<const TokenSpan> spans, int32_t cp) {
  int32_t end = 0;
  for (const TokenSpan& span : spans) {
    GYRATOR_CHECK(span.begin >= end && span.begin < span.end && span.end <= cp);
    end = span.end;
  }
}

}  // namespace

Sequence::Sequence(Sequence&& other) noexcept
    : pool_(other.pool_),
      bytes_(other.bytes_),
      capacity_(other.capacity_),
      tokens_(std::exchange(other.tokens_, {})),
      blocks_(std::exchange(other.blocks_, {})) {}

Sequence& Sequence::operator=(Sequence&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(bytes_, other.bytes_);
  std::swap(capacity_, other.capacity_);
  std::swap(tokens_, other.tokens_);
  std::swap(blocks_, other.blocks_);
  return *this;
}

bool Sequence::AppendsToShared() const {
  return cp() % kBlockPositions != 0 && pool_->num_refs(last_block()) > 1;
}

int64_t Sequence::BlocksNeeded(int32_t count) const {
  if (count == 0) return 0;
  const int64_t more = BlocksFor(int64_t{cp()} + count) - static_cast<int64_t>(blocks_.size());
  return std::max(more, int64_t{0}) + (AppendsToShared() ? 1 : 0);
}

Status Sequence::Reserve(int32_t count) {
  const int64_t end = int64_t{cp()} + count;
  if (end > capacity_) {
    return Status::Exhausted("capacity: " + std::to_string(count) + " more tokens at cp " +
                             std::to_string(cp()) + " do not fit a context of " +
                             std::to_string(capacity_) + " tokens; use a larger one (-c)")
        .Named("capacity");
  }
  const int64_t needed = BlocksNeeded(count);
  if (needed == 0) return {};
  const bool copies = AppendsToShared();
  GYRATOR_RETURN_IF_ERROR(pool_->Allocate(static_cast<uint32_t>(needed), &blocks_));
  if (copies) {
    uint32_t& shared = blocks_[static_cast<size_t>(cp() / kBlockPositions)];
    std::swap(shared, blocks_.back());
    bytes_->Copy(blocks_.back(), shared);
    pool_->Release(std::span(blocks_).last(1));
    blocks_.pop_back();
  }
  return {};
}

void Sequence::Commit(std::span<const TokenId> tokens) {
  tokens_.Append(tokens);
  GYRATOR_CHECK(BlocksFor(cp()) <= static_cast<int64_t>(blocks_.size()));
}

void Sequence::Truncate(int32_t length) {
  tokens_.Truncate(length);
  const auto kept = std::min(static_cast<size_t>(BlocksFor(length)), blocks_.size());
  pool_->Release(std::span(blocks_).subspan(kept));
  blocks_.resize(kept);
}

Sequence::BlockRange Sequence::Targets(std::span<const TokenSpan> spans) const {
  CheckSpans(spans, cp());
  const int32_t left = cp() - LengthOf(spans);
  if (spans.empty() || left == spans.front().begin) return {};  // nothing stands behind the gap
  return {static_cast<size_t>(spans.front().begin / kBlockPositions),
          static_cast<size_t>(BlocksFor(left))};
}

int64_t Sequence::BlocksToEvict(std::span<const TokenSpan> spans) const {
  const BlockRange targets = Targets(spans);
  return std::count_if(blocks_.begin() + static_cast<ptrdiff_t>(targets.begin),
                       blocks_.begin() + static_cast<ptrdiff_t>(targets.end),
                       [this](uint32_t block) { return pool_->num_refs(block) > 1; });
}

Status Sequence::Evict(std::span<const TokenSpan> spans) {
  if (spans.empty()) return {};
  const int32_t begin = spans.front().begin;
  const BlockRange targets = Targets(spans);
  std::vector<uint32_t> others;
  GYRATOR_RETURN_IF_ERROR(pool_->Allocate(static_cast<uint32_t>(BlocksToEvict(spans)), &others));
  const std::vector<uint32_t> from = blocks_;
  for (size_t i = targets.begin, next = 0; i < targets.end; ++i) {
    if (pool_->num_refs(blocks_[i]) > 1) std::swap(blocks_[i], others[next++]);
  }
  std::vector<PositionMove> moves;
  const auto place = [](const std::vector<uint32_t>& blocks, int32_t position) {
    return blocks[static_cast<size_t>(position / kBlockPositions)];
  };
  // A position goes down or stays, so what it overwrites has moved before.
  auto old = static_cast<int32_t>(targets.begin) * kBlockPositions;
  int32_t to = old;
  for (size_t i = 0; i <= spans.size() && targets.begin < targets.end; ++i) {
    const int32_t end = i < spans.size() ? spans[i].begin : cp();
    for (; old < end; ++old, ++to) {
      if (old == to && place(from, old) == place(blocks_, to)) continue;
      moves.push_back({place(from, old), old % kBlockPositions, place(blocks_, to),
                       to % kBlockPositions, to - old});
    }
    if (i < spans.size()) old = spans[i].end;
  }
  const bool kept = bytes_->Move(moves);
  pool_->Release(others);
  tokens_.Erase(spans);
  Truncate(kept ? cp() : begin);
  if (kept) return {};
  return Status::Corruption(
             "a key is not finite at its new position: int8 cannot keep it; use --kv-dtype f32 or "
             "bf16")
      .Named("not_finite");
}

Sequence Sequence::Fork() {
  Sequence child(pool_, bytes_, capacity_);
  child.tokens_ = tokens_.Share();
  child.blocks_.assign(blocks_.begin(), blocks_.begin() + BlocksFor(cp()));
  pool_->Share(child.blocks_);
  return child;
}

void Sequence::Replace(std::span<const uint32_t> blocks) {
  GYRATOR_CHECK(blocks.size() <= blocks_.size());
  pool_->Release(std::span(blocks_).first(blocks.size()));
  std::copy(blocks.begin(), blocks.end(), blocks_.begin());
}

TokenList Sequence::TakeTokens() {
  TokenList tokens = std::exchange(tokens_, {});
  Clear();
  return tokens;
}

void Sequence::Adopt(std::span<const TokenId> tokens, std::vector<uint32_t> blocks) {
  GYRATOR_CHECK(cp() == 0 && static_cast<int64_t>(tokens.size()) <= capacity_);
  GYRATOR_CHECK(BlocksFor(static_cast<int64_t>(tokens.size())) ==
                static_cast<int64_t>(blocks.size()));
  Clear();  // blocks reserved and not used
  tokens_.Append(tokens);
  blocks_ = std::move(blocks);
}

}  // namespace gyrator
