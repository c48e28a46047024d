#include <algorithm>
#include <charconv>
#include <random>

#include "cli/commands.h"

namespace gyrator::cli {

Result<std::string> ModelPath(const std::string& flag) {
  if (!flag.empty()) return flag;
  return FindShippedModel();
}

Result<std::shared_ptr<const Model>> OpenModel(const ModelFlags& flags, ProgressView* progress) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string path, ModelPath(flags.model));
  const Result<Home> home = FindHome();  // without one, digests are not remembered
  const ModelOptions options = {.compute = flags.compute,
                                .isa = flags.isa,
                                .threads = flags.threads,
                                .repack = !flags.no_repack,
                                .digest_cache = home.ok() ? home->digest_cache : std::string(),
                                .text = {.tokenizer_pre = flags.tokenizer_pre},
                                .progress = progress->Callback()};
  GYRATOR_ASSIGN_OR_RETURN(std::shared_ptr<const Model> model, Model::Load(path, options));
  progress->Clear();
  for (const std::string& note : model->info().notes) PrintNote(note);
  return model;
}

EngineOptions EngineOptionsOf(const EngineFlags& flags, int threads) {
  EngineOptions options;
  options.context = flags.context;
  options.kv_budget = flags.kv_budget;
  options.cache_budget = flags.cache_budget;
  options.batch_rows = flags.batch_rows;
  options.kv_dtype = flags.kv_dtype;
  options.use_cache = !flags.no_cache;
  options.threads = threads;
  return options;
}

Result<std::unique_ptr<Engine>> OpenEngine(std::shared_ptr<const Model> model,
                                           const EngineFlags& flags, int threads,
                                           ProgressView* progress) {
  EngineOptions options = EngineOptionsOf(flags, threads);
  options.progress = progress->Callback();
  return Engine::Create(std::move(model), options);
}

Result<std::unique_ptr<Session>> OpenSession(Engine& engine, const SamplerFlags& flags,
                                             const WindowOptions& window,
                                             const GenerateFlags& generate) {
  SessionOptions options;
  options.window = window;
  options.template_variables = generate.template_variables;
  options.sampler.seed = std::random_device()();
  options.sampler = flags.Over(options.sampler);
  GYRATOR_ASSIGN_OR_RETURN(std::unique_ptr<Session> session, engine.NewSession(options));
  if (!generate.system_prompt.empty()) {
    const Message system = {.role = "system", .content = generate.system_prompt, .extras = {}};
    GYRATOR_RETURN_IF_ERROR(session->Append(system).Annotate("--system-prompt"));
  }
  return session;
}

namespace {

std::string ValueOf(const std::vector<std::pair<std::string, std::string>>& pairs,
                    std::string_view key) {
  for (const auto& [name, value] : pairs) {
    if (name == key) return value;
  }
  return "";
}

}  // namespace

std::string ConfigValue(const ContextDetails& details, std::string_view key) {
  return ValueOf(details.config, key);
}

std::string SavedVariables(const ContextDetails& details) {
  return ValueOf(details.session, "template_variables");
}

void AdoptSaved(const ContextDetails& details, ModelFlags* model, EngineFlags* engine) {
  const std::string compute = ConfigValue(details, "compute");
  for (const ComputeType type : {ComputeType::kF32, ComputeType::kBF16, ComputeType::kInt8}) {
    if (!model->compute && ComputeTypeName(type) == compute) model->compute = type;
  }
  if (!engine->kv_dtype) engine->kv_dtype = CacheTypeFromName(ConfigValue(details, "kv_dtype"));
}

int32_t SavedCapacity(const ContextDetails& details, const ModelInfo& model) {
  const std::string text = ConfigValue(details, "cache_capacity");
  int32_t capacity = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), capacity);
  if (end.ec != std::errc() || capacity < 0) return 0;
  return std::min(capacity, model.context_max);
}

Status ExplainMismatch(Status status, const std::string& name, const ContextDetails& details,
                       const Model& model) {
  if (status.code() != Code::kMismatch) return status;
  const std::string made = details.entry.model, mine = model.info().name;
  const bool weights = ConfigValue(details, "weights_sha256") != "" && made != mine;
  std::string message = "context '" + name + "': it was made with the model '" + made + "'";
  message += weights ? ", this one is '" + mine + "' (" + model.info().path +
                           "); name the model that it was made with: -m FILE"
                     : "; this model, or what the flags say of it, differs: name the model that it "
                       "was made with (-m FILE), and leave out --compute and --kv-dtype";
  return Status(Code::kMismatch, message + ". " + status.message()).Named(status.name());
}

std::string_view StopName(StopReason stop) {
  switch (stop) {
    case StopReason::kNone:
      return "none";
    case StopReason::kEndOfGeneration:
      return "end";
    case StopReason::kLength:
      return "length";
    case StopReason::kDeadline:
      return "deadline";
    case StopReason::kCancelled:
      return "cancelled";
  }
  return "none";
}

}  // namespace gyrator::cli
