// Models whose weights are stored in blocks: they run as if the numbers of the blocks had been
// stored, in every compute type, and blocks with bad scales are refused.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "base/sha256.h"
#include "base/source_path_testing.h"
#include "formats/npy.h"
#include "kernels/ops.h"
#include "model/convert.h"
#include "model/family.h"
#include "model/model_testing.h"
#include "tensor/weight_format.h"

namespace gyrator {
namespace {

const std::string kFolder = SourcePath("tests/golden/weights/");
constexpr ComputeType kComputes[] = {ComputeType::kF32, ComputeType::kBF16, ComputeType::kInt8};

std::vector<const WeightFormat*> BlockFormats() {
  std::vector<const WeightFormat*> formats;
  for (const WeightFormat& format : AllFormats()) {
    if (format.is_block()) formats.push_back(&format);
  }
  return formats;
}

// Tensors made in memory, by name.
class MadeTensors {
 public:
  void Add(const std::string& name, DType dtype, const Shape& shape, std::vector<std::byte> bytes) {
    ASSERT_EQ(TensorBytes(dtype, shape), bytes.size()) << name;
    std::vector<std::byte>& kept = memory_[name];
    kept = std::move(bytes);
    ASSERT_TRUE(index_.Add({name, {dtype, shape, kept}, ""}).ok());
  }
  std::vector<std::byte>& bytes(const std::string& name) { return memory_.at(name); }
  const TensorIndex& index() const { return index_; }

