#include "model/forward.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "model/forward_arena.h"

namespace gyrator {

namespace {

constexpr int64_t kRowGrain = 4;      // rows of cheap work that are not worth a second thread
constexpr int64_t kColumnGrain = 64;  // columns of a product; a multiple of every kernel's tile
constexpr int64_t kProductGrain = 1 << 15;  // multiply-adds that are not worth a second thread
constexpr int32_t kAttentionRows = 64;      // rows of one attention task
constexpr int64_t kTasksPerThread = 4;      // of attention, so that threads end together

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Values of this magnitude and above become infinities when they are stored as `dtype`. int8 has a
// scale for each group, and StoreKv tells what it cannot hold.
float KvLimit(DType dtype) {
  if (dtype == DType::kF16) return 65520.0f;
  if (dtype == DType::kBF16) return std::bit_cast<float>(0x7f7f8000u);
  return kInfinity;
}

// Whether the magnitude of each value is below `limit`; a NaN is below nothing.
bool AreBelow(float limit, const float* x, int64_t count) {
  bool below = true;
  for (int64_t i = 0; i < count; ++i) below &= std::fabs(x[i]) < limit;
  return below;
}

Status NotFinite(std::string_view what, std::string_view flags) {
  return Status::Corruption(
             std::string(what) +
             " is not finite: the weights or the range of a number type do not allow "
             "these tokens; try " +
             std::string(flags))
      .Named("not_finite");
}

int64_t WholePanels(int64_t columns) { return NumPanels(columns) * kPanelColumns; }

// The right side of a product.
struct Product {
  const Matrix* w = nullptr;
  const float* bias = nullptr;  // [w->rows], or null
};

// One pass. Threads split rows, columns and heads; every number is written by one thread.
class Pass {
 public:
  Pass(const ForwardContext& context, const PagedKv& kv, std::span<const SequenceRows> batch)
      : config_(*context.config),
        weights_(*context.weights),
        ops_(*context.ops),
        threads_(*context.threads),
        arena_(*context.arena),
        memory_(context.memory),
        observer_(context.observer),
        kv_(kv),
        batch_(batch) {}

  Status Run(float* logits);

 private:
  void PlaceRows();
  void SplitChunks();
  void Embed();
  void RunLayer(int32_t index);
  void Attend(const LayerWeights& layer, int32_t index);
  void PositionAndStore(const LayerWeights& layer, int32_t index);
  void AttendToStored(int32_t index);
  AttentionArgs ArgsOf(const RowChunk& chunk, int32_t layer, int32_t kv_head) const;
  // Where the partial results of one span of a chunk of one row lie.
  float* Partials(const RowChunk& chunk, int32_t kv_head, int32_t span) const;
  void FeedForward(const LayerWeights& layer);
  void Head(float* logits);

  // The rows of the next products: x [rows, cols], normed by `norm` if not null.
  void SetOperand(const float* x, int64_t rows, int64_t cols, const float* norm);
  // These columns of x * w + bias to y, `stride` between its rows.
  void Multiply(const Operand& x, const Product& product, Columns columns, float* y,
                int64_t stride);
  // hidden += x * w + bias.
  void ProjectAndAdd(const Operand& x, const Product& product);

  // Says that the numbers of some row cannot go on. Called by any thread.
  void Refuse(std::atomic<bool>* finite) { finite->store(false, std::memory_order_relaxed); }

  // body(begin, end) over disjoint ranges of [0, count), on all threads, without an allocation.
  template <class Body>
  void Parallel(int64_t count, int64_t grain, const Body& body) {
    const auto guarded = [&body](int64_t begin, int64_t end) {
      const FloatEnvironment environment;
      body(begin, end);
    };
    threads_.ParallelFor(count, grain, std::ref(guarded));
  }

  // body(columns) over [begin, end) in parts of kPartColumns.
  template <class Body>
  static void ForEachPart(int64_t begin, int64_t end, const Body& body) {
    for (int64_t at = begin; at < end; at += kPartColumns) {
      body(Columns{at, std::min(kPartColumns, end - at)});
    }
  }

  // Columns of a range that is worth a thread when each takes `rows` * `cols` multiply-adds.
  static int64_t ColumnGrain(int64_t rows, int64_t cols) {
    return (kProductGrain / (rows * cols) / kColumnGrain + 1) * kColumnGrain;
  }

