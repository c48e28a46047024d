// gyrator rm NAME...: removes contexts.
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "gyrator/contexts.h"

namespace gyrator::cli {

Status RunRm(const RmArgs& args, const Context& context) {
  GYRATOR_ASSIGN_OR_RETURN(const Home home, FindHome());
  Json removed = Json::array();
  for (const std::string& name : args.names) {
    std::unique_ptr<FileLock> lock;
    if (CheckContextName(name).ok()) {  // nobody talks in a context without a name
      GYRATOR_ASSIGN_OR_RETURN(lock, LockContext(home, name));
    }
    GYRATOR_RETURN_IF_ERROR(RemoveContext(home.contexts, name));
    if (!context.json) GYRATOR_RETURN_IF_ERROR(PrintText("removed " + name + "\n"));
    removed.push_back(name);
  }
  SweepLocks(home);
  if (context.json) GYRATOR_RETURN_IF_ERROR(PrintJson({{"removed", removed}}));
  return {};
}

}  // namespace gyrator::cli
