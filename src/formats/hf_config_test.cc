#include "formats/hf_config.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace gyrator {
namespace {

TEST(HfConfig, ReadsRopeAsTransformers4WroteIt) {
  const auto config = ParseHfConfig(R"({
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64,
    "rope_theta": 500000, "torch_dtype": "bfloat16", "head_dim": null,
    "rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 1.0,
                     "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}})");
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ("llama", config->model_type);
  EXPECT_EQ("LlamaForCausalLM", config->architecture);
  EXPECT_EQ(64, config->hidden_size);
  EXPECT_FALSE(config->head_dim);
  EXPECT_EQ("llama3", config->rope.type);
  EXPECT_EQ(500000.0, config->rope.theta);
  EXPECT_EQ(8.0, config->rope.factor);
  EXPECT_EQ(8192, config->rope.original_max_position_embeddings);
}

TEST(HfConfig, ReadsRopeAsTransformers5WritesIt) {
  const auto config = ParseHfConfig(R"({
    "model_type": "qwen3", "dtype": "float32",
    "rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6, "factor": null,
                        "truncate": false}})");
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ("yarn", config->rope.type);
  EXPECT_EQ(1e6, config->rope.theta);
  EXPECT_FALSE(config->rope.factor);
  EXPECT_TRUE(config->rope.factor_given);
  EXPECT_EQ(false, config->rope.truncate);
}

// modeling_rope_utils.py: the dict's theta before the top level's, rope_scaling before
// rope_parameters, "rope_type" before "type", the top level's original length before the dict's.
TEST(HfConfig, PrefersWhatTransformersPrefers) {
  const auto config = ParseHfConfig(R"({
    "model_type": "llama", "rope_theta": 1.0, "original_max_position_embeddings": 7,
    "rope_parameters": {"rope_type": "yarn", "rope_theta": 2.0},
    "rope_scaling": {"type": "linear", "rope_type": "llama3", "rope_theta": 3.0,
                     "original_max_position_embeddings": 8}})");
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ("llama3", config->rope.type);
  EXPECT_EQ(3.0, config->rope.theta);
  EXPECT_EQ(7, config->rope.original_max_position_embeddings);
}

TEST(HfConfig, TellsAnAbsentWindowFromANullOne) {
  EXPECT_FALSE(ParseHfConfig(R"({"model_type": "mistral"})")->sliding_window_given);
  const auto config = ParseHfConfig(R"({"model_type": "mistral", "sliding_window": null})");
  EXPECT_TRUE(config->sliding_window_given);
  EXPECT_FALSE(config->sliding_window);
}

struct Broken {
  const char* json;
  Code code;
  const char* message;  // part of it
};

TEST(HfConfig, RefusesBrokenFilesByName) {
  const Broken cases[] = {
      {"", Code::kCorruption, "config.json"},
      {"[]", Code::kCorruption, "expected an object"},
      {R"({"model_type")", Code::kCorruption, "json"},
      {R"({})", Code::kCorruption, "model_type"},
      {R"({"model_type": 7})", Code::kCorruption, "model_type: expected a string, found 7"},
      {R"({"model_type": "llama", "hidden_size": "64"})", Code::kCorruption, "hidden_size"},
      {R"({"model_type": "llama", "hidden_size": 64.5})", Code::kCorruption, "hidden_size"},
      {R"({"model_type": "llama", "hidden_size": -1})", Code::kCorruption, "found -1"},
      {R"({"model_type": "llama", "hidden_size": 2147483648})", Code::kCorruption, "2147483648"},
      {R"({"model_type": "llama", "vocab_size": 18446744073709551615})", Code::kCorruption,
       "vocab_size"},
      {R"({"model_type": "llama", "vocab_size": 1e400})", Code::kCorruption, "json"},
      {R"({"model_type": "llama", "tie_word_embeddings": 1})", Code::kCorruption, "true or false"},
      {R"({"model_type": "llama", "rms_norm_eps": "1e-5"})", Code::kCorruption, "rms_norm_eps"},
      {R"({"model_type": "llama", "architectures": "Llama"})", Code::kCorruption, "architectures"},
      {R"({"model_type": "llama", "layer_types": [1]})", Code::kCorruption, "layer_types"},
      {R"({"model_type": "llama", "rope_scaling": "yarn"})", Code::kCorruption, "rope_scaling"},
      {R"({"model_type": "llama", "rope_scaling": {"type": "linear", "factor": "4"}})",
       Code::kCorruption, "factor"},
  };
  for (const Broken& broken : cases) {
    const auto config = ParseHfConfig(broken.json);
    ASSERT_FALSE(config.ok()) << broken.json;
    EXPECT_EQ(broken.code, config.status().code()) << broken.json;
    EXPECT_NE(std::string::npos, config.status().message().find(broken.message))
        << config.status().message();
  }
}

// Whether that is refused is for the model to say, which knows the architecture.
TEST(HfConfig, RopeParametersOfSomeLayersAreTold) {
  const auto config = ParseHfConfig(
      R"({"model_type": "gemma3_text", "rope_parameters": {"full_attention": {"rope_theta": 1e6}}})");
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ("rope_parameters: full_attention", config->rope.several);
  EXPECT_EQ(10000.0, config->rope.theta);
}

std::string Llama(const std::string& fields) {
  return R"({"model_type": "llama", )" + fields + "}";
}

