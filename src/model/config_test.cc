#include "model/config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>

#include "base/json.h"
#include "base/mapped_file.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "model/family.h"
#include "model/model_testing.h"
#include "model/rope.h"

namespace gyrator {
namespace {

Json GoldenConfig(const std::string& name) {
  return *ParseJson(*ReadSmallFile(GoldenPath(name) + "/config.json", 1 << 20));
}

Result<ModelConfig> FromJson(const Json& json) {
  GYRATOR_ASSIGN_OR_RETURN(const HfConfig source, ParseHfConfig(DumpJson(json)));
  return ConfigFromHf(source);
}

// The golden config with a JSON merge patch (RFC 7396: null removes a field).
Result<ModelConfig> Patched(const std::string& name, const std::string& patch) {
  Json json = GoldenConfig(name);
  json.merge_patch(*ParseJson(patch));
  return FromJson(json);
}

TEST(Config, ReadsTheSizesOfAFolder) {
  const auto config = FromJson(GoldenConfig("llama3"));
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ("llama", config->family);
  EXPECT_EQ(2, config->num_layers);
  EXPECT_EQ(64, config->hidden);
  EXPECT_EQ(4, config->num_heads);
  EXPECT_EQ(2, config->num_kv_heads);
  EXPECT_EQ(32, config->head_dim);
  EXPECT_EQ(96, config->ffn);
  EXPECT_EQ(256, config->vocab);
  EXPECT_EQ(1024, config->context_max);
  EXPECT_EQ(1e-5f, config->norm_eps);
  EXPECT_TRUE(config->tied_head);
  EXPECT_FALSE(config->qkv_bias);
  EXPECT_EQ(RopeStyle::kHalf, config->rope.style);
  EXPECT_EQ("llama3 factor=8 low=1 high=4 original=64", config->rope.scaling);
}

TEST(Config, FamiliesDifferWhereTransformersSaysSo) {
  const auto bias = FromJson(GoldenConfig("llama_bias"));
  EXPECT_TRUE(bias->qkv_bias && bias->output_bias && bias->ffn_bias && !bias->qk_norm);
  const auto qwen2 = FromJson(GoldenConfig("qwen2"));
  EXPECT_TRUE(qwen2->qkv_bias && !qwen2->output_bias && !qwen2->ffn_bias && !qwen2->qk_norm);
  const auto qwen3 = FromJson(GoldenConfig("qwen3"));
  EXPECT_TRUE(!qwen3->qkv_bias && qwen3->qk_norm);
  const auto biased = FromJson(GoldenConfig("qwen3_yarn"));
  EXPECT_TRUE(biased->qkv_bias && biased->output_bias);
  const auto mistral = Patched("mistral", R"({"attention_bias": true, "mlp_bias": true})");
  EXPECT_FALSE(mistral->qkv_bias || mistral->output_bias || mistral->ffn_bias);
}

TEST(Config, FillsInWhatTransformersFillsIn) {
  EXPECT_EQ(4, Patched("llama2", R"({"num_key_value_heads": null})")->num_kv_heads);
  EXPECT_EQ(16, Patched("llama2", R"({"head_dim": null})")->head_dim);
  EXPECT_EQ(128, Patched("qwen3", R"({"head_dim": null})")->head_dim);
  EXPECT_EQ(8, Patched("mistral", R"({"num_key_value_heads": null, "num_attention_heads": 8})")
                   ->num_kv_heads);
  EXPECT_EQ(1e-6f, Patched("llama2", R"({"rms_norm_eps": null})")->norm_eps);
  EXPECT_FALSE(Patched("llama3", R"({"tie_word_embeddings": null})")->tied_head);
  EXPECT_EQ(10000.0f, Patched("llama2", R"({"rope_theta": null})")->rope.theta);
}

TEST(Config, TellsTheSlidingWindow) {
  EXPECT_EQ(0, FromJson(GoldenConfig("mistral"))->sliding_window);  // null in the file
  EXPECT_EQ(7, Patched("mistral", R"({"sliding_window": 7})")->sliding_window);
  Json absent = GoldenConfig("mistral");
  absent.erase("sliding_window");
  EXPECT_EQ(4096, FromJson(absent)->sliding_window);
  // Llama has no such thing, whatever the file says.
  EXPECT_EQ(0, Patched("llama2", R"({"sliding_window": 7})")->sliding_window);
  // Qwen: only with use_sliding_window, and only if a layer slides.
  const std::string use = R"("use_sliding_window": true, "sliding_window": 7)";
  EXPECT_EQ(0, Patched("qwen2", R"({"sliding_window": 7})")->sliding_window);
  EXPECT_EQ(0, Patched("qwen2", "{" + use + "}")->sliding_window);  // layer_types: all full
  EXPECT_EQ(7, Patched("qwen2", "{" + use + R"(, "layer_types": ["full_attention",
      "sliding_attention"]})")
                   ->sliding_window);
  EXPECT_EQ(7, Patched("qwen2", "{" + use + R"(, "layer_types": null, "max_window_layers": 1})")
                   ->sliding_window);
  EXPECT_EQ(0, Patched("qwen2", "{" + use + R"(, "layer_types": null, "max_window_layers": 2})")
                   ->sliding_window);
}

