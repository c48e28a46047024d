#include "engine/engine_loop.h"

#include <sys/sysinfo.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"
#include "model/block_scores.h"

namespace gyrator {

namespace {

constexpr int32_t kPromptLogitRows = 32;         // rows of a pass whose logits are all wanted
constexpr uint64_t kPatienceNs = 1'000'000'000;  // with a callback, while others want its room
constexpr int64_t kPriorityRows = 4096;          // what one step of priority is worth in the queue

// Memory and swap space of the machine.
uint64_t MachineBytes() {
  struct sysinfo info = {};
  if (::sysinfo(&info) != 0) return UINT64_MAX;  // not known: the pool's own mapping will tell
  return (uint64_t{info.totalram} + info.totalswap) * info.mem_unit;
}

// kExhausted: more than the machine has, or than blocks can be numbered.
Result<uint32_t> PoolBlocks(const EngineOptions& options, const PagedKv& one_block) {
  const auto block_bytes = static_cast<uint64_t>(one_block.total_bytes());
  const auto wanted = static_cast<uint64_t>(BlocksFor(options.context)) *
                      static_cast<uint64_t>(options.sessions_max);
  const uint64_t blocks =
      options.kv_budget > 0 ? std::max<uint64_t>(options.kv_budget / block_bytes, 1) : wanted;
  if (blocks <= MachineBytes() / block_bytes && blocks <= INT32_MAX) {
    return static_cast<uint32_t>(blocks);
  }
  return Status::Exhausted("kv pool of " + std::to_string(blocks) + " blocks of " +
                           std::to_string(block_bytes) + " bytes: this machine has " +
                           std::to_string(MachineBytes()) +
                           " bytes of memory and swap space; use a smaller one (--kv-budget, fewer "
                           "sessions, a smaller context)");
}

int32_t CachedBlocksMax(const EngineOptions& options, const PagedKv& one_block) {
  if (options.cache_budget == 0) return INT32_MAX;
  const uint64_t blocks = options.cache_budget / static_cast<uint64_t>(one_block.total_bytes());
  return static_cast<int32_t>(std::min<uint64_t>(blocks, INT32_MAX));
}

// The geometry of a pool of one block.
PagedKv OneBlock(const ModelConfig& config, DType dtype) {
  return {.dtype = dtype,
          .num_layers = config.num_layers,
          .num_blocks = 1,
          .num_kv_heads = config.num_kv_heads,
          .head_dim = config.head_dim};
}

// Operations of a token: its matrices, and attention over the positions before it.
RecomputeCost CostOf(const ModelConfig& config) {
  const double heads = static_cast<double>(config.num_heads) * config.head_dim;
  const double kv_heads = static_cast<double>(config.num_kv_heads) * config.head_dim;
  const double layer = config.hidden * (2 * heads + 2 * kv_heads + 3.0 * config.ffn);
  return {.per_token = 2 * layer * config.num_layers,
          .per_position = 4 * heads * config.num_layers};
}

// An engine has one model, compute type and KV dtype, and renders with one template; what may
// differ between its sessions is the key. A length goes first, so that no two lists of fields look
// alike.
std::string KeyOf(const std::string& name_space) {
  return "ns:" + std::to_string(name_space.size()) + ":" + name_space;
}

}  // namespace

EngineLoop::EngineLoop(std::shared_ptr<const ModelImpl> model, const EngineOptions& options,
                       ClockNs clock, uint32_t num_blocks)
    : model_(std::move(model)),
      options_(options),
      clock_(clock),
      pass_size_(options.batch_rows, CostOf(model_->loaded().config).per_token),
      threads_(std::make_unique<ThreadPool>(options.threads)),
      pool_(num_blocks) {}

Result<std::unique_ptr<EngineLoop>> EngineLoop::Make(std::shared_ptr<const ModelImpl> model,
                                                     const EngineOptions& options, ClockNs clock) {
  const ModelConfig& config = model->loaded().config;
  const ComputeType compute = model->loaded().compute;
  KeyRotation rotation = {.inv_freq = config.rope.inv_freq,
                          .rotary_dim = config.rope.rotary_dim,
                          .style = config.rope.style,
                          .ops = &model->ops()};
  PagedKv layout = OneBlock(config, *options.kv_dtype);
  GYRATOR_ASSIGN_OR_RETURN(const uint32_t num_blocks, PoolBlocks(options, layout));
  std::unique_ptr<EngineLoop> loop(new EngineLoop(std::move(model), options, clock, num_blocks));
  if (options.swap_budget > 0) {
    GYRATOR_ASSIGN_OR_RETURN(loop->swap_, SwapFile::Create({.directory = options.swap_directory,
                                                            .block_bytes = layout.total_bytes(),
                                                            .bytes_max = options.swap_budget}));
  }
  const int64_t block_bytes = layout.total_bytes();
  const uint64_t pool_bytes = uint64_t{num_blocks} * static_cast<uint64_t>(block_bytes);
  loop->spill_ = std::make_unique<SpillMemory>(
      block_bytes, options.spill_budget == 0 ? pool_bytes : options.spill_budget);
  const int32_t cached_blocks_max = CachedBlocksMax(options, layout);
  layout.num_blocks = static_cast<int32_t>(loop->pool_.num_blocks());
  GYRATOR_ASSIGN_OR_RETURN(loop->storage_, KvStorage::Create(layout, std::move(rotation)));
  loop->sequences_ = std::make_unique<SequenceManager>(
      &loop->pool_, loop->storage_.get(),
      SequenceManagerOptions{.slots = options.slots,
                             .swap = loop->swap_.get(),
                             .spill = loop->spill_.get(),
                             .cached_blocks_max = cached_blocks_max,
                             .cost = CostOf(config)});
  GYRATOR_ASSIGN_OR_RETURN(
      loop->arena_,
      CreateForwardArena(config, compute, std::max(options.batch_rows, kScoredRowsMax),
                         options.threads));
  return loop;
}

Result<SlotId> EngineLoop::OpenSlot(const std::string& name_space) {
  return sequences_->Open(KeyOf(name_space), options_.context);
}

void EngineLoop::DropCached(const std::string& name_space, std::span<const TokenId> tokens) {
  sequences_->radix().Drop(KeyOf(name_space), tokens, sequences_->now());
  blocked_ = false;
}

void EngineLoop::CloseSlot(SlotId slot) {
  GYRATOR_CHECK(sequences_->Close(slot).ok());
  held_.erase(slot);
  blocked_ = false;
}

EngineStats EngineLoop::Stats() const {
  EngineStats stats = counted_;
  const KvCounts kv = sequences_->counts();
  stats.tokens_lost = kv.tokens_lost;
  stats.blocks_copied = kv.blocks_copied;
  stats.blocks_evicted = kv.blocks_evicted;
  stats.blocks_cooled = kv.blocks_cooled;
  stats.blocks_warmed = kv.blocks_warmed;
  stats.sessions_parked = kv.sequences_parked;
  stats.sessions_resumed = kv.sequences_resumed;
  stats.slots_total = kv.slots_total;
  stats.slots_free = kv.slots_free;
  stats.blocks_total = kv.blocks_total;
  stats.blocks_free = kv.blocks_free;
  stats.blocks_cached = kv.blocks_cached;
  stats.blocks_cold = kv.blocks_cold;
  stats.prefixes_cached = kv.leaves_cached;
  stats.parked = kv.parked;
  stats.block_bytes =
      static_cast<uint64_t>(storage_->view().block_bytes() * storage_->view().num_layers);
  stats.namespaces_cached = sequences_->radix().num_keys();
  const SpillStats spill = spill_->stats();
  stats.blocks_spilled = spill.blocks_written;
  stats.blocks_unspilled = spill.blocks_read;
  stats.spill_bytes = spill.bytes_in_use;
  stats.spill_bytes_max = spill.bytes_max;
  if (swap_ != nullptr) {
    stats.swap_bytes = swap_->stats().bytes_in_use;
    stats.swap_bytes_max = swap_->stats().bytes_max;
  }
  return stats;
}

Pace EngineLoop::Round(bool overdue) {
  const uint64_t began = clock_(), forward_before = counted_.forward_ns;
  const Pace pace = RunRound(overdue);
  counted_.loop_ns += clock_() - began - (counted_.forward_ns - forward_before);
  return pace;
}

Pace EngineLoop::RunRound(bool overdue) {
  TakeAnswers();
  StopThose();
  ExtendStalled();
  Admit();
  if (!overdue && std::any_of(running_.begin(), running_.end(), [](const Request* request) {
        return request->awaits && !request->late;
      })) {
    return Pace::kSoon;
  }
  const uint64_t now = clock_();
  for (Request* request : running_) {
    if (request->awaits && !request->late) request->late_since_ns = now;
    request->late = request->awaits;
    const bool stands = request->late && now - request->late_since_ns >= kPatienceNs;
    if (stands && !request->stands) blocked_ = false;  // it gives way from now on
    request->stands = stands;
  }
  const std::vector<PlannedRows> plan = Next();
  RunOrFail(plan);
  Retire();
  if (running_.empty() && waiting_.empty()) return Pace::kIdle;
  TellProgress();
  return plan.empty() ? Pace::kSoon : Pace::kNow;
}

Status EngineLoop::CheckTokens(std::span<const TokenId> tokens) const {
  const int32_t vocab = model_->loaded().config.vocab;
  for (TokenId token : tokens) {
    if (token >= 0 && token < vocab) continue;
    const TextModelImpl* text = model_->text_impl();
    const bool of_tokenizer = text != nullptr && token >= vocab && token < text->vocab_size();
    return Status::InvalidArgument(
        "token id: 0 to " + std::to_string(vocab - 1) + " expected, found " +
        std::to_string(token) +
        (of_tokenizer ? ", which is in the tokenizer but not in the model's vocabulary (vocab_size)"
                      : ""));
  }
  return {};
}

void EngineLoop::Submit(Request* request) {
  request->started_ns = clock_();
  request->rank = {
      static_cast<int64_t>(counted_.tokens_decoded) + kPriorityRows * request->options->priority,
      tickets_++};
  counted_.requests += request->is_turn() && !request->continues ? 1 : 0;
  Status status = CheckTokens(request->tokens);
  Queue(request);
  if (!status.ok()) Fail(request, std::move(status));
}

// What the answer's callback cancelled ends before anything is done for its next row, wherever the
// request stands.
void EngineLoop::TakeAnswers() {
  const auto now = std::chrono::steady_clock::now();
  const auto take = [&](Request* request) {
    const Answer answer = request->answer.load(std::memory_order_acquire);
    if (answer == Answer::kNone || (answer == Answer::kGoOn && !request->awaits)) return;
    request->answer.store(Answer::kNone, std::memory_order_relaxed);
    request->awaits = false;
    if (answer == Answer::kStop) {
      Finish(request, StopReason::kCancelled);
    } else if (!StopIfDue(request, now)) {
      Proceed(request);
    }
  };
  // Who goes on may park others: both lists change.
  for (Request* request : std::vector<Request*>(running_)) take(request);
  for (Request* request : std::vector<Request*>(waiting_)) take(request);
  Retire();
}

void EngineLoop::StopThose() {
  const auto now = std::chrono::steady_clock::now();
  const auto stop = [&](Request* request) {
    if (!request->awaits && request->state != RequestState::kDone) StopIfDue(request, now);
  };
  std::for_each(running_.begin(), running_.end(), stop);
  std::for_each(waiting_.begin(), waiting_.end(), stop);
  Retire();
}

bool EngineLoop::StopIfDue(Request* request, std::chrono::steady_clock::time_point now) {
  const GenerateOptions& options = *request->options;
  const bool cancelled = options.cancel.stop_requested();
  if (!cancelled && !(options.deadline && *options.deadline <= now)) return false;
  Finish(request, cancelled ? StopReason::kCancelled : StopReason::kDeadline);
  return true;
}

int32_t EngineLoop::RowsMax(const Request& request) const {
  return request.wants_prompt_logits() ? std::min(options_.batch_rows, kPromptLogitRows)
                                       : options_.batch_rows;
}

std::vector<PlannedRows> EngineLoop::Next() const {
  std::vector<PendingRows> pending;
  for (const Request* request : running_) {
    const bool ready =
        request->state == RequestState::kRunning && !request->awaits && !request->stalled;
    const int32_t left = ready ? static_cast<int32_t>(request->tokens.size()) -
                                     request->session->cache().sequence().cp()
                               : 0;
    pending.push_back({.rows = left, .rows_max = RowsMax(*request), .served = request->served});
  }
  return PlanRows(pending, {.rows = options_.batch_rows, .prompt_rows = pass_size_.rows()});
}

ForwardContext EngineLoop::Context() const {
  return {.config = &model_->loaded().config,
          .weights = &model_->loaded().weights,
          .ops = &model_->ops(),
          .threads = threads_.get(),
          .arena = arena_.get()};
}

// A pass fails when one row's numbers cannot go on: then each request's rows are run alone, those
// that fail are told, and what the others gave is taken together.
void EngineLoop::RunOrFail(std::vector<PlannedRows> plan) {
  if (plan.empty()) return;
  if (RunPlan(plan).ok()) return Commit(plan);
  std::vector<float> logits;
  std::vector<SequenceRows> batch;
  std::erase_if(plan, [&](const PlannedRows& item) {
    Status status = RunPlan({&item, 1});
    if (status.ok()) {
      logits.insert(logits.end(), logits_.begin(), logits_.end());
      batch.push_back(batch_.front());
      return false;
    }
    Fail(running_[static_cast<size_t>(item.request)], std::move(status));
    return true;
  });
  logits_ = std::move(logits);
  batch_ = std::move(batch);
  if (!plan.empty()) Commit(plan);
}

Status EngineLoop::RunPlan(std::span<const PlannedRows> plan) {
  batch_.clear();
  size_t wanted = 0;
  int32_t prompt_rows = 0, all_rows = 0;
  for (const PlannedRows& item : plan) {
    const Request& request = *running_[static_cast<size_t>(item.request)];
    const Sequence& sequence = request.session->cache().sequence();
    const auto cp = static_cast<size_t>(sequence.cp());
    const bool last = cp + static_cast<size_t>(item.rows) == request.tokens.size();
    const int32_t num_logits = request.wants_prompt_logits() ? item.rows : last ? 1 : 0;
    batch_.push_back(
        {.tokens = std::span(request.tokens).subspan(cp, static_cast<size_t>(item.rows)),
         .first_position = sequence.cp(),
         .table = sequence.table(),
         .num_logits = num_logits});
    wanted += static_cast<size_t>(num_logits);
    all_rows += item.rows;
    if (item.rows > 1 || !last) prompt_rows += item.rows;
  }
  logits_.resize(wanted * static_cast<size_t>(model_->loaded().config.vocab));
  const uint64_t began = clock_();
  Status status = Forward(Context(), storage_->view(), batch_, logits_.data());
  const uint64_t took = clock_() - began;
  counted_.forward_ns += took;
  pass_size_.Took(prompt_rows, all_rows, took);
  return status;
}

// State changes here alone: first every row of the pass joins its session, then the complete ones
// go on, which may park others.
void EngineLoop::Commit(std::span<const PlannedRows> plan) {
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
    if (request.wants_prompt_logits()) TellPromptLogits(&request, rows, batch_[i].first_position);
    counted_.tokens_decoded += static_cast<uint64_t>(plan[i].rows);
    request.served = counted_.passes;
    const bool is_complete = end == request.tokens.size();
    SessionCache& cache = request.session->cache();
    cache.Commit(batch_[i].tokens, is_complete ? rows.last(vocab) : std::span<const float>());
    if (plan[i].rows > 1 && shares_prefixes()) sequences_->Publish(cache.slot());
    if (is_complete) complete.push_back(&request);
  }
  for (Request* request : complete) {
    // One that was parked meanwhile goes on when it is admitted again.
    if (request->state == RequestState::kRunning) Advance(request);
  }
}

