#include "model/reference.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/exp.h"
#include "model/operand.h"

namespace gyrator {

namespace {

using Vec = std::vector<float>;

float RoundToBf16(float x) { return BF16ToF32(F32ToBF16(x)); }

// Keys or values as attention reads them from KV of `dtype`; false when int8 cannot hold one.
bool AppendKv(DType dtype, const Vec& values, Vec* kept) {
  bool finite = true;
  for (size_t i = 0; dtype != DType::kI8 && i < values.size(); ++i) {
    const float x = values[i];
    kept->push_back(dtype == DType::kBF16  ? RoundToBf16(x)
                    : dtype == DType::kF16 ? F16ToF32(F32ToF16(x))
                                           : x);
  }
  for (size_t g = 0; dtype == DType::kI8 && g < values.size(); g += 32) {
    float amax = 0;
    for (size_t i = g; i < g + 32; ++i) {
      finite = finite && std::isfinite(values[i]);
      amax = std::max(amax, std::fabs(values[i]));
    }
    const float scale = amax / 127.0f;
    const float inverse = scale == 0 ? 0 : 127.0f / amax;
    for (size_t i = g; i < g + 32; ++i) {
      kept->push_back(RoundToBf16(scale * std::nearbyint(values[i] * inverse)));
    }
  }
  return finite;
}

// TDPBF16PS for bf16 and int8 (chunks of 32, even and odd chains), else one chain of fma.
float Dot(DType dtype, int64_t count, const float* a, const float* b, int64_t b_stride) {
  float acc = 0;
  if (dtype != DType::kBF16 && dtype != DType::kI8) {
    for (int64_t i = 0; i < count; ++i) acc = std::fma(a[i], b[i * b_stride], acc);
    return acc;
  }
  for (int64_t chunk = 0; chunk < count; chunk += 32) {
    float chains[2] = {};
    for (int64_t i = chunk; i < std::min(count, chunk + 32); ++i) {
      chains[i % 2] = std::fma(a[i], b[i * b_stride], chains[i % 2]);
    }
    acc = acc + (chains[0] + chains[1]);
  }
  return acc;
}

// Sum of at most 32 values in the order of the lane sum.
float LaneSum(const Vec& values) {
  float lanes[16] = {};
  for (size_t i = 0; i < values.size(); ++i) lanes[i % 16] += values[i];
  for (int width = 8; width > 0; width /= 2) {
    for (int j = 0; j < width; ++j) lanes[j] += lanes[j + width];
  }
  return lanes[0];
}

struct Softmax {  // of some consecutive positions
  float max = -std::numeric_limits<float>::infinity();
  float sum = 0;
  Vec acc;  // [head_dim]
};

class Reference {
 public:
  explicit Reference(const ReferenceArgs& args)
      : args_(args), config_(*args.config), ops_(*args.ops) {}

  Result<std::vector<float>> Run(std::span<const TokenId> tokens) {
    const FloatEnvironment environment;
    const size_t n = tokens.size();
    std::vector<Vec> hidden(n, Vec(static_cast<size_t>(config_.hidden)));
    for (size_t t = 0; t < n; ++t) {
      WidenRow(args_.weights->embedding, tokens[t], hidden[t].data());
    }
    for (const LayerWeights& layer : args_.weights->layers) RunLayer(layer, &hidden);
    Vec logits;
    for (const Vec& x : hidden) {
      const Vec row = MatMul(args_.weights->head, Norm(x, args_.weights->final_norm), nullptr);
      logits.insert(logits.end(), row.begin(), row.end());
    }
    if (!finite_) return Status::Internal("reference: an activation is not finite");
    return logits;
  }

 private:
  Vec Norm(const Vec& x, const float* weight) const {
    Vec y(x.size());
    ops_.rms_norm(x.data(), weight, y.data(), static_cast<int64_t>(x.size()), config_.norm_eps);
    return y;
  }

  // w x + bias, with x in the operand format.
  Vec MatMul(const Matrix& w, const Vec& x, const float* bias) {
    std::vector<std::byte> memory(Operand::Bytes(args_.compute, 1, w.cols));
    Operand operand(args_.compute, memory.data(), 1, w.cols);
    operand.Reshape(1, w.cols);
    finite_ = operand.Set(ops_, x.data(), 0, {0, w.cols}) && finite_;
    Vec y(static_cast<size_t>(w.rows));
    std::vector<std::byte> scratch(Operand::ScratchBytes(args_.compute, w.cols));
    finite_ = operand.Multiply(ops_, w, {0, w.rows}, {y.data(), w.rows}, scratch.data()) && finite_;
    if (bias != nullptr) ops_.add(y.data(), bias, w.rows);
    return y;
  }

  // Norm (if any) and rope, at `position`, of the heads of a query or key.
  void Locate(Vec* x, const float* norm, Position position) const {
    const int64_t dim = config_.head_dim;
    const auto heads = static_cast<int64_t>(x->size()) / dim;
    for (int64_t h = 0; h < heads && norm != nullptr; ++h) {
      ops_.rms_norm(x->data() + h * dim, norm, x->data() + h * dim, dim, config_.norm_eps);
    }
    const RopeConfig& rope = config_.rope;
    Vec cos(rope.inv_freq.size()), sin(rope.inv_freq.size());
    RopeTable(position, rope.inv_freq, rope.attention_factor, cos.data(), sin.data());
    ops_.rope(x->data(), heads, dim, rope.rotary_dim, cos.data(), sin.data(), rope.style);
  }