struct BrokenConfig {
  const char* golden;
  const char* patch;
  Code code;
  const char* message;  // part of it
};

constexpr BrokenConfig kBroken[] = {
    {"llama2", R"({"model_type": "gpt2"})", Code::kUnsupported,
     "one of llama, mistral, qwen2, qwen3, found gpt2"},
    {"llama2", R"({"model_type": "mixtral"})", Code::kUnsupported, "mixtral"},
    {"llama2", R"({"model_type": null})", Code::kCorruption, "model_type"},
    {"llama2", R"({"architectures": ["LlamaForSequenceClassification"]})", Code::kUnsupported,
     "expected LlamaForCausalLM"},
    {"qwen2", R"({"architectures": ["Qwen2VLForConditionalGeneration"]})", Code::kUnsupported,
     "Qwen2VL"},
    {"llama2", R"({"quantization_config": {"bits": 4}})", Code::kUnsupported, "packed"},
    {"llama2", R"({"hidden_act": "gelu"})", Code::kUnsupported, "gelu"},
    {"llama2", R"({"hidden_size": null})", Code::kCorruption, "hidden_size"},
    {"llama2", R"({"num_hidden_layers": null})", Code::kCorruption, "num_hidden_layers"},
    {"llama2", R"({"num_attention_heads": null})", Code::kCorruption, "num_attention_heads"},
    {"llama2", R"({"intermediate_size": null})", Code::kCorruption, "intermediate_size"},
    {"llama2", R"({"vocab_size": null})", Code::kCorruption, "vocab_size"},
    {"llama2", R"({"max_position_embeddings": null})", Code::kCorruption, "max_position"},
    {"llama2", R"({"num_hidden_layers": 0})", Code::kCorruption, "layers: expected 1 to"},
    {"llama2", R"({"num_hidden_layers": 2000000000})", Code::kCorruption, "found 2000000000"},
    {"llama2", R"({"hidden_size": 2147483647})", Code::kCorruption, "hidden size"},
    {"llama2", R"({"vocab_size": 2147483647})", Code::kCorruption, "vocabulary size"},
    {"llama2", R"({"intermediate_size": 0})", Code::kCorruption, "feed-forward size"},
    {"llama2", R"({"head_dim": 2147483646})", Code::kCorruption, "head size"},
    {"llama2", R"({"head_dim": 15})", Code::kCorruption, "an even number"},
    {"llama2", R"({"head_dim": null, "hidden_size": 66})", Code::kCorruption, "a multiple of 4"},
    {"llama2", R"({"head_dim": null, "num_attention_heads": 0})", Code::kCorruption, "0 heads"},
    {"llama2", R"({"num_key_value_heads": 3})", Code::kCorruption, "a multiple of 3 kv heads"},
    {"llama2", R"({"num_key_value_heads": 0})", Code::kCorruption, "kv heads"},
    {"llama2", R"({"max_position_embeddings": 0})", Code::kCorruption, "context length"},
    {"llama2", R"({"rms_norm_eps": 0})", Code::kCorruption, "norm epsilon"},
    {"llama2", R"({"rms_norm_eps": -1e-5})", Code::kCorruption, "norm epsilon"},
    {"llama2", R"({"rope_theta": 0})", Code::kCorruption, "rope_theta"},
    {"llama2", R"({"rope_theta": 1.00000000001})", Code::kCorruption, "rope_theta"},
    {"llama2", R"({"rope_theta": 1e300})", Code::kCorruption, "rope_theta"},
    {"llama2", R"({"partial_rotary_factor": 0.5})", Code::kUnsupported, "partial_rotary_factor"},
    {"llama2", R"({"rope_scaling": {"type": "dynamic", "factor": 2}})", Code::kUnsupported,
     "found dynamic"},
    {"llama2", R"({"rope_scaling": {"type": "longrope", "factor": 2}})", Code::kUnsupported,
     "found longrope"},
    {"llama2", R"({"rope_scaling": {"type": "linear"}})", Code::kCorruption, "factor"},
    {"llama2", R"({"rope_scaling": {"type": "linear", "factor": 0}})", Code::kCorruption, "factor"},
    {"llama2", R"({"rope_scaling": {"type": "linear", "factor": -4}})", Code::kCorruption,
     "found -4"},
    {"llama2", R"({"rope_scaling": {"type": "yarn"}})", Code::kCorruption, "yarn: factor"},
    {"llama3", R"({"rope_parameters": {"low_freq_factor": null}})", Code::kCorruption,
     "low_freq_factor"},
    {"llama3", R"({"rope_parameters": {"high_freq_factor": 1.0}})", Code::kCorruption,
     "low_freq_factor < high_freq_factor"},
    {"llama3", R"({"rope_parameters": {"original_max_position_embeddings": 0}})", Code::kCorruption,
     "original_max_position_embeddings"},
    {"qwen3_yarn", R"({"rope_parameters": {"beta_slow": -1}})", Code::kCorruption, "beta_slow"},
    {"qwen3_yarn", R"({"rope_parameters": {"beta_fast": 0.5}})", Code::kCorruption, "beta_fast"},
    {"qwen3_yarn", R"({"rope_parameters": {"attention_factor": 0}})", Code::kCorruption,
     "attention_factor"},
    {"llama2", R"({"rope_parameters": {"full_attention": {"rope_type": "default"}}})",
     Code::kUnsupported, "rope_parameters: full_attention has rope parameters of its own"},
    {"llama2",
     R"({"model_type": "gemma3_text", "rope_parameters": {"full_attention": {}, "x": {}}})",
     Code::kUnsupported, "expected an architecture that is supported, one of"},
    {"llama2", R"({"model_type": "gemma3", "rope_scaling": {"full_attention": {"factor": 8}}})",
     Code::kUnsupported, "found gemma3"},
    {"llama2", R"({"model_type": "olmo3", "rope_parameters": {"sliding_attention": {}}})",
     Code::kUnsupported, "found olmo3"},
    {"qwen2", R"({"use_sliding_window": true, "layer_types": ["full_attention"]})",
     Code::kCorruption, "layer_types"},
    {"qwen2",
     R"({"use_sliding_window": true, "layer_types": ["full_attention", "chunked_attention"]})",
     Code::kUnsupported, "chunked_attention"},
};

