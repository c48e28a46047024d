// The subcommands, one file each, and what they share.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cli/environment.h"
#include "cli/flags.h"
#include "cli/output.h"
#include "gyrator/contexts.h"
#include "gyrator/engine.h"
#include "gyrator/status.h"

namespace gyrator::cli {

// What every subcommand is given besides its own arguments.
struct Context {
  bool json = false;
  Terminals terminals;
};

// Each prints its result and returns why it could not.
Status RunChat(const ChatArgs& args, const Context& context);
Status RunRun(const RunArgs& args, const Context& context);
Status RunBatch(const BatchArgs& args, const Context& context);
Status RunExplain(const ExplainArgs& args, const Context& context);
Status RunFork(const ForkArgs& args, const Context& context);
Status RunStats(const StatsArgs& args, const Context& context);
Status RunSave(const SaveArgs& args, const Context& context);
Status RunLoad(const LoadArgs& args, const Context& context);
Status RunLs(const LsArgs& args, const Context& context);
Status RunShow(const ShowArgs& args, const Context& context);
Status RunVerify(const VerifyArgs& args, const Context& context);
Status RunRm(const RmArgs& args, const Context& context);
Status RunTokenize(const TokenizeArgs& args, const Context& context);
Status RunTemplate(const TemplateArgs& args, const Context& context);
Status RunModelInfo(const ModelInfoArgs& args, const Context& context);
Status RunModelVerify(const ModelVerifyArgs& args, const Context& context);
Status RunBenchCommand(const BenchArgs& args, const Context& context);

// --- Shared (open_model.cc).

// `flag`, or the shipped model when it is empty.
Result<std::string> ModelPath(const std::string& flag);
Result<std::shared_ptr<const Model>> OpenModel(const ModelFlags& flags, ProgressView* progress);
// For one session, without progress.
EngineOptions EngineOptionsOf(const EngineFlags& flags, int threads);
Result<std::unique_ptr<Engine>> OpenEngine(std::shared_ptr<const Model> model,
                                           const EngineFlags& flags, int threads,
                                           ProgressView* progress);
// A new session; without a seed of its own it gets a random one.
Result<std::unique_ptr<Session>> OpenSession(Engine& engine, const SamplerFlags& flags,
                                             const WindowOptions& window,
                                             const GenerateFlags& generate);

// The value of `key` in the config lines of a saved context; empty when it has none.
std::string ConfigValue(const ContextDetails& details, std::string_view key);
// The variables of the template that a saved context has, as JSON; empty: none.
std::string SavedVariables(const ContextDetails& details);
// What a context was made with holds where no flag says otherwise; a flag that differs is refused
// by the load, by name.
void AdoptSaved(const ContextDetails& details, ModelFlags* model, EngineFlags* engine);
// A failure of the load with the cause that a user knows: names of models, and flags.
Status ExplainMismatch(Status status, const std::string& name, const ContextDetails& details,
                       const Model& model);
// The capacity that a context was saved with, or 0; never more than this model can have, so that
// another model is refused as what it is and not for its capacity.
int32_t SavedCapacity(const ContextDetails& details, const ModelInfo& model);

// An explanation for people, lines and all, and for programs (cmd_explain.cc).
std::string ExplanationText(const Explanation& explanation);
Json ExplanationJson(const Explanation& explanation);

std::string_view StopName(StopReason stop);  // "end", "length", "cancelled"

}  // namespace gyrator::cli