void EngineLoop::Advance(Request* request) {
  if (request->goal) {  // all that the session had is there again
    request->tokens = *std::exchange(request->goal, std::nullopt);
    if (Status status = Extend(request); !status.ok()) Refuse(request, std::move(status));
    return;
  }
  request->NoteFirstToken(clock_());
  const auto sampled = static_cast<int32_t>(request->reply.tokens.size());
  const GenerateOptions& options = *request->options;
  if (options.tokens_max >= 0 && sampled >= options.tokens_max) {
    return Finish(request, StopReason::kLength);
  }
  const TextModelImpl* text = model_->text_impl();
  const std::span<const TokenId> ends =
      text == nullptr ? std::span<const TokenId>() : text->end_of_generation();
  const uint64_t began = clock_();
  const TokenId token = request->session->sampler_state().Sample(
      request->session->cache().logits(), Spoken(*request),
      options.ignore_end ? ends : std::span<const TokenId>());
  counted_.sample_ns += clock_() - began;
  if (!options.ignore_end && std::binary_search(ends.begin(), ends.end(), token)) {
    TellToken(request, {});
    return Finish(request, StopReason::kEndOfGeneration);
  }
  request->reply.tokens.push_back(token);
  ++counted_.tokens_generated;
  const std::string piece = request->decoder ? request->decoder->Push(token) : std::string();
  request->reply.text += piece;
  request->awaits = TellToken(request, piece);
  if (!request->awaits) Proceed(request);
}

