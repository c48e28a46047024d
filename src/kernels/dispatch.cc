#include <algorithm>
#include <vector>

#include "kernels/avx2/ops_avx2.h"
#include "kernels/avx512/ops_avx512.h"
#include "kernels/cpu.h"
#include "kernels/ops.h"
#include "kernels/ref/ops_ref.h"

namespace gyrator {

namespace {

std::vector<const Ops*> FindAvailable() {
  std::vector<const Ops*> ops = {&RefOps()};
  if (Cpu().avx2) ops.push_back(&Avx2Ops());
  if (Cpu().avx512) ops.push_back(&Avx512Ops());
  return ops;
}

}  // namespace

std::span<const Ops* const> AvailableOps() {
  static const std::vector<const Ops*> kAvailable = FindAvailable();
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