TEST(Config, RefusesBrokenFoldersByName) {
  for (const BrokenConfig& broken : kBroken) {
    const auto config = Patched(broken.golden, broken.patch);
    ASSERT_FALSE(config.ok()) << broken.patch;
    EXPECT_EQ(broken.code, config.status().code()) << broken.patch << config.status().ToString();
    EXPECT_NE(std::string::npos, config.status().message().find(broken.message))
        << broken.patch << ": " << config.status().message();
  }
}

// Metadata of a small model, with changes by the test before it is written.
class GgufMetadata {
 public:
  GgufMetadata() {
    Int("block_count", 2).Int("context_length", 512).Int("embedding_length", 64);
    Int("feed_forward_length", 96).Int("attention.head_count", 4).Int("vocab_size", 256);
    floats_["attention.layer_norm_rms_epsilon"] = 1e-5f;
  }

  GgufMetadata& Arch(const std::string& arch) { return arch_ = arch, *this; }
  GgufMetadata& Int(const std::string& key, int32_t value) { return ints_[key] = value, *this; }
  GgufMetadata& Float(const std::string& key, float value) { return floats_[key] = value, *this; }
  GgufMetadata& Text(const std::string& key, const std::string& value) {
    return texts_[key] = value, *this;
  }
  GgufMetadata& Without(const std::string& key) {
    ints_.erase(key);
    floats_.erase(key);
    return *this;
  }
  GgufMetadata& Tensor(const std::string& name, std::vector<float> values) {
    return tensors_[name] = std::move(values), *this;
  }