void EngineLoop::Proceed(Request* request) {
  const GenerateOptions& options = *request->options;
  if (std::ssize(request->reply.tokens) == options.tokens_max) {
    return Finish(request, StopReason::kLength);
  }
  request->tokens.push_back(request->reply.tokens.back());
  if (request->state != RequestState::kRunning) return;  // parked: goes on when admitted again
  if (Status status = Extend(request); !status.ok()) Refuse(request, std::move(status));
}

void EngineLoop::Retire() {
  for (std::vector<Request*>* list : {&running_, &waiting_}) {
    std::erase_if(*list, [this](Request* request) {
      if (request->state != RequestState::kDone) return false;
      blocked_ = false;
      const std::shared_ptr<Caller> caller = request->caller;  // outlives the request
      caller->Tell({.kind = CallerEvent::Kind::kDone, .request = request});
      return true;
    });
  }
}

void EngineLoop::TellPromptLogits(Request* request, std::span<const float> rows,
                                  int32_t first_position) {
  const auto vocab = static_cast<size_t>(model_->loaded().config.vocab);
  const auto wanted = std::clamp<int64_t>(int64_t{request->prompt_length} - 1 - first_position, 0,
                                          static_cast<int64_t>(rows.size() / vocab));
  // One that was parked in its prompt decodes rows again that were told before.
  const int64_t again = std::clamp<int64_t>(request->logits_told - first_position, 0, wanted);
  request->logits_told =
      std::max(request->logits_told, first_position + static_cast<int32_t>(wanted));
  const std::span<const float> told =
      rows.subspan(static_cast<size_t>(again) * vocab, static_cast<size_t>(wanted - again) * vocab);
  if (told.empty() && again > 0) return;
  request->caller->Tell({.kind = CallerEvent::Kind::kPromptLogits,
                         .request = request,
                         .rows = {told.begin(), told.end()},
                         .vocab = vocab});
}

