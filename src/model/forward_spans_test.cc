// Attention of single rows far behind their first positions, which is split over threads by spans.
#include <gtest/gtest.h>

#include <vector>

#include "kernels/ops.h"
#include "model/forward.h"
#include "model/model_testing.h"

namespace gyrator {
namespace {

constexpr int32_t kChunk = 512;
constexpr Position kLong = 2046;  // positions before the decoding begins: two spans, then three
constexpr Position kShort = 700;  // one span
constexpr int32_t kSteps = 4;

// Two sequences that decode together, then the long one alone.
class TwoSequences {
 public:
  TwoSequences(const LoadedModel& model, int threads)
      : model_(model),
        threads_(threads),
        kv_(model.config, DefaultKv(model.compute), 2, kLong + 2 * kSteps),
        arena_(*CreateForwardArena(model.config, model.compute, kChunk, threads)) {
    for (Position p = 0; p < kLong + 2 * kSteps; ++p) {
      tokens_.push_back(static_cast<TokenId>(p * 7919 % model.config.vocab));
    }
  }

  // The logits of all steps.
  std::vector<float> Run() {
    for (Position p = 0; p < kLong; p += kChunk) Pass({Rows(0, p, std::min(kChunk, kLong - p))});
    for (Position p = 0; p < kShort; p += kChunk) Pass({Rows(1, p, std::min(kChunk, kShort - p))});
    logits_.clear();
    logits_.reserve(static_cast<size_t>(3 * kSteps * model_.config.vocab));
    const int64_t before = NumAllocations();
    for (int32_t i = 0; i < kSteps; ++i) Pass({Rows(0, kLong + i, 1), Rows(1, kShort + i, 1)});
    for (int32_t i = kSteps; i < 2 * kSteps; ++i) Pass({Rows(0, kLong + i, 1)});
    EXPECT_EQ(before, NumAllocations());
    return logits_;
  }

 private:
  SequenceRows Rows(int32_t sequence, Position first, int32_t count) const {
    return {.tokens =
                std::span(tokens_).subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
            .first_position = first,
            .table = kv_.table(sequence),
            .num_logits = 1};
  }

  void Pass(std::initializer_list<SequenceRows> batch) {
    const size_t at = logits_.size();
    logits_.resize(at + batch.size() * static_cast<size_t>(model_.config.vocab));
    const ForwardContext context = {.config = &model_.config,
                                    .weights = &model_.weights,
                                    .ops = FindOps("auto"),
                                    .threads = &threads_,
                                    .arena = arena_.get()};
    const Status status =
        Forward(context, kv_.kv(), {batch.begin(), batch.size()}, logits_.data() + at);
    EXPECT_TRUE(status.ok()) << status.ToString();
  }

  const LoadedModel& model_;
  ThreadPool threads_;
  const TestKv kv_;
  const ForwardArenaPtr arena_;
  std::vector<TokenId> tokens_;
  std::vector<float> logits_;
};

// One thread attends to the whole. With room for two spans the long sequence is not split.
TEST(ForwardSpans, SplittingChangesNoBitAndAllocatesNothing) {
  for (const ComputeType compute : {ComputeType::kF32, ComputeType::kBF16, ComputeType::kInt8}) {
    LoadedModel model = MustLoad(GoldenPath("qwen3"), compute);
    const std::vector<float> whole = TwoSequences(model, 1).Run();
    for (const int32_t context_max : {1 << 20, 4 * kAttentionSpan, 2 * kAttentionSpan, 512}) {
      model.config.context_max = context_max;
      for (const int threads : {2, 5}) {
        EXPECT_TRUE(SameBits(whole, TwoSequences(model, threads).Run()))
            << ComputeTypeName(compute) << " " << context_max << " " << threads;
      }
    }
  }
}

}  // namespace
}  // namespace gyrator
