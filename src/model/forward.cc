#include "model/forward.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "base/aligned_buffer.h"
#include "base/check.h"
#include "kernels/bf16_operand.h"

namespace gyrator {

namespace {

constexpr int64_t kRowGrain = 4;      // rows of cheap work that are not worth a second thread
constexpr int64_t kColumnGrain = 64;  // columns of a product; a multiple of every kernel's tile
constexpr int64_t kProductGrain = 1 << 15;  // multiply-adds that are not worth a second thread
constexpr int32_t kAttentionRows = 64;      // rows of one attention task

// Where one row of the batch stands.
struct RowPlace {
  TokenId token;
  Position position;
  uint32_t block;
};

// Some consecutive rows of one sequence.
struct RowChunk {
  int32_t row;  // in the batch
  int32_t num_rows;
  Position first_position;
  BlockTableView table;
};

}  // namespace

class ForwardArena {
 public:
  int32_t rows_max = 0;
  std::vector<RowPlace> places;  // of the rows of the pass
  std::vector<RowChunk> chunks;  // the rows again, cut for attention
  AlignedBuffer memory;          // all of the below

  // [rows_max, n], row-major.
  float* hidden = nullptr;     // the residual stream
  float* normed = nullptr;     // [hidden]
  float* projected = nullptr;  // [hidden]
  float* q = nullptr;          // [heads * head_dim]
  float* k = nullptr;          // [kv_heads * head_dim]
  float* v = nullptr;          // [kv_heads * head_dim]
  float* attended = nullptr;   // [heads * head_dim]
  float* gate = nullptr;       // [ffn]
  float* up = nullptr;         // [ffn]
  float* cos = nullptr;        // [rotary_dim / 2]
  float* sin = nullptr;        // [rotary_dim / 2]
  // The left operand of the next product, [rows_max, widest].
  uint16_t* bf16 = nullptr;
  int8_t* int8 = nullptr;
  float* int8_scale = nullptr;  // [widest / 32]
};

void ForwardArenaDeleter::operator()(ForwardArena* arena) const { delete arena; }

Result<ForwardArenaPtr> CreateForwardArena(const ModelConfig& config, ComputeType compute,
                                           int32_t rows_max) {
  if (rows_max < 1) {
    return Status::InvalidArgument("forward arena: expected at least 1 row, found " +
                                   std::to_string(rows_max));
  }
  ForwardArenaPtr arena(new ForwardArena);
  const int64_t query = int64_t{config.num_heads} * config.head_dim;
  const int64_t key = int64_t{config.num_kv_heads} * config.head_dim;
  const int64_t widest = std::max({int64_t{config.hidden}, query, int64_t{config.ffn}});
  const int64_t bf16_width = compute == ComputeType::kBF16 ? widest : 0;
  const int64_t int8_width = compute == ComputeType::kInt8 ? widest : 0;

  uint64_t total = 0;
  const auto take = [&total, rows_max](int64_t width, uint64_t element_bytes) {
    const uint64_t offset = total;
    const uint64_t bytes =
        static_cast<uint64_t>(width) * element_bytes * static_cast<uint64_t>(rows_max);
    total += (bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
    return offset;
  };
  struct {
    float* ForwardArena::* member;
    int64_t width;
    uint64_t offset;
  } floats[] = {
      {&ForwardArena::hidden, config.hidden, 0},
      {&ForwardArena::normed, config.hidden, 0},
      {&ForwardArena::projected, config.hidden, 0},
      {&ForwardArena::q, query, 0},
      {&ForwardArena::k, key, 0},
      {&ForwardArena::v, key, 0},
      {&ForwardArena::attended, query, 0},
      {&ForwardArena::gate, config.ffn, 0},
      {&ForwardArena::up, config.ffn, 0},
      {&ForwardArena::cos, config.rope.rotary_dim / 2, 0},
      {&ForwardArena::sin, config.rope.rotary_dim / 2, 0},
      {&ForwardArena::int8_scale, int8_width / 32, 0},
  };
  for (auto& buffer : floats) buffer.offset = take(buffer.width, sizeof(float));
  const uint64_t int8_offset = take(int8_width, sizeof(int8_t));
  const uint64_t bf16_offset = total;
  total += static_cast<uint64_t>(Bf16OperandElements(rows_max, bf16_width)) * sizeof(uint16_t);

  GYRATOR_ASSIGN_OR_RETURN(arena->memory, AllocateAligned(total, "forward arena"));
  std::byte* base = arena->memory.get();
  for (const auto& buffer : floats) {
    (*arena).*buffer.member = reinterpret_cast<float*>(base + buffer.offset);
  }
  arena->bf16 = reinterpret_cast<uint16_t*>(base + bf16_offset);
  arena->int8 = reinterpret_cast<int8_t*>(base + int8_offset);
  arena->rows_max = rows_max;
  arena->places.reserve(static_cast<size_t>(rows_max));
  arena->chunks.reserve(static_cast<size_t>(rows_max));
  return arena;
}

namespace {

// One product's right side and where its columns go.
struct Product {
  const Matrix* weights = nullptr;
  const float* bias = nullptr;  // [weights->rows], or null
  float* out = nullptr;         // [rows, weights->rows]
};

// One pass. Threads split rows, columns and heads; every number is written by one thread.
class Pass {
 public:
  Pass(const ForwardContext& context, const PagedKv& kv, std::span<const SequenceRows> batch)
      : config_(*context.config),
        weights_(*context.weights),
        compute_(context.compute),
        ops_(*context.ops),
        threads_(*context.threads),
        arena_(*context.arena),
        memory_(context.memory),
        kv_(kv),
        batch_(batch) {}

  Status Run(float* logits);

 private:
  void PlaceRows();
  void Embed();
  void RunLayer(int32_t index);
  void Attend(const LayerWeights& layer, int32_t index);
  void PositionAndStore(const LayerWeights& layer, int32_t index);
  void FeedForward(const LayerWeights& layer);
  void Head(float* logits);

  // The rows of the next product: x [rows, cols], normed by `norm` if not null, in operand format.
  void SetOperand(const float* x, int64_t rows, int64_t cols, const float* norm);
  // Columns [begin, end) of operand times weights, plus bias.
  void Multiply(const Product& product, int64_t rows, int64_t begin, int64_t end);
  // hidden += operand * weights + bias.
  void ProjectAndAdd(const Matrix& weights, const float* bias);

  // body(begin, end) over disjoint ranges of [0, count), on all threads, without an allocation.
  template <class Body>
  void Parallel(int64_t count, int64_t grain, const Body& body) {
    const auto guarded = [&body](int64_t begin, int64_t end) {
      const FloatEnvironment environment;
      body(begin, end);
    };
    threads_.ParallelFor(count, grain, std::ref(guarded));
  }

  // Columns of a range that is worth a thread when each takes `rows` * `cols` multiply-adds.
  static int64_t ColumnGrain(int64_t rows, int64_t cols) {
    return (kProductGrain / (rows * cols) / kColumnGrain + 1) * kColumnGrain;
  }

  const ModelConfig& config_;
  const Weights& weights_;
  const ComputeType compute_;
  const Ops& ops_;
  ThreadPool& threads_;
  ForwardArena& arena_;
  MemoryHook* const memory_;
  const PagedKv& kv_;
  const std::span<const SequenceRows> batch_;
  int64_t rows_ = 0;
  const float* operand_f32_ = nullptr;
  std::atomic<bool> finite_{true};
};

void Pass::PlaceRows() {
  arena_.places.clear();
  arena_.chunks.clear();
  for (const SequenceRows& rows : batch_) {
    const auto count = static_cast<int32_t>(rows.tokens.size());
    GYRATOR_CHECK(static_cast<int64_t>(arena_.places.size()) + count <= arena_.rows_max);
    for (int32_t i = 0; i < count; i += kAttentionRows) {
      arena_.chunks.push_back({static_cast<int32_t>(arena_.places.size()) + i,
                               std::min(kAttentionRows, count - i), rows.first_position + i,
                               rows.table});
    }
    for (int32_t i = 0; i < count; ++i) {
      const Position position = rows.first_position + i;
      GYRATOR_CHECK(position / kBlockPositions < rows.table.num_blocks);
      arena_.places.push_back({rows.tokens[static_cast<size_t>(i)], position,
                               rows.table.blocks[position / kBlockPositions]});
    }
  }
  rows_ = static_cast<int64_t>(arena_.places.size());
}

void Pass::Embed() {
  const RopeConfig& rope = config_.rope;
  const int64_t half = rope.rotary_dim / 2;
  Parallel(rows_, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const RowPlace& place = arena_.places[static_cast<size_t>(r)];
      GYRATOR_CHECK(place.token >= 0 && place.token < config_.vocab);
      WidenRow(weights_.embedding, place.token, arena_.hidden + r * config_.hidden);
      RopeTable(place.position, rope.inv_freq, rope.attention_factor, arena_.cos + r * half,
                arena_.sin + r * half);
    }
  });
}

void Pass::SetOperand(const float* x, int64_t rows, int64_t cols, const float* norm) {
  operand_f32_ = norm != nullptr ? arena_.normed : x;
  if (norm == nullptr && compute_ == ComputeType::kF32) return;
  Parallel(rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = x + r * cols;
      if (norm != nullptr) {
        ops_.rms_norm(row, norm, arena_.normed + r * cols, cols, config_.norm_eps);
        row = arena_.normed + r * cols;
      }
      if (compute_ == ComputeType::kBF16) {
        SetBf16Row(ops_, row, r, cols, arena_.bf16);
      } else if (compute_ == ComputeType::kInt8 &&
                 !ops_.quantize(row, arena_.int8 + r * cols, arena_.int8_scale + r * (cols / 32),
                                cols)) {
        finite_.store(false, std::memory_order_relaxed);
      }
    }
  });
}