  const ModelConfig& config_;
  const Weights& weights_;
  const Ops& ops_;
  ThreadPool& threads_;
  ForwardArena& arena_;
  MemoryHook* const memory_;
  AttentionObserver* const observer_;
  const PagedKv& kv_;
  const std::span<const SequenceRows> batch_;
  int64_t rows_ = 0;
  std::atomic<bool> finite_{true};         // activations, where they are quantized
  std::atomic<bool> finite_kv_{true};      // keys and values as they are stored
  std::atomic<bool> finite_logits_{true};  // of the rows that were asked for
  std::atomic<bool> unchanged_{true};      // weights that are read where they are stored
};

void Pass::PlaceRows() {
  arena_.places.clear();
  arena_.chunks.clear();
  for (const SequenceRows& rows : batch_) {
    const auto count = static_cast<int32_t>(rows.tokens.size());
    GYRATOR_CHECK(static_cast<int64_t>(arena_.places.size()) + count <= arena_.rows_max);
    for (int32_t i = 0; i < count; i += kAttentionRows) {
      arena_.chunks.push_back({.row = static_cast<int32_t>(arena_.places.size()) + i,
                               .num_rows = std::min(kAttentionRows, count - i),
                               .first_position = rows.first_position + i,
                               .table = rows.table});
    }
    for (int32_t i = 0; i < count; ++i) {
      const Position position = rows.first_position + i;
      GYRATOR_CHECK(position / kBlockPositions < rows.table.num_blocks);
      arena_.places.push_back({rows.tokens[static_cast<size_t>(i)], position,
                               rows.table.blocks[position / kBlockPositions], rows.stored});
    }
  }
  rows_ = static_cast<int64_t>(arena_.places.size());
  SplitChunks();
}

// A few rows that decode far behind their first positions: chunks times heads alone would leave
// threads idle.
void Pass::SplitChunks() {
  arena_.spans.clear();
  const auto num_chunks = static_cast<int64_t>(arena_.chunks.size());
  if (rows_ != num_chunks || threads_.num_threads() == 1 ||
      num_chunks * config_.num_kv_heads >= kTasksPerThread * threads_.num_threads()) {
    return;
  }
  int64_t num_spans = 0;
  for (const RowChunk& chunk : arena_.chunks) {
    num_spans += chunk.first_position / kAttentionSpan + 1;
  }
  if (num_spans == num_chunks || num_spans > arena_.spans_max) return;
  for (int32_t c = 0; c < num_chunks; ++c) {
    RowChunk& chunk = arena_.chunks[static_cast<size_t>(c)];
    chunk.first_span = static_cast<int32_t>(arena_.spans.size());
    chunk.num_spans = chunk.first_position / kAttentionSpan + 1;
    for (int32_t i = 0; i < chunk.num_spans; ++i) {
      arena_.spans.push_back({c, i * kAttentionSpan});
    }
  }
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
  arena_.operand.Reshape(rows, cols);
  Parallel(rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = x + r * cols;
      if (norm != nullptr) {
        ops_.rms_norm(row, norm, arena_.normed + r * cols, cols, config_.norm_eps);
        row = arena_.normed + r * cols;
      }
      if (!arena_.operand.Set(ops_, row, r, {0, cols})) {
        Refuse(&finite_);
      }
    }
  });
}

void Pass::Multiply(const Operand& x, const Product& product, Columns columns, float* y,
                    int64_t stride) {
  if (!x.Multiply(ops_, *product.w, columns, {y, stride},
                  arena_.Scratch(ThreadPool::ThisThread()))) {
    Refuse(&unchanged_);
  }
  for (int64_t r = 0; r < x.rows() && product.bias != nullptr; ++r) {
    ops_.add(y + r * stride, product.bias + columns.begin, columns.count);
  }
}

