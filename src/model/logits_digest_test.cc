// The numbers of every compute type, held still: SHA-256 of logits, as commit 25f10b8 computed them
// (tests/golden/models/logits.txt). Layouts of weights and kernels may change, these lines may not.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "base/sha256.h"
#include "formats/gguf_writer.h"
#include "model/model_testing.h"

namespace gyrator {
namespace {

constexpr uint64_t kHashMultiplier = 0x9e3779b97f4a7c15u;

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint32_t Next() {
    state_ = state_ * 6364136223846793005u + kHashMultiplier;
    return static_cast<uint32_t>(state_ >> 32);
  }

 private:
  uint64_t state_;
};

// Uniform in (-1, 1) times `range`: exact steps, the same everywhere.
std::vector<float> RandomValues(uint64_t seed, int64_t count, float range) {
  Random random(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) {
    const auto step = static_cast<int16_t>(random.Next() >> 16);
    value = (static_cast<float>(step) + 0.5f) * (range / 32768.0f);
  }
  return values;
}

// Every value of q, -128 too; scales of both signs, zeros and f16 denormals.
std::vector<BlockQ8_0> RandomBlocks(uint64_t seed, int64_t count, float range) {
  Random random(seed);
  std::vector<BlockQ8_0> blocks(static_cast<size_t>(count));
  for (BlockQ8_0& block : blocks) {
    for (int8_t& q : block.q) q = static_cast<int8_t>(random.Next() >> 24);
    const uint32_t kind = random.Next() >> 24;
    block.scale = F32ToF16(kind % 2 == 0 ? range / 128.0f : -range / 100.0f);
    if (kind < 4) block.scale = static_cast<uint16_t>(kind);  // zero and the smallest denormals
  }
  return blocks;
}

struct RandomModel {
  const char* name;
  DType dtype;
  uint32_t hidden, heads, head_dim, ffn, vocab;
};

// Widths that no tile divides and that cross every block of every kernel; one kv head, one layer.
constexpr RandomModel kRandomModels[] = {
    {"wide.f32", DType::kF32, 1088, 17, 64, 2144, 331},
    {"wide.q8_0", DType::kQ8_0, 1088, 17, 64, 2144, 331},
    {"odd.f32", DType::kF32, 1102, 11, 100, 2075, 333},
};

class ModelFile {
 public:
  explicit ModelFile(const RandomModel& model) : model_(model) {
    writer_.Set<std::string_view>("general.architecture", "llama");
    const std::pair<const char*, uint32_t> sizes[] = {
        {"block_count", 1},
        {"context_length", 512},
        {"embedding_length", model.hidden},
        {"feed_forward_length", model.ffn},
        {"attention.head_count", model.heads},
        {"attention.head_count_kv", 1},
        {"attention.key_length", model.head_dim},
        {"attention.value_length", model.head_dim},
        {"rope.dimension_count", model.head_dim},
        {"vocab_size", model.vocab},
    };
    for (const auto& [key, value] : sizes) {
      writer_.Set<uint32_t>(std::string("llama.") + key, value);
    }
    writer_.Set<float>("llama.attention.layer_norm_rms_epsilon", 1e-5f);
    writer_.Set<float>("llama.rope.freq_base", 10000.0f);
    const uint32_t query = model.heads * model.head_dim;
    AddMatrix("token_embd.weight", model.vocab, model.hidden);
    AddVector("output_norm.weight");
    AddVector("blk.0.attn_norm.weight");
    AddMatrix("blk.0.attn_q.weight", query, model.hidden);
    AddMatrix("blk.0.attn_k.weight", model.head_dim, model.hidden);
    AddMatrix("blk.0.attn_v.weight", model.head_dim, model.hidden);
    AddMatrix("blk.0.attn_output.weight", model.hidden, query);
    AddVector("blk.0.ffn_norm.weight");
    AddMatrix("blk.0.ffn_gate.weight", model.ffn, model.hidden);
    AddMatrix("blk.0.ffn_up.weight", model.ffn, model.hidden);
    AddMatrix("blk.0.ffn_down.weight", model.hidden, model.ffn);
  }

  std::string Write() const {
    const std::string path = testing::TempDir() + "/digest." + model_.name + ".gguf";
    const Status status = writer_.WriteFile(path);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return path;
  }