  Result<ModelConfig> Read() const {
    GgufWriter writer;
    if (!arch_.empty()) writer.Set<std::string_view>("general.architecture", arch_);
    for (const auto& [key, value] : ints_) writer.Set<int32_t>(arch_ + "." + key, value);
    for (const auto& [key, value] : floats_) writer.Set<float>(arch_ + "." + key, value);
    for (const auto& [key, value] : texts_) writer.Set<std::string_view>(arch_ + "." + key, value);
    for (const auto& [name, values] : tensors_) {
      writer.AddTensor(name, DType::kF32, {static_cast<int64_t>(values.size())},
                       std::as_bytes(std::span(values)));
    }
    auto bytes = std::make_shared<std::string>();
    const Status written = writer.Write([&bytes](ByteSpan piece) {
      bytes->append(AsText(piece));
      return Status();
    });
    EXPECT_TRUE(written.ok()) << written.ToString();
    GYRATOR_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Parse(AsBytes(*bytes), bytes));
    return ConfigFromGguf(file);
  }

 private:
  std::string arch_ = "llama";
  std::map<std::string, int32_t> ints_;
  std::map<std::string, float> floats_;
  std::map<std::string, std::string> texts_;
  std::map<std::string, std::vector<float>> tensors_;
};

TEST(Config, ReadsGgufMetadata) {
  const auto llama = GgufMetadata().Read();
  ASSERT_TRUE(llama.ok()) << llama.status().ToString();
  EXPECT_EQ(RopeStyle::kInterleaved, llama->rope.style);
  EXPECT_EQ(4, llama->num_kv_heads);
  EXPECT_EQ(16, llama->head_dim);
  EXPECT_TRUE(llama->tied_head);
  EXPECT_FALSE(llama->qkv_bias);
  EXPECT_EQ("none", llama->rope.scaling);

  const auto qwen3 = GgufMetadata()
                         .Arch("qwen3")
                         .Int("attention.key_length", 32)
                         .Int("attention.value_length", 32)
                         .Int("attention.head_count_kv", 2)
                         .Float("rope.freq_base", 1e6f)
                         .Tensor("output.weight", {1})
                         .Read();
  ASSERT_TRUE(qwen3.ok()) << qwen3.status().ToString();
  EXPECT_EQ(RopeStyle::kHalf, qwen3->rope.style);
  EXPECT_EQ(32, qwen3->head_dim);
  EXPECT_EQ(2, qwen3->num_kv_heads);
  EXPECT_EQ(1e6f, qwen3->rope.theta);
  EXPECT_TRUE(qwen3->qk_norm);
  EXPECT_FALSE(qwen3->tied_head);
  EXPECT_TRUE(GgufMetadata().Arch("qwen2").Read()->qkv_bias);
  EXPECT_TRUE(GgufMetadata().Tensor("blk.0.attn_q.bias", {1}).Read()->qkv_bias);
  EXPECT_EQ(9, GgufMetadata().Int("attention.sliding_window", 9).Read()->sliding_window);
}

TEST(Config, ReadsGgufRopeScaling) {
  const auto plain = GgufMetadata().Read();
  for (const char* key : {"rope.scale_linear", "rope.scaling.factor"}) {
    const auto linear = GgufMetadata().Float(key, 4).Read();
    EXPECT_EQ(plain->rope.inv_freq[3] / 4, linear->rope.inv_freq[3]) << key;
  }
  const auto off =
      GgufMetadata().Float("rope.scaling.factor", 4).Text("rope.scaling.type", "none").Read();
  EXPECT_EQ(plain->rope.inv_freq, off->rope.inv_freq);
  const auto factors = GgufMetadata().Tensor("rope_freqs.weight", {1, 2, 1, 1, 1, 1, 1, 4}).Read();
  ASSERT_TRUE(factors.ok()) << factors.status().ToString();
  EXPECT_EQ(plain->rope.inv_freq[1] / 2, factors->rope.inv_freq[1]);
  EXPECT_EQ(plain->rope.inv_freq[7] / 4, factors->rope.inv_freq[7]);
}

