#include "model/loader.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/mapped_file.h"
#include "formats/safetensors.h"
#include "model/model_testing.h"

namespace gyrator {
namespace {

std::vector<float> Logits(const LoadedModel& model, std::span<const TokenId> tokens) {
  return RunForward({.model = &model, .kv_dtype = DefaultKv(model.compute)}, tokens);
}

Status LoadStatus(const std::string& path, ComputeType compute = ComputeType::kF32) {
  ThreadPool threads(1);
  return LoadModel(path, {.compute = compute, .threads = &threads, .progress = {}}).status();
}

TEST(Loader, DescribesWhatItLoaded) {
  const LoadedModel model = MustLoad(GoldenPath("smollm2"));
  EXPECT_EQ(DType::kBF16, model.stored);
  EXPECT_EQ(ComputeType::kBF16, model.compute);
  EXPECT_EQ("smollm2", model.config.name);
  EXPECT_EQ(1u, model.tensors.files().size());
  // 251 * 96, and 2 layers of 96 * (96 + 32 + 32 + 96 + 3 * 96 + 2), and the last norm.
  EXPECT_EQ(251 * 96 + 2 * 96 * (96 + 32 + 32 + 96 + 3 * 96 + 2) + 96, model.parameters);

  EXPECT_EQ("smollm2", MustLoad(GoldenPath("smollm2/")).config.name);

  const LoadedModel sharded = MustLoad(GoldenPath("llama_bias"));
  EXPECT_EQ(3u, sharded.tensors.files().size());  // one a shard
  EXPECT_EQ(ComputeType::kF32, sharded.compute);
  EXPECT_EQ(ComputeType::kF32, MustLoad(GoldenPath("qwen3_yarn")).compute);  // f16
  EXPECT_EQ(ComputeType::kInt8, MustLoad(GoldenPath("llama2.q8_0.gguf")).compute);
  EXPECT_EQ("llama2", MustLoad(GoldenPath("llama2.q8_0.gguf")).config.name);
}

// The digest that Python computed from the files.
TEST(Loader, DigestNamesTheStoredContent) {
  for (const char* name : kGoldenFolders) {
    for (const int num_threads : {1, 2}) {
      ThreadPool threads(num_threads);
      const LoadedModel model = MustLoad(GoldenPath(name));
      const std::string expected = *ReadSmallFile(GoldenPath(name) + "/digest.txt", 100);
      uint64_t last = 0, total = 0;
      const auto progress = [&](std::string_view, uint64_t done, uint64_t all) {
        EXPECT_GE(done, last);
        last = done;
        total = all;
      };
      EXPECT_EQ(expected, HexText(WeightsDigest(model.tensors, &threads, progress)) + "\n") << name;
      EXPECT_EQ(last, total);
      EXPECT_GT(total, 10000u);
    }
  }
}

TEST(Loader, ReportsProgressInBytes) {
  ThreadPool threads(1);
  uint64_t last = 0, total = 0;
  const auto progress = [&](std::string_view what, uint64_t done, uint64_t all) {
    EXPECT_EQ("loading weights", what);
    EXPECT_GT(done, last);
    last = done;
    total = all;
  };
  const auto model =
      LoadModel(GoldenPath("qwen2"),
                {.compute = ComputeType::kInt8, .threads = &threads, .progress = progress});
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(last, total);
  EXPECT_GT(total, 100000u);
}

// Qwen's GGUF files hold the rows as they are: equal bits. Llama's are permuted, so the sums of a
// query and a key run in another order.
TEST(Loader, GgufGivesWhatTheFolderGives) {
  const struct {
    const char* folder;
    const char* gguf;
    ComputeType compute;
    double delta_max;  // of the logit range; 0: equal bits
  } cases[] = {
      {"qwen2", "qwen2.f32.gguf", ComputeType::kF32, 0},
      {"qwen2", "qwen2.f32.gguf", ComputeType::kBF16, 0},
      {"qwen2", "qwen2.f32.gguf", ComputeType::kInt8, 0},
      {"qwen2", "qwen2.f16.gguf", ComputeType::kF32, 2e-3},  // f16 rounds the weights
      {"qwen2_yarn", "qwen2_yarn.bf16.gguf", ComputeType::kF32, 0},
      {"qwen2_yarn", "qwen2_yarn.bf16.gguf", ComputeType::kBF16, 0},
      {"llama2", "llama2.f32.gguf", ComputeType::kF32, 1e-5},
      {"llama3", "llama3.f32.gguf", ComputeType::kF32, 1e-5},
      {"mistral", "mistral.bf16.gguf", ComputeType::kF32, 1e-5},
  };
  for (const auto& test : cases) {
    auto tokens = ReadTokens(GoldenPath(test.folder) + "/tokens.npy");
    const auto from_folder = Logits(MustLoad(GoldenPath(test.folder), test.compute), tokens);
    const auto from_gguf = Logits(MustLoad(GoldenPath(test.gguf), test.compute), tokens);
    if (test.delta_max == 0) {
      EXPECT_TRUE(SameBits(from_gguf, from_folder)) << test.gguf;
    } else {
      EXPECT_LT(RelativeDelta(from_gguf, from_folder), test.delta_max) << test.gguf;
    }
  }
}

// The files of a golden folder in a folder of the test's own.
class BrokenFolder : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/broken_model";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
    std::filesystem::copy(GoldenPath("qwen2") + "/config.json", folder_);
    const auto original = OpenSafetensorsFolder(GoldenPath("qwen2"));
    ASSERT_TRUE(original.ok());
    original_ = *original;
  }

