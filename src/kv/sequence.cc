#include "kv/sequence.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"

namespace gyrator {

namespace {
size_t BlocksFor(int64_t positions) {
  return static_cast<size_t>((positions + kBlockPositions - 1) / kBlockPositions);
}
}  // namespace

Sequence::Sequence(Sequence&& other) noexcept
    : pool_(other.pool_),
      capacity_(other.capacity_),
      tokens_(std::exchange(other.tokens_, {})),
      blocks_(std::exchange(other.blocks_, {})) {}

Sequence& Sequence::operator=(Sequence&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(capacity_, other.capacity_);
  std::swap(tokens_, other.tokens_);
  std::swap(blocks_, other.blocks_);
  return *this;
}

int32_t Sequence::CommonPrefix(std::span<const TokenId> tokens) const {
  const auto [mine, theirs] =
      std::mismatch(tokens_.begin(), tokens_.end(), tokens.begin(), tokens.end());
  return static_cast<int32_t>(mine - tokens_.begin());
}

Status Sequence::Reserve(int32_t count) {
  const int64_t end = int64_t{cp()} + count;
  if (end > capacity_) {
    return Status::Exhausted("capacity: " + std::to_string(count) + " more tokens at cp " +
                             std::to_string(cp()) + " do not fit a context of " +
                             std::to_string(capacity_) + " tokens; use a larger one (-c)")
        .Named("capacity");
  }
  const size_t wanted = BlocksFor(end);
  if (wanted <= blocks_.size()) return {};
  return pool_->Allocate(static_cast<uint32_t>(wanted - blocks_.size()), &blocks_);
}

void Sequence::Commit(std::span<const TokenId> tokens) {
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  GYRATOR_CHECK(BlocksFor(cp()) <= blocks_.size());
}

void Sequence::Truncate(int32_t length) {
  GYRATOR_CHECK(length >= 0 && length <= cp());
  tokens_.resize(static_cast<size_t>(length));
  const size_t kept = BlocksFor(length);
  pool_->Release(std::span(blocks_).subspan(std::min(kept, blocks_.size())));
  blocks_.resize(std::min(kept, blocks_.size()));
}

}  // namespace gyrator
