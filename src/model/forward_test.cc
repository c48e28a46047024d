#include "model/forward.h"

#include <gtest/gtest.h>
#include <xmmintrin.h>

#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "model/model_testing.h"
#include "model/reference.h"

namespace gyrator {
namespace {

constexpr ComputeType kComputes[] = {ComputeType::kF32, ComputeType::kBF16, ComputeType::kInt8};

class Golden : public testing::TestWithParam<const char*> {
 protected:
  std::string folder() const { return GoldenPath(GetParam()); }
  std::vector<TokenId> tokens(size_t count) const {
    auto all = ReadTokens(folder() + "/tokens.npy");
    all.resize(std::min(all.size(), count));
    return all;
  }
};

// The oracle against transformers, in f32.
TEST_P(Golden, ReferenceGivesTheLogitsOfTransformers) {
  const LoadedModel model = MustLoad(folder(), ComputeType::kF32);
  const auto logits = ReferenceLogits(
      {&model.config, &model.weights, ComputeType::kF32, DType::kF32, FindOps("ref")},
      tokens(1000));
  ASSERT_TRUE(logits.ok()) << logits.status().ToString();
  EXPECT_LT(RelativeDelta(*logits, ReadFloats(folder() + "/logits.npy")), 1e-5);
}

// bf16 is nearer to transformers' f32 logits than transformers' own bf16 is (it rounds the residual
// stream, too). int8 has 7 bits in groups of 32: see docs/models.md.
TEST_P(Golden, RoundedComputeStaysNearTransformers) {
  const auto expected = ReadFloats(folder() + "/logits.npy");
  const LoadedModel bf16 = MustLoad(folder(), ComputeType::kBF16);
  const LoadedModel int8 = MustLoad(folder(), ComputeType::kInt8);
  const auto all = tokens(1000);
  const double bf16_delta = RelativeDelta(
      RunForward({.model = &bf16, .isa = "auto", .kv_dtype = DType::kBF16}, all), expected);
  const double int8_delta = RelativeDelta(
      RunForward({.model = &int8, .isa = "auto", .kv_dtype = DType::kBF16}, all), expected);
  RecordProperty("bf16_ppm", static_cast<int>(bf16_delta * 1e6));
  RecordProperty("int8_ppm", static_cast<int>(int8_delta * 1e6));
  EXPECT_LT(bf16_delta, ReadFloats(folder() + "/bf16_delta.npy").at(0));
  EXPECT_LT(int8_delta, 0.06);
  EXPECT_GT(bf16_delta, 1e-5);  // it is not f32 under another name
  EXPECT_GT(int8_delta, 1e-5);
}

TEST_P(Golden, ForwardGivesTheBitsOfTheReference) {
  const auto some = tokens(44);  // three blocks, two tiles of attention
  for (const ComputeType compute : kComputes) {
    const LoadedModel model = MustLoad(folder(), compute);
    for (const DType kv_dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kI8}) {
      if (kv_dtype == DType::kI8 && model.config.head_dim % kKvGroup != 0) continue;
      const auto expected =
          ReferenceLogits({&model.config, &model.weights, compute, kv_dtype, FindOps("ref")}, some);
      ASSERT_TRUE(expected.ok()) << expected.status().ToString();
      EXPECT_TRUE(SameBits(RunForward({.model = &model, .kv_dtype = kv_dtype}, some), *expected))
          << ComputeTypeName(compute) << " with kv " << DTypeName(kv_dtype);
    }
  }
}

TEST_P(Golden, BitsDependOnNothingButTokens) {
  const auto some = tokens(100);
  for (const ComputeType compute : kComputes) {
    const LoadedModel model = MustLoad(folder(), compute);
    RunArgs args = {.model = &model, .isa = "auto", .kv_dtype = DefaultKv(compute)};
    const auto whole = RunForward(args, some);
    for (const int32_t chunk : {1, 7, 64, 0}) {
      for (const int threads : {1, 2}) {
        args.chunk = chunk;
        args.threads = threads;
        EXPECT_TRUE(SameBits(RunForward(args, some), whole))
            << ComputeTypeName(compute) << " chunk " << chunk << " threads " << threads;
      }
    }
  }
}

// f32 and int8 on every instruction set; bf16 on those that do the same arithmetic. int8 KV changes
// nothing about that.
TEST_P(Golden, BitsAreEqualOnEveryInstructionSet) {
  const auto some = tokens(40);
  for (const ComputeType compute : kComputes) {
    const LoadedModel model = MustLoad(folder(), compute);
    for (const DType kv_dtype : {DefaultKv(compute), DType::kI8}) {
      if (kv_dtype == DType::kI8 && model.config.head_dim % kKvGroup != 0) continue;
      std::map<std::string_view, std::vector<float>> expected;
      for (const Ops* ops : AvailableOps()) {
        const auto logits = RunForward(
            {.model = &model, .isa = std::string(ops->name), .kv_dtype = kv_dtype, .chunk = 33},
            some);
        const auto key = compute == ComputeType::kBF16 ? ops->bf16_numerics : "";
        const auto [it, first] = expected.emplace(key, logits);
        EXPECT_TRUE(first || SameBits(logits, it->second))
            << ComputeTypeName(compute) << " on " << ops->name;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Golden, testing::ValuesIn(kGoldenFolders),
                         [](const auto& test) { return test.param; });

// Three sequences of different ages in one batch, in several orders.
TEST(Forward, BatchMatesChangeNoBit) {
  const auto tokens = ReadTokens(GoldenPath("qwen3") + "/tokens.npy");
  for (const ComputeType compute : kComputes) {
    const LoadedModel model = MustLoad(GoldenPath("qwen3"), compute);
    const DType kv_dtype = DefaultKv(compute);
    const auto vocab = static_cast<size_t>(model.config.vocab);
    const Ops* ops = FindOps("auto");
    ThreadPool threads(2);
    auto arena = CreateForwardArena(model.config, compute, 64, 2);
    ASSERT_TRUE(arena.ok());
    const ForwardContext context = {&model.config, &model.weights, ops,
                                    &threads,      arena->get(),   nullptr};
    TestKv kv(model.config, kv_dtype, 3, 48);
    // Sequence s holds the tokens from 5 s on.
    const std::span<const TokenId> of[] = {std::span(tokens).subspan(0, 30),
                                           std::span(tokens).subspan(5, 30),
                                           std::span(tokens).subspan(10, 30)};
    std::vector<float> alone[3];
    for (size_t s = 0; s < 3; ++s) {
      alone[s] = RunForward({.model = &model, .isa = "auto", .kv_dtype = kv_dtype}, of[s]);
    }
    // Rows of each pass: how many the sequence has by then, in the order of the batch.
    const struct {
      size_t sequence;
      Position first;
      int32_t rows;
    } passes[][3] = {{{0, 0, 20}, {1, 0, 1}, {2, 0, 9}},
                     {{2, 9, 1}, {1, 1, 29}, {0, 20, 1}},
                     {{0, 21, 9}, {2, 10, 20}, {1, 30, 0}}};
    for (const auto& pass : passes) {
      std::vector<SequenceRows> batch;
      int32_t wanted = 0;
      for (const auto& part : pass) {
        if (part.rows == 0) continue;
        batch.push_back({of[part.sequence].subspan(static_cast<size_t>(part.first),
                                                   static_cast<size_t>(part.rows)),
                         part.first, kv.table(static_cast<int32_t>(part.sequence)), part.rows});
        wanted += part.rows;
      }
      std::vector<float> logits(static_cast<size_t>(wanted) * vocab);
      ASSERT_TRUE(Forward(context, kv.kv(), batch, logits.data()).ok());
      size_t row = 0;
      for (const auto& part : pass) {
        const std::span<const float> expected =
            std::span(alone[part.sequence])
                .subspan(static_cast<size_t>(part.first) * vocab,
                         static_cast<size_t>(part.rows) * vocab);
        if (part.rows == 0) continue;
        EXPECT_TRUE(SameBits(std::span(logits).subspan(row * vocab, expected.size()), expected))
            << ComputeTypeName(compute) << " sequence " << part.sequence;
        row += static_cast<size_t>(part.rows);
      }
    }
  }
}

// Positions beyond one span of attention: partial results are merged.
TEST(Forward, LongSequencesGiveTheBitsOfTheReference) {
  const auto some = ReadTokens(GoldenPath("qwen2") + "/tokens.npy");
  std::vector<TokenId> tokens;
  while (tokens.size() < kAttentionSpan + 40) tokens.push_back(some[tokens.size() % some.size()]);
  for (const ComputeType compute : {ComputeType::kF32, ComputeType::kInt8}) {
    const LoadedModel model = MustLoad(GoldenPath("qwen2"), compute);
    const DType kv_dtype = DefaultKv(compute);
    const auto expected =
        ReferenceLogits({&model.config, &model.weights, compute, kv_dtype, FindOps("ref")}, tokens);
    EXPECT_TRUE(SameBits(
        RunForward({.model = &model, .isa = "auto", .kv_dtype = kv_dtype, .chunk = 999}, tokens),
        *expected));
  }
}

// What the tests below share: the qwen2 golden with one sequence.
class OneSequence : public testing::Test {
 protected:
  void Load(ComputeType compute, const std::string& name = "qwen2") {
    model_ = MustLoad(GoldenPath(name), compute);
    tokens_ = ReadTokens(GoldenPath(name) + "/tokens.npy");
    kv_ = std::make_unique<TestKv>(model_.config, DefaultKv(compute), 1, 64);
    auto arena = CreateForwardArena(model_.config, compute, 16, 2);
    ASSERT_TRUE(arena.ok());
    arena_ = *std::move(arena);
    logits_.resize(16 * static_cast<size_t>(model_.config.vocab));
  }

  ForwardContext Context() {
    return {&model_.config, &model_.weights, FindOps("auto"), &threads_, arena_.get(), hook_};
  }

  Status Run(Position first, int32_t rows, int32_t num_logits) {
    const SequenceRows batch[] = {
        {std::span(tokens_).subspan(static_cast<size_t>(first), static_cast<size_t>(rows)), first,
         kv_->table(0), num_logits, stored_}};
    return Forward(Context(), kv_->kv(), batch, logits_.data());
  }

  std::span<const float> Rows(int32_t count) const {
    return std::span(logits_).first(static_cast<size_t>(count * model_.config.vocab));
  }

  LoadedModel model_;
  std::vector<TokenId> tokens_;
  std::unique_ptr<TestKv> kv_;
  ForwardArenaPtr arena_;
  ThreadPool threads_{2};
  MemoryHook* hook_ = nullptr;
  bool stored_ = false;
  std::vector<float> logits_;
};

void ExpectNotFinite(const Status& status, const std::string& what) {
  EXPECT_EQ(Code::kCorruption, status.code()) << status.ToString();
  EXPECT_EQ("not_finite", status.name());
  EXPECT_NE(std::string::npos, status.message().find(what + " is not finite")) << status.message();
}

TEST_F(OneSequence, WritesTheWantedLogitsOnly) {
  Load(ComputeType::kF32);
  ASSERT_TRUE(Run(0, 10, 10).ok());
  const std::vector<float> all(logits_.begin(), logits_.end());
  const auto vocab = static_cast<size_t>(model_.config.vocab);
  std::ranges::fill(logits_, -1.0f);
  ASSERT_TRUE(Run(0, 10, 2).ok());
  EXPECT_TRUE(SameBits(Rows(2), std::span(all).subspan(8 * vocab, 2 * vocab)));
  EXPECT_EQ(-1.0f, logits_[2 * vocab]);
  std::ranges::fill(logits_, -1.0f);
  ASSERT_TRUE(Run(0, 10, 0).ok());
  EXPECT_EQ(-1.0f, logits_[0]);
  ASSERT_TRUE(Forward(Context(), kv_->kv(), {}, logits_.data()).ok());
  EXPECT_EQ(-1.0f, logits_[0]);
}

TEST_F(OneSequence, StoredRowsAttendToWhatIsThereAndLeaveItAsItIs) {
  Load(ComputeType::kF32);
  ASSERT_TRUE(Run(0, 10, 2).ok());
  const std::vector<float> computed(Rows(2).begin(), Rows(2).end());
  const auto bytes = [&] {
    const auto* first = kv_->kv().base;
    return std::vector<std::byte>(first, first + kv_->kv().total_bytes());
  };
  const std::vector<std::byte> kept = bytes();
  stored_ = true;
  ASSERT_TRUE(Run(6, 4, 2).ok());
  EXPECT_TRUE(SameBits(computed, Rows(2)));
  tokens_[9] = tokens_[9] + 1;  // another query, the same keys
  ASSERT_TRUE(Run(6, 4, 2).ok());
  EXPECT_TRUE(SameBits(std::span(computed).first(computed.size() / 2), Rows(1)));
  EXPECT_FALSE(SameBits(computed, Rows(2)));
  EXPECT_EQ(kept, bytes());
}

TEST_F(OneSequence, AllocatesNothingOnceThereIsAnArena) {
  for (const ComputeType compute : kComputes) {
    Load(compute);
    ASSERT_TRUE(Run(0, 16, 1).ok());
    const int64_t before = NumAllocations();
    for (Position p = 16; p < 24; ++p) {
      ASSERT_TRUE(Run(p, 1, 1).ok());
    }
    ASSERT_TRUE(Run(24, 16, 16).ok());
    EXPECT_EQ(before, NumAllocations()) << ComputeTypeName(compute);
  }
}

TEST_F(OneSequence, NonFiniteActivationsEndInt8) {
  Load(ComputeType::kInt8);
  const std::vector<float> huge(static_cast<size_t>(model_.config.hidden), 1e38f);
  model_.weights.layers[1].ffn_norm = huge.data();
  const Status status = Run(0, 4, 1);
  ExpectNotFinite(status, "an activation");
}

// Infinite where the cache's type cannot hold it, though it is finite where it was computed.
TEST_F(OneSequence, KeysAndValuesThatTheCacheCannotHoldEndThePass) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const struct {
    DType dtype;
    float fits, bad;
  } cases[] = {{DType::kI8, 1e30f, kInf},           {DType::kF32, 1e30f, kInf},
               {DType::kF32, 1e30f, std::nanf("")}, {DType::kBF16, 1e30f, 3.4e38f},
               {DType::kF16, 60000.0f, 65520.0f},   {DType::kF16, -60000.0f, -1e6f}};
  for (const auto& test : cases) {
    for (const bool values : {false, true}) {
      Load(ComputeType::kF32, "llama3");
      kv_ = std::make_unique<TestKv>(model_.config, test.dtype, 1, 64);
      LayerWeights& layer = model_.weights.layers[1];
      const std::vector<float> fits(4096, test.fits), bad(4096, test.bad);
      (values ? layer.v_bias : layer.k_bias) = bad.data();
      ExpectNotFinite(Run(0, 4, 1), "a key or value");
      if (!values) continue;  // keys that large leave the scores no finite sum
      layer.v_bias = fits.data();
      const Status status = Run(0, 4, 1);
      EXPECT_TRUE(status.ok()) << DTypeName(test.dtype) << status.ToString();
    }
  }
}

// Weights that overflow on the way to the logits, in each compute type: never a row to sample from.
TEST_F(OneSequence, LogitsThatAreNotFiniteEndThePassInEveryComputeType) {
  for (const ComputeType compute : kComputes) {
    for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf(""), 3e38f}) {
      Load(compute);
      ASSERT_TRUE(Run(0, 4, 1).ok());
      const std::vector<float> norm(static_cast<size_t>(model_.config.hidden), bad);
      model_.weights.final_norm = norm.data();
      const Status status = Run(0, 4, 1);
      ExpectNotFinite(status, compute == ComputeType::kInt8 ? "an activation" : "a logit");
      EXPECT_TRUE(Run(0, 4, 0).ok()) << "rows without logits are not looked at";
    }
  }
}

// One bad weight of the head is one bad logit among good ones.
TEST_F(OneSequence, OneLogitThatIsNotFiniteIsEnough) {
  Load(ComputeType::kF32);
  const Matrix head = model_.weights.head;
  const auto count = static_cast<size_t>(head.rows * head.cols);
  const auto* values = reinterpret_cast<const float*>(head.operand);
  std::vector<float> copy(values, values + count);
  model_.weights.head.operand = reinterpret_cast<const std::byte*>(copy.data());
  for (const size_t row :
       {size_t{0}, static_cast<size_t>(head.rows) / 2, static_cast<size_t>(head.rows) - 1}) {
    float& value = copy[row * static_cast<size_t>(head.cols)];
    const float good = std::exchange(value, std::nanf(""));
    ExpectNotFinite(Run(0, 4, 1), "a logit");
    value = good;
    EXPECT_TRUE(Run(0, 4, 1).ok());
  }
}

class AddOne final : public MemoryHook {
 public:
  explicit AddOne(float step) : step_(step) {}
  void OnLayer(int32_t layer, float* hidden, int64_t num_rows) override {
    layers.push_back(layer);
    for (int64_t i = 0; i < num_rows * 64; ++i) hidden[i] += step_;
  }
  std::vector<int32_t> layers;

