// gyrator verify PATH|NAME: every byte against the manifest, every invariant of the state.
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "gyrator/contexts.h"

namespace gyrator::cli {

Status RunVerify(const VerifyArgs& args, const Context& context) {
  GYRATOR_ASSIGN_OR_RETURN(const Home home, FindHome());
  GYRATOR_ASSIGN_OR_RETURN(const HeldContext held, HoldContext(home.contexts, args.context));
  ProgressView progress(context.terminals);
  GYRATOR_RETURN_IF_ERROR(VerifyContext(held.folder, progress.Callback()));
  progress.Clear();
  GYRATOR_ASSIGN_OR_RETURN(const ContextDetails details, SummarizeContext(held.folder));
  if (context.json) {
    return PrintJson({{"folder", held.folder},
                      {"ok", true},
                      {"verification", details.verification},
                      {"bytes", details.entry.bytes}});
  }
  const bool bare = details.verification == "bare";
  return PrintText("ok " + args.context + (bare ? " (bare: no manifest to check against)" : "") +
                   "\n");
}

}  // namespace gyrator::cli
