#include "engine/engine_impl.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/wall.h"
#include "engine/run_call.h"

namespace gyrator {

namespace {

constexpr int32_t kContextDefaultMax = 4096;
constexpr int32_t kSlotsDefault = 1 << 16;

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
  if (options->threads > kThreadsMax) {
    return Status::InvalidArgument("threads: 1 to " + std::to_string(kThreadsMax) +
                                   " expected, found " + std::to_string(options->threads));
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

Result<std::unique_ptr<EngineImpl>> EngineImpl::Make(std::shared_ptr<const ModelImpl> model,
                                                     const EngineOptions& requested,
                                                     ClockNs clock) {
  EngineOptions options = requested;
  GYRATOR_RETURN_IF_ERROR(Resolve(*model, &options));
  const std::string what = "engine with " + std::to_string(options.threads) + " threads and " +
                           std::to_string(options.batch_rows) + " batch rows";
  return BehindWall(what, [&]() -> Result<std::unique_ptr<EngineImpl>> {
    GYRATOR_ASSIGN_OR_RETURN(auto loop, EngineLoop::Make(model, options, clock));
    return std::unique_ptr<EngineImpl>(new EngineImpl(model, options, std::move(loop)));
  });
}

EngineImpl::EngineImpl(std::shared_ptr<const ModelImpl> model, const EngineOptions& options,
                       std::unique_ptr<EngineLoop> loop)
    : model_(std::move(model)),
      options_(options),
      loop_(std::move(loop)),
      thread_([this](bool overdue) { return loop_->Round(overdue); }) {}

EngineImpl::~EngineImpl() {
  // The parent's engine thread may have been changing the loop when the child was forked.
  if (thread_.InForkedChild()) (void)loop_.release();
}

Status EngineImpl::CheckProcess() const {
  if (!thread_.InForkedChild()) return {};
  return Status::Unsupported(
             "engine: it belongs to the process that made it, this one is a forked child of that; "
             "make an engine of its own")
      .Named("forked");
}

Result<SessionSlot> EngineImpl::OpenSlot(const std::string& name_space) {
  GYRATOR_RETURN_IF_ERROR(CheckProcess());
  Result<SlotId> slot = SlotId{0};
  thread_.Call([&] { slot = loop_->OpenSlot(name_space); });
  GYRATOR_RETURN_IF_ERROR(slot.status());
  return SessionSlot(this, *slot);
}

Result<std::unique_ptr<Session>> EngineImpl::NewSession(const SessionOptions& options) {
  GYRATOR_RETURN_IF_ERROR(CheckSampler(options.sampler));
  GYRATOR_RETURN_IF_ERROR(CheckWindow(options.window, options_));
  RestoredState state;
  state.sampler = options.sampler;
  state.window_options = options.window;
  GYRATOR_ASSIGN_OR_RETURN(state.keys.template_variables,
                           OneLineVariables(options.template_variables));
  state.keys.cache_namespace = options.cache_namespace;
  state.id = NewSessionId();
  GYRATOR_ASSIGN_OR_RETURN(SessionSlot slot, OpenSlot(options.cache_namespace));
  return std::unique_ptr<Session>(new SessionImpl(this, std::move(slot), std::move(state)));
}

EngineStats EngineImpl::stats() const {
  EngineStats stats;
  thread_.Call([&] { stats = loop_->Stats(); });
  return stats;
}

Result<const TextModelImpl*> EngineImpl::text() const {
  if (model_->text_impl() != nullptr) return model_->text_impl();
  return model_->text_status();
}

std::vector<Result<Reply>> EngineImpl::Run(std::span<BatchRequest> batch) {
  return RunAs(false, batch);
}

std::vector<Result<Reply>> EngineImpl::Continue(std::span<BatchRequest> batch) {
  return RunAs(true, batch);
}

std::vector<Result<Reply>> EngineImpl::RunAs(bool continues, std::span<BatchRequest> batch) {
  std::vector<Result<Reply>> replies(batch.size(), Reply());
  std::vector<SessionClaim> claims;
  std::vector<Work> works;
  std::vector<size_t> places;  // [works]: of their replies
  for (size_t i = 0; i < batch.size(); ++i) {
    BatchRequest& item = batch[i];
    const auto kind = item.prefix.empty() ? Work::Kind::kRespond : Work::Kind::kComplete;
    Result<SessionImpl*> session = OwnSession(item.session);
    Result<SessionClaim> claim =
        session.ok() ? (*session)->Claim(kind == Work::Kind::kRespond ? "respond" : "complete")
                     : Result<SessionClaim>(session.status());
    if (!claim.ok()) {  // what was refused is no request: nothing of its session is settled
      replies[i] = claim.status();
      continue;
    }
    claims.push_back(*std::move(claim));
    works.push_back({.session = *session,
                     .kind = kind,
                     .tokens = std::move(item.prefix),
                     .options = &item.options,
                     .continues = continues});
    places.push_back(i);
  }
  std::vector<Result<Reply>> served = Serve(works);
  for (size_t i = 0; i < served.size(); ++i) replies[places[i]] = std::move(served[i]);
  return replies;
}

Result<SessionImpl*> EngineImpl::OwnSession(Session* session) const {
  if (session == nullptr) {
    return Status::InvalidArgument("session: one of this engine expected, found none (null)")
        .Named("no_session");
  }
  auto* own = dynamic_cast<SessionImpl*>(session);
  if (own != nullptr && own->engine() == this) return own;
  return Status::InvalidArgument(
             "session: one of this engine expected, found one of another; run it on the engine "
             "that made it")
      .Named("foreign_session");
}

// Requests are settled in their destructors, behind the one of `call`, which ends those that run.
std::vector<Result<Reply>> EngineImpl::Serve(std::span<Work> works) {
  if (Status status = CheckProcess(); !status.ok()) {
    return std::vector<Result<Reply>>(works.size(), status);
  }
  const TextModelImpl* text = model_->text_impl();
  std::vector<Result<Reply>> replies(works.size(), Reply());
  std::vector<std::unique_ptr<InFlight>> flights(works.size());  // null: refused before it began
  RunCall call(options_.progress, loop_.get(), &thread_);
  for (size_t i = 0; i < works.size(); ++i) {
    Work& work = works[i];
    if (work.kind == Work::Kind::kRespond || work.kind == Work::Kind::kPrepare) {
      auto prompt = work.session->MakePrompt();
      if (!prompt.ok()) {
        replies[i] = std::move(prompt).status();
        continue;
      }
      work.tokens = std::move(prompt->tokens);
      work.layout = std::move(prompt->layout);
    }
    flights[i] = std::make_unique<InFlight>(&work, text == nullptr ? nullptr : &text->tokenizer());
    call.Add(flights[i]->request());
  }
  call.Run();
  for (size_t i = 0; i < flights.size(); ++i) {
    if (flights[i] != nullptr) replies[i] = flights[i]->Finish();
  }
  return replies;
}

void SessionSlot::Close() {
  if (engine_ == nullptr) return;
  engine_->Post([loop = &engine_->loop(), slot = id_] { loop->CloseSlot(slot); });
}

}  // namespace gyrator