TEST(HfConfig, ReadsEachFieldFromItsOwnName) {
  const auto config = ParseHfConfig(Llama(R"(
    "num_hidden_layers": 1, "hidden_size": 2, "num_attention_heads": 3, "num_key_value_heads": 4,
    "head_dim": 5, "intermediate_size": 6, "vocab_size": 7, "max_position_embeddings": 8,
    "max_window_layers": 9, "sliding_window": 10, "rms_norm_eps": 0.5, "hidden_act": "silu",
    "use_sliding_window": true, "tie_word_embeddings": false, "attention_bias": true,
    "mlp_bias": false, "layer_types": ["a", "b"], "partial_rotary_factor": 0.25,
    "rope_scaling": {"type": "yarn", "factor": 2, "low_freq_factor": 3, "high_freq_factor": 4,
      "attention_factor": 5, "beta_fast": 6, "beta_slow": 7, "mscale": 8, "mscale_all_dim": 9,
      "original_max_position_embeddings": 11, "truncate": true})"));
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ(1, config->num_hidden_layers);
  EXPECT_EQ(2, config->hidden_size);
  EXPECT_EQ(3, config->num_attention_heads);
  EXPECT_EQ(4, config->num_key_value_heads);
  EXPECT_EQ(5, config->head_dim);
  EXPECT_EQ(6, config->intermediate_size);
  EXPECT_EQ(7, config->vocab_size);
  EXPECT_EQ(8, config->max_position_embeddings);
  EXPECT_EQ(9, config->max_window_layers);
  EXPECT_EQ(10, config->sliding_window);
  EXPECT_EQ(0.5, config->rms_norm_eps);
  EXPECT_EQ("silu", config->hidden_act);
  EXPECT_EQ(true, config->use_sliding_window);
  EXPECT_EQ(false, config->tie_word_embeddings);
  EXPECT_EQ(true, config->attention_bias);
  EXPECT_EQ(false, config->mlp_bias);
  EXPECT_EQ((std::vector<std::string>{"a", "b"}), config->layer_types);
  EXPECT_FALSE(config->quantized);
  EXPECT_EQ(0.25, config->rope.partial_rotary_factor);
  EXPECT_EQ(2.0, config->rope.factor);
  EXPECT_EQ(3.0, config->rope.low_freq_factor);
  EXPECT_EQ(4.0, config->rope.high_freq_factor);
  EXPECT_EQ(5.0, config->rope.attention_factor);
  EXPECT_EQ(6.0, config->rope.beta_fast);
  EXPECT_EQ(7.0, config->rope.beta_slow);
  EXPECT_EQ(8.0, config->rope.mscale);
  EXPECT_EQ(9.0, config->rope.mscale_all_dim);
  EXPECT_EQ(11, config->rope.original_max_position_embeddings);
  EXPECT_EQ(true, config->rope.truncate);
}

TEST(HfConfig, NullIsAsAbsent) {
  const auto config = ParseHfConfig(Llama(R"(
    "hidden_size": null, "rms_norm_eps": null, "attention_bias": null, "hidden_act": null,
    "layer_types": null, "architectures": null, "rope_scaling": null, "rope_parameters": {},
    "quantization_config": null)"));
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_FALSE(config->hidden_size);
  EXPECT_FALSE(config->rms_norm_eps);
  EXPECT_FALSE(config->attention_bias);
  EXPECT_TRUE(config->layer_types.empty());
  EXPECT_TRUE(config->architecture.empty());
  EXPECT_FALSE(config->rope.factor_given);
  EXPECT_FALSE(config->quantized);
  EXPECT_TRUE(ParseHfConfig(Llama(R"("quantization_config": {})"))->quantized);
  // An empty set of parameters gives way to the other one.
  const auto second = ParseHfConfig(
      Llama(R"("rope_scaling": {}, "rope_parameters": {"rope_type": "linear", "factor": 2})"));
  ASSERT_TRUE(second.ok()) << second.status().ToString();
  EXPECT_EQ("linear", second->rope.type);
}

TEST(HfConfig, BoundsHoldToTheLastValue) {
  EXPECT_EQ(2147483647, ParseHfConfig(Llama(R"("vocab_size": 2147483647)"))->vocab_size);
  EXPECT_EQ(0, ParseHfConfig(Llama(R"("vocab_size": 0)"))->vocab_size);
  const auto layers = [](int count) {
    std::string list = "\"layer_types\": [";
    for (int i = 0; i < count; ++i) list += i > 0 ? ",\"a\"" : "\"a\"";
    return Llama(list + "]");
  };
  EXPECT_EQ(4096u, ParseHfConfig(layers(4096))->layer_types.size());
  const Status more = ParseHfConfig(layers(4097)).status();
  EXPECT_EQ(Code::kCorruption, more.code());
  EXPECT_NE(std::string::npos, more.message().find("at most 4096 entries, found 4097"));
}

TEST(HfConfig, OfALongValueTheBeginningIsShown) {
  const std::string shown(38, 'x');  // and the quotation marks
  const Status whole = ParseHfConfig(Llama("\"hidden_size\": \"" + shown + "\"")).status();
  EXPECT_TRUE(whole.message().ends_with("found \"" + shown + "\"")) << whole.ToString();
  const Status cut = ParseHfConfig(Llama("\"hidden_size\": \"" + shown + "y\"")).status();
  EXPECT_TRUE(cut.message().ends_with("found \"" + shown + "y...")) << cut.ToString();
}

TEST(HfConfig, RefusesDeepNesting) {
  const auto nested = [](size_t levels) {
    return Llama("\"x\": " + std::string(levels, '[') + std::string(levels, ']'));
  };
  EXPECT_TRUE(ParseHfConfig(nested(31)).ok());  // the document is the first level
  EXPECT_EQ(Code::kCorruption, ParseHfConfig(nested(32)).status().code());
  EXPECT_EQ(Code::kCorruption, ParseHfConfig(nested(100)).status().code());
}

}  // namespace
}  // namespace gyrator