TEST(Config, RefusesBrokenGgufMetadataByName) {
  const float kNan = std::numeric_limits<float>::quiet_NaN();
  const struct {
    GgufMetadata metadata;
    Code code;
    const char* message;
  } cases[] = {
      {GgufMetadata().Arch(""), Code::kCorruption, "general.architecture"},
      {GgufMetadata().Arch("gemma2"), Code::kUnsupported,
       "expected one of llama, qwen2, qwen3, found gemma2"},
      {GgufMetadata().Without("block_count"), Code::kCorruption, "llama.block_count"},
      {GgufMetadata().Without("attention.layer_norm_rms_epsilon"), Code::kCorruption, "epsilon"},
      {GgufMetadata().Without("vocab_size"), Code::kCorruption, "token_embd.weight"},
      {GgufMetadata().Int("block_count", -1), Code::kCorruption, "layers"},
      {GgufMetadata().Int("attention.head_count", 0), Code::kCorruption, "head"},
      {GgufMetadata().Int("attention.head_count_kv", 3), Code::kCorruption, "3 kv heads"},
      {GgufMetadata().Int("attention.key_length", 1 << 30), Code::kCorruption, "head size"},
      {GgufMetadata().Int("attention.value_length", 8), Code::kUnsupported, "value_length"},
      {GgufMetadata().Int("attention.sliding_window", -1), Code::kCorruption, "sliding_window"},
      {GgufMetadata().Int("expert_count", 8), Code::kUnsupported, "expert_count"},
      {GgufMetadata().Int("rope.dimension_count", 8), Code::kUnsupported, "dimension_count"},
      {GgufMetadata().Float("rope.freq_base", kNan), Code::kCorruption, "rope_theta"},
      {GgufMetadata().Float("rope.scaling.factor", kNan), Code::kCorruption, "factor"},
      {GgufMetadata().Float("rope.scaling.factor", INFINITY), Code::kCorruption, "factor"},
      {GgufMetadata().Text("rope.scaling.type", "longrope"), Code::kUnsupported, "longrope"},
      {GgufMetadata().Text("block_count", "2").Without("block_count"), Code::kCorruption,
       "block_count"},
      {GgufMetadata().Float("rope.scaling.yarn_ext_factor", 1), Code::kUnsupported, "yarn_ext"},
      {GgufMetadata().Float("attention.layer_norm_rms_epsilon", kNan), Code::kCorruption,
       "epsilon"},
      {GgufMetadata().Tensor("rope_freqs.weight", {1, 2}), Code::kCorruption, "expected 8 factors"},
      {GgufMetadata().Tensor("rope_freqs.weight", {1, 1, 1, 1, 1, 1, 1, 0}), Code::kCorruption,
       "positive"},
      {GgufMetadata().Tensor("rope_freqs.weight", std::vector<float>(5000, 1)), Code::kCorruption,
       "[5000]"},
  };
  int index = 0;
  for (const auto& broken : cases) {
    const auto config = broken.metadata.Read();
    ASSERT_FALSE(config.ok()) << "case " << index;
    EXPECT_EQ(broken.code, config.status().code()) << config.status().ToString();
    EXPECT_NE(std::string::npos, config.status().message().find(broken.message))
        << "case " << index << ": " << config.status().message();
    ++index;
  }
}

TEST(Rope, GivesTheScaledFrequenciesOfTransformers) {
  for (const char* name : kGoldenFolders) {
    const auto config = FromJson(GoldenConfig(name));
    ASSERT_TRUE(config.ok()) << name << config.status().ToString();
    const auto expected = ReadFloats(GoldenPath(name) + "/inv_freq.npy");
    EXPECT_TRUE(SameBits(config->rope.inv_freq, expected)) << name;
  }
}

