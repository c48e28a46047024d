#include "model/block_scores.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

#include "kernels/kv_element.h"
#include "model/model_testing.h"

namespace gyrator {
namespace {

constexpr DType kKvDTypes[] = {DType::kF32, DType::kBF16, DType::kF16, DType::kI8};

// Keeps the queries, and hands them on.
class Spy final : public AttentionObserver {
 public:
  Spy(const ModelConfig& config, AttentionObserver* next) : config_(config), next_(next) {}
  void OnQueries(int32_t layer, const float* q, int64_t num_rows) override {
    EXPECT_EQ(layer, static_cast<int32_t>(queries.size()));
    queries.emplace_back(q, q + num_rows * config_.num_heads * config_.head_dim);
    if (next_ != nullptr) next_->OnQueries(layer, q, num_rows);
  }

  std::vector<std::vector<float>> queries;  // [layer][row, head, dim]

 private:
  const ModelConfig& config_;
  AttentionObserver* next_;
};

// A sequence of `length` tokens, the last `rows` of which are a pass of their own.
struct Scene {
  const LoadedModel* model = nullptr;
  DType kv_dtype = DType::kF32;
  int32_t length = 0, rows = 0;
  int threads = 1;
  const Ops* ops = FindOps("auto");
};

struct Outcome {
  std::vector<float> scores;
  std::vector<float> logits;                // of the rows
  std::vector<std::byte> kv;                // all bytes of the pool
  std::vector<std::vector<float>> queries;  // Spy
};

class ScoredRun {
 public:
  explicit ScoredRun(const Scene& scene)
      : scene_(scene),
        config_(scene.model->config),
        tokens_(ReadTokens(GoldenPath("llama3") + "/tokens.npy")),
        threads_(scene.threads),
        kv_(config_, scene.kv_dtype, 2, scene.length) {
    auto arena = CreateForwardArena(config_, scene.model->compute, 256, scene.threads);
    EXPECT_TRUE(arena.ok());
    arena_ = *std::move(arena);
    EXPECT_GE(tokens_.size(), static_cast<size_t>(scene.length));
  }

  const PagedKv& kv() const { return kv_.kv(); }
  int32_t first() const { return scene_.length - scene_.rows; }
  ScoredRows scored() const {
    return {.table = kv_.table(0), .first_position = first(), .num_rows = scene_.rows};
  }
  // Tokens [begin, end) of a sequence; logits of all of them are wanted.
  SequenceRows Rows(int32_t sequence, int32_t begin, int32_t end) const {
    return {
        std::span(tokens_).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)),
        begin, kv_.table(sequence), end - begin};
  }
  std::vector<float> Forward(std::span<const SequenceRows> batch, AttentionObserver* observer) {
    int32_t wanted = 0;
    for (const SequenceRows& rows : batch) wanted += rows.num_logits;
    std::vector<float> logits(static_cast<size_t>(wanted) * static_cast<size_t>(config_.vocab));
    const ForwardContext context = {.config = &config_,
                                    .weights = &scene_.model->weights,
                                    .ops = scene_.ops,
                                    .threads = &threads_,
                                    .arena = arena_.get(),
                                    .observer = observer};
    const Status status = gyrator::Forward(context, kv(), batch, logits.data());
    EXPECT_TRUE(status.ok()) << status.ToString();
    return logits;
  }
  void Prefill() {
    if (first() == 0) return;
    const SequenceRows batch[] = {Rows(0, 0, first())};
    Forward(batch, nullptr);
  }
  BlockScores Scorer(const ScoredRows& rows) {
    return BlockScores(kv(), config_.num_heads, rows, &threads_);
  }
  Outcome Observed() {
    Prefill();
    BlockScores scorer = Scorer(scored());
    Spy spy(config_, &scorer);
    const SequenceRows batch[] = {Rows(0, first(), scene_.length)};
    Outcome outcome;
    outcome.logits = Forward(batch, &spy);
    outcome.scores = scorer.Scores();
    outcome.kv.assign(kv().base, kv().base + kv().total_bytes());
    outcome.queries = spy.queries;
    return outcome;
  }

 private:
  const Scene scene_;
  const ModelConfig& config_;
  const std::vector<TokenId> tokens_;
  ThreadPool threads_;
  TestKv kv_;
  ForwardArenaPtr arena_;
};

