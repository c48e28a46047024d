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
  Avx512Ops(Cpu().prefetch).attention(args);
}

void MultiplyByTilesOrLanes(const QuantizedRows& x, const Int8Panels& w, float* y,
                            const MatMulShape& shape) {
  constexpr int64_t kTilesRowsMin = 3;  // by tiles, a row costs what sixteen do
  if (shape.num_rows >= kTilesRowsMin) return AmxMatMulInt8(x, w, y, shape);
  Avx512Ops(Cpu().prefetch).matmul_int8(x, w, y, shape);
}

// The best of the other functions, with products and attention by tiles, or the twins of products.
const Ops& AmxOps() {
  static const Ops kOps = [] {
    Ops ops = Cpu().avx512 ? Avx512Ops(Cpu().prefetch) : Cpu().avx2 ? Avx2Ops() : RefOps();
    ops.name = "amx";
    ops.bf16_numerics = "bf16.amx.v1";
    ops.bf16_layout = Cpu().avx2 ? Bf16Layout::kTiles : Bf16Layout::kRows;
    ops.matmul_bf16 = Cpu().amx ? AmxMatMulBf16 : Cpu().avx2 ? AmxTwinMatMulBf16 : RefMatMulBf16Amx;
    if (Cpu().avx2) ops.matmul_int8 = Cpu().amx ? MultiplyByTilesOrLanes : AmxTwinMatMulInt8;
    if (Cpu().amx) ops.attention = AttendByTilesOrLanes;
    return ops;
  }();
  return kOps;
}

std::vector<const Ops*> FindAvailable() {
  std::vector<const Ops*> ops = {&RefOps()};
  if (!Cpu().amx) ops.push_back(&AmxOps());
  if (Cpu().avx2) ops.push_back(&Avx2Ops());
  if (Cpu().avx512) ops.push_back(&Avx512Ops(Cpu().prefetch));
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