 private:
  float step_;
};

TEST_F(OneSequence, MemoryEntersEachLayerOnce) {
  Load(ComputeType::kF32);
  ASSERT_TRUE(Run(0, 5, 5).ok());
  const std::vector<float> without(Rows(5).begin(), Rows(5).end());
  AddOne nothing(0.0f);
  hook_ = &nothing;
  ASSERT_TRUE(Run(0, 5, 5).ok());
  EXPECT_TRUE(SameBits(Rows(5), without));
  EXPECT_EQ((std::vector<int32_t>{0, 1}), nothing.layers);
  AddOne one(1.0f);
  hook_ = &one;
  ASSERT_TRUE(Run(0, 5, 5).ok());
  EXPECT_FALSE(SameBits(Rows(5), without));
}

// A caller may have changed rounding and the treatment of denormals; it gets its own back.
TEST_F(OneSequence, TheCallersFloatEnvironmentNeitherMattersNorChanges) {
  Load(ComputeType::kF32);
  ASSERT_TRUE(Run(0, 9, 9).ok());
  const std::vector<float> expected(Rows(9).begin(), Rows(9).end());
  const uint32_t saved = _mm_getcsr();
  const uint32_t strange = (saved & ~0xe040u) | _MM_ROUND_UP;  // upwards, denormals kept
  _mm_setcsr(strange);
  const Status status = Run(0, 9, 9);
  const uint32_t after = _mm_getcsr();
  _mm_setcsr(saved);
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(strange & 0xffc0u, after & 0xffc0u);
  EXPECT_TRUE(SameBits(Rows(9), expected));
}

TEST(Forward, ArenaOfNoRowsIsRefused) {
  const ModelConfig config = MustLoad(GoldenPath("qwen2")).config;
  EXPECT_EQ(Code::kInvalidArgument,
            CreateForwardArena(config, ComputeType::kF32, 0, 1).status().code());
  ModelConfig vast = config;
  vast.ffn = 1 << 20;
  EXPECT_EQ(Code::kExhausted,
            CreateForwardArena(vast, ComputeType::kF32, INT32_MAX, 1).status().code());
}

}  // namespace
}  // namespace gyrator