void Pass::Multiply(const Product& product, int64_t rows, int64_t begin, int64_t end) {
  if (begin >= end) return;
  const Matrix& w = *product.weights;
  const MatMulShape shape = {rows, w.cols, begin, end, w.rows};
  switch (compute_) {
    case ComputeType::kF32:
      ops_.matmul_f32(operand_f32_, static_cast<const float*>(w.data), product.out, shape);
      break;
    case ComputeType::kBF16:
      ops_.matmul_bf16(arena_.bf16, static_cast<const uint16_t*>(w.data), product.out, shape);
      break;
    case ComputeType::kInt8:
      ops_.matmul_int8({arena_.int8, arena_.int8_scale}, static_cast<const BlockQ8_0*>(w.data),
                       product.out, shape);
      break;
  }
  for (int64_t r = 0; r < rows && product.bias != nullptr; ++r) {
    ops_.add(product.out + r * w.rows + begin, product.bias + begin, end - begin);
  }
}

void Pass::PositionAndStore(const LayerWeights& layer, int32_t index) {
  const RopeConfig& rope = config_.rope;
  const int64_t dim = config_.head_dim;
  const int64_t half = rope.rotary_dim / 2;
  const auto locate = [&](float* heads, int64_t count, const float* norm, int64_t row) {
    for (int64_t h = 0; h < count && norm != nullptr; ++h) {
      ops_.rms_norm(heads + h * dim, norm, heads + h * dim, dim, config_.norm_eps);
    }
    ops_.rope(heads, count, dim, rope.rotary_dim, arena_.cos + row * half, arena_.sin + row * half,
              rope.style);
  };
  Parallel(rows_, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* k = arena_.k + r * config_.num_kv_heads * dim;
      const float* v = arena_.v + r * config_.num_kv_heads * dim;
      locate(arena_.q + r * config_.num_heads * dim, config_.num_heads, layer.q_norm, r);
      locate(k, config_.num_kv_heads, layer.k_norm, r);
      const RowPlace& place = arena_.places[static_cast<size_t>(r)];
      for (int32_t h = 0; h < config_.num_kv_heads; ++h) {
        StoreKv(kv_, index, place.block, place.position % kBlockPositions, h, k + h * dim,
                v + h * dim);
      }
    }
  });
}

