#include "trainer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "evaluate.h"
#include "rows.h"

namespace gyrator::train {
namespace {

const BpeVocab& SmallVocab() {
  static const BpeVocab* vocab = [] {
    auto trained =
        BpeVocab::Train(VocabText(1, 40), 320, {std::begin(kSpecials), std::end(kSpecials)});
    return new BpeVocab(*std::move(trained));
  }();
  return *vocab;
}

DecoderConfig SmallConfig() {
  return {.num_layers = 2,
          .hidden = 64,
          .num_heads = 4,
          .num_kv_heads = 2,
          .head_dim = 16,
          .ffn = 96,
          .vocab = 320};
}

TrainOptions SmallRun(const std::string& name) {
  TrainOptions options;
  options.out = testing::TempDir() + name;
  mkdir(options.out.c_str(), 0777);
  options.config = SmallConfig();
  options.schedule = {.peak = 1e-2, .warmup_steps = 2, .steps = 6, .decay_steps = 3};
  options.eval_steps = 0;
  options.threads = 1;
  options.precision = Precision::kF32;
  return options;
}

std::unique_ptr<Trainer> Create(const TrainOptions& options) {
  auto trainer = Trainer::Create(options, SmallVocab());
  EXPECT_TRUE(trainer.ok()) << trainer.status().ToString();
  return *std::move(trainer);
}

void ExpectEqualWeights(const Decoder& a, const Decoder& b) {
  for (size_t i = 0; i < a.parameters().size(); ++i) {
    EXPECT_TRUE(at::equal(a.parameters()[i].second, b.parameters()[i].second))
        << a.parameters()[i].first;
  }
}

TEST(Trainer, ResumedRunHasTheBitsOfOneNeverStopped) {
  const auto whole = Create(SmallRun("whole"));
  for (int i = 0; i < 6; ++i) whole->Step();

  TrainOptions options = SmallRun("halves");
  {
    const auto first = Create(options);
    for (int i = 0; i < 3; ++i) first->Step();
    ASSERT_TRUE(first->Save().ok());
    first->Step();  // work after the checkpoint is lost, as by a kill
  }
  options.resume = true;
  const auto second = Create(options);
  EXPECT_EQ(second->progress().step, 3);
  for (int i = 0; i < 3; ++i) second->Step();
  ExpectEqualWeights(whole->decoder(), second->decoder());
  EXPECT_EQ(whole->progress().tokens, second->progress().tokens);
}

TEST(Trainer, LearnsAndStopsWithACheckpoint) {
  TrainOptions options = SmallRun("learns");
  options.schedule = {.peak = 5e-3, .warmup_steps = 5, .steps = 40, .decay_steps = 10};
  const auto trainer = Create(options);
  const double first = trainer->Step();
  std::atomic<bool> stop{false};
  ASSERT_TRUE(trainer->Run(stop).ok());
  EXPECT_EQ(trainer->progress().step, 40);
  EXPECT_NEAR(first, std::log(320.0), 1.0);

  options.resume = true;
  options.schedule.steps = 42;
  const auto resumed = Create(options);
  EXPECT_EQ(resumed->progress().step, 40);
  EXPECT_LT(resumed->Step(), first - 1.5);
  std::ifstream log(LogPath(options.out));
  std::string line;
  EXPECT_TRUE(std::getline(log, line));
  EXPECT_NE(line.find("\"loss\""), std::string::npos);
}

TEST(Trainer, StopsWhenAsked) {
  const auto trainer = Create(SmallRun("stopped"));
  std::atomic<bool> stop{true};
  EXPECT_EQ(trainer->Run(stop).code(), Code::kCancelled);
  EXPECT_TRUE(OpenCheckpoint(CheckpointPath(SmallRun("stopped").out)).ok());
}

TEST(Trainer, FinishDecaysFromTheCheckpoint) {
  TrainOptions options = SmallRun("finish");
  const auto first = Create(options);
  first->Step();
  ASSERT_TRUE(first->Save().ok());
  options.resume = true;
  options.finish_steps = 4;
  const auto second = Create(options);
  std::atomic<bool> stop{false};
  ASSERT_TRUE(second->Run(stop).ok());
  EXPECT_EQ(second->progress().step, 5);
}

TEST(Checkpoint, AnotherShapeIsRefusedByName) {
  TrainOptions options = SmallRun("shape");
  const auto first = Create(options);
  ASSERT_TRUE(first->Save().ok());
  options.resume = true;
  options.config.ffn = 128;
  const auto refused = Trainer::Create(options, SmallVocab());
  ASSERT_EQ(refused.status().code(), Code::kMismatch);
  EXPECT_NE(refused.status().message().find("mlp.gate_proj"), std::string::npos);
}

TEST(Checkpoint, DamageIsRefused) {
  const TrainOptions options = SmallRun("damage");
  const auto trainer = Create(options);
  ASSERT_TRUE(trainer->Save().ok());
  const std::string path = CheckpointPath(options.out);
  ASSERT_EQ(truncate(path.c_str(), 1000), 0);
  EXPECT_EQ(OpenCheckpoint(path).status().code(), Code::kCorruption);
  EXPECT_EQ(OpenCheckpoint(options.out + "/nothing").status().code(), Code::kNotFound);
}

TEST(Trainer, AnotherVocabularyIsRefused) {
  TrainOptions options = SmallRun("vocab");
  options.config.vocab = 352;
  EXPECT_EQ(Trainer::Create(options, SmallVocab()).status().code(), Code::kMismatch);
}

// No position sees its future, and rows of a batch do not see each other.
TEST(Decoder, IsCausal) {
  at::NoGradGuard no_grad;
  const Decoder decoder(SmallConfig(), 3);
  at::Tensor ids = at::randint(320, {2, 40}, at::kLong);
  const at::Tensor before = decoder.Forward(ids);
  ids[0][30] = (ids[0][30] + 1) % 320;
  const at::Tensor after = decoder.Forward(ids);
  EXPECT_LT((before[0].narrow(0, 0, 30) - after[0].narrow(0, 0, 30)).abs().max().item<float>(),
            1e-6);
  EXPECT_LT((before[1] - after[1]).abs().max().item<float>(), 1e-6);
  EXPECT_GT((before[0][30] - after[0][30]).abs().max().item<float>(), 1e-4);
}

// Before any training, the second time that a random sequence comes, what followed the first time
// is more likely than chance has it.
TEST(Decoder, CopiesFromTheFirstStep) {
  at::NoGradGuard no_grad;
  DecoderConfig config;
  const Decoder decoder(config, 5);
  const int64_t half = 40;
  const at::Tensor once = at::randperm(config.vocab, at::kLong).narrow(0, 0, half);
  const at::Tensor logits = decoder.Forward(at::cat({once, once}).view({1, 2 * half}))[0];
  double rank = 0;
  for (int64_t i = half; i < 2 * half - 1; ++i) {
    const float right = logits[i][once[i - half + 1].item<int64_t>()].item<float>();
    rank += (logits[i] > right).sum().item<double>() / config.vocab;
  }
  EXPECT_LT(rank / (half - 1), 0.25);  // chance: 0.5
}

TEST(Evaluate, CountsEveryQuestion) {
  const Decoder decoder(SmallConfig(), 3);
  Recall recall;
  Evaluate(decoder, SmallVocab(), {.rows = 5, .row_tokens = 512, .samples_max = 2}, recall);
  int asked = recall.unknown.asked;
  for (const Score& score : recall.by_position) asked += score.asked;
  EXPECT_EQ(recall.facts.asked + recall.many.asked + recall.unknown.asked, asked);
  int expected = 0;
  for (uint64_t i = 0; i < 5; ++i) {
    expected +=
        static_cast<int>(MakeRow(SmallVocab(), 1, i, {.row_tokens = 512, .split = Split::kHeldOut})
                             .questions.size());
  }
  EXPECT_EQ(asked, expected);
  EXPECT_EQ(recall.facts.right, 0);  // nothing was learned
  EXPECT_EQ(recall.samples.size(), 2u);
}

}  // namespace
}  // namespace gyrator::train
