// The kernels: one struct of functions per instruction set, all with the same contracts.
//
// Numerics (design: docs/architecture.md, "Numerics"). Each output element is a function of its own
// row and of a reduction order fixed by the length reduced over. f32 and int8 give equal bits on
// every instruction set; `ref/` is the scalar specification. All arithmetic is f32, round to
// nearest even, denormals flushed (FloatEnvironment below), fma only where a contract says fma.
//
//   Lane sum. 16 lanes; lane j takes elements j, j + 16, j + 32, ... in ascending order, missing
//   ones skipped. Then lanes fold: l[j] += l[j + 8] (j < 8), l[j] += l[j + 4], l[j] += l[j + 2],
//   l[0] + l[1].
//
//   matmul_f32   lane sum with lane = fma(x, w, lane).
//   matmul_bf16  numerics bf16.dp.v1 (vdpbf16ps): lane j takes pairs j, j + 16, ... of (2p, 2p +
//   1);
//                lane = fma(x[2p], w[2p], fma(x[2p + 1], w[2p + 1], lane)); a missing odd element
//                counts as absent; then the fold of the lane sum.
//                numerics bf16.amx.v1 (TDPBF16PS): k in chunks of 32; even = chain of
//                fma(x[2p], w[2p], even) from zero over the chunk's 16 pairs, odd likewise;
//                acc = acc + (even + odd), chunks ascending.
//   matmul_int8  k in groups of 32: dot = exact int32 sum; acc = fma(float(dot), scale_w * scale_x,
//                acc), groups ascending.
//
// Threads: every function is pure but for its outputs and may run on any thread. A caller splits
// rows, columns and heads, never a reduction.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "kernels/paged_kv.h"
#include "kernels/panels.h"

namespace gyrator {

// Sets round-to-nearest, flush-to-zero, denormals-are-zero and masked exceptions for the calling
// thread; restores the caller's MXCSR at destruction.
class FloatEnvironment {
 public:
  FloatEnvironment();
  ~FloatEnvironment();
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;

 private:
  uint32_t saved_;
};

// y[m][n] for rows 0 <= m < num_rows and columns 0 <= n < num_columns, and no other:
// y[m * y_stride + n] = sum_k x[m][k] * w[n][k]. Columns are rows of the stored matrix.
struct MatMulShape {
  int64_t num_rows = 0;
  int64_t k = 0;  // int8: multiple of 32
  int64_t num_columns = 0;
  int64_t y_stride = 0;
};

// How the left operand of matmul_bf16 lies (bf16_operand.h).
enum class Bf16Layout : uint8_t {
  kRows,   // [row][k]
  kTiles,  // [row / 16][k / 32][16][32], zeros behind k, a gap between the rows of tiles
};

// Rows of int8 activations, as `quantize` makes them: q [num_rows][k], scale [num_rows][k / 32],
// start [num_rows][k / 32].
struct QuantizedRows {
  const int8_t* q = nullptr;
  const float* scale = nullptr;
  const int32_t* start = nullptr;  // -128 times the sum of the group's q

  // From row `row` and group `group` on.
  QuantizedRows At(int64_t row, int64_t group, int64_t k) const {
    const int64_t at = row * (k / kPanelGroup) + group;
    return {q + at * kPanelGroup, scale + at, start + at};
  }
};

// Where `quantize` writes.
struct QuantizedOut {
  int8_t* q = nullptr;
  float* scale = nullptr;
  int32_t* start = nullptr;  // may be null: not wanted
};

enum class RopeStyle : uint8_t {
  kHalf,         // pairs (d, d + rotary_dim / 2): Hugging Face, GGUF "neox"
  kInterleaved,  // pairs (2d, 2d + 1): GGUF files of the Llama architecture
};

inline constexpr int32_t kAttentionTile = 32;  // positions of one softmax step
inline constexpr int32_t kAttentionSpan =
    1024;  // positions of one partial result; multiple of the tile

// Causal attention of consecutive rows of one sequence for one kv head: row r stands at position
// first_position + r and sees positions 0 .. first_position + r, all stored already.
//
// For each span of 1,024 absolute positions a partial (max, sum, acc[head_dim]) is computed over
// its tiles of 32, left to right; partials are merged left to right. Masked positions are skipped,
// never multiplied by zero. Per tile, for the positions p that the row sees:
//   s[p]  = dot(q, k[p]) * scale
//   m'    = max(m, max s);  a = exp(m - m')  (0 for the first tile);  e[p] = exp(s[p] - m')
//   sum   = fma(sum, a, lane sum of e)
//   acc_d = acc_d * a + dot(e, v[:, d])
// First partial taken as it is; then m' = max(m, m_i), a = exp(m - m'), b = exp(m_i - m'),
// sum = fma(sum_i, b, sum * a), acc_d = fma(acc_i_d, b, acc_d * a). out_d = acc_d / sum.
//   KV in f32 or f16 (f16 widened): dot = chain of fma from zero, ascending (dims, then positions);
//     the tile's value dot is added to acc * a.
//   KV in bf16: q is rounded to bf16 first, e is rounded to bf16 for the value dot (the sum takes
//   the
//     unrounded e); dot = TDPBF16PS: dims in chunks of 32 (values: the tile's 32 positions), even
//     and odd chains of fma from zero, acc + (even + odd). A missing element of a pair is absent.
//   KV in int8: what KV in bf16 gives that holds the values bf16(scale * q) (paged_kv.h).
struct AttentionArgs {
  const PagedKv* kv = nullptr;
  int32_t layer = 0;
  int32_t kv_head = 0;
  BlockTableView table;
  Position first_position = 0;
  int32_t num_rows = 0;
  int32_t heads_per_kv = 0;  // query heads kv_head * heads_per_kv ...
  int64_t q_row_stride = 0;  // elements between rows of q, and of out
  const float* q = nullptr;  // [row][heads_per_kv][head_dim], first query head of the group
  float* out = nullptr;      // same layout
  float scale = 0;           // 1 / sqrt(head_dim)
};

// How a span's partial result lies in memory, for one query: acc, rounded up to 16 floats, then max
// and sum; the rest is unused.
inline int64_t AttentionPartialFloats(int32_t head_dim) { return (head_dim + 15) / 16 * 16 + 16; }

struct Ops {
  std::string_view name;           // "ref", "avx2", "avx512", "amx"
  std::string_view bf16_numerics;  // "bf16.dp.v1" or "bf16.amx.v1": recorded in snapshots
  Bf16Layout bf16_layout;          // of x in matmul_bf16