void Pass::PositionAndStore(const LayerWeights& layer, int32_t index) {
  const RopeConfig& rope = config_.rope;
  const int64_t dim = config_.head_dim;
  const int64_t half = rope.rotary_dim / 2;
  const float limit = KvLimit(kv_.dtype);
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
      for (int32_t h = 0; h < config_.num_kv_heads && !place.stored; ++h) {
        const KvPlace to = {index, place.block, place.position % kBlockPositions, h};
        const bool stored = StoreKv(ops_, kv_, to, k + h * dim, v + h * dim);
        if (!stored || !AreBelow(limit, k + h * dim, dim) || !AreBelow(limit, v + h * dim, dim)) {
          Refuse(&finite_kv_);
        }
      }
    }
  });
}

void Pass::Attend(const LayerWeights& layer, int32_t index) {
  const struct {
    Product product;
    float* y;
  } products[] = {{{&layer.q, layer.q_bias}, arena_.q},
                  {{&layer.k, layer.k_bias}, arena_.k},
                  {{&layer.v, layer.v_bias}, arena_.v}};
  int64_t columns = 0;  // of the three side by side, each from a whole panel on
  for (const auto& [product, y] : products) columns += WholePanels(product.w->rows);
  Parallel(columns, ColumnGrain(rows_, config_.hidden), [&](int64_t begin, int64_t end) {
    int64_t first = 0;  // where the product begins
    for (const auto& [product, y] : products) {
      const int64_t width = product.w->rows;
      const int64_t from = std::clamp(begin - first, int64_t{0}, width);
      const int64_t to = std::clamp(end - first, int64_t{0}, width);
      if (from < to) Multiply(arena_.operand, product, {from, to - from}, y + from, width);
      first += WholePanels(width);
    }
  });
  PositionAndStore(layer, index);
  if (observer_ != nullptr) observer_->OnQueries(index, arena_.q, rows_);

  AttendToStored(index);
}

AttentionArgs Pass::ArgsOf(const RowChunk& chunk, int32_t layer, int32_t kv_head) const {
  const int64_t dim = config_.head_dim;
  const int32_t group = config_.num_heads / config_.num_kv_heads;
  const int64_t stride = config_.num_heads * dim;
  const int64_t offset = chunk.row * stride + kv_head * group * dim;
  return {.kv = &kv_,
          .layer = layer,
          .kv_head = kv_head,
          .table = chunk.table,
          .first_position = chunk.first_position,
          .num_rows = chunk.num_rows,
          .heads_per_kv = group,
          .q_row_stride = stride,
          .q = arena_.q + offset,
          .out = arena_.attended + offset,
          .scale = 1.0f / std::sqrt(static_cast<float>(dim))};
}

float* Pass::Partials(const RowChunk& chunk, int32_t kv_head, int32_t span) const {
  const int64_t heads = config_.num_kv_heads;
  const int64_t at = chunk.first_span * heads + int64_t{kv_head} * chunk.num_spans + span;
  return arena_.partials +
         at * (config_.num_heads / heads) * AttentionPartialFloats(config_.head_dim);
}

void Pass::AttendToStored(int32_t index) {
  const int32_t heads = config_.num_kv_heads;
  const auto num_chunks = static_cast<int64_t>(arena_.chunks.size());
  if (arena_.spans.empty()) {
    return Parallel(num_chunks * heads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const RowChunk& chunk = arena_.chunks[static_cast<size_t>(task / heads)];
        ops_.attention(ArgsOf(chunk, index, static_cast<int32_t>(task % heads)));
      }
    });
  }
  const auto num_spans = static_cast<int64_t>(arena_.spans.size());
  Parallel(num_spans * heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const auto span = static_cast<int32_t>(task / heads);
      const auto head = static_cast<int32_t>(task % heads);
      const ChunkSpan& part = arena_.spans[static_cast<size_t>(span)];
      const RowChunk& chunk = arena_.chunks[static_cast<size_t>(part.chunk)];
      ops_.attention_span(ArgsOf(chunk, index, head), part.begin,
                          Partials(chunk, head, span - chunk.first_span));
    }
  });
  for (const RowChunk& chunk : arena_.chunks) {
    for (int32_t head = 0; head < heads; ++head) {
      ops_.merge_spans(ArgsOf(chunk, index, head), Partials(chunk, head, 0));
    }
  }
}

