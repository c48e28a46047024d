#include "formats/hf_config.h"

#include <gtest/gtest.h>

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

TEST(HfConfig, RefusesDeepNesting) {
  const std::string deep =
      R"({"model_type": "llama", "x": )" + std::string(100, '[') + std::string(100, ']') + "}";
  EXPECT_EQ(Code::kCorruption, ParseHfConfig(deep).status().code());
}

}  // namespace
}  // namespace gyrator