// The weight of each block in double precision, straight from the definition.
std::vector<double> ExpectedScores(const ScoredRun& run, const Scene& scene,
                                   const std::vector<std::vector<float>>& queries) {
  const FloatEnvironment environment;
  const ModelConfig& config = scene.model->config;
  const PagedKv& kv = run.kv();
  const ScoredRows rows = run.scored();
  const auto key = [&](int32_t layer, int32_t head, int32_t position, int32_t d) {
    std::byte* keys = kv.keys(layer, rows.table.blocks[position / 16], head);
    const int32_t slot = position % 16;
    const float scale =
        kv.dtype == DType::kI8 ? kv.scales(keys)[ScaleIndex(d / kKvGroup, slot)] : 0.0f;
    return double{KvElement(kv.dtype, keys, KeyIndex(kv.dtype, d, slot), scale)};
  };
  std::vector<double> scores(static_cast<size_t>((scene.length + 15) / 16));
  for (int32_t layer = 0; layer < config.num_layers; ++layer) {
    for (int32_t row = 0; row < scene.rows; ++row) {
      for (int32_t head = 0; head < config.num_heads; ++head) {
        const float* q =
            &queries[static_cast<size_t>(layer)]
                    [static_cast<size_t>((row * config.num_heads + head) * config.head_dim)];
        std::vector<double> e;
        double sum = 0;
        for (int32_t p = 0; p <= rows.first_position + row; ++p) {
          double product = 0;
          for (int32_t d = 0; d < config.head_dim; ++d) {
            product +=
                double{q[d]} * key(layer, head * config.num_kv_heads / config.num_heads, p, d);
          }
          e.push_back(std::exp(product / std::sqrt(double{1} * config.head_dim)));
          sum += e.back();
        }
        for (size_t p = 0; p < e.size(); ++p) scores[p / 16] += e[p] / sum;
      }
    }
  }
  for (double& score : scores) score /= config.num_layers * config.num_heads * scene.rows;
  return scores;
}

class Models : public testing::TestWithParam<const char*> {
 protected:
  const LoadedModel model_ = MustLoad(GoldenPath(GetParam()), ComputeType::kF32);
  bool Keeps(DType kv_dtype) const {
    return kv_dtype != DType::kI8 || model_.config.head_dim % kKvGroup == 0;
  }
};
// As many kv heads as query heads, and half as many; heads of 16 and of 32.
INSTANTIATE_TEST_SUITE_P(Golden, Models, testing::Values("llama2", "llama3"),
                         [](const auto& test) { return test.param; });

TEST_P(Models, ScoresAreTheMassOfAttention) {
  const std::pair<int32_t, int32_t> lengths[] = {{1, 1},   {16, 16}, {17, 3},
                                                 {32, 32}, {75, 32}, {80, 1}};
  for (const DType kv_dtype : kKvDTypes) {
    if (!Keeps(kv_dtype)) continue;
    for (const auto& [length, rows] : lengths) {
      const Scene scene = {.model = &model_, .kv_dtype = kv_dtype, .length = length, .rows = rows};
      ScoredRun run(scene);
      const Outcome outcome = run.Observed();
      const std::vector<double> expected = ExpectedScores(run, scene, outcome.queries);
      ASSERT_EQ(outcome.scores.size(), expected.size());
      double sum = 0;
      for (size_t b = 0; b < expected.size(); ++b) {
        EXPECT_NEAR(outcome.scores[b], expected[b], 1e-6)
            << DTypeName(kv_dtype) << " length " << length << " rows " << rows << " block " << b;
        sum += double{outcome.scores[b]};
      }
      EXPECT_NEAR(sum, 1, 1e-6);
    }
  }
}

TEST_P(Models, BitsDoNotDependOnTheThreads) {
  for (const DType kv_dtype : kKvDTypes) {
    if (!Keeps(kv_dtype)) continue;
    Scene scene = {.model = &model_, .kv_dtype = kv_dtype, .length = 75, .rows = 32};
    const Outcome alone = ScoredRun(scene).Observed();
    for (const int threads : {2, 3}) {
      scene.threads = threads;
      EXPECT_TRUE(SameBits(ScoredRun(scene).Observed().scores, alone.scores))
          << DTypeName(kv_dtype) << " threads " << threads;
    }
  }
}

TEST_P(Models, AnObserverChangesNoBitOfThePass) {
  for (const DType kv_dtype : kKvDTypes) {
    if (!Keeps(kv_dtype)) continue;
    const Scene scene = {
        .model = &model_, .kv_dtype = kv_dtype, .length = 75, .rows = 32, .threads = 2};
    const Outcome observed = ScoredRun(scene).Observed();
    ScoredRun plain(scene);
    plain.Prefill();
    const SequenceRows batch[] = {plain.Rows(0, plain.first(), scene.length)};
    EXPECT_TRUE(SameBits(plain.Forward(batch, nullptr), observed.logits));
    EXPECT_TRUE(std::equal(observed.kv.begin(), observed.kv.end(), plain.kv().base));
  }
}

// The rows may be the last of a longer part of a prompt, beside another sequence.
TEST_P(Models, RowsOfALargerPassHaveTheSameScores) {
  const Scene scene = {.model = &model_, .kv_dtype = DType::kF16, .length = 75, .rows = 20};
  const Outcome alone = ScoredRun(scene).Observed();
  ScoredRun run(scene);
  const SequenceRows batch[] = {run.Rows(1, 0, 33), run.Rows(0, 0, 75), run.Rows(1, 33, 40)};
  ScoredRows rows = run.scored();
  rows.first_row_of_pass = 33 + 55;
  BlockScores scorer = run.Scorer(rows);
  run.Forward(batch, &scorer);
  EXPECT_TRUE(SameBits(scorer.Scores(), alone.scores));
}