void Pass::Attend(const LayerWeights& layer, int32_t index) {
  const Product products[] = {{&layer.q, layer.q_bias, arena_.q},
                              {&layer.k, layer.k_bias, arena_.k},
                              {&layer.v, layer.v_bias, arena_.v}};
  const int64_t columns = layer.q.rows + layer.k.rows + layer.v.rows;
  Parallel(columns, ColumnGrain(rows_, config_.hidden), [&](int64_t begin, int64_t end) {
    int64_t first = 0;  // column of the three side by side where `product` begins
    for (const Product& product : products) {
      const int64_t count = product.weights->rows;
      Multiply(product, rows_, std::clamp(begin - first, int64_t{0}, count),
               std::clamp(end - first, int64_t{0}, count));
      first += count;
    }
  });
  PositionAndStore(layer, index);

  const int64_t dim = config_.head_dim;
  const int32_t group = config_.num_heads / config_.num_kv_heads;
  const int64_t stride = config_.num_heads * dim;
  const auto num_chunks = static_cast<int64_t>(arena_.chunks.size());
  Parallel(num_chunks * config_.num_kv_heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const RowChunk& chunk = arena_.chunks[static_cast<size_t>(task / config_.num_kv_heads)];
      const auto kv_head = static_cast<int32_t>(task % config_.num_kv_heads);
      const int64_t offset = chunk.row * stride + kv_head * group * dim;
      ops_.attention({.kv = &kv_,
                      .layer = index,
                      .kv_head = kv_head,
                      .table = chunk.table,
                      .first_position = chunk.first_position,
                      .num_rows = chunk.num_rows,
                      .heads_per_kv = group,
                      .q_row_stride = stride,
                      .q = arena_.q + offset,
                      .out = arena_.attended + offset,
                      .scale = 1.0f / std::sqrt(static_cast<float>(dim))});
    }
  });
}