  // x [num_rows][k], w [num_columns][k].
  void (*matmul_f32)(const float* x, const float* w, float* y, const MatMulShape& shape);
  // x in bf16_layout, w in panels (panels.h) from the first column on.
  void (*matmul_bf16)(const uint16_t* x, const uint16_t* w, float* y, const MatMulShape& shape);
  void (*matmul_int8)(const QuantizedRows& x, const Int8Panels& w, float* y,
                      const MatMulShape& shape);

  // F32ToBF16 of `count` values.
  void (*round_bf16)(const float* x, uint16_t* y, int64_t count);
  // Groups of 32: scale = amax / 127, q = nearest even of x * (127 / amax); a group of zeros has
  // scale 0 (one whose scale flushes to 0 as well: q is 0 then); start = -128 * sum of q. False
  // when an input is not finite (outputs then unspecified). REQUIRES count % 32 == 0.
  bool (*quantize)(const float* x, const QuantizedOut& out, int64_t count);

  // y = (x * (1 / sqrt(lane sum of x*x by fma / dim + eps))) * weight. x may equal y.
  void (*rms_norm)(const float* x, const float* weight, float* y, int64_t dim, float eps);
  // Rotates `num_heads` heads of head_dim in place; cos and sin: [rotary_dim / 2]. Dimensions from
  // rotary_dim on stay. first' = first * cos - second * sin; second' = second * cos + first * sin
  // (each product rounded).
  void (*rope)(float* x, int64_t num_heads, int64_t head_dim, int64_t rotary_dim, const float* cos,
               const float* sin, RopeStyle style);
  // y[i] = gate[i] / (1 + exp(-gate[i])) * up[i]. y may be `gate` or `up`.
  void (*silu_mul)(const float* gate, const float* up, float* y, int64_t count);
  // x[i] += y[i].
  void (*add)(float* x, const float* y, int64_t count);

  void (*attention)(const AttentionArgs& args);
  // The same in two steps, for spans of one call on several threads. First, for each span, the
  // partial results of all queries, [num_rows][heads_per_kv][AttentionPartialFloats], but those of
  // rows that do not see it. `span` is the span's first position.
  void (*attention_span)(const AttentionArgs& args, Position span, float* partials);
  // Then their merge into args.out: the partials of all spans behind each other, from position 0,
  // which it overwrites.
  void (*merge_spans)(const AttentionArgs& args, float* partials);
};

// cos[i], sin[i] of the angle f32(position) * inv_freq[i] (one f32 product), times `scale`
// (rope "attention factor", 1 for most). Our own double-precision reduction and series: no libm. A
// negative position, a move down, has the cos of the positive one and its sin with the other sign.
void RopeTable(Position position, std::span<const float> inv_freq, float scale, float* cos,
               float* sin);

// Where the K and V of one position and kv head lie.
struct KvPlace {
  int32_t layer = 0;
  uint32_t block = 0;
  int32_t slot = 0;
  int32_t kv_head = 0;
};

// Writes one position's K and V head vectors ([head_dim] f32 each) into their block, rounding to
// the pool's dtype; int8 by ops.quantize. False when that is int8 and an input is not finite (the
// position's K and V are then unspecified); the other dtypes keep what is not finite.
[[nodiscard]] bool StoreKv(const Ops& ops, const PagedKv& kv, const KvPlace& place,
                           const float* key, const float* value);
// The key alone.
[[nodiscard]] bool StoreKey(const Ops& ops, const PagedKv& kv, const KvPlace& place,
                            const float* key);

// Every implementation that this CPU runs (the twin of "amx" runs everywhere), slowest first.
std::span<const Ops* const> AvailableOps();
// By name; null when unknown or when the CPU lacks it. "auto" is the fastest.
const Ops* FindOps(std::string_view name);

}  // namespace gyrator