  // All tensors, `name` left out; then `extra`.
  void Write(const std::string& name, std::vector<TensorIndex::Entry> extra) {
    SafetensorsWriter writer;
    for (const auto& entry : original_.entries()) {
      if (entry.name != name)
        writer.AddTensor(entry.name, entry.view.dtype, entry.view.shape, entry.view.bytes);
    }
    for (const auto& entry : extra) {
      writer.AddTensor(entry.name, entry.view.dtype, entry.view.shape, entry.view.bytes);
    }
    const Status status = writer.WriteFile(folder_ + "/model.safetensors");
    ASSERT_TRUE(status.ok()) << status.ToString();
  }

  static TensorIndex::Entry Entry(const std::string& name, DType dtype, const Shape& shape,
                                  std::span<const float> memory) {
    TensorIndex::Entry entry;
    entry.name = name;
    entry.view.dtype = dtype;
    entry.view.shape = shape;
    entry.view.bytes = std::as_bytes(memory).first(*TensorBytes(dtype, shape));
    return entry;
  }

  void ExpectRefused(Code code, const std::string& message,
                     ComputeType compute = ComputeType::kF32) {
    const Status status = LoadStatus(folder_, compute);
    EXPECT_EQ(code, status.code()) << status.ToString();
    EXPECT_NE(std::string::npos, status.message().find(message)) << status.message();
  }

  std::string folder_;
  TensorIndex original_;
  const std::string up_ = "model.layers.1.mlp.up_proj.weight";  // [96, 64]
};

TEST_F(BrokenFolder, UnchangedItLoads) {
  Write("", {});
  EXPECT_TRUE(LoadStatus(folder_).ok()) << LoadStatus(folder_).ToString();
}

TEST_F(BrokenFolder, MissingTensorIsNamed) {
  Write(up_, {});
  ExpectRefused(Code::kCorruption, "tensor " + up_ + ": expected [96, 64], found nothing");
}

TEST_F(BrokenFolder, WrongShapeIsNamed) {
  const std::vector<float> memory(96 * 64);
  Write(up_, {Entry(up_, DType::kF32, {64, 96}, memory)});
  ExpectRefused(Code::kCorruption, "expected shape [96, 64], found [64, 96]");
  Write(up_, {Entry(up_, DType::kF32, {96 * 64}, memory)});
  ExpectRefused(Code::kCorruption, "found [6144]");
}

TEST_F(BrokenFolder, WrongElementTypeIsNamed) {
  const std::vector<float> memory(96 * 64);
  Write(up_, {Entry(up_, DType::kI32, {96, 64}, memory)});
  ExpectRefused(Code::kUnsupported, "found i32");
}

TEST_F(BrokenFolder, UnexpectedTensorIsNamed) {
  const std::vector<float> memory(64);
  Write("", {Entry("model.layers.0.mlp.up_proj.bias", DType::kF32, {64}, memory)});
  ExpectRefused(Code::kUnsupported, "model.layers.0.mlp.up_proj.bias");
  // What published files carry without a meaning is passed over.
  Write("", {Entry("model.layers.0.self_attn.rotary_emb.inv_freq", DType::kF32, {8}, memory)});
  EXPECT_TRUE(LoadStatus(folder_).ok());
}

TEST_F(BrokenFolder, Int8RefusesWhatItCannotHold) {
  std::vector<float> memory(96 * 64, 1.0f);
  for (const float bad : {INFINITY, -INFINITY, NAN, 1e30f}) {
    memory[100] = bad;
    Write(up_, {Entry(up_, DType::kF32, {96, 64}, memory)});
    ExpectRefused(Code::kCorruption, "tensor " + up_, ComputeType::kInt8);
    EXPECT_TRUE(LoadStatus(folder_, ComputeType::kF32).ok());
  }
}

TEST_F(BrokenFolder, MissingFilesAreNamed) {
  ExpectRefused(Code::kNotFound, "model.safetensors");
  Write("", {});
  std::filesystem::remove(folder_ + "/config.json");
  ExpectRefused(Code::kNotFound, "config.json");
  EXPECT_EQ(Code::kNotFound, LoadStatus(folder_ + "/nothing").code());
  EXPECT_EQ(Code::kNotFound, LoadStatus(folder_ + "/nothing.gguf").code());
}

TEST_F(BrokenFolder, TruncatedFileIsRefused) {
  Write("", {});
  const std::string path = folder_ + "/model.safetensors";
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  ExpectRefused(Code::kCorruption, "model.safetensors");
}

TEST_F(BrokenFolder, ConfigThatPromisesMoreLayersIsRefused) {
  Write("", {});
  std::string config = *ReadSmallFile(folder_ + "/config.json", 1 << 20);
  const std::string from = "\"num_hidden_layers\": 2";
  config.replace(config.find(from), from.size(), "\"num_hidden_layers\": 1000");
  std::ofstream(folder_ + "/config.json") << config;
  ExpectRefused(Code::kCorruption, "model.layers.2.");
}

TEST_F(BrokenFolder, Int8NeedsRowsOfGroups) {
  ModelConfig narrow = MustLoad(GoldenPath("qwen2")).config;
  narrow.hidden = 60;
  const std::vector<float> memory(256 * 60);
  TensorIndex tensors;
  ASSERT_TRUE(tensors.Add(Entry("model.embed_tokens.weight", DType::kF32, {256, 60}, memory)).ok());
  ThreadPool threads(1);
  const auto weights = LoadWeights(narrow, {&tensors, SourceFormat::kHuggingFace},
                                   {ComputeType::kInt8, &threads, {}});
  EXPECT_EQ(Code::kUnsupported, weights.status().code());
  EXPECT_NE(std::string::npos, weights.status().message().find("multiple of 32 values, found 60"));
}

}  // namespace
}  // namespace gyrator
