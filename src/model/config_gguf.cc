// ModelConfig out of GGUF metadata. Keys: ggml docs/gguf.md, llama.cpp llama-arch.cpp.
#include <bit>
#include <cmath>
#include <cstring>

#include "model/family.h"
#include "model/rope.h"
#include "tensor/dtype.h"

namespace gyrator {

namespace {

constexpr size_t kRopeFactorBytesMax = 4096;

// Metadata of one architecture: "<arch>.<key>".
class Keys {
 public:
  Keys(const GgufFile& file, std::string_view arch)
      : file_(file), prefix_(std::string(arch) + ".") {}

  bool Has(std::string_view key) const { return file_.Has(Full(key)); }

  template <class T>
  Status Read(std::string_view key, T* out) const {
    if (!Has(key)) {
      return Status::Corruption("gguf: metadata " + Full(key) +
                                ": expected a value, found nothing");
    }
    GYRATOR_ASSIGN_OR_RETURN(*out, file_.Get<T>(Full(key)));
    return {};
  }

  // Leaves *out as it is when the key is absent.
  template <class T>
  Status ReadIfThere(std::string_view key, T* out) const {
    return Has(key) ? Read(key, out) : Status();
  }

  template <class T>
  Status ReadIfThere(std::string_view key, std::optional<T>* out) const {
    if (!Has(key)) return {};
    T value{};
    GYRATOR_RETURN_IF_ERROR(Read(key, &value));
    *out = value;
    return {};
  }

  std::string Full(std::string_view key) const { return prefix_ + std::string(key); }

