// The engine's loop: which requests wait, which run, and one pass after the other.
#include <algorithm>

#include "engine/engine_impl.h"

namespace gyrator {

namespace {

constexpr int32_t kPromptLogitRows = 32;  // rows of a pass whose logits are all wanted

bool PoolIsFull(const Status& status) {
  return status.code() == Code::kExhausted && status.name() == "kv_pool";
}

}  // namespace

void EngineImpl::Serve(std::span<Request> requests) {
  for (Request& request : requests) Submit(&request);
  while (Step()) ReportProgress();
}

bool EngineImpl::Step() {
  Admit();
  const std::vector<PlannedRows> plan = Next();
  if (!plan.empty()) {
    const Status status = RunPlan(plan);
    if (status.ok()) {
      Commit(plan);
    } else {
      for (const PlannedRows& item : plan)
        Fail(running_[static_cast<size_t>(item.request)], status);
    }
  }
  Retire();
  return !running_.empty() || !waiting_.empty();
}

void EngineImpl::Submit(Request* request) {
  request->started_ns = NowNs();
  ++counted_.requests;
  const bool twice = std::any_of(waiting_.begin(), waiting_.end(), [&](const Request* other) {
    return other->session == request->session;
  });
  if (twice) {
    return Fail(request, Status::InvalidArgument("session: more than one request in a batch"));
  }
  if (request->responds) {
    auto tokens = request->session->PromptTokens();
    if (!tokens.ok()) return Fail(request, std::move(tokens).status());
    request->tokens = *std::move(tokens);
  }
  for (TokenId token : request->tokens) {
    if (token < 0 || token >= model_->loaded().config.vocab) {
      return Fail(request,
                  Status::InvalidArgument("token id: 0 to " +
                                          std::to_string(model_->loaded().config.vocab - 1) +
                                          " expected, found " + std::to_string(token)));
    }
  }
  request->prompt_length = static_cast<int32_t>(request->tokens.size());
  waiting_.push_back(request);
}

void EngineImpl::Admit() {
  if (blocked_ && !running_.empty()) return;
  for (size_t i = 0; i < waiting_.size();) {
    Request* request = waiting_[i];
    if (AwaitsPrefix(*request)) {
      ++i;
      continue;
    }
    Status status = Enter(request);
    if (PoolIsFull(status) && !running_.empty()) {
      blocked_ = true;  // in order: nobody passes it
      return;
    }
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
    if (!status.ok()) {
      Fail(request, std::move(status));
      continue;
    }
    request->state = RequestState::kRunning;
    running_.push_back(request);
    if (request->session->sequence().cp() == static_cast<int32_t>(request->tokens.size())) {
      Advance(request);
      Retire();  // it may be done, or have parked another
    }
  }
}

Status EngineImpl::Enter(Request* request) {
  SessionImpl& session = *request->session;
  sequences_->SetBusy(session.slot(), true);
  const bool reuse = options_.use_cache && !request->wants_prompt_logits();
  const Result<Reused> reused = session.Sync(request->tokens, reuse);
  if (!reused.ok()) {
    sequences_->SetBusy(session.slot(), false);
    return reused.status();
  }
  if (!request->entered) {
    request->entered = true;
    request->reply.tokens_shared = reused->cached;
    request->reply.tokens_reused = session.sequence().cp();
    request->reply.tokens_decoded = request->prompt_length - request->reply.tokens_reused;
    counted_.tokens_reused_own += static_cast<uint64_t>(reused->own);
    counted_.tokens_reused_shared += static_cast<uint64_t>(reused->cached);
  }
  return {};
}

bool EngineImpl::AwaitsPrefix(const Request& request) const {
  if (!shares_prefixes() || request.wants_prompt_logits() || request.tokens.empty()) return false;
  const SlotId slot = request.session->slot();
  const auto usable = std::span(request.tokens).first(request.tokens.size() - 1);
  const int32_t has =
      std::max(sequences_->tokens(slot).CommonPrefix(usable), sequences_->FindCached(slot, usable));
  return std::any_of(running_.begin(), running_.end(), [&](const Request* other) {
    const SessionImpl& session = *other->session;
    if (session.sequence().cp() >= other->prompt_length) return false;  // all is published
    if (!sequences_->SameKey(slot, session.slot())) return false;
    const auto prompt = std::span(other->tokens).first(static_cast<size_t>(other->prompt_length));
    const auto [mine, theirs] =
        std::mismatch(usable.begin(), usable.end(), prompt.begin(), prompt.end());
    return mine - usable.begin() > has;
  });
}

int32_t EngineImpl::RowsMax(const Request& request) const {
  return request.wants_prompt_logits() ? std::min(options_.batch_rows, kPromptLogitRows)
                                       : options_.batch_rows;
}

std::vector<PlannedRows> EngineImpl::Next() const {
  std::vector<PendingRows> pending;
  for (const Request* request : running_) {
    const int32_t left =
        static_cast<int32_t>(request->tokens.size()) - request->session->sequence().cp();
    pending.push_back({.rows = left, .rows_max = RowsMax(*request)});
  }
  return PlanRows(pending, options_.batch_rows);
}

Status EngineImpl::RunPlan(std::span<const PlannedRows> plan) {
  batch_.clear();
  size_t wanted = 0;
  for (const PlannedRows& item : plan) {
    const Request& request = *running_[static_cast<size_t>(item.request)];
    const Sequence& sequence = request.session->sequence();
    const auto cp = static_cast<size_t>(sequence.cp());
    const bool last = cp + static_cast<size_t>(item.rows) == request.tokens.size();
    const int32_t num_logits = request.wants_prompt_logits() ? item.rows : last ? 1 : 0;
    batch_.push_back(
        {.tokens = std::span(request.tokens).subspan(cp, static_cast<size_t>(item.rows)),
         .first_position = sequence.cp(),
         .table = sequence.table(),
         .num_logits = num_logits});
    wanted += static_cast<size_t>(num_logits);
  }
  logits_.resize(wanted * static_cast<size_t>(model_->loaded().config.vocab));
  const ForwardContext context{.config = &model_->loaded().config,
                               .weights = &model_->loaded().weights,
                               .ops = &model_->ops(),
                               .threads = threads_.get(),
                               .arena = arena_.get(),
                               .memory = nullptr};
  return Forward(context, storage_->view(), batch_, logits_.data());
}

// State changes here alone: first every row of the pass joins its session, then the complete ones
// go on, which may park others.
void EngineImpl::Commit(std::span<const PlannedRows> plan) {
  ++counted_.passes;
  const auto vocab = static_cast<size_t>(model_->loaded().config.vocab);
  std::span<const float> logits(logits_);
  std::vector<Request*> complete;
  for (size_t i = 0; i < plan.size(); ++i) {
    Request& request = *running_[static_cast<size_t>(plan[i].request)];
    const std::span<const float> rows =
        logits.first(static_cast<size_t>(batch_[i].num_logits) * vocab);
    logits = logits.subspan(rows.size());
    const auto end = static_cast<size_t>(batch_[i].first_position + plan[i].rows);
    if (request.wants_prompt_logits()) {
      for (int32_t row = 0; row < plan[i].rows; ++row) {
        if (batch_[i].first_position + row >= request.prompt_length - 1) break;
        request.options->on_prompt_logits(rows.subspan(static_cast<size_t>(row) * vocab, vocab));
      }
    }
    counted_.tokens_decoded += static_cast<uint64_t>(plan[i].rows);
    const bool is_complete = end == request.tokens.size();
    request.session->Commit(batch_[i].tokens,
                            is_complete ? rows.last(vocab) : std::span<const float>());
    if (plan[i].rows > 1 && shares_prefixes()) sequences_->Publish(request.session->slot());
    if (is_complete) complete.push_back(&request);
  }
  for (Request* request : complete) {
    // One that was parked meanwhile goes on when it is admitted again.
    if (request->state == RequestState::kRunning) Advance(request);
  }
}

void EngineImpl::Advance(Request* request) {
  SessionImpl& session = *request->session;
  if (request->first_token_ns == 0) request->first_token_ns = NowNs();
  const auto sampled = static_cast<int32_t>(request->reply.tokens.size());
  if (request->options->tokens_max >= 0 && sampled >= request->options->tokens_max) {
    return Finish(request, StopReason::kLength);
  }
  const TextModelImpl* text = model_->text_impl();
  const std::span<const TokenId> ends =
      text == nullptr ? std::span<const TokenId>() : text->end_of_generation();
  const bool ignore_end = request->options->ignore_end;
  if (request->options->on_logits) request->options->on_logits(session.last_logits());
  const TokenId token = session.sampler_state().Sample(
      session.last_logits(), request->tokens, ignore_end ? ends : std::span<const TokenId>());
  if (!ignore_end && std::binary_search(ends.begin(), ends.end(), token)) {
    return Finish(request, StopReason::kEndOfGeneration);
  }
  if (!EmitToken(request, token)) return Finish(request, StopReason::kCancelled);
  if (sampled + 1 == request->options->tokens_max) return Finish(request, StopReason::kLength);
  request->tokens.push_back(token);
  if (Status status = Extend(request); !status.ok()) Fail(request, std::move(status));
}

Status EngineImpl::Extend(Request* request) {
  while (true) {
    const Status status = request->session->Sync(request->tokens, options_.use_cache).status();
    if (!PoolIsFull(status)) return status;
    // Who came first goes on: the one admitted last gives way, this one itself in the end.
    bool parked = false;
    for (auto other = running_.rbegin(); other != running_.rend() && *other != request; ++other) {
      if ((*other)->state != RequestState::kRunning) continue;
      parked = Preempt(*other);
      if (parked) break;
    }
    if (parked) continue;
    const bool alone = std::none_of(running_.begin(), running_.end(), [&](const Request* other) {
      return other != request && other->state == RequestState::kRunning;
    });
    if (alone || !Preempt(request)) return status;
    return {};
  }
}

bool EngineImpl::Preempt(Request* request) {
  const SlotId slot = request->session->slot();
  if (!sequences_->Park(slot).ok()) return false;
  sequences_->SetBusy(slot, false);
  request->state = RequestState::kWaiting;
  waiting_.insert(waiting_.begin(), request);
  return true;
}

void EngineImpl::Retire() {
  std::erase_if(running_, [this](const Request* request) {
    if (request->state == RequestState::kDone) blocked_ = false;
    return request->state != RequestState::kRunning;
  });
}

void EngineImpl::ReportProgress() const {
  if (!options_.progress) return;
  uint64_t done = 0, total = 0;
  for (const Request* request : running_) {
    if (!request->reply.tokens.empty()) continue;
    done += static_cast<uint64_t>(request->session->sequence().cp());
    total += static_cast<uint64_t>(request->prompt_length);
  }
  if (total > 0) options_.progress("reading the prompt", done, total);
}

}  // namespace gyrator