void Pass::ProjectAndAdd(const Matrix& weights, const float* bias) {
  const Product product = {&weights, bias, arena_.projected};
  Parallel(weights.rows, ColumnGrain(rows_, weights.cols), [&](int64_t begin, int64_t end) {
    Multiply(product, rows_, begin, end);
    for (int64_t r = 0; r < rows_; ++r) {
      const int64_t at = r * config_.hidden + begin;
      ops_.add(arena_.hidden + at, arena_.projected + at, end - begin);
    }
  });
}

void Pass::FeedForward(const LayerWeights& layer) {
  const Product gate = {&layer.gate, layer.gate_bias, arena_.gate};
  const Product up = {&layer.up, layer.up_bias, arena_.up};
  Parallel(config_.ffn, ColumnGrain(rows_, config_.hidden), [&](int64_t begin, int64_t end) {
    Multiply(gate, rows_, begin, end);
    Multiply(up, rows_, begin, end);
    for (int64_t r = 0; r < rows_; ++r) {
      const int64_t at = r * config_.ffn + begin;
      ops_.silu_mul(arena_.gate + at, arena_.up + at, arena_.up + at, end - begin);
    }
  });
}

void Pass::RunLayer(int32_t index) {
  const LayerWeights& layer = weights_.layers[static_cast<size_t>(index)];
  const int64_t query = int64_t{config_.num_heads} * config_.head_dim;
  SetOperand(arena_.hidden, rows_, config_.hidden, layer.attention_norm);
  Attend(layer, index);
  SetOperand(arena_.attended, rows_, query, nullptr);
  ProjectAndAdd(layer.o, layer.o_bias);

  if (memory_ != nullptr) memory_->OnLayer(index, arena_.hidden, rows_);

  SetOperand(arena_.hidden, rows_, config_.hidden, layer.ffn_norm);
  FeedForward(layer);
  SetOperand(arena_.up, rows_, config_.ffn, nullptr);
  ProjectAndAdd(layer.down, layer.down_bias);
}

void Pass::Head(float* logits) {
  // The wanted rows, side by side.
  int64_t wanted = 0;
  int64_t row = 0;
  for (const SequenceRows& rows : batch_) {
    row += static_cast<int64_t>(rows.tokens.size());
    const int64_t first = row - rows.num_logits;
    std::copy(arena_.hidden + first * config_.hidden, arena_.hidden + row * config_.hidden,
              arena_.projected + wanted * config_.hidden);
    wanted += rows.num_logits;
  }
  if (wanted == 0) return;
  SetOperand(arena_.projected, wanted, config_.hidden, weights_.final_norm);
  const Product product = {&weights_.head, nullptr, logits};
  Parallel(config_.vocab, ColumnGrain(wanted, config_.hidden),
           [&](int64_t begin, int64_t end) { Multiply(product, wanted, begin, end); });
}

Status Pass::Run(float* logits) {
  PlaceRows();
  if (rows_ == 0) return {};
  Embed();
  for (int32_t layer = 0; layer < config_.num_layers; ++layer) RunLayer(layer);
  Head(logits);
  if (!finite_.load(std::memory_order_relaxed)) {
    return Status::Internal(
        "an activation is not finite: int8 cannot go on; use --compute f32 or bf16");
  }
  return {};
}

}  // namespace

Status Forward(const ForwardContext& context, const PagedKv& kv,
               std::span<const SequenceRows> batch, float* logits) {
  const FloatEnvironment environment;
  return Pass(context, kv, batch).Run(logits);
}

}  // namespace gyrator
