#include "model/weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "model/convert.h"
#include "model/model_testing.h"
#include "model/pack.h"

namespace gyrator {
namespace {

bool Within(const void* pointer, const TensorIndex& tensors) {
  for (const auto& entry : tensors.entries()) {
    const auto* begin = entry.view.bytes.data();
    if (pointer >= begin && pointer < begin + entry.view.bytes.size()) return true;
  }
  return false;
}

// f32 in f32; whatever else is packed, and the embedding, lie elsewhere and where they lay.
TEST(Weights, AreUsedWhereTheyLieWhenTheFormatFits) {
  const struct {
    const char* path;
    ComputeType compute;
    bool in_place;
  } cases[] = {
      {"llama2", ComputeType::kF32, true},
      {"llama2", ComputeType::kBF16, false},
      {"smollm2", ComputeType::kBF16, false},
      {"smollm2", ComputeType::kF32, false},
      {"qwen2.q8_0.gguf", ComputeType::kInt8, false},
      {"qwen2.q8_0.gguf", ComputeType::kBF16, false},
      {"qwen2.f16.gguf", ComputeType::kF32, false},
  };
  for (const auto& test : cases) {
    const LoadedModel model = MustLoad(GoldenPath(test.path), test.compute);
    const Weights& weights = model.weights;
    EXPECT_TRUE(Within(weights.embedding.source.from.bytes.data(), model.tensors)) << test.path;
    EXPECT_EQ(test.in_place, Within(weights.head.operand, model.tensors)) << test.path;
    for (const LayerWeights& layer : weights.layers) {
      for (const Matrix* matrix :
           {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) {
        EXPECT_TRUE(Within(matrix->source.from.bytes.data(), model.tensors)) << test.path;
        EXPECT_EQ(test.in_place, Within(matrix->operand, model.tensors)) << test.path;
        EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(matrix->operand) % (test.in_place ? 4 : 64));
      }
    }
    if (model.config.tied_head && test.in_place) {
      EXPECT_EQ(weights.embedding.source.from.bytes.data(), weights.head.operand);
    }
  }
}

// A file may lay a tensor at an odd address.
TEST(Weights, UnalignedDataIsCopied) {
  const LoadedModel model = MustLoad(GoldenPath("qwen2"), ComputeType::kF32);
  TensorIndex shifted;
  std::vector<std::vector<std::byte>> memory;
  for (const auto& entry : model.tensors.entries()) {
    const ByteSpan bytes = entry.view.bytes;
    memory.emplace_back(bytes.size() + 1);
    std::ranges::copy(bytes, memory.back().begin() + 1);
    const ByteSpan moved(memory.back().data() + 1, bytes.size());
    ASSERT_TRUE(shifted.Add({entry.name, {entry.view.dtype, entry.view.shape, moved}, ""}).ok());
  }
  ThreadPool threads(2);
  auto weights = LoadWeights(model.config, {&shifted, SourceFormat::kHuggingFace},
                             {ComputeType::kF32, &threads, {}});
  ASSERT_TRUE(weights.ok()) << weights.status().ToString();
  EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(weights->layers[0].q.operand) % 4);
  EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(weights->layers[0].q_bias) % 4);
  EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(weights->head.operand) % 4);
  LoadedModel moved;
  moved.config = model.config;
  moved.weights = *std::move(weights);
  const std::vector<TokenId> tokens = {3, 1, 4, 1, 5};
  EXPECT_TRUE(
      SameBits(RunForward({.model = &moved}, tokens), RunForward({.model = &model}, tokens)));
}

// Quantized at load, a file gives the blocks that the gguf package (and llama.cpp) writes.
TEST(Weights, QuantizedAtLoadEqualTheQuantizedFile) {
  for (const std::string name : {"qwen2", "qwen3"}) {
    const LoadedModel ours = MustLoad(GoldenPath(name), ComputeType::kInt8);
    const LoadedModel theirs = MustLoad(GoldenPath(name + ".q8_0.gguf"), ComputeType::kInt8);
    const auto same = [](const Matrix& a, const Matrix& b) {
      const auto bytes = OperandBytes(ComputeType::kInt8, a.rows, a.cols);
      return a.rows == b.rows && a.cols == b.cols && std::memcmp(a.operand, b.operand, *bytes) == 0;
    };
    EXPECT_TRUE(same(ours.weights.head, theirs.weights.head)) << name;
    for (size_t i = 0; i < ours.weights.layers.size(); ++i) {
      const LayerWeights& a = ours.weights.layers[i];
      const LayerWeights& b = theirs.weights.layers[i];
      EXPECT_TRUE(same(a.q, b.q) && same(a.k, b.k) && same(a.v, b.v) && same(a.o, b.o)) << name;
      EXPECT_TRUE(same(a.gate, b.gate) && same(a.up, b.up) && same(a.down, b.down)) << name;
    }
  }
}

TEST(Weights, WhatDoesNotFitIntoMemoryIsRefusedBeforeItIsTaken) {
  const LoadedModel model = MustLoad(GoldenPath("qwen2.q8_0.gguf"), ComputeType::kInt8);
  const uint64_t need = OperandBytes(model.weights);
  ThreadPool threads(2);
  WeightOptions options = {.compute = ComputeType::kInt8, .threads = &threads, .progress = {}};
  for (const uint64_t room : {need, need - 1}) {
    options.memory_room = room;
    const auto weights = LoadWeights(model.config, {&model.tensors, SourceFormat::kGguf}, options);
    EXPECT_EQ(room == need, weights.ok());
    if (weights.ok()) continue;
    EXPECT_EQ(Code::kExhausted, weights.status().code());
    EXPECT_NE(std::string::npos, weights.status().message().find("MiB are needed in memory"))
        << weights.status().ToString();
  }
  options.memory_room = 0;
  options.repack = false;
  const auto stored = LoadWeights(model.config, {&model.tensors, SourceFormat::kGguf}, options);
  ASSERT_TRUE(stored.ok()) << stored.status().ToString();
  uint64_t bytes = 0;  // as they are stored; a tied embedding is the head
  for (const auto& entry : model.tensors.entries()) {
    const bool is_head = entry.name != "token_embd.weight" || model.config.tied_head;
    if (entry.view.shape.size() == 2 && is_head) bytes += entry.view.bytes.size();
  }
  EXPECT_EQ(bytes, OperandBytes(*stored));
}