 private:
  const GgufFile& file_;
  std::string prefix_;
};

Result<const Family*> FindFamily(const GgufFile& file) {
  constexpr std::string_view kKey = "general.architecture";
  if (!file.Has(kKey)) {
    return Status::Corruption(
        "gguf: metadata general.architecture: expected a name, found nothing");
  }
  GYRATOR_ASSIGN_OR_RETURN(const std::string_view arch, file.Get<std::string_view>(kKey));
  std::string known;
  for (const Family* family : AllFamilies()) {
    if (family->gguf_arch.empty()) continue;
    if (family->gguf_arch == arch) return family;
    known += (known.empty() ? "" : ", ") + std::string(family->gguf_arch);
  }
  return Status::Unsupported("gguf: general.architecture: expected one of " + known + ", found " +
                             std::string(arch.substr(0, 60)));
}

Status ReadSizes(const Keys& keys, const TensorIndex& tensors, ModelConfig* config) {
  GYRATOR_RETURN_IF_ERROR(keys.Read("block_count", &config->num_layers));
  GYRATOR_RETURN_IF_ERROR(keys.Read("embedding_length", &config->hidden));
  GYRATOR_RETURN_IF_ERROR(keys.Read("feed_forward_length", &config->ffn));
  GYRATOR_RETURN_IF_ERROR(keys.Read("attention.head_count", &config->num_heads));
  GYRATOR_RETURN_IF_ERROR(keys.Read("context_length", &config->context_max));
  GYRATOR_RETURN_IF_ERROR(keys.Read("attention.layer_norm_rms_epsilon", &config->norm_eps));
  config->num_kv_heads = config->num_heads;
  GYRATOR_RETURN_IF_ERROR(keys.ReadIfThere("attention.head_count_kv", &config->num_kv_heads));
  GYRATOR_RETURN_IF_ERROR(keys.ReadIfThere("attention.sliding_window", &config->sliding_window));
  if (config->num_heads > 0) config->head_dim = config->hidden / config->num_heads;
  GYRATOR_RETURN_IF_ERROR(keys.ReadIfThere("attention.key_length", &config->head_dim));
  int32_t value_length = config->head_dim;
  GYRATOR_RETURN_IF_ERROR(keys.ReadIfThere("attention.value_length", &value_length));
  int32_t experts = 0;
  GYRATOR_RETURN_IF_ERROR(keys.ReadIfThere("expert_count", &experts));
  if (value_length != config->head_dim) {
    return Status::Unsupported("gguf: " + keys.Full("attention.value_length") +
                               ": expected the key length " + std::to_string(config->head_dim) +
                               ", found " + std::to_string(value_length));
  }
  if (experts != 0) {
    return Status::Unsupported("gguf: " + keys.Full("expert_count") +
                               ": expected a dense model, found " + std::to_string(experts));
  }
  if (config->sliding_window < 0) {
    return Status::Corruption("gguf: " + keys.Full("attention.sliding_window") +
                              ": expected 0 or more, found " +
                              std::to_string(config->sliding_window));
  }
  if (keys.Has("vocab_size")) return keys.Read("vocab_size", &config->vocab);
  // Files without the key: the embedding says it.
  const auto embedding = tensors.Get("token_embd.weight");
  if (embedding.ok() && embedding->shape.size() == 2 && embedding->shape[0] <= INT32_MAX) {
    config->vocab = static_cast<int32_t>(embedding->shape[0]);
    return {};
  }
  return Status::Corruption("gguf: tensor token_embd.weight: expected a matrix, found none");
}

// The rope scaling keys in the words of transformers.
Status ReadRope(const Keys& keys, int32_t head_dim, HfRope* rope) {
  GYRATOR_RETURN_IF_ERROR(keys.ReadIfThere("rope.freq_base", &rope->theta));
  int32_t rotary_dim = head_dim;
  GYRATOR_RETURN_IF_ERROR(keys.ReadIfThere("rope.dimension_count", &rotary_dim));
  if (rotary_dim != head_dim) {
    return Status::Unsupported("gguf: " + keys.Full("rope.dimension_count") +
                               ": expected the head size " + std::to_string(head_dim) + ", found " +
                               std::to_string(rotary_dim));
  }
  GYRATOR_RETURN_IF_ERROR(keys.ReadIfThere("rope.scale_linear", &rope->factor));  // files of 2023
  GYRATOR_RETURN_IF_ERROR(keys.ReadIfThere("rope.scaling.factor", &rope->factor));
  std::string_view type = rope->factor ? "linear" : "none";
  GYRATOR_RETURN_IF_ERROR(keys.ReadIfThere("rope.scaling.type", &type));
  rope->type = type == "none" ? "default" : std::string(type.substr(0, 60));
  GYRATOR_RETURN_IF_ERROR(keys.ReadIfThere("rope.scaling.original_context_length",
                                           &rope->original_max_position_embeddings));
  GYRATOR_RETURN_IF_ERROR(keys.ReadIfThere("rope.scaling.yarn_beta_fast", &rope->beta_fast));
  GYRATOR_RETURN_IF_ERROR(keys.ReadIfThere("rope.scaling.yarn_beta_slow", &rope->beta_slow));
  for (std::string_view key :
       {"rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor", "rope.scaling.yarn_ext_factor",
        "rope.scaling.yarn_log_multiplier"}) {
    if (keys.Has(key)) {
      return Status::Unsupported("gguf: " + keys.Full(key) + ": expected no such key, found one");
    }
  }
  return {};
}

// rope_freqs.weight, f32 [head_dim / 2], when the file has one.
Status ApplyFactors(const TensorIndex& tensors, RopeConfig* rope) {
  if (!tensors.Contains("rope_freqs.weight")) return {};
  GYRATOR_ASSIGN_OR_RETURN(const TensorView view, tensors.Get("rope_freqs.weight"));
  if (view.dtype != DType::kF32 || view.bytes.size() > kRopeFactorBytesMax) {
    return Status::Corruption("rope_freqs.weight: expected f32 [" +
                              std::to_string(rope->inv_freq.size()) + "], found " +
                              std::string(DTypeName(view.dtype)) + " " + ShapeText(view.shape));
  }
  std::vector<float> factors(view.bytes.size() / sizeof(float));
  if (!factors.empty()) std::memcpy(factors.data(), view.bytes.data(), view.bytes.size());
  rope->scaling += " rope_freqs";
  return DivideFrequencies(factors, rope);
}

}  // namespace

Result<ModelConfig> ConfigFromGguf(const GgufFile& file) {
  GYRATOR_ASSIGN_OR_RETURN(const Family* family, FindFamily(file));
  const Keys keys(file, family->gguf_arch);
  const TensorIndex& tensors = file.tensors();
  ModelConfig config;
  config.family = family->name;
  GYRATOR_ASSIGN_OR_RETURN(const std::string_view name,
                           file.GetOr<std::string_view>("general.name", ""));
  config.name = PlainName(name);
  GYRATOR_RETURN_IF_ERROR(ReadSizes(keys, tensors, &config));
  config.tied_head = !tensors.Contains("output.weight");
  config.qkv_bias = family->qkv_bias == BiasRule::kAlways || tensors.Contains("blk.0.attn_q.bias");
  config.output_bias = tensors.Contains("blk.0.attn_output.bias");
  config.ffn_bias = tensors.Contains("blk.0.ffn_up.bias");
  config.qk_norm = family->qk_norm;
  GYRATOR_RETURN_IF_ERROR(CheckSizes(config));

  HfRope rope;
  GYRATOR_RETURN_IF_ERROR(ReadRope(keys, config.head_dim, &rope));
  auto made = MakeRope(rope, config.head_dim, config.context_max);
  if (!made.ok()) return std::move(made).status().Annotate("gguf");
  config.rope = *std::move(made);
  config.rope.style = family->gguf_rope;
  GYRATOR_RETURN_IF_ERROR(ApplyFactors(tensors, &config.rope));
  GYRATOR_RETURN_IF_ERROR(CheckConfig(config));
  return config;
}

}  // namespace gyrator
