// gyrator save NAME [--to DIR]: a copy of a context's current state, under a stamp of its own.
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "gyrator/contexts.h"

namespace gyrator::cli {

Status RunSave(const SaveArgs& args, const Context& context) {
  GYRATOR_ASSIGN_OR_RETURN(const Home home, FindHome());
  GYRATOR_ASSIGN_OR_RETURN(const HeldContext held, HoldContext(home.contexts, args.name));
  const std::string root = args.to.empty() ? home.contexts : args.to;
  GYRATOR_ASSIGN_OR_RETURN(const SaveReport report, ImportContext(root, held.folder, ""));
  if (context.json) {
    return PrintJson({{"name", args.name},
                      {"stamp", report.stamp},
                      {"folder", report.folder},
                      {"root_digest", report.root_digest},
                      {"bytes", report.bytes}});
  }
  return PrintText(report.folder + "\n");
}

}  // namespace gyrator::cli