// What attention was called with, [layer, row, head, dim]; the pass has one thread and one
// sequence.
std::vector<std::vector<float>>* seen_by_attention = nullptr;

void RecordAttention(const AttentionArgs& args) {
  auto& seen = *seen_by_attention;
  seen.resize(static_cast<size_t>(args.layer) + 1);
  const int32_t dim = args.kv->head_dim;
  std::vector<float>& q = seen.back();
  q.resize(static_cast<size_t>(args.num_rows * args.q_row_stride));
  for (int32_t row = 0; row < args.num_rows; ++row) {
    const int64_t begin = row * args.q_row_stride, head = args.kv_head * args.heads_per_kv * dim;
    std::copy_n(args.q + begin, args.heads_per_kv * dim, q.begin() + begin + head);
  }
  FindOps("ref")->attention(args);
}

TEST_P(Models, AnObserverSeesTheQueriesOfAttention) {
  Ops ops = *FindOps("ref");
  ops.attention = RecordAttention;
  std::vector<std::vector<float>> seen;
  seen_by_attention = &seen;
  const Scene scene = {.model = &model_, .length = 30, .rows = 12, .ops = &ops};
  const Outcome outcome = ScoredRun(scene).Observed();
  EXPECT_EQ(outcome.queries, seen);
  EXPECT_EQ(seen.size(), static_cast<size_t>(model_.config.num_layers));
}

// Eight heads of f32 keys below `key_max`, and queries below `query_max`, without a model: enough
// work that threads run side by side.
class Synthetic {
 public:
  Synthetic(float key_max, float query_max) {
    std::mt19937 random(1);
    const auto value = [&](float most) {
      return most * (static_cast<float>(random() >> 8) * 0x1p-23f - 1.0f);
    };
    for (float& key : memory_) key = value(key_max);
    for (float& q : queries_) q = value(query_max);
    for (size_t i = 0; i < table_.size(); ++i) table_[i] = static_cast<uint32_t>(i);
  }
  void SetFirstKey(float value) { memory_[0] = value; }
  std::vector<float> Scores(int num_threads) {
    const PagedKv kv{.base = reinterpret_cast<std::byte*>(memory_.data()),
                     .dtype = DType::kF32,
                     .num_layers = 1,
                     .num_blocks = kBlocks,
                     .num_kv_heads = kHeads,
                     .head_dim = kDim};
    ThreadPool threads(num_threads);
    BlockScores scorer(kv, kHeads,
                       {.table = {table_.data(), kBlocks},
                        .first_position = kBlocks * kBlockPositions - kScoredRowsMax,
                        .num_rows = kScoredRowsMax},
                       &threads);
    scorer.OnQueries(0, queries_.data(), kScoredRowsMax);
    return scorer.Scores();
  }

 private:
  static constexpr int32_t kBlocks = 64, kHeads = 8, kDim = 64;
  std::vector<float> memory_ = std::vector<float>(kBlocks * kHeads * kDim * kBlockPositions * 2);
  std::vector<float> queries_ = std::vector<float>(kScoredRowsMax * kHeads * kDim);
  std::vector<uint32_t> table_ = std::vector<uint32_t>(kBlocks);
};

TEST(BlockScores, ThreadsDoNotShareWhatTheyWrite) {
  Synthetic synthetic(1, 4);
  const std::vector<float> alone = synthetic.Scores(1);
  for (int run = 0; run < 10; ++run) {
    for (const int threads : {2, 3}) {
      ASSERT_TRUE(SameBits(synthetic.Scores(threads), alone)) << threads;
    }
  }
}

// As attention does, whatever the caller's thread does.
TEST(BlockScores, DenormalKeysCountAsZero) {
  Synthetic denormal(1e-39f, 1e38f), zero(0, 1e38f);
  for (const int threads : {1, 2}) {
    EXPECT_TRUE(SameBits(denormal.Scores(threads), zero.Scores(threads)));
  }
}

TEST(BlockScores, WhatIsNotFiniteShows) {
  for (const uint32_t nan : {0x7fc00000u, 0x7fc00001u, 0xffc00000u}) {
    Synthetic synthetic(1, 1);
    synthetic.SetFirstKey(std::bit_cast<float>(nan));
    const std::vector<float> scores = synthetic.Scores(1);
    EXPECT_TRUE(std::ranges::all_of(scores, [](float score) { return std::isnan(score); })) << nan;
  }
}

TEST(BlockScores, APassAllocatesNothing) {
  const LoadedModel model = MustLoad(GoldenPath("llama3"), ComputeType::kF32);
  ScoredRun run({.model = &model, .length = 40, .rows = 4, .threads = 2});
  run.Prefill();
  BlockScores scorer = run.Scorer(run.scored());
  const std::vector<float> q(static_cast<size_t>(4 * model.config.num_heads) *
                             static_cast<size_t>(model.config.head_dim));
  const int64_t before = NumAllocations();
  scorer.OnQueries(0, q.data(), 4);
  EXPECT_EQ(NumAllocations(), before);
}

}  // namespace
}  // namespace gyrator