void Pass::ProjectAndAdd(const Operand& x, const Product& product) {
  const Matrix& w = *product.w;
  Parallel(w.rows, ColumnGrain(rows_, w.cols), [&](int64_t begin, int64_t end) {
    float* part = arena_.Part(ThreadPool::ThisThread(), 0);
    ForEachPart(begin, end, [&](Columns columns) {
      Multiply(x, product, columns, part, kPartColumns);
      for (int64_t r = 0; r < rows_; ++r) {
        ops_.add(arena_.hidden + r * config_.hidden + columns.begin, part + r * kPartColumns,
                 columns.count);
      }
    });
  });
}

void Pass::FeedForward(const LayerWeights& layer) {
  arena_.ffn_operand.Reshape(rows_, config_.ffn);
  Parallel(config_.ffn, ColumnGrain(rows_, config_.hidden), [&](int64_t begin, int64_t end) {
    float* gate = arena_.Part(ThreadPool::ThisThread(), 0);
    float* up = arena_.Part(ThreadPool::ThisThread(), 1);
    ForEachPart(begin, end, [&](Columns columns) {
      Multiply(arena_.operand, {&layer.gate, layer.gate_bias}, columns, gate, kPartColumns);
      Multiply(arena_.operand, {&layer.up, layer.up_bias}, columns, up, kPartColumns);
      for (int64_t r = 0; r < rows_; ++r) {
        float* row = up + r * kPartColumns;
        ops_.silu_mul(gate + r * kPartColumns, row, row, columns.count);
        if (!arena_.ffn_operand.Set(ops_, row, r, columns)) {
          Refuse(&finite_);
        }
      }
    });
  });
}

void Pass::RunLayer(int32_t index) {
  const LayerWeights& layer = weights_.layers[static_cast<size_t>(index)];
  const int64_t query = int64_t{config_.num_heads} * config_.head_dim;
  SetOperand(arena_.hidden, rows_, config_.hidden, layer.attention_norm);
  Attend(layer, index);
  SetOperand(arena_.attended, rows_, query, nullptr);
  ProjectAndAdd(arena_.operand, {&layer.o, layer.o_bias});

  if (memory_ != nullptr) memory_->OnLayer(index, arena_.hidden, rows_);

  SetOperand(arena_.hidden, rows_, config_.hidden, layer.ffn_norm);
  FeedForward(layer);
  ProjectAndAdd(arena_.ffn_operand, {&layer.down, layer.down_bias});
}

void Pass::Head(float* logits) {
  // The wanted rows to the front, side by side; no one reads the others any more.
  int64_t wanted = 0;
  int64_t row = 0;
  for (const SequenceRows& rows : batch_) {
    row += static_cast<int64_t>(rows.tokens.size());
    const int64_t first = row - rows.num_logits;
    if (first != wanted) {
      std::copy(arena_.hidden + first * config_.hidden, arena_.hidden + row * config_.hidden,
                arena_.hidden + wanted * config_.hidden);
    }
    wanted += rows.num_logits;
  }
  if (wanted == 0) return;
  SetOperand(arena_.hidden, wanted, config_.hidden, weights_.final_norm);
  Parallel(config_.vocab, ColumnGrain(wanted, config_.hidden), [&](int64_t begin, int64_t end) {
    const int64_t count = end - begin;
    Multiply(arena_.operand, {&weights_.head}, {begin, count}, logits + begin, config_.vocab);
    for (int64_t r = 0; r < wanted; ++r) {
      if (!AreBelow(kInfinity, logits + r * config_.vocab + begin, count)) Refuse(&finite_logits_);
    }
  });
}

Status Pass::Run(float* logits) {
  PlaceRows();
  if (rows_ == 0) return {};
  Embed();
  for (int32_t layer = 0; layer < config_.num_layers; ++layer) RunLayer(layer);
  Head(logits);
  if (!unchanged_) {
    return Status::Mismatch("the weights are no longer those that were loaded: their file changed")
        .Named("model_changed");
  }
  if (!finite_kv_) return NotFinite("a key or value", "--kv-dtype f32 or --compute f32");
  if (!finite_) return NotFinite("an activation", "--compute f32 or bf16");
  if (!finite_logits_) return NotFinite("a logit", "--compute f32");
  return {};
}

}  // namespace

Status Forward(const ForwardContext& context, const PagedKv& kv,
               std::span<const SequenceRows> batch, float* logits) {
  const FloatEnvironment environment;
  return Pass(context, kv, batch).Run(logits);
}

}  // namespace gyrator
