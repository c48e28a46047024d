// gyrator fork NAME NEW [--messages N] [--seed S]: a second conversation that begins as NAME does.
#include <nlohmann/json.hpp>

#include "cli/commands.h"

namespace gyrator::cli {

namespace {

// The fork is loaded, changed, and saved; its K and V are computed no more than NAME's.
Result<SaveReport> ForkChanged(const ForkArgs& args, const Home& home, const std::string& folder,
                               ProgressView* progress) {
  GYRATOR_ASSIGN_OR_RETURN(const ContextDetails details, ShowContext(folder));
  ModelFlags model_flags = args.model;
  EngineFlags engine_flags;
  AdoptSaved(details, &model_flags, &engine_flags);
  GYRATOR_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                           OpenModel(model_flags, progress));
  engine_flags.context = SavedCapacity(details, model->info());
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                           OpenEngine(model, engine_flags, model_flags.threads, progress));
  Result<std::unique_ptr<Session>> session = engine->LoadSession(folder, nullptr);
  if (!session.ok()) {
    return ExplainMismatch(std::move(session).status(), args.name, details, *model);
  }
  ForkOptions options;
  if (args.messages) options.messages = static_cast<size_t>(*args.messages);
  if (args.seed) options.seed = static_cast<uint64_t>(*args.seed);
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<Session> fork, (*session)->Fork(options));
  return fork->Save({.root = home.contexts, .name = args.as});
}

}  // namespace

Status RunFork(const ForkArgs& args, const Context& context) {
  ProgressView progress(context.terminals);
  GYRATOR_ASSIGN_OR_RETURN(const Home home, FindHome());
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<FileLock> lock, LockContext(home, args.as));
  GYRATOR_RETURN_IF_ERROR(RequireFreeName(home, args.as));
  GYRATOR_ASSIGN_OR_RETURN(const HeldContext held, HoldContext(home.contexts, args.name));
  const bool changes = args.messages || args.seed;
  GYRATOR_ASSIGN_OR_RETURN(const SaveReport report,
                           changes ? ForkChanged(args, home, held.folder, &progress)
                                   : ImportContext(home.contexts, held.folder, args.as));
  progress.Clear();
  if (context.json) {
    return PrintJson({{"name", args.as},
                      {"stamp", report.stamp},
                      {"folder", report.folder},
                      {"bytes", report.bytes}});
  }
  return PrintText(args.as + "\n");
}

}  // namespace gyrator::cli