 private:
  std::map<std::string, std::vector<std::byte>> memory_;
  TensorIndex index_;
};

std::vector<std::byte> AsFloats(const TensorView& view) {
  const int64_t count = *NumElements(view.shape);
  std::vector<float> values(static_cast<size_t>(count));
  Widen(view.dtype, view.bytes.data(), 0, count, values.data());
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

// What a matrix is to become under int8, made from the table without the loader.
std::vector<std::byte> AsQ8(const TensorView& view) {
  const WeightFormat& format = FormatOf(view.dtype);
  const int64_t count = *NumElements(view.shape);
  std::vector<BlockQ8_0> blocks(static_cast<size_t>(count / 32));
  if (format.exact_q8 != nullptr) {
    format.exact_q8(view.bytes.data(), count / format.elements, blocks.data());
  } else {
    std::vector<float> values(static_cast<size_t>(count));
    Widen(view.dtype, view.bytes.data(), 0, count, values.data());
    for (size_t i = 0; i < blocks.size(); ++i) {
      EXPECT_TRUE(QuantizeQ8_0(values.data() + 32 * i, &blocks[i]));
    }
  }
  const auto bytes = std::as_bytes(std::span(blocks));
  return {bytes.begin(), bytes.end()};
}

// The same model with the numbers of its matrices stored plainly: f32, and Q8_0 for int8. The
// embedding is f32 always.
MadeTensors Plain(const TensorIndex& tensors, ComputeType compute) {
  MadeTensors plain;
  for (const auto& entry : tensors.entries()) {
    const bool q8 = compute == ComputeType::kInt8 && entry.view.shape.size() == 2 &&
                    entry.name != "token_embd.weight";
    plain.Add(entry.name, q8 ? DType::kQ8_0 : DType::kF32, entry.view.shape,
              q8 ? AsQ8(entry.view) : AsFloats(entry.view));
  }
  return plain;
}

Result<LoadedModel> Load(const ModelConfig& config, const TensorIndex& tensors, ComputeType compute,
                         bool repack = true) {
  ThreadPool threads(2);
  LoadedModel model;
  model.config = config;
  model.compute = compute;
  const WeightOptions options = {
      .compute = compute, .threads = &threads, .progress = {}, .repack = repack};
  GYRATOR_ASSIGN_OR_RETURN(model.weights,
                           LoadWeights(config, {&tensors, SourceFormat::kGguf}, options));
  return model;
}

void ExpectRunsAsIfPlain(const ModelConfig& config, const TensorIndex& tensors,
                         ComputeType compute) {
  SCOPED_TRACE(ComputeTypeName(compute));
  const MadeTensors plain = Plain(tensors, compute);
  const auto model = Load(config, tensors, compute);
  ASSERT_TRUE(model.ok()) << model.status().ToString();
  const auto expected = Load(config, plain.index(), compute);
  ASSERT_TRUE(expected.ok()) << expected.status().ToString();
  EXPECT_FALSE(expected->weights.requantized);
  const std::vector<TokenId> tokens = {3, 1, 4, 1, 5, 9, 2, 6};
  const DType kv = DefaultKv(compute);
  const std::vector<float> logits = RunForward({.model = &*model, .kv_dtype = kv}, tokens);
  EXPECT_TRUE(SameBits(logits, RunForward({.model = &*expected, .kv_dtype = kv}, tokens)));
  for (const float logit : logits) ASSERT_TRUE(std::isfinite(logit));
  const auto stored = Load(config, tensors, compute, false);
  ASSERT_TRUE(stored.ok()) << stored.status().ToString();
  EXPECT_EQ(nullptr, stored->weights.layers[0].q.operand);
  EXPECT_EQ(model->weights.requantized, stored->weights.requantized);
  for (const int threads : {1, 3}) {
    EXPECT_TRUE(SameBits(
        logits, RunForward({.model = &*stored, .kv_dtype = kv, .threads = threads}, tokens)));
  }
}

// The first blocks of a golden file, which have scales such as quantizers write, `count` of them.
std::vector<std::byte> GoldenBlocks(const WeightFormat& format, uint64_t count) {
  const auto file = MappedFile::Open(kFolder + std::string(format.name) + ".blocks.npy");
  EXPECT_TRUE(file.ok()) << file.status().ToString();
  if (!file.ok()) return {};
  const ByteSpan blocks = ParseNpy(file->bytes())->data;
  const uint64_t plain = format.elements == 32 ? 24 : 8;
  std::vector<std::byte> bytes;
  for (uint64_t i = 0; i < count; ++i) {
    const ByteSpan block = blocks.subspan(i % plain * format.bytes, format.bytes);
    bytes.insert(bytes.end(), block.begin(), block.end());
  }
  return bytes;
}

ModelConfig OneLayer() {
  ModelConfig config = MustLoad(kFolder + "mixed.gguf").config;
  config.num_layers = 1;
  config.num_heads = 8;  // 256 query columns: a whole block of every type
  return config;
}

// A model of one layer that is stored in one format: its norms, too.
MadeTensors OneFormat(const ModelConfig& config, const WeightFormat& format) {
  MadeTensors tensors;
  for (const TensorSpec& spec : FamilyOf(config).tensors()) {
    if (!spec.exists(config)) continue;
    const Shape shape = TensorShape(spec, config);
    const auto count = static_cast<uint64_t>(*NumElements(shape) / format.elements);
    tensors.Add(TensorName(spec, SourceFormat::kGguf, 0), format.dtype, shape,
                GoldenBlocks(format, count));
  }
  return tensors;
}

TEST(BlockWeights, EveryTypeRunsAsItsNumbers) {
  const ModelConfig config = OneLayer();
  for (const WeightFormat* format : BlockFormats()) {
    SCOPED_TRACE(format->name);
    const MadeTensors tensors = OneFormat(config, *format);
    for (const ComputeType compute : kComputes) {
      ExpectRunsAsIfPlain(config, tensors.index(), compute);
      const auto model = Load(config, tensors.index(), compute);
      ASSERT_TRUE(model.ok());
      EXPECT_EQ(compute == ComputeType::kInt8 && format->exact_q8 == nullptr,
                model->weights.requantized);
    }
  }
}

// One file of all types, written by the gguf package.
TEST(BlockWeights, AFileOfAllTypesRunsAsItsNumbers) {
  const LoadedModel model = MustLoad(kFolder + "mixed.gguf");
  EXPECT_EQ(ComputeType::kInt8, model.compute);
  EXPECT_TRUE(model.weights.requantized);
  for (const ComputeType compute : kComputes) {
    ExpectRunsAsIfPlain(model.config, model.tensors, compute);
  }
  EXPECT_FALSE(MustLoad(kFolder + "mixed.gguf", ComputeType::kBF16).weights.requantized);
}

TEST(BlockWeights, AFileOfAllTypesHasTheNumbersOfThePackage) {
  const LoadedModel model = MustLoad(kFolder + "mixed.gguf");
  std::ifstream lines(kFolder + "mixed.txt");
  size_t count = 0;
  for (std::string name, digest; lines >> name >> digest; ++count) {
    const auto view = model.tensors.Get(name);
    ASSERT_TRUE(view.ok()) << view.status().ToString();
    EXPECT_EQ(digest, HexText(Sha256Of(AsFloats(*view)))) << name;
  }
  EXPECT_EQ(model.tensors.entries().size(), count);
}

TEST(BlockWeights, TheDefaultComputeOfBlocksIsInt8) {
  for (const WeightFormat* format : BlockFormats()) {
    EXPECT_EQ(ComputeType::kInt8, DefaultCompute(format->dtype)) << format->name;
  }
  EXPECT_EQ(ComputeType::kF32, DefaultCompute(DType::kF16));
}

// A file of plain numbers is quantized once, by this program: "int8.v1" as ever.
TEST(BlockWeights, PlainNumbersAreNotQuantizedASecondTime) {
  for (const char* name :
       {"qwen2.f32.gguf", "qwen2.f16.gguf", "qwen2_yarn.bf16.gguf", "qwen2.q8_0.gguf", "smollm2"}) {
    EXPECT_FALSE(MustLoad(GoldenPath(name), ComputeType::kInt8).weights.requantized) << name;
  }
}

// The last block of a tensor has bytes of ones: a scale that is NaN, whatever the type.
TEST(BlockWeights, BadScalesAreRefusedByTensorAndType) {
  const ModelConfig config = OneLayer();
  for (const WeightFormat* format : BlockFormats()) {
    for (const std::string name : {"token_embd.weight", "output.weight", "blk.0.attn_norm.weight",
                                   "blk.0.attn_v.weight", "blk.0.ffn_down.weight"}) {
      MadeTensors tensors = OneFormat(config, *format);
      std::vector<std::byte>& bytes = tensors.bytes(name);
      std::fill(bytes.end() - static_cast<std::ptrdiff_t>(format->bytes), bytes.end(),
                std::byte{0xff});
      for (const ComputeType compute : kComputes) {
        for (const bool repack : {true, false}) {
          const Status status = Load(config, tensors.index(), compute, repack).status();
          EXPECT_EQ(Code::kCorruption, status.code()) << format->name << " " << name;
          EXPECT_NE(std::string::npos,
                    status.message().find("tensor " + name + ": " + std::string(format->name) +
                                          ": expected finite scales"))
              << status.message();
        }
      }
    }
  }
}

// Weights that are not packed are read at each pass: their file may have changed.
TEST(BlockWeights, BadScalesThatCameAfterTheLoadEndThePass) {
  const ModelConfig config = OneLayer();
  const std::vector<TokenId> tokens = {3, 1, 4};
  for (const std::string name : {"output.weight", "blk.0.attn_v.weight", "blk.0.ffn_down.weight"}) {
    for (const ComputeType compute : kComputes) {
      MadeTensors tensors = OneFormat(config, FormatOf(DType::kQ4_K));
      auto model = Load(config, tensors.index(), compute, false);
      ASSERT_TRUE(model.ok()) << model.status().ToString();
      std::ranges::fill(std::span(tensors.bytes(name)).last(144), std::byte{0xff});
      ThreadPool threads(2);
      const TestKv kv(config, DefaultKv(compute), 1, 16);
      const auto arena = CreateForwardArena(config, compute, 3, 2);
      ASSERT_TRUE(arena.ok());
      const SequenceRows rows = {
          .tokens = tokens, .first_position = 0, .table = kv.table(0), .num_logits = 1};
      std::vector<float> logits(static_cast<size_t>(config.vocab));
      const Status status = Forward({.config = &config,
                                     .weights = &model->weights,
                                     .ops = FindOps("auto"),
                                     .threads = &threads,
                                     .arena = arena->get()},
                                    kv.kv(), std::span(&rows, 1), logits.data());
      EXPECT_EQ(Code::kMismatch, status.code()) << status.ToString();
      EXPECT_EQ("model_changed", status.name());
    }
  }
}

// A tied embedding is read as the head.
TEST(BlockWeights, BadScalesOfATiedEmbeddingAreRefused) {
  ModelConfig config = OneLayer();
  config.tied_head = true;
  for (const DType dtype : {DType::kQ8_0, DType::kQ4_0, DType::kQ6_K}) {
    const WeightFormat& format = FormatOf(dtype);
    MadeTensors tensors = OneFormat(config, format);
    for (const ComputeType compute : kComputes) {
      EXPECT_TRUE(Load(config, tensors.index(), compute).ok()) << format.name;
    }
    std::ranges::fill(std::span(tensors.bytes("token_embd.weight")).last(format.bytes),
                      std::byte{0xff});
    for (const ComputeType compute : kComputes) {
      const Status status = Load(config, tensors.index(), compute).status();
      EXPECT_EQ(Code::kCorruption, status.code()) << format.name;
      EXPECT_NE(std::string::npos, status.message().find("tensor token_embd.weight: "));
    }
  }
}

// Values beyond what a group of int8 can have: finite, so that f32 takes them.
TEST(BlockWeights, ValuesBeyondInt8AreRefusedUnderInt8Alone) {
  const ModelConfig config = OneLayer();
  MadeTensors tensors = OneFormat(config, FormatOf(DType::kQ4_K));
  std::vector<std::byte>& bytes = tensors.bytes("blk.0.ffn_up.weight");
  std::fill(bytes.begin(), bytes.begin() + 144, std::byte{0xff});
  bytes[1] = std::byte{0x7b};  // scale 65504 (with 0xff below), minimum NaN
  bytes[2] = bytes[3] = std::byte{0};
  const Status status = Load(config, tensors.index(), ComputeType::kInt8).status();
  EXPECT_EQ(Code::kCorruption, status.code());
  EXPECT_NE(std::string::npos, status.message().find("blk.0.ffn_up.weight: expected finite values"))
      << status.message();
  EXPECT_TRUE(Load(config, tensors.index(), ComputeType::kF32).ok());
}

}  // namespace
}  // namespace gyrator