 private:
  void AddMatrix(const char* name, int64_t rows, int64_t cols) {
    const float range = 1.7f / std::sqrt(static_cast<float>(cols));
    const uint64_t seed = ++tensors_;
    writer_.AddTensor(name, model_.dtype, {rows, cols}, [=, this](const ByteSink& sink) {
      if (model_.dtype == DType::kQ8_0) {
        const auto blocks = RandomBlocks(seed, rows * cols / 32, range);
        return sink(std::as_bytes(std::span(blocks)));
      }
      const auto values = RandomValues(seed, rows * cols, range);
      return sink(std::as_bytes(std::span(values)));
    });
  }

  void AddVector(const char* name) {
    const uint64_t seed = ++tensors_;
    writer_.AddTensor(name, DType::kF32, {model_.hidden}, [=, this](const ByteSink& sink) {
      auto values = RandomValues(seed, model_.hidden, 0.25f);
      for (float& value : values) value += 1.0f;
      return sink(std::as_bytes(std::span(values)));
    });
  }

  const RandomModel model_;
  uint64_t tensors_ = 0;
  GgufWriter writer_;
};

std::string NumericsOf(ComputeType compute, const Ops& ops) {
  if (compute == ComputeType::kBF16) return std::string(ops.bf16_numerics);
  return std::string(ComputeTypeName(compute)) + ".v1";
}

// "model numerics" -> digest, from the file and from this program.
using Digests = std::map<std::string, std::string>;

Digests ReadDigests() {
  std::ifstream file(GoldenPath("logits.txt"));
  Digests digests;
  std::string model, numerics, digest;
  while (file >> model >> numerics >> digest) digests[model + " " + numerics] = digest;
  return digests;
}

std::string DigestOf(const std::vector<float>& logits) {
  return HexText(Sha256Of(std::as_bytes(std::span(logits))));
}

// Every instruction set that this machine runs, all rows at once, then the first in small passes.
void ExpectDigests(const std::string& name, const std::string& path, ComputeType compute,
                   std::span<const TokenId> tokens) {
  static const Digests kExpected = ReadDigests();
  const LoadedModel model = MustLoad(path, compute);
  for (const Ops* ops : AvailableOps()) {
    const std::string key = name + " " + NumericsOf(compute, *ops);
    RunArgs args = {.model = &model,
                    .isa = std::string(ops->name),
                    .kv_dtype = DefaultKv(compute),
                    .threads = 2};
    for (const int32_t chunk : {0, 3, 1}) {
      args.chunk = chunk;
      const auto rows = tokens.first(chunk == 0 ? tokens.size() : 7);
      const std::string of = key + (chunk == 0 ? "" : "/7");
      const auto expected = kExpected.find(of);
      const std::string digest = DigestOf(RunForward(args, rows));
      EXPECT_TRUE(expected != kExpected.end() && expected->second == digest)
          << "found: " << of << " " << digest << " on " << ops->name << ", chunk " << chunk;
    }
  }
}

constexpr ComputeType kComputes[] = {ComputeType::kF32, ComputeType::kBF16, ComputeType::kInt8};

class LogitsDigest : public testing::TestWithParam<const char*> {};

TEST_P(LogitsDigest, OfGoldenModelsIsThatOf25f10b8) {
  const std::string folder = GoldenPath(GetParam());
  auto tokens = ReadTokens(folder + "/tokens.npy");
  tokens.resize(std::min<size_t>(tokens.size(), 70));
  for (const ComputeType compute : kComputes) ExpectDigests(GetParam(), folder, compute, tokens);
}

INSTANTIATE_TEST_SUITE_P(Models, LogitsDigest, testing::ValuesIn(kGoldenFolders),
                         [](const auto& test) { return test.param; });

TEST(LogitsDigestOfRandomModels, IsThatOf25f10b8) {
  std::vector<TokenId> tokens;
  for (TokenId i = 0; i < 70; ++i) tokens.push_back(i * 37 % 331);
  for (const RandomModel& random : kRandomModels) {
    const std::string path = ModelFile(random).Write();
    for (const ComputeType compute : kComputes) {
      const bool grouped = random.hidden % 32 == 0;
      if (compute == ComputeType::kInt8 && !grouped) continue;
      ExpectDigests(random.name, path, compute, tokens);
    }
  }
}

}  // namespace
}  // namespace gyrator
