#include "engine/engine_impl.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/check.h"

namespace gyrator {

namespace {

constexpr int32_t kContextDefaultMax = 4096;
constexpr int32_t kSlotsDefault = 1 << 16;

double Milliseconds(uint64_t from_ns, uint64_t to_ns) {
  return static_cast<double>(to_ns - from_ns) * 1e-6;
}

uint32_t PoolBlocks(const EngineOptions& options, const PagedKv& one_block) {
  if (options.kv_budget > 0) {
    const uint64_t blocks = options.kv_budget / static_cast<uint64_t>(one_block.total_bytes());
    return static_cast<uint32_t>(std::clamp<uint64_t>(blocks, 1, INT32_MAX));
  }
  return static_cast<uint32_t>(BlocksFor(options.context) * options.sessions_max);
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
      pool_(PoolBlocks(options, OneBlock(model_->loaded().config, *options.kv_dtype))) {}

Result<std::unique_ptr<EngineImpl>> EngineImpl::Make(std::shared_ptr<const ModelImpl> model,
                                                     const EngineOptions& requested) {
  EngineOptions options = requested;
  GYRATOR_RETURN_IF_ERROR(Resolve(*model, &options));
  const ModelConfig& config = model->loaded().config;
  const ComputeType compute = model->loaded().compute;
  KeyRotation rotation = {.inv_freq = config.rope.inv_freq,
                          .rotary_dim = config.rope.rotary_dim,
                          .style = config.rope.style,
                          .ops = &model->ops()};
  std::unique_ptr<EngineImpl> engine(new EngineImpl(std::move(model), options));
  PagedKv layout = OneBlock(config, *options.kv_dtype);
  if (options.swap_budget > 0) {
    GYRATOR_ASSIGN_OR_RETURN(engine->swap_, SwapFile::Create({.directory = options.swap_directory,
                                                              .block_bytes = layout.total_bytes(),
                                                              .bytes_max = options.swap_budget}));
  }
  layout.num_blocks = static_cast<int32_t>(engine->pool_.num_blocks());
  GYRATOR_ASSIGN_OR_RETURN(engine->storage_, KvStorage::Create(layout, std::move(rotation)));
  engine->sequences_ = std::make_unique<SequenceManager>(
      &engine->pool_, engine->storage_.get(),
      SequenceManagerOptions{
          .slots = options.slots, .swap = engine->swap_.get(), .cost = CostOf(config)});
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

EngineStats EngineImpl::stats() const {
  EngineStats stats = counted_;
  const KvCounts kv = sequences_->counts();
  stats.tokens_lost = kv.tokens_lost;
  stats.blocks_copied = kv.blocks_copied;
  stats.blocks_evicted = kv.blocks_evicted;
  stats.sessions_parked = kv.sequences_parked;
  stats.sessions_resumed = kv.sequences_resumed;
  stats.slots_total = kv.slots_total;
  stats.slots_free = kv.slots_free;
  stats.blocks_total = kv.blocks_total;
  stats.blocks_free = kv.blocks_free;
  stats.blocks_cached = kv.blocks_cached;
  stats.prefixes_cached = kv.leaves_cached;
  stats.parked = kv.parked;
  stats.block_bytes =
      static_cast<uint64_t>(storage_->view().block_bytes() * storage_->view().num_layers);
  if (swap_ != nullptr) {
    stats.swap_bytes = swap_->stats().bytes_in_use;
    stats.swap_bytes_max = swap_->stats().bytes_max;
  }
  return stats;
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

bool EngineImpl::EmitToken(Request* request, TokenId token) {
  request->reply.tokens.push_back(token);
  ++counted_.tokens_generated;
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
  if (shares_prefixes()) sequences_->Publish(request->session->slot());
  if (request->responds) request->session->AppendReply(request->reply.text, request->prompt_length);
  sequences_->SetBusy(request->session->slot(), false);  // it may be parked from now on
  request->state = RequestState::kDone;
}

void EngineImpl::Fail(Request* request, Status status) {
  request->status = std::move(status);
  ++counted_.requests_failed;
  sequences_->SetBusy(request->session->slot(), false);
  request->state = RequestState::kDone;
}

Result<Reply> EngineImpl::Conclude(Request* request) {
  if (!request->status.ok()) return std::move(request->status);
  return std::move(request->reply);
}

}  // namespace gyrator