bool EngineLoop::TellToken(Request* request, std::string text) {
  const bool wants_text = request->options->on_text && !text.empty();
  const bool wants_logits = static_cast<bool>(request->options->on_logits);
  if (!wants_text && !wants_logits) return false;
  request->caller->Tell(
      {.kind = CallerEvent::Kind::kToken,
       .request = request,
       .text = wants_text ? std::move(text) : std::string(),
       .logits = wants_logits ? request->session->cache().logits() : std::span<const float>()});
  return true;
}

void EngineLoop::TellProgress() const {
  if (!options_.progress) return;
  for (Request* request : running_) {
    if (!request->reply.tokens.empty()) continue;
    request->caller->Tell({.kind = CallerEvent::Kind::kProgress,
                           .request = request,
                           .done = static_cast<uint64_t>(request->session->cache().sequence().cp()),
                           .total = static_cast<uint64_t>(request->prompt_length)});
  }
}

void EngineLoop::Finish(Request* request, StopReason reason) {
  const std::string tail = request->decoder ? request->decoder->Finish() : std::string();
  request->reply.text += tail;
  if (!tail.empty() && request->options->on_text) {
    request->caller->Tell({.kind = CallerEvent::Kind::kToken, .request = request, .text = tail});
  }
  request->reply.stop = reason;
  const SlotId slot = request->session->cache().slot();
  if (request->entered && request->reply.tokens.empty()) {  // it may have been stopped within it
    const int32_t unread = request->prompt_length - sequences_->tokens(slot).size();
    request->reply.tokens_decoded -= std::clamp(unread, 0, request->reply.tokens_decoded);
  }
  const uint64_t now = clock_();
  request->EndWait(now);
  request->NoteFirstToken(now);
  request->TellTimes(now);
  if (shares_prefixes() && !sequences_->IsParked(slot)) sequences_->Publish(slot);
  request->left = request->session->TakeView();
  if (request->holds) {
    Hold(slot);
  } else {
    sequences_->SetBusy(slot, false);  // it may be parked from now on
  }
  request->state = RequestState::kDone;
}

void EngineLoop::Fail(Request* request, Status status) {
  request->status = std::move(status);
  counted_.requests_failed += request->is_turn() ? 1 : 0;
  const SlotId slot = request->session->cache().slot();
  request->left = request->session->TakeView();
  if (request->state == RequestState::kRunning) sequences_->SetBusy(slot, false);
  request->state = RequestState::kDone;
}

}  // namespace gyrator
