#include "export.h"

#include <sys/stat.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "formats/gguf_writer.h"
#include "model/weights.h"
#include "rows.h"

namespace gyrator::train {
namespace {

constexpr const char* kModelName = "Gyrator Chat";

struct Place {
  std::string ours;   // Hugging Face's name
  std::string ggufs;  // llama.cpp's
  int32_t permuted_heads = 0;
};

std::vector<Place> Places(const DecoderConfig& config) {
  std::vector<Place> places = {{"model.embed_tokens.weight", "token_embd.weight"}};
  for (int32_t i = 0; i < config.num_layers; ++i) {
    const std::string from = "model.layers." + std::to_string(i) + ".",
                      to = "blk." + std::to_string(i) + ".";
    places.push_back({from + "input_layernorm.weight", to + "attn_norm.weight"});
    places.push_back({from + "self_attn.q_proj.weight", to + "attn_q.weight", config.num_heads});
    places.push_back({from + "self_attn.k_proj.weight", to + "attn_k.weight", config.num_kv_heads});
    places.push_back({from + "self_attn.v_proj.weight", to + "attn_v.weight"});
    places.push_back({from + "self_attn.o_proj.weight", to + "attn_output.weight"});
    places.push_back({from + "post_attention_layernorm.weight", to + "ffn_norm.weight"});
    places.push_back({from + "mlp.gate_proj.weight", to + "ffn_gate.weight"});
    places.push_back({from + "mlp.up_proj.weight", to + "ffn_up.weight"});
    places.push_back({from + "mlp.down_proj.weight", to + "ffn_down.weight"});
  }
  places.push_back({"model.norm.weight", "output_norm.weight"});
  return places;
}

std::vector<float> Floats(const TensorView& view) {
  std::vector<float> out(view.bytes.size() / sizeof(float));
  std::memcpy(out.data(), view.bytes.data(), view.bytes.size());
  return out;
}

// Rows of one head: [0, d/2) and [d/2, d) interleaved (llama.cpp, conversion of Llama).
std::vector<float> PermuteRows(const std::vector<float>& rows, int64_t cols, int32_t heads) {
  std::vector<float> out(rows.size());
  const int64_t dim = static_cast<int64_t>(rows.size()) / cols / heads, half = dim / 2;
  for (int64_t head = 0; head < heads; ++head) {
    for (int64_t i = 0; i < half; ++i) {
      for (int64_t side = 0; side < 2; ++side) {
        const int64_t from = head * dim + side * half + i, to = head * dim + 2 * i + side;
        std::memcpy(&out[static_cast<size_t>(to * cols)], &rows[static_cast<size_t>(from * cols)],
                    static_cast<size_t>(cols) * sizeof(float));
      }
    }
  }
  return out;
}

Result<std::vector<BlockQ8_0>> Quantize(const std::vector<float>& values, const std::string& name) {
  std::vector<BlockQ8_0> blocks(values.size() / 32);
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (!QuantizeQ8_0(&values[i * 32], &blocks[i]))
      return Status::Corruption(name + ": a weight is not finite");
  }
  return blocks;
}

void SetModelKeys(const DecoderConfig& c, GgufWriter& writer) {
  const auto u32 = [&](const char* key, int32_t value) {
    writer.Set<uint32_t>(key, static_cast<uint32_t>(value));
  };
  writer.Set<std::string_view>("general.architecture", "llama");
  writer.Set<std::string_view>("general.type", "model");
  writer.Set<std::string_view>("general.name", kModelName);
  writer.Set<std::string_view>("general.description",
                               "Chats in short English sentences and recalls what it was told");
  writer.Set<std::string_view>("general.license", "apache-2.0");
  u32("general.quantization_version", 2);
  u32("general.file_type", 7);  // mostly Q8_0
  u32("llama.block_count", c.num_layers);
  u32("llama.context_length", c.context_max);
  u32("llama.embedding_length", c.hidden);
  u32("llama.feed_forward_length", c.ffn);
  u32("llama.attention.head_count", c.num_heads);
  u32("llama.attention.head_count_kv", c.num_kv_heads);
  u32("llama.rope.dimension_count", c.head_dim);
  u32("llama.vocab_size", c.vocab);
  writer.Set<float>("llama.rope.freq_base", c.rope_theta);
  writer.Set<float>("llama.attention.layer_norm_rms_epsilon", c.norm_eps);
}

void SetTokenizerKeys(const BpeVocab& vocab, GgufWriter& writer) {
  constexpr int32_t kNormal = 1, kControl = 3;
  std::vector<int32_t> types(static_cast<size_t>(vocab.size()), kNormal);
  std::fill(types.end() - vocab.num_specials(), types.end(), kControl);
  writer.Set<std::string_view>("tokenizer.ggml.model", "gpt2");
  writer.Set<std::string_view>("tokenizer.ggml.pre", "qwen2");
  writer.SetArray<std::string>("tokenizer.ggml.tokens", vocab.tokens());
  writer.SetArray<int32_t>("tokenizer.ggml.token_type", types);
  writer.SetArray<std::string>("tokenizer.ggml.merges", vocab.MergeTexts());
  writer.Set<uint32_t>("tokenizer.ggml.eos_token_id",
                       static_cast<uint32_t>(vocab.SpecialId("<|end|>")));
  writer.Set<bool>("tokenizer.ggml.add_bos_token", false);
  writer.Set<std::string_view>("tokenizer.chat_template", kChatTemplate);
}

Json ConfigJson(const DecoderConfig& c, const BpeVocab& vocab) {
  return {{"architectures", Json::array({"LlamaForCausalLM"})},
          {"model_type", "llama"},
          {"hidden_size", c.hidden},
          {"intermediate_size", c.ffn},
          {"num_hidden_layers", c.num_layers},
          {"num_attention_heads", c.num_heads},
          {"num_key_value_heads", c.num_kv_heads},
          {"head_dim", c.head_dim},
          {"hidden_act", "silu"},
          {"max_position_embeddings", c.context_max},
          {"rms_norm_eps", c.norm_eps},
          {"rope_theta", c.rope_theta},
          {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", c.rope_theta}}},
          {"tie_word_embeddings", true},
          {"attention_bias", false},
          {"mlp_bias", false},
          {"vocab_size", c.vocab},
          {"dtype", "float32"},
          {"bos_token_id", nullptr},
          {"eos_token_id", vocab.SpecialId("<|end|>")}};
}

Status WriteJson(const std::string& path, const Json& json) {
  return WriteWholeFile(
      path, [&](const ByteSink& sink) { return sink(AsBytes(DumpJson(json, 2) + "\n")); });
}

}  // namespace

Status ExportGguf(const CheckpointFile& checkpoint, const BpeVocab& vocab,
                  const std::string& path) {
  GgufWriter writer;
  SetModelKeys(checkpoint.config, writer);
  SetTokenizerKeys(vocab, writer);
  std::vector<std::vector<BlockQ8_0>> quantized;
  const std::vector<Place> places = Places(checkpoint.config);
  quantized.reserve(places.size());  // spans point into it
  for (const Place& place : places) {
    GYRATOR_ASSIGN_OR_RETURN(const TensorView view, checkpoint.tensors.Get(place.ours));
    if (view.shape.size() == 1) {
      writer.AddTensor(place.ggufs, DType::kF32, view.shape, view.bytes);
      continue;
    }
    std::vector<float> values = Floats(view);
    if (place.permuted_heads > 0) values = PermuteRows(values, view.shape[1], place.permuted_heads);
    GYRATOR_ASSIGN_OR_RETURN(auto blocks, Quantize(values, place.ours));
    quantized.push_back(std::move(blocks));
    writer.AddTensor(place.ggufs, DType::kQ8_0, view.shape,
                     std::as_bytes(std::span(quantized.back())));
  }
  return writer.WriteFile(path);
}

Status ExportHuggingFace(const CheckpointFile& checkpoint, const BpeVocab& vocab,
                         const std::string& folder) {
  if (mkdir(folder.c_str(), 0777) != 0 && errno != EEXIST)
    return Status::Io("cannot create " + folder);
  const TokenId end = vocab.SpecialId("<|end|>");
  GYRATOR_RETURN_IF_ERROR(WriteJson(folder + "/config.json", ConfigJson(checkpoint.config, vocab)));
  GYRATOR_RETURN_IF_ERROR(
      WriteJson(folder + "/generation_config.json", {{"eos_token_id", end}, {"do_sample", false}}));
  GYRATOR_RETURN_IF_ERROR(WriteJson(folder + "/tokenizer.json", vocab.ToJson()));
  GYRATOR_RETURN_IF_ERROR(WriteJson(folder + "/tokenizer_config.json",
                                    {{"tokenizer_class", "PreTrainedTokenizerFast"},
                                     {"eos_token", "<|end|>"},
                                     {"model_max_length", checkpoint.config.context_max},
                                     {"clean_up_tokenization_spaces", false},
                                     {"chat_template", kChatTemplate}}));
  SafetensorsWriter writer;
  writer.SetMetadata("format", "pt");
  for (const Place& place : Places(checkpoint.config)) {
    GYRATOR_ASSIGN_OR_RETURN(const TensorView view, checkpoint.tensors.Get(place.ours));
    writer.AddTensor(place.ours, view.dtype, view.shape, view.bytes);
  }
  return writer.WriteFile(folder + "/model.safetensors");
}

}  // namespace gyrator::train
