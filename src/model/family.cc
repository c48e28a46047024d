#include "model/family.h"

#include "base/check.h"

namespace gyrator {

namespace {

using C = ModelConfig;
using L = LayerWeights;
using W = Weights;
using Flag = bool ModelConfig::*;

constexpr TensorSpec Of(std::string_view hf, std::string_view gguf, Dim rows, Dim cols) {
  TensorSpec spec;
  spec.hf_name = hf;
  spec.gguf_name = gguf;
  spec.rows = rows;
  spec.cols = cols;
  return spec;
}

constexpr TensorSpec Model(TensorSpec spec, Matrix W::* target) {
  spec.model_matrix = target;
  return spec;
}

constexpr TensorSpec Model(TensorSpec spec, const float* W::* target) {
  spec.model_vector = target;
  return spec;
}

constexpr TensorSpec Layer(TensorSpec spec, Matrix L::* target) {
  spec.layer_matrix = target;
  return spec;
}

constexpr TensorSpec Layer(TensorSpec spec, const float* L::* target, Flag when = nullptr) {
  spec.layer_vector = target;
  spec.when = when;
  return spec;
}

constexpr TensorSpec Unless(TensorSpec spec, Flag flag) {
  spec.unless = flag;
  return spec;
}

constexpr Dim kVector = Dim::kOne;

// Hugging Face name, GGUF name, rows, columns; target, condition.
constexpr TensorSpec kDecoder[] = {
    Model(Of("model.embed_tokens.weight", "token_embd.weight", Dim::kVocab, Dim::kHidden),
          &W::embedding),
    Model(Of("model.norm.weight", "output_norm.weight", Dim::kHidden, kVector), &W::final_norm),
    Unless(Model(Of("lm_head.weight", "output.weight", Dim::kVocab, Dim::kHidden), &W::head),
           &C::tied_head),
    Layer(Of("model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight", Dim::kHidden,
             kVector),
          &L::attention_norm),
    Layer(Of("model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight", Dim::kQuery,
             Dim::kHidden),
          &L::q),
    Layer(Of("model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight", Dim::kKey,
             Dim::kHidden),
          &L::k),
    Layer(Of("model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight", Dim::kKey,
             Dim::kHidden),
          &L::v),
    Layer(Of("model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight", Dim::kHidden,
             Dim::kQuery),
          &L::o),
    Layer(Of("model.layers.{}.self_attn.q_proj.bias", "blk.{}.attn_q.bias", Dim::kQuery, kVector),
          &L::q_bias, &C::qkv_bias),
    Layer(Of("model.layers.{}.self_attn.k_proj.bias", "blk.{}.attn_k.bias", Dim::kKey, kVector),
          &L::k_bias, &C::qkv_bias),
    Layer(Of("model.layers.{}.self_attn.v_proj.bias", "blk.{}.attn_v.bias", Dim::kKey, kVector),
          &L::v_bias, &C::qkv_bias),
    Layer(Of("model.layers.{}.self_attn.o_proj.bias", "blk.{}.attn_output.bias", Dim::kHidden,
             kVector),
          &L::o_bias, &C::output_bias),
    Layer(Of("model.layers.{}.self_attn.q_norm.weight", "blk.{}.attn_q_norm.weight", Dim::kHeadDim,
             kVector),
          &L::q_norm, &C::qk_norm),
    Layer(Of("model.layers.{}.self_attn.k_norm.weight", "blk.{}.attn_k_norm.weight", Dim::kHeadDim,
             kVector),
          &L::k_norm, &C::qk_norm),
    Layer(Of("model.layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight",
             Dim::kHidden, kVector),
          &L::ffn_norm),
    Layer(Of("model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight", Dim::kFfn,
             Dim::kHidden),
          &L::gate),
    Layer(Of("model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight", Dim::kFfn, Dim::kHidden),
          &L::up),
    Layer(Of("model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight", Dim::kHidden,
             Dim::kFfn),
          &L::down),
    Layer(Of("model.layers.{}.mlp.gate_proj.bias", "blk.{}.ffn_gate.bias", Dim::kFfn, kVector),
          &L::gate_bias, &C::ffn_bias),
    Layer(Of("model.layers.{}.mlp.up_proj.bias", "blk.{}.ffn_up.bias", Dim::kFfn, kVector),
          &L::up_bias, &C::ffn_bias),
    Layer(Of("model.layers.{}.mlp.down_proj.bias", "blk.{}.ffn_down.bias", Dim::kHidden, kVector),
          &L::down_bias, &C::ffn_bias),
};

int64_t SizeOf(Dim dim, const ModelConfig& config) {
  switch (dim) {
    case Dim::kOne:
      return 1;
    case Dim::kHidden:
      return config.hidden;
    case Dim::kFfn:
      return config.ffn;
    case Dim::kVocab:
      return config.vocab;
    case Dim::kQuery:
      return int64_t{config.num_heads} * config.head_dim;
    case Dim::kKey:
      return int64_t{config.num_kv_heads} * config.head_dim;
    case Dim::kHeadDim:
      return config.head_dim;
  }
  return 0;
}

constexpr const Family* kFamilies[] = {&kLlama, &kMistral, &kQwen2, &kQwen3};

}  // namespace

std::span<const TensorSpec> DecoderTensors() { return kDecoder; }

std::span<const Family* const> AllFamilies() { return kFamilies; }

std::string TensorName(const TensorSpec& spec, SourceFormat format, int32_t layer) {
  const std::string_view pattern = format == SourceFormat::kGguf ? spec.gguf_name : spec.hf_name;
  std::string name(pattern);
  const size_t at = pattern.find("{}");
  if (at != std::string_view::npos) name.replace(at, 2, std::to_string(layer));
  return name;
}

Shape TensorShape(const TensorSpec& spec, const ModelConfig& config) {
  if (spec.is_vector()) return {SizeOf(spec.rows, config)};
  return {SizeOf(spec.rows, config), SizeOf(spec.cols, config)};
}

const Family& FamilyOf(const ModelConfig& config) {
  for (const Family* family : kFamilies) {
    if (family->name == config.family) return *family;
  }
  GYRATOR_CHECK(!"a config without a family");
  return kLlama;
}

}  // namespace gyrator
