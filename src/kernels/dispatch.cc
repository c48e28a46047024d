#include <algorithm>
#include <vector>

#include "kernels/amx/ops_amx.h"
#include "kernels/avx2/ops_avx2.h"
#include "kernels/avx512/ops_avx512.h"
#include "kernels/cpu.h"
#include "kernels/ops.h"
#include "kernels/ref/ops_ref.h"

namespace gyrator {
namespace {

void AttendByTilesOrLanes(const AttentionArgs& args) {
  if (AmxAttends(args)) return AmxAttention(args);
  Avx512Ops().attention(args);
}

// The best of the other functions, with matmul_bf16 and attention by tiles, or the twin of the
// first.
const Ops& AmxOps() {
  static const Ops kOps = [] {
    Ops ops = Cpu().avx512 ? Avx512Ops() : Cpu().avx2 ? Avx2Ops() : RefOps();
    ops.name = "amx";
    ops.bf16_numerics = "bf16.amx.v1";
    ops.bf16_layout = Cpu().avx2 ? Bf16Layout::kTiles : Bf16Layout::kRows;
    ops.matmul_bf16 = Cpu().amx ? AmxMatMulBf16 : Cpu().avx2 ? AmxTwinMatMulBf16 : RefMatMulBf16Amx;
    if (Cpu().amx) ops.attention = AttendByTilesOrLanes;
    return ops;
  }();
  return kOps;
}

std::vector<const Ops*> FindAvailable() {
  std::vector<const Ops*> ops = {&RefOps()};
  if (!Cpu().amx) ops.push_back(&AmxOps());
  if (Cpu().avx2) ops.push_back(&Avx2Ops());
  if (Cpu().avx512) ops.push_back(&Avx512Ops());
  if (Cpu().amx) ops.push_back(&AmxOps());
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