  // One query head [head_dim] over positions [begin, end) of its kv head, tile by tile.
  Softmax Span(const Vec& query, int64_t offset, Position begin, Position end) const {
    const DType dtype = args_.kv_dtype;
    const bool pairs = dtype == DType::kBF16 || dtype == DType::kI8;
    const int64_t dim = config_.head_dim;
    const int64_t width = config_.num_kv_heads * dim;
    const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
    Softmax out;
    out.acc.resize(static_cast<size_t>(dim));
    for (Position tile = begin; tile < end; tile += kAttentionTile) {
      const Position tile_end = std::min(end, tile + kAttentionTile);
      const int64_t first = tile * width + offset;  // of the tile in keys_ and values_
      Vec e;
      float max = out.max;
      for (Position p = tile; p < tile_end; ++p) {
        const float* key = &keys_[Index(first + (p - tile) * width)];
        e.push_back(Dot(dtype, dim, query.data(), key, 1) * scale);
        max = std::max(max, e.back());
      }
      const float decay = tile == begin ? 0.0f : Exp(out.max - max);
      for (float& s : e) s = Exp(s - max);
      out.sum = std::fma(out.sum, decay, LaneSum(e));
      for (float& s : e) s = pairs ? RoundToBf16(s) : s;
      for (int64_t d = 0; d < dim; ++d) {
        float& acc = out.acc[Index(d)];
        acc =
            acc * decay + Dot(dtype, tile_end - tile, e.data(), &values_[Index(first + d)], width);
      }
      out.max = max;
    }
    return out;
  }

  // One query head at `position`: spans merged left to right.
  Vec Attend(Vec query, int64_t offset, Position position) const {
    if (args_.kv_dtype == DType::kBF16 || args_.kv_dtype == DType::kI8) {
      for (float& x : query) x = RoundToBf16(x);
    }
    const Position end = position + 1;
    Softmax all = Span(query, offset, 0, std::min(end, kAttentionSpan));
    for (Position begin = kAttentionSpan; begin < end; begin += kAttentionSpan) {
      const Softmax next = Span(query, offset, begin, std::min(end, begin + kAttentionSpan));
      const float max = std::max(all.max, next.max);
      const float a = Exp(all.max - max), b = Exp(next.max - max);
      all.max = max;
      all.sum = std::fma(next.sum, b, all.sum * a);
      for (size_t d = 0; d < all.acc.size(); ++d) {
        all.acc[d] = std::fma(next.acc[d], b, all.acc[d] * a);
      }
    }
    for (float& x : all.acc) x /= all.sum;
    return all.acc;
  }

  // Attention output of every head of one row, [heads * head_dim].
  Vec AttendAll(const Vec& q, Position position) const {
    const int64_t dim = config_.head_dim;
    Vec out;
    for (int64_t h = 0; h < config_.num_heads; ++h) {
      const int64_t kv_head = h / (config_.num_heads / config_.num_kv_heads);
      const Vec query(q.begin() + h * dim, q.begin() + (h + 1) * dim);
      const Vec head = Attend(query, kv_head * dim, position);
      out.insert(out.end(), head.begin(), head.end());
    }
    return out;
  }

  void RunLayer(const LayerWeights& layer, std::vector<Vec>* hidden) {
    keys_.clear();
    values_.clear();
    Position position = 0;
    for (Vec& x : *hidden) {
      const Vec normed = Norm(x, layer.attention_norm);
      Vec q = MatMul(layer.q, normed, layer.q_bias);
      Vec k = MatMul(layer.k, normed, layer.k_bias);
      const Vec v = MatMul(layer.v, normed, layer.v_bias);
      Locate(&q, layer.q_norm, position);
      Locate(&k, layer.k_norm, position);
      finite_ = AppendKv(args_.kv_dtype, k, &keys_) && finite_;
      finite_ = AppendKv(args_.kv_dtype, v, &values_) && finite_;

      const Vec attended = MatMul(layer.o, AttendAll(q, position++), layer.o_bias);
      ops_.add(x.data(), attended.data(), config_.hidden);

      const Vec ffn_normed = Norm(x, layer.ffn_norm);
      const Vec gate = MatMul(layer.gate, ffn_normed, layer.gate_bias);
      Vec up = MatMul(layer.up, ffn_normed, layer.up_bias);
      ops_.silu_mul(gate.data(), up.data(), up.data(), config_.ffn);
      const Vec down = MatMul(layer.down, up, layer.down_bias);
      ops_.add(x.data(), down.data(), config_.hidden);
    }
  }

  static size_t Index(int64_t i) { return static_cast<size_t>(i); }

  const ReferenceArgs& args_;
  const ModelConfig& config_;
  const Ops& ops_;
  // Of the layer being run, rounded to the KV dtype: [position][kv_head * head_dim].
  Vec keys_, values_;
  bool finite_ = true;
};

}  // namespace

Result<std::vector<float>> ReferenceLogits(const ReferenceArgs& args,
                                           std::span<const TokenId> tokens) {
  return Reference(args).Run(tokens);
}

}  // namespace gyrator
