#include "engine/session_cache.h"

#include <string>

namespace gyrator {

Status TooLong(int32_t length, int32_t held, int32_t capacity) {
  return Status::Exhausted("capacity: the prompt has " + std::to_string(length) +
                           " tokens, and the context's capacity is " + std::to_string(capacity) +
                           " tokens (cp " + std::to_string(held) +
                           ": so many are computed); use a shorter text or a larger capacity (-c)")
      .Named("capacity");
}

Status SessionCache::Resume() {
  const int32_t before = sequences_->tokens(slot_).size();
  Status status = sequences_->Resume(slot_);
  if (sequences_->tokens(slot_).size() < before) ForgetLogits();
  return status;
}

Result<Reused> SessionCache::Sync(std::span<const TokenId> tokens, bool reuse) {
  const auto length = static_cast<int32_t>(tokens.size());
  const TokenList& held = sequences_->tokens(slot_);
  const int32_t before = held.size();
  const int32_t capacity = sequences_->capacity(slot_);
  if (length > capacity) return TooLong(length, before, capacity);
  Reused reused;
  if (reuse) {
    const Result<Reused> synced = sequences_->ResumeAndSync(slot_, tokens);
    if (sequences_->tokens(slot_).size() < before) ForgetLogits();
    GYRATOR_RETURN_IF_ERROR(synced.status());
    reused = *synced;
  } else {
    GYRATOR_RETURN_IF_ERROR(Resume());
    sequences_->Truncate(slot_, 0);
  }
  const bool logits_fit = reused.own == length && before == length && !logits_->empty();
  if (reused.own == length && length > 0 && !logits_fit) {  // its last row is decoded again
    sequences_->Truncate(slot_, --reused.own);
  }
  if (reused.own < before || reused.cached > 0) ForgetLogits();
  GYRATOR_RETURN_IF_ERROR(sequences_->Reserve(slot_, length - sequence().cp()));
  return reused;
}

Reused SessionCache::Find(std::span<const TokenId> tokens, bool reuse, int32_t length_max) const {
  if (!reuse) return {};
  const auto length = static_cast<int32_t>(tokens.size());
  const int32_t before = sequences_->tokens(slot_).size();
  Reused reused = sequences_->Find(slot_, tokens, length_max);
  const bool logits_fit = before == length && length_max >= before && !logits_->empty();
  if (reused.own == length && length > 0 && !logits_fit) --reused.own;
  return reused;
}

Status SessionCache::Evict(int32_t length, std::span<const TokenSpan> spans) {
  Truncate(length);
  const Status status = sequences_->Evict(slot_, spans);
  if (sequence().cp() < length) ForgetLogits();  // what evicted nothing keeps its logits
  return status;
}

void SessionCache::Truncate(int32_t length) {
  if (length >= sequence().cp()) return;
  sequences_->Truncate(slot_, length);
  ForgetLogits();
}

void SessionCache::ForgetLogits() {
  if (logits_.use_count() > 1) {
    logits_ = std::make_shared<std::vector<float>>();
  } else {
    const SharedLogits again = logits_;  // what use_count is not: behind the reads of others
  }
  logits_->clear();
}

void SessionCache::Commit(std::span<const TokenId> tokens, std::span<const float> logits) {
  sequences_->Commit(slot_, tokens);
  ForgetLogits();
  logits_->assign(logits.begin(), logits.end());
}

}  // namespace gyrator
