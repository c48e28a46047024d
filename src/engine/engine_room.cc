// Who has room in the pool: which requests run, wait, give way to others, or are refused.
#include <algorithm>
#include <utility>

#include "engine/engine_loop.h"

namespace gyrator {

namespace {

bool PoolIsFull(const Status& status) {
  return status.code() == Code::kExhausted && status.name() == "kv_pool";
}

bool RanksBefore(const Request* a, const Request* b) { return a->rank < b->rank; }

}  // namespace

void EngineLoop::Hold(SlotId slot) {
  sequences_->SetBusy(slot, true);
  held_.insert(slot);
}

void EngineLoop::Release(SlotId slot) {
  sequences_->SetBusy(slot, false);
  held_.erase(slot);
  blocked_ = false;
}

void EngineLoop::Queue(Request* request) {
  request->state = RequestState::kWaiting;
  request->BeginWait(clock_());
  const auto place = std::upper_bound(waiting_.begin(), waiting_.end(), request, RanksBefore);
  if (place == waiting_.begin()) blocked_ = false;
  waiting_.insert(place, request);
}

void EngineLoop::Admit() {
  const auto room_may_come = [this] { return !running_.empty() || !held_.empty(); };
  if (blocked_ && room_may_come()) return;
  const auto stalled = [](const Request* request) { return request->stalled; };
  if (std::any_of(running_.begin(), running_.end(), stalled)) return;  // nobody passes those
  for (size_t i = 0; i < waiting_.size();) {
    Request* request = waiting_[i];
    if (request->awaits || AwaitsPrefix(*request)) {
      ++i;
      continue;
    }
    Status status = Enter(request);
    while (PoolIsFull(status) && PreemptBehind(request->rank)) status = Enter(request);
    if (PoolIsFull(status) && room_may_come()) {
      blocked_ = true;  // in order: nobody passes it
      break;
    }
    std::erase(waiting_, request);
    running_.push_back(request);
    if (!status.ok()) {
      Refuse(request, std::move(status));
      continue;
    }
    request->state = RequestState::kRunning;
    request->EndWait(clock_());
    if (request->session->cache().sequence().cp() == std::ssize(request->tokens)) {
      Advance(request);
    }
  }
  Retire();
}

Status EngineLoop::Enter(Request* request) {
  SessionCache& cache = request->session->cache();
  sequences_->SetBusy(cache.slot(), true);
  const bool reuse = options_.use_cache && !request->wants_prompt_logits();
  Status status = Fit(request);
  if (status.ok() && request->holds) status = cache.Resume();
  // One that is held stays as it is: a row decoded again attends to what is there now.
  const bool whole = status.ok() && request->holds &&
                     cache.sequence().CommonPrefix(request->tokens) == std::ssize(request->tokens);
  const int32_t before = sequences_->tokens(cache.slot()).size();
  Result<Reused> reused = Reused();
  if (whole) {
    cache.Truncate(static_cast<int32_t>(request->tokens.size()));  // the rest was dropped
  } else {
    reused = status.ok() ? cache.Sync(request->tokens, reuse) : Result<Reused>(std::move(status));
  }
  NoteRewind(request, before);
  if (whole) return {};
  if (!reused.ok()) {
    sequences_->SetBusy(cache.slot(), false);
    return reused.status();
  }
  if (!request->entered) {
    request->entered = true;
    request->reply.tokens_decoded = request->prompt_length - cache.sequence().cp();
    // Of a turn's second half, what is there was counted, and may be what the first half decoded.
    if (request->continues || !request->is_turn()) return {};
    request->reply.tokens_shared = reused->cached;
    request->reply.tokens_reused = cache.sequence().cp();
    counted_.tokens_reused_own += static_cast<uint64_t>(reused->own);
    counted_.tokens_reused_shared += static_cast<uint64_t>(reused->cached);
  }
  return {};
}

void EngineLoop::NoteRewind(Request* request, int32_t before) {
  SessionImpl& session = *request->session;
  const int32_t left = sequences_->tokens(session.cache().slot()).size();
  if (left >= before || session.window().mode != EvictMode::kShift) return;
  Window window = session.window_state();
  window.Rewind(left);
  session.set_window_state(std::move(window));
}

bool EngineLoop::AwaitsPrefix(const Request& request) const {
  if (!shares_prefixes() || request.wants_prompt_logits() || request.tokens.empty()) return false;
  const SlotId slot = request.session->cache().slot();
  if (sequences_->HoldsItsOwn(slot)) return false;
  const auto usable = std::span(request.tokens).first(request.tokens.size() - 1);
  const int32_t has =
      std::max(sequences_->tokens(slot).CommonPrefix(usable), sequences_->FindCached(slot, usable));
  return std::any_of(running_.begin(), running_.end(), [&](const Request* other) {
    if (other->state != RequestState::kRunning) return false;
    const SessionCache& cache = other->session->cache();
    if (cache.sequence().cp() >= other->prompt_length) return false;  // all is published
    if (!sequences_->SameKey(slot, cache.slot())) return false;
    const auto prompt = std::span(other->tokens)
                            .first(std::min(other->tokens.size(),  // fewer while it has a goal
                                            static_cast<size_t>(other->prompt_length)));
    const auto [mine, theirs] =
        std::mismatch(usable.begin(), usable.end(), prompt.begin(), prompt.end());
    return mine - usable.begin() > has;
  });
}

void EngineLoop::Refuse(Request* request, Status status) {
  const bool full = status.code() == Code::kExhausted && status.name() == "capacity";
  if (full && !request->reply.tokens.empty()) {
    Finish(request, StopReason::kLength);
  } else {
    Fail(request, std::move(status));
  }
}

Status EngineLoop::Extend(Request* request) {
  request->stalled = false;
  while (true) {
    Status status = Fit(request);
    SessionCache& cache = request->session->cache();
    const int32_t before = sequences_->tokens(cache.slot()).size();
    if (status.ok()) status = cache.Sync(request->tokens, options_.use_cache).status();
    NoteRewind(request, before);
    if (!PoolIsFull(status)) return status;
    if (PreemptBehind(request->rank)) continue;
    const auto others = [&](bool also_stalled) {
      return !held_.empty() ||
             std::any_of(running_.begin(), running_.end(), [&](const Request* other) {
               return other != request && other->state == RequestState::kRunning &&
                      (also_stalled || !other->stalled);
             });
    };
    if (!others(true)) return status;
    if (Preempt(request)) return {};
    if (!others(false)) return status;
    request->stalled = true;
    return {};
  }
}

void EngineLoop::ExtendStalled() {
  for (Request* request : std::vector<Request*>(running_)) {
    if (request->state != RequestState::kRunning || !request->stalled) continue;
    if (Status status = Extend(request); !status.ok()) Refuse(request, std::move(status));
  }
}

bool EngineLoop::PreemptBehind(const Rank& rank) {
  std::vector<Request*> behind;
  for (Request* other : running_) {
    // One that stands still for long gives way whatever its rank: its callback may itself wait for
    // a request that has no room beside it.
    const bool gives_way = rank < other->rank || (other->awaits && other->stands);
    if (other->state == RequestState::kRunning && gives_way) behind.push_back(other);
  }
  std::sort(behind.begin(), behind.end(), RanksBefore);
  return std::any_of(behind.rbegin(), behind.rend(),
                     [&](Request* other) { return Preempt(other); });
}

bool EngineLoop::Preempt(Request* request) {
  const SlotId slot = request->session->cache().slot();
  if (!sequences_->Park(slot).ok()) return false;
  sequences_->SetBusy(slot, false);
  std::erase(running_, request);
  Queue(request);
  return true;
}

}  // namespace gyrator