TEST(QuantizeQ8_0, FollowsTheReferenceOfGgml) {
  float x[32] = {};
  BlockQ8_0 block;
  ASSERT_TRUE(QuantizeQ8_0(x, &block));
  EXPECT_EQ(0, block.scale);
  x[0] = 1e-44f;
  ASSERT_TRUE(QuantizeQ8_0(x, &block));
  EXPECT_EQ(0, block.scale);
  EXPECT_EQ(0, block.q[0]);
  x[0] = 127;  // scale 1
  x[1] = 2.5f;
  x[2] = -2.5f;
  x[3] = 0.49999997f;  // the largest float below a half
  x[4] = 1.4999999f;
  x[5] = -126.5f;
  ASSERT_TRUE(QuantizeQ8_0(x, &block));
  EXPECT_EQ(F32ToF16(1.0f), block.scale);
  EXPECT_EQ(127, block.q[0]);
  EXPECT_EQ(3, block.q[1]);  // half away from zero
  EXPECT_EQ(-3, block.q[2]);
  EXPECT_EQ(0, block.q[3]);
  EXPECT_EQ(1, block.q[4]);
  EXPECT_EQ(-127, block.q[5]);
}

TEST(QuantizeQ8_0, RefusesWhatItCannotHold) {
  BlockQ8_0 block;
  for (const float bad : {INFINITY, -INFINITY, NAN, 127.0f * 65520.0f}) {
    float x[32] = {1, 2, 3};
    x[31] = bad;
    EXPECT_FALSE(QuantizeQ8_0(x, &block)) << bad;
  }
  float largest[32] = {127.0f * 65504.0f};
  EXPECT_TRUE(QuantizeQ8_0(largest, &block));
}

// Every pair of formats, against the scalar definitions; ranges of all threads.
TEST(Convert, RoundsOnce) {
  constexpr int64_t kCount = 200'000 / 32 * 32;
  std::vector<float> source(kCount);
  uint32_t state = 7;
  for (float& x : source) {
    state = state * 1664525u + 1013904223u;
    x = (static_cast<float>(state >> 8) / 8388608.0f - 1.0f) * 3.0f;
  }
  ThreadPool threads(2);
  const TensorView wide = {DType::kF32, {kCount}, std::as_bytes(std::span(source))};
  std::vector<uint16_t> bf16(kCount);
  const auto convert = [&threads](const TensorView& from, DType to, auto* out) {
    return ConvertAll(PlanConversion(from, to, &threads), reinterpret_cast<std::byte*>(out),
                      &threads) == ConversionFault::kNone;
  };
  ASSERT_TRUE(convert(wide, DType::kBF16, bf16.data()));
  std::vector<BlockQ8_0> blocks(kCount / 32);
  ASSERT_TRUE(convert(wide, DType::kQ8_0, blocks.data()));
  std::vector<uint16_t> f16(kCount), from_f16(kCount), from_blocks(kCount);
  std::ranges::transform(source, f16.begin(), F32ToF16);
  const TensorView half = {DType::kF16, {kCount}, std::as_bytes(std::span(f16))};
  const TensorView q8 = {DType::kQ8_0, {kCount}, std::as_bytes(std::span(blocks))};
  ASSERT_TRUE(convert(half, DType::kBF16, from_f16.data()));
  ASSERT_TRUE(convert(q8, DType::kBF16, from_blocks.data()));
  for (size_t i = 0; i < source.size(); ++i) {
    ASSERT_EQ(F32ToBF16(source[i]), bf16[i]);
    ASSERT_EQ(F32ToBF16(F16ToF32(f16[i])), from_f16[i]);
    const BlockQ8_0& block = blocks[i / 32];
    const float value = F16ToF32(block.scale) * static_cast<float>(block.q[i % 32]);
    ASSERT_EQ(F32ToBF16(value), from_blocks[i]);
    // Half a step, and the rounding of the scale to f16.
    ASSERT_NEAR(source[i], value, 3.0 / 127 / 2 + 3.0 / 2048);
  }
}

TEST(Weights, BrokenScaleOfAQuantizedFileIsNamed) {
  const LoadedModel model = MustLoad(GoldenPath("qwen2.q8_0.gguf"));
  TensorIndex broken;
  std::vector<std::byte> memory;
  for (TensorIndex::Entry entry : model.tensors.entries()) {
    if (entry.name == "blk.1.ffn_down.weight") {
      memory.assign(entry.view.bytes.begin(), entry.view.bytes.end());
      memory[34 * 5 + 1] = std::byte{0x7c};  // the sixth scale becomes infinite or NaN
      entry.view.bytes = memory;
    }
    ASSERT_TRUE(broken.Add(entry).ok());
  }
  ThreadPool threads(2);
  const auto weights =
      LoadWeights(model.config, {&broken, SourceFormat::kGguf}, {ComputeType::kInt8, &threads, {}});
  EXPECT_EQ(Code::kCorruption, weights.status().code());
  EXPECT_NE(std::string::npos, weights.status().message().find("blk.1.ffn_down.weight"));
}

}  // namespace
}  // namespace gyrator
