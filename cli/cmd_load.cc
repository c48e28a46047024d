// gyrator load DIR [--as NAME]: takes a saved folder in among the contexts.
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "gyrator/contexts.h"

namespace gyrator::cli {

Status RunLoad(const LoadArgs& args, const Context& context) {
  GYRATOR_ASSIGN_OR_RETURN(const Home home, FindHome());
  std::unique_ptr<FileLock> lock;
  if (!args.as.empty()) {
    GYRATOR_ASSIGN_OR_RETURN(lock, LockContext(home, args.as));
  }
  GYRATOR_ASSIGN_OR_RETURN(const SaveReport report,
                           ImportContext(home.contexts, args.folder, args.as));
  GYRATOR_ASSIGN_OR_RETURN(ContextDetails details, SummarizeContext(report.folder));
  const bool bare = details.verification == "bare";
  if (bare) {  // its tokens show in its tensors alone
    GYRATOR_ASSIGN_OR_RETURN(details, ShowContext(report.folder));
  }
  if (context.json) {
    return PrintJson({{"name", args.as},
                      {"stamp", report.stamp},
                      {"folder", report.folder},
                      {"verification", details.verification},
                      {"tokens", details.entry.tokens},
                      {"turns", details.entry.turns},
                      {"bytes", report.bytes}});
  }
  if (bare) {
    PrintNote(
        "no manifest and no chat log: loads in opaque-prefix mode, nothing could be verified");
  }
  return PrintText((args.as.empty() ? report.stamp : args.as) + "\n");
}

}  // namespace gyrator::cli
