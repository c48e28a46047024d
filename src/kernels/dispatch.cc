#include <algorithm>
#include <vector>

#include "kernels/ops.h"
#include "kernels/ref/ops_ref.h"

namespace gyrator {

std::span<const Ops* const> AvailableOps() {
  static const std::vector<const Ops*> kAvailable = {&RefOps()};
  return kAvailable;
}

const Ops* FindOps(std::string_view name) {
  const std::span<const Ops* const> available = AvailableOps();
  if (name == "auto") return available.back();
  const auto found = std::find_if(available.begin(), available.end(),
                                  [&](const Ops* ops) { return ops->name == name; });
  return found == available.end() ? nullptr : *found;
}

}  // namespace gyrator
