#include "kv/sequence.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"

namespace gyrator {

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