// Many bases and head sizes. torch's vectorized power may err by a unit; ours is rounded once.
TEST(Rope, AgreesWithTransformersToTwoUnitsAndMostlyToTheBit) {
  constexpr size_t kRow = 2 + 128;  // theta, dim, frequencies
  const auto table = ReadFloats(GoldenPath("rope_table.npy"));
  ASSERT_EQ(0u, table.size() % kRow);
  size_t total = 0, equal = 0;
  for (size_t row = 0; row < table.size(); row += kRow) {
    HfRope rope;
    rope.theta = table[row];
    const auto made = MakeRope(rope, static_cast<int32_t>(table[row + 1]), 512);
    ASSERT_TRUE(made.ok()) << made.status().ToString();
    for (size_t i = 0; i < made->inv_freq.size(); ++i) {
      const auto ours = std::bit_cast<int32_t>(made->inv_freq[i]);
      const auto theirs = std::bit_cast<int32_t>(table[row + 2 + i]);
      EXPECT_LE(std::abs(ours - theirs), 2) << "theta " << rope.theta << " frequency " << i;
      equal += ours == theirs ? 1 : 0;
      ++total;
    }
  }
  EXPECT_GT(total, 2000u);
  EXPECT_GT(equal * 100, total * 99) << equal << " of " << total;
}

TEST(Rope, YarnAttentionFactor) {
  EXPECT_EQ(1.25f, FromJson(GoldenConfig("qwen3_yarn"))->rope.attention_factor);
  // 0.1 ln 4 + 1
  EXPECT_EQ(1.138629436f, FromJson(GoldenConfig("qwen2_yarn"))->rope.attention_factor);
  // DeepSeek's pair: (0.1 * 0.5 ln 4 + 1) / (0.1 ln 4 + 1)
  const auto paired = Patched("qwen2_yarn", R"({"rope_scaling": {"mscale": 0.5,
                                                "mscale_all_dim": 1.0}})");
  EXPECT_NEAR(0.9391244, paired->rope.attention_factor, 1e-6);
  // factor null: max_position_embeddings / original
  Json null_factor = GoldenConfig("qwen2_yarn");
  null_factor["rope_scaling"]["factor"] = nullptr;
  EXPECT_EQ("yarn factor=8 original=64 beta=32:1 attention=1.20794415",
            FromJson(null_factor)->rope.scaling);
}

// A field of ModelConfig or RopeConfig, a change of it, and the key of IdentityOf that must differ.
struct IdentityRow {
  const char* field;
  void (*change)(ModelConfig*);
  const char* key;  // empty: nothing that is computed depends on it
};
constexpr IdentityRow kIdentityRows[] = {
    {"family", [](ModelConfig* c) { c->family = "mistral"; }, "arch"},
    {"name", [](ModelConfig* c) { c->name = "other"; }, ""},
    {"num_layers", [](ModelConfig* c) { ++c->num_layers; }, "n_layers"},
    {"hidden", [](ModelConfig* c) { ++c->hidden; }, "hidden_size"},
    {"num_heads", [](ModelConfig* c) { ++c->num_heads; }, "n_heads"},
    {"num_kv_heads", [](ModelConfig* c) { ++c->num_kv_heads; }, "n_kv_heads"},
    {"head_dim", [](ModelConfig* c) { ++c->head_dim; }, "head_dim"},
    {"ffn", [](ModelConfig* c) { ++c->ffn; }, "ffn_size"},
    {"vocab", [](ModelConfig* c) { ++c->vocab; }, "vocab_size"},
    {"context_max", [](ModelConfig* c) { ++c->context_max; }, ""},
    {"sliding_window", [](ModelConfig* c) { ++c->sliding_window; }, "sliding_window"},
    {"norm_eps", [](ModelConfig* c) { c->norm_eps = std::nextafter(c->norm_eps, 1.0f); },
     "norm_eps"},
    {"tied_head", [](ModelConfig* c) { c->tied_head ^= true; }, "tied_head"},
    {"qkv_bias", [](ModelConfig* c) { c->qkv_bias ^= true; }, "qkv_bias"},
    {"output_bias", [](ModelConfig* c) { c->output_bias ^= true; }, "output_bias"},
    {"ffn_bias", [](ModelConfig* c) { c->ffn_bias ^= true; }, "ffn_bias"},
    {"qk_norm", [](ModelConfig* c) { c->qk_norm ^= true; }, "qk_norm"},
    {"rope.theta", [](ModelConfig* c) { c->rope.theta = std::nextafter(c->rope.theta, 0.0f); },
     "rope.theta"},
    {"rope.style", [](ModelConfig* c) { c->rope.style = RopeStyle::kInterleaved; }, "rope.style"},
    {"rope.rotary_dim", [](ModelConfig* c) { c->rope.rotary_dim -= 2; }, "rope.dim"},
    {"rope.inv_freq",
     [](ModelConfig* c) { c->rope.inv_freq[3] = std::nextafter(c->rope.inv_freq[3], 0.0f); },
     "rope.inv_freq_sha256"},
    {"rope.attention_factor",
     [](ModelConfig* c) {
       c->rope.attention_factor = std::nextafter(c->rope.attention_factor, 9.0f);
     },
     "rope.attention_factor"},
    {"rope.scaling", [](ModelConfig* c) { c->rope.scaling = "none"; }, "rope.scaling"},
};

