#include "export.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "card.h"
#include "formats/gguf.h"
#include "random.h"
#include "rows.h"
#include "tensor/dtype.h"

namespace gyrator::train {
namespace {

DecoderConfig SmallConfig() {
  return {.num_layers = 1,
          .hidden = 64,
          .num_heads = 2,
          .num_kv_heads = 1,
          .head_dim = 32,
          .ffn = 96,
          .vocab = 288};
}

const BpeVocab& SmallVocab() {
  static const BpeVocab* vocab = [] {
    auto trained =
        BpeVocab::Train(VocabText(1, 10), 288, {std::begin(kSpecials), std::end(kSpecials)});
    return new BpeVocab(*std::move(trained));
  }();
  return *vocab;
}

// A checkpoint with random weights, and what was put in.
struct Made {
  std::string path = testing::TempDir() + "made.safetensors";
  std::map<std::string, std::vector<float>> weights;
};

Made MakeCheckpoint() {
  const DecoderConfig c = SmallConfig();
  const std::string layer = "model.layers.0.";
  const std::vector<std::pair<std::string, Shape>> tensors = {
      {"model.embed_tokens.weight", {c.vocab, 64}},
      {layer + "input_layernorm.weight", {64}},
      {layer + "self_attn.q_proj.weight", {64, 64}},
      {layer + "self_attn.k_proj.weight", {32, 64}},
      {layer + "self_attn.v_proj.weight", {32, 64}},
      {layer + "self_attn.o_proj.weight", {64, 64}},
      {layer + "post_attention_layernorm.weight", {64}},
      {layer + "mlp.gate_proj.weight", {96, 64}},
      {layer + "mlp.up_proj.weight", {96, 64}},
      {layer + "mlp.down_proj.weight", {64, 96}},
      {"model.norm.weight", {64}}};
  Made made;
  Random random(4);
  SafetensorsWriter writer;
  DescribeCheckpoint(c, {.seed = 7, .step = 3, .tokens = 6144}, writer);
  for (const auto& [name, shape] : tensors) {
    std::vector<float>& values = made.weights[name];
    for (int64_t i = 0; i < *NumElements(shape); ++i)
      values.push_back(static_cast<float>(random.Uniform() - 0.5));
    writer.AddTensor(name, DType::kF32, shape, std::as_bytes(std::span(values)));
  }
  EXPECT_TRUE(writer.WriteFile(made.path).ok());
  return made;
}

float Dequantized(const TensorView& view, int64_t row, int64_t col) {
  const auto* blocks = reinterpret_cast<const BlockQ8_0*>(view.bytes.data());
  const BlockQ8_0& block = blocks[(row * view.shape[1] + col) / 32];
  return F16ToF32(block.scale) * static_cast<float>(block.q[col % 32]);
}

TEST(Checkpoint, DescribesItself) {
  const auto file = OpenCheckpoint(MakeCheckpoint().path);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ(file->config.ffn, 96);
  EXPECT_EQ(file->config.rope_theta, SmallConfig().rope_theta);
  EXPECT_EQ(file->progress.seed, 7u);
  EXPECT_EQ(file->progress.step, 3);
  EXPECT_EQ(file->progress.tokens, 6144);
}

TEST(ExportGguf, HoldsWeightsAndTokenizer) {
  const Made made = MakeCheckpoint();
  const auto checkpoint = OpenCheckpoint(made.path);
  ASSERT_TRUE(checkpoint.ok());
  const std::string path = testing::TempDir() + "made.gguf";
  ASSERT_TRUE(ExportGguf(*checkpoint, SmallVocab(), path).ok());
  const auto file = GgufFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ(*file->Get<std::string_view>("general.architecture"), "llama");
  EXPECT_EQ(*file->Get<int32_t>("llama.attention.head_count_kv"), 1);
  EXPECT_EQ(*file->Get<std::string_view>("tokenizer.chat_template"), kChatTemplate);
  EXPECT_EQ(*file->Get<int32_t>("tokenizer.ggml.eos_token_id"), SmallVocab().SpecialId("<|end|>"));
  EXPECT_EQ(file->tensors().entries().size(), made.weights.size());

  const auto down = file->tensors().Get("blk.0.ffn_down.weight");
  ASSERT_TRUE(down.ok());
  EXPECT_EQ(down->dtype, DType::kQ8_0);
  const std::vector<float>& values = made.weights.at("model.layers.0.mlp.down_proj.weight");
  for (int64_t i = 0; i < 64 * 96; ++i) {
    EXPECT_NEAR(Dequantized(*down, i / 96, i % 96), values[static_cast<size_t>(i)],
                0.6 * 0.5 / 127);
  }
  // Row 2 i + side of a head in the file is row i + side * 16 of the head here.
  const auto q = file->tensors().Get("blk.0.attn_q.weight");
  ASSERT_TRUE(q.ok());
  const std::vector<float>& queries = made.weights.at("model.layers.0.self_attn.q_proj.weight");
  for (int64_t head = 0; head < 2; ++head) {
    for (int64_t i = 0; i < 32; ++i) {
      EXPECT_NEAR(Dequantized(*q, head * 32 + i, 5),
                  queries[static_cast<size_t>((head * 32 + i / 2 + (i % 2) * 16) * 64 + 5)],
                  0.6 * 0.5 / 127);
    }
  }
}

TEST(ExportGguf, RefusesWhatIsNotFiniteOrMissing) {
  Made made = MakeCheckpoint();
  SafetensorsWriter writer;
  DescribeCheckpoint(SmallConfig(), {}, writer);
  std::vector<float> values(288 * 64, NAN);
  writer.AddTensor("model.embed_tokens.weight", DType::kF32, {288, 64},
                   std::as_bytes(std::span(values)));
  ASSERT_TRUE(writer.WriteFile(made.path).ok());
  const auto checkpoint = OpenCheckpoint(made.path);
  ASSERT_TRUE(checkpoint.ok());
  const std::string path = testing::TempDir() + "refused.gguf";
  EXPECT_EQ(ExportGguf(*checkpoint, SmallVocab(), path).code(), Code::kCorruption);
  EXPECT_EQ(ExportHuggingFace(*checkpoint, SmallVocab(), testing::TempDir() + "refused").code(),
            Code::kNotFound);
  EXPECT_NE(access(path.c_str(), F_OK), 0);
}

TEST(ExportHuggingFace, WritesTheFolder) {
  const Made made = MakeCheckpoint();
  const auto checkpoint = OpenCheckpoint(made.path);
  const std::string folder = testing::TempDir() + "folder";
  ASSERT_TRUE(ExportHuggingFace(*checkpoint, SmallVocab(), folder).ok());
  const auto weights = OpenSafetensorsFolder(folder);
  ASSERT_TRUE(weights.ok());
  EXPECT_EQ(weights->entries().size(), made.weights.size());
  std::ifstream file(folder + "/config.json");
  const auto json = ParseJson(std::string(std::istreambuf_iterator<char>(file), {}));
  ASSERT_TRUE(json.ok());
  EXPECT_EQ((*json)["rope_parameters"]["rope_theta"].get<double>(), 100000.0);
}

TEST(Card, ReadsTheLogAndDropsWhatWasRepeated) {
  const std::string path = testing::TempDir() + "log.jsonl";
  std::ofstream(path) << R"({"step":1,"tokens":100,"loss":5.0})"
                         "\n"
                         R"({"step":2,"tokens":200,"loss":4.0})"
                         "\n"
                      << R"({"step":2,"tokens":150,"loss":4.5})"
                         "\n"
                         R"({"step":2,"tokens":150,"recall":{"fact":[3,4]}})"
                         "\n";
  const auto log = ReadLog(path);
  ASSERT_TRUE(log.ok()) << log.status().ToString();
  ASSERT_EQ(log->size(), 3u);
  EXPECT_EQ((*log)[1].loss, 4.5);
  EXPECT_EQ((*log)[2].recall, 0.75);
  const std::string svg = DrawCurve(*log);
  EXPECT_NE(svg.find("<polyline"), std::string::npos);
  std::ofstream(path) << "{\n";
  EXPECT_EQ(ReadLog(path).status().code(), Code::kCorruption);
  EXPECT_EQ(ReadLog(path + "x").status().code(), Code::kNotFound);
}

TEST(Card, IsWritten) {
  const Made made = MakeCheckpoint();
  const auto checkpoint = OpenCheckpoint(made.path);
  const std::string out = testing::TempDir();
  std::ofstream(out + "/log.jsonl") << R"({"step":1,"tokens":100,"loss":5.0})"
                                       "\n";
  std::ofstream(out + "/recall.json")
      << R"({"step":1,"lengths":[{"row_tokens":128,"turns":6,"fact":[9,10],"many":[0,0],"untold":[1,2]}]})";
  ASSERT_TRUE(WriteCard(*checkpoint, {.out = out, .folder = out, .decay_steps = 1}).ok());
  std::ifstream file(out + "/README.md");
  const std::string card(std::istreambuf_iterator<char>(file), {});
  EXPECT_NE(card.find("| 128 tokens, about 6 turns | 90.0 % of 10 | - | 50.0 % of 2 |"),
            std::string::npos)
      << card;
}

}  // namespace
}  // namespace gyrator::train
