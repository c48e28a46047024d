#include "engine/engine_impl.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "base/check.h"

namespace gyrator {

namespace {

constexpr int32_t kContextDefaultMax = 4096;
constexpr int32_t kSlotsDefault = 1 << 16;
constexpr int32_t kPromptLogitRows = 32;  // rows of a pass whose logits are all wanted

uint64_t NowNs() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

double Milliseconds(uint64_t from_ns, uint64_t to_ns) {
  return static_cast<double>(to_ns - from_ns) * 1e-6;
}

uint32_t PoolBlocks(const EngineOptions& options) {
  const int64_t per_session = (int64_t{options.context} + kBlockPositions - 1) / kBlockPositions;
  return static_cast<uint32_t>(per_session * options.sessions_max);
}

// Operations of a token: its matrices, and attention over the positions before it.
RecomputeCost CostOf(const ModelConfig& config) {
  const double heads = static_cast<double>(config.num_heads) * config.head_dim;
  const double kv_heads = static_cast<double>(config.num_kv_heads) * config.head_dim;
  const double layer = config.hidden * (2 * heads + 2 * kv_heads + 3.0 * config.ffn);
  return {.per_token = 2 * layer * config.num_layers,
          .per_position = 4 * heads * config.num_layers};
}

// Fills defaults and refuses what cannot be served.
Status Resolve(const ModelImpl& model, EngineOptions* options) {
  const ModelConfig& config = model.loaded().config;
  if (options->context == 0) options->context = std::min(config.context_max, kContextDefaultMax);
  if (options->threads == 0)
    options->threads = static_cast<int>(std::thread::hardware_concurrency());
  if (!options->kv_dtype) {
    options->kv_dtype = model.loaded().compute == ComputeType::kF32 ? DType::kF32 : DType::kBF16;
  }
  if (options->slots == 0) options->slots = kSlotsDefault;
  if (options->context < 1 || options->sessions_max < 1 || options->slots < 1 ||
      options->batch_rows < 1 || options->threads < 1) {
    return Status::InvalidArgument(
        "context, sessions, slots, batch rows and threads: at least 1 expected");
  }
  if (options->context > config.context_max) {
    return Status::InvalidArgument("context of " + std::to_string(options->context) +
                                   " tokens: the model was made for at most " +
                                   std::to_string(config.context_max));
  }
  if (config.sliding_window > 0 && config.sliding_window < options->context) {
    return Status::Unsupported("sliding window of " + std::to_string(config.sliding_window) +
                               " tokens: not supported below the context of " +
                               std::to_string(options->context) + "; use a smaller one (-c)");
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::Create(std::shared_ptr<const Model> model,
                                               const EngineOptions& options) {
  GYRATOR_CHECK(model != nullptr);
  GYRATOR_ASSIGN_OR_RETURN(
      auto engine, EngineImpl::Make(std::static_pointer_cast<const ModelImpl>(model), options));
  return std::unique_ptr<Engine>(std::move(engine));
}

EngineImpl::EngineImpl(std::shared_ptr<const ModelImpl> model, const EngineOptions& options)
    : model_(std::move(model)),
      options_(options),
      threads_(std::make_unique<ThreadPool>(options.threads)),
      pool_(PoolBlocks(options)) {}

Result<std::unique_ptr<EngineImpl>> EngineImpl::Make(std::shared_ptr<const ModelImpl> model,
                                                     const EngineOptions& requested) {
  EngineOptions options = requested;
  GYRATOR_RETURN_IF_ERROR(Resolve(*model, &options));
  const ModelConfig& config = model->loaded().config;
  const ComputeType compute = model->loaded().compute;
  std::unique_ptr<EngineImpl> engine(new EngineImpl(std::move(model), options));
  GYRATOR_ASSIGN_OR_RETURN(
      engine->storage_, KvStorage::Create({.dtype = *options.kv_dtype,
                                           .num_layers = config.num_layers,
                                           .num_blocks = static_cast<int32_t>(PoolBlocks(options)),
                                           .num_kv_heads = config.num_kv_heads,
                                           .head_dim = config.head_dim}));
  engine->sequences_ = std::make_unique<SequenceManager>(
      &engine->pool_, engine->storage_.get(),
      SequenceManagerOptions{.slots = options.slots, .cost = CostOf(config)});
  GYRATOR_ASSIGN_OR_RETURN(
      engine->arena_, CreateForwardArena(config, compute, options.batch_rows, options.threads));
  return engine;
}

Result<std::unique_ptr<Session>> EngineImpl::NewSession(const SessionOptions& options) {
  GYRATOR_RETURN_IF_ERROR(CheckSampler(options.sampler));
  RestoredState state;
  state.sampler = options.sampler;
  state.id = NewSessionId();
  GYRATOR_ASSIGN_OR_RETURN(OwnedSlot slot, NewSlot(options.cache_namespace));
  return std::unique_ptr<Session>(new SessionImpl(this, std::move(slot), std::move(state)));
}

// An engine has one model, compute type and KV dtype, and renders with one template; what may
// differ between its sessions is the key. A length goes first, so that no two lists of fields look
// alike.
Result<OwnedSlot> EngineImpl::NewSlot(const std::string& name_space) {
  const std::string key = "ns:" + std::to_string(name_space.size()) + ":" + name_space;
  GYRATOR_ASSIGN_OR_RETURN(const SlotId slot, sequences_->Open(key, options_.context));
  return OwnedSlot(sequences_.get(), slot);
}

Result<const TextModelImpl*> EngineImpl::text() const {
  if (model_->text_impl() != nullptr) return model_->text_impl();
  return Status::Unsupported(model_->info().path + ": no tokenizer; give token ids (--tokens)");
}

std::vector<Result<Reply>> EngineImpl::Run(std::span<BatchRequest> batch) {
  std::vector<Request> requests;
  requests.reserve(batch.size());
  for (BatchRequest& item : batch) {
    auto* session = static_cast<SessionImpl*>(item.session);
    const TextModelImpl* text = model_->text_impl();
    Request request(session, &item.options, text == nullptr ? nullptr : &text->tokenizer());
    request.responds = item.prefix.empty();
    request.tokens = std::move(item.prefix);
    requests.push_back(std::move(request));
  }
  Serve(requests);
  std::vector<Result<Reply>> replies;
  for (Request& request : requests) replies.push_back(Conclude(&request));
  return replies;
}

void EngineImpl::Serve(std::span<Request> requests) {
  for (Request& request : requests) Admit(&request);
  while (true) {
    const std::vector<PlannedRows> plan = Next(requests);
    if (plan.empty()) return;
    Status status = RunPlan(plan, requests);
    if (status.ok()) {
      Commit(plan, requests);
    } else {
      for (const PlannedRows& item : plan)
        Fail(&requests[static_cast<size_t>(item.request)], status);
    }
    ReportProgress(requests);
  }
}

void EngineImpl::Admit(Request* request) {
  request->started_ns = NowNs();
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
  const bool reuse = options_.use_cache && !request->wants_prompt_logits();
  const Result<Reused> reused = request->session->Sync(request->tokens, reuse);
  if (!reused.ok()) return Fail(request, reused.status());
  request->reply.tokens_shared = reused->cached;
  request->reply.tokens_reused = request->session->sequence().cp();
  request->reply.tokens_decoded = request->prompt_length - request->reply.tokens_reused;
  if (request->reply.tokens_decoded == 0) Advance(request);
}

int32_t EngineImpl::RowsMax(const Request& request) const {
  return request.wants_prompt_logits() ? std::min(options_.batch_rows, kPromptLogitRows)
                                       : options_.batch_rows;
}

std::vector<PlannedRows> EngineImpl::Next(std::span<const Request> requests) const {
  std::vector<PendingRows> pending;
  for (const Request& request : requests) {
    const int32_t left =
        static_cast<int32_t>(request.tokens.size()) - request.session->sequence().cp();
    pending.push_back({.rows = request.done ? 0 : left, .rows_max = RowsMax(request)});
  }
  return PlanRows(pending, options_.batch_rows);
}

Status EngineImpl::RunPlan(std::span<const PlannedRows> plan, std::span<const Request> requests) {
  batch_.clear();
  size_t wanted = 0;
  for (const PlannedRows& item : plan) {
    const Request& request = requests[static_cast<size_t>(item.request)];
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

void EngineImpl::Commit(std::span<const PlannedRows> plan, std::span<Request> requests) {
  const auto vocab = static_cast<size_t>(model_->loaded().config.vocab);
  std::span<const float> logits(logits_);
  for (size_t i = 0; i < plan.size(); ++i) {
    Request& request = requests[static_cast<size_t>(plan[i].request)];
    std::span<const float> rows = logits.first(static_cast<size_t>(batch_[i].num_logits) * vocab);
    logits = logits.subspan(rows.size());
    const auto end = static_cast<size_t>(batch_[i].first_position + plan[i].rows);
    const bool complete = end == request.tokens.size();
    if (request.wants_prompt_logits()) {
      for (int32_t row = 0; row < plan[i].rows; ++row) {
        if (batch_[i].first_position + row >= request.prompt_length - 1) break;
        request.options->on_prompt_logits(rows.subspan(static_cast<size_t>(row) * vocab, vocab));
      }
    }
    request.session->Commit(batch_[i].tokens,
                            complete ? rows.last(vocab) : std::span<const float>());
    if (plan[i].rows > 1 && shares_prefixes()) request.session->Publish();
    if (complete) Advance(&request);
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
  const Result<Reused> reused = session.Sync(request->tokens, options_.use_cache);
  if (!reused.ok()) Fail(request, reused.status());
}

bool EngineImpl::EmitToken(Request* request, TokenId token) {
  request->reply.tokens.push_back(token);
  if (!request->decoder) return true;
  const std::string piece = request->decoder->Push(token);
  request->reply.text += piece;
  return piece.empty() || !request->options->on_text || request->options->on_text(piece);
}

void EngineImpl::Finish(Request* request, StopReason reason) {
  const std::string tail = request->decoder ? request->decoder->Finish() : std::string();
  request->reply.text += tail;
  if (!tail.empty() && request->options->on_text) request->options->on_text(tail);
  request->reply.stop = reason;
  request->reply.prompt_ms = Milliseconds(request->started_ns, request->first_token_ns);
  request->reply.generate_ms = Milliseconds(request->first_token_ns, NowNs());
  if (shares_prefixes()) request->session->Publish();
  if (request->responds) request->session->AppendReply(request->reply.text, request->prompt_length);
  request->done = true;
}

void EngineImpl::Fail(Request* request, Status status) {
  request->status = std::move(status);
  request->done = true;
}

Result<Reply> EngineImpl::Conclude(Request* request) {
  if (!request->status.ok()) return std::move(request->status);
  return std::move(request->reply);
}

void EngineImpl::ReportProgress(std::span<const Request> requests) const {
  if (!options_.progress) return;
  uint64_t done = 0, total = 0;
  for (const Request& request : requests) {
    if (request.done || !request.reply.tokens.empty()) continue;
    done += static_cast<uint64_t>(request.session->sequence().cp());
    total += static_cast<uint64_t>(request.prompt_length);
  }
  if (total > 0) options_.progress("reading the prompt", done, total);
}

}  // namespace gyrator