// Does not compile when a field is added to either struct: the new field needs a row above, and its
// place in IdentityOf.
size_t NumFields(const ModelConfig& config) {
  [[maybe_unused]] const auto& [family, name, num_layers, hidden, num_heads, num_kv_heads, head_dim,
                                ffn, vocab, context_max, sliding_window, norm_eps, tied_head,
                                qkv_bias, output_bias, ffn_bias, qk_norm, rope] = config;
  [[maybe_unused]] const auto& [theta, style, rotary_dim, inv_freq, attention_factor, scaling] =
      rope;
  return 17 + 6;
}

TEST(Identity, EachFieldOfAConfigChangesItsKeyAndNoOther) {
  const ModelConfig config = *FromJson(GoldenConfig("qwen2_yarn"));
  EXPECT_EQ(NumFields(config), std::size(kIdentityRows));
  const KeyValues keys = IdentityOf(config);
  EXPECT_EQ(keys, IdentityOf(config));
  EXPECT_TRUE(keys.Check().ok());
  std::set<std::string> named;
  for (const IdentityRow& row : kIdentityRows) {
    ModelConfig other = config;
    row.change(&other);
    const KeyValues changed = IdentityOf(other);
    ASSERT_EQ(keys.lines().size(), changed.lines().size());
    for (size_t i = 0; i < keys.lines().size(); ++i) {
      const KeyValues::Line& line = keys.lines()[i];
      EXPECT_EQ(line.key == row.key, line != changed.lines()[i]) << row.field << ": " << line.key;
    }
    if (*row.key == '\0') continue;
    EXPECT_TRUE(named.insert(row.key).second) << row.key;
  }
  EXPECT_EQ(named.size(), keys.lines().size());  // each key is the one of some field
}

TEST(Identity, FloatsReadBackToTheSameBits) {
  ModelConfig config = *FromJson(GoldenConfig("llama2"));
  for (const float value : {1e-5f, 1e-6f, 0.1f, 1.1754944e-38f, 3e-45f, 0.99999994f}) {
    config.norm_eps = value;
    config.rope.theta = 1 / value;
    const KeyValues keys = IdentityOf(config);
    EXPECT_EQ(value, std::strtof(keys.Get("norm_eps")->c_str(), nullptr));
    EXPECT_EQ(1 / value, std::strtof(keys.Get("rope.theta")->c_str(), nullptr));
  }
}

TEST(PlainName, IsOneLineOfUtf8WithoutControls) {
  const struct {
    std::string name, expected;
  } cases[] = {
      {"SmolLM2 135M", "SmolLM2 135M"},
      {"", ""},
      {"a\nb", "a b"},
      {"\r\n\t a \n\n", "a"},
      {"x\x1b[31mred\x7f", "x [31mred"},
      {std::string("a\0b", 3), "a b"},
      {"a\xc2\x85"
       "b\xe2\x80\xa8"
       "c",
       "a b c"},
      {"bad \xff\xfe", "bad \xEF\xBF\xBD\xEF\xBF\xBD"},
      {"caf\xc3\xa9", "caf\xc3\xa9"},
      {std::string(199, 'x') + "\xc3\xa9", std::string(199, 'x')},
      {std::string(5000, 'y'), std::string(200, 'y')},
  };
  for (const auto& test : cases) {
    EXPECT_EQ(test.expected, PlainName(test.name)) << test.name;
    KeyValues keys;
    keys.Set("model", PlainName(test.name));
    EXPECT_TRUE(keys.Check().ok()) << test.name;
  }
}

}  // namespace
}  // namespace gyrator
