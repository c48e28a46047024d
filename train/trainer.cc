#include "trainer.h"

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <torch/types.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "evaluate.h"
#include "rows.h"

namespace gyrator::train {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// At most 65,536 rows a step: indices of steps never meet.
constexpr int64_t kRowsOfStep = 1 << 16;

struct Batch {
  at::Tensor ids;      // [rows, tokens] int64
  at::Tensor weights;  // [rows, tokens] f32: of predicting ids[r][t]
};

Batch MakeBatch(const BpeVocab& vocab, uint64_t seed, int64_t step, BatchShape shape) {
  Batch batch{torch::zeros({shape.rows, shape.row_tokens}, torch::kInt64),
              torch::zeros({shape.rows, shape.row_tokens})};
  for (int32_t r = 0; r < shape.rows; ++r) {
    const Row row = MakeRow(vocab, seed, static_cast<uint64_t>(step * kRowsOfStep + r),
                            {.row_tokens = shape.row_tokens});
    const auto count = static_cast<std::ptrdiff_t>(
        std::min<size_t>(row.ids.size(), static_cast<size_t>(shape.row_tokens)));
    std::copy(row.ids.begin(), row.ids.begin() + count, batch.ids[r].data_ptr<int64_t>());
    std::copy(row.weights.begin(), row.weights.begin() + count, batch.weights[r].data_ptr<float>());
  }
  return batch;
}

at::Tensor WeightedLoss(const at::Tensor& logits, const Batch& batch) {
  const int64_t tokens = batch.ids.size(1);
  const at::Tensor targets = batch.ids.narrow(1, 1, tokens - 1).reshape({-1});
  const at::Tensor weights = batch.weights.narrow(1, 1, tokens - 1).reshape({-1});
  const at::Tensor all =
      logits.narrow(1, 0, tokens - 1).reshape({-1, logits.size(2)}).to(torch::kFloat32);
  const at::Tensor losses = at::cross_entropy_loss(all, targets, {}, at::Reduction::None);
  return (losses * weights).sum() / weights.sum();
}

bool CpuMultipliesBf16() {
  return __builtin_cpu_supports("avx512bf16") || __builtin_cpu_supports("amx-bf16");
}

// Autocast to bf16 in its scope, where asked for.
class AutocastScope {
 public:
  explicit AutocastScope(bool on) : on_(on) {
    if (!on_) return;
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    at::autocast::set_autocast_enabled(at::kCPU, true);
  }
  ~AutocastScope() {
    if (!on_) return;
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
  }
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  bool on_;
};

}  // namespace

std::string CheckpointPath(const std::string& out) { return out + "/checkpoint.safetensors"; }
std::string LogPath(const std::string& out) { return out + "/log.jsonl"; }

Trainer::Trainer(const TrainOptions& options, BpeVocab vocab)
    : options_(options),
      vocab_(std::move(vocab)),
      bf16_(options.precision == Precision::kBF16 ||
            (options.precision == Precision::kAuto && CpuMultipliesBf16())),
      decoder_(std::make_unique<Decoder>(options.config, options.seed)),
      moments_(ZeroMoments(*decoder_)) {
  progress_.seed = options.seed;
}

Result<std::unique_ptr<Trainer>> Trainer::Create(const TrainOptions& options, BpeVocab vocab) {
  if (vocab.size() != options.config.vocab) {
    return Status::Mismatch("vocabulary: the decoder has " + std::to_string(options.config.vocab) +
                            " tokens, the tokenizer " + std::to_string(vocab.size()));
  }
  at::set_num_threads(options.threads);
  std::unique_ptr<Trainer> trainer(new Trainer(options, std::move(vocab)));
  const bool found = access(CheckpointPath(options.out).c_str(), F_OK) == 0;
  if (options.resume && found) {
    GYRATOR_ASSIGN_OR_RETURN(const CheckpointFile file,
                             OpenCheckpoint(CheckpointPath(options.out)));
    GYRATOR_RETURN_IF_ERROR(LoadWeights(file, *trainer->decoder_));
    GYRATOR_RETURN_IF_ERROR(LoadMoments(file, *trainer->decoder_, trainer->moments_));
    trainer->progress_ = file.progress;
  }
  if (options.finish_steps > 0) {
    trainer->options_.schedule.steps = trainer->progress_.step + options.finish_steps;
    trainer->options_.schedule.decay_steps = options.finish_steps;
  }
  return trainer;
}

Status Trainer::Save() const {
  return SaveCheckpoint(CheckpointPath(options_.out), *decoder_, moments_, progress_);
}

double Trainer::Step() {
  const BatchShape shape = DrawBatchShape(progress_.seed, progress_.step, progress_.tokens);
  const Batch batch = MakeBatch(vocab_, progress_.seed, progress_.step, shape);
  at::Tensor loss;
  {
    const AutocastScope autocast(bf16_);
    loss = WeightedLoss(decoder_->Forward(batch.ids), batch);
  }
  loss.backward();
  Update(LearningRate(options_.schedule, progress_.step));
  ++progress_.step;
  progress_.tokens += int64_t{shape.rows} * shape.row_tokens;
  return loss.item<double>();
}

// AdamW (Loshchilov and Hutter, 2019); norms do not decay. Gradients are clipped to a global norm.
void Trainer::Update(double rate) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> grads;
  for (auto& [name, weight] : decoder_->parameters()) grads.push_back(weight.grad());
  const at::Tensor norm = at::stack(at::_foreach_norm(grads)).norm();
  at::_foreach_mul_(grads, std::min(1.0, options_.clip_norm / (norm.item<double>() + 1e-6)));
  for (const bool matrices : {true, false}) {
    std::vector<at::Tensor> weights, of, first, second, steps;
    for (size_t i = 0; i < grads.size(); ++i) {
      if ((grads[i].dim() > 1) != matrices) continue;
      weights.push_back(decoder_->parameters()[i].second);
      of.push_back(grads[i]);
      first.push_back(moments_.first[i]);
      second.push_back(moments_.second[i]);
      steps.push_back(torch::full({}, static_cast<double>(progress_.step + 1), torch::kFloat32));
    }
    at::_fused_adamw_(weights, of, first, second, {}, steps, rate, 0.9, 0.95,
                      matrices ? options_.weight_decay : 0.0, 1e-8,
                      /*amsgrad=*/false, /*maximize=*/false);
  }
  for (auto& [name, weight] : decoder_->parameters()) weight.mutable_grad().reset();
}

Status Trainer::Log(const std::string& line) const {
  std::ofstream log(LogPath(options_.out), std::ios::app);
  log << line << '\n';
  return log.flush() ? Status() : Status::Io("cannot write " + LogPath(options_.out));
}

Status Trainer::Report(double loss, double tokens_per_s, double seconds) const {
  const int64_t left = options_.schedule.steps - progress_.step;
  const double eta_min = progress_.step == 0 ? 0 : static_cast<double>(left) * seconds / 60;
  std::fprintf(stderr, "%sstep %lld/%lld  loss %.4f  %.2f Mtok  %.0f tokens/s  eta %.0f min%s",
               isatty(2) ? "\r" : "", static_cast<long long>(progress_.step),
               static_cast<long long>(options_.schedule.steps), loss,
               static_cast<double>(progress_.tokens) * 1e-6, tokens_per_s, eta_min,
               isatty(2) ? "   " : "\n");
  return Log(Json{{"step", progress_.step},
                  {"tokens", progress_.tokens},
                  {"loss", loss},
                  {"rate", LearningRate(options_.schedule, progress_.step - 1)},
                  {"tokens_per_s", tokens_per_s}}
                 .dump());
}

Status Trainer::EvaluateAndLog() const {
  Recall recall;
  recall.samples.reserve(4);
  Evaluate(*decoder_, vocab_,
           {.seed = progress_.seed, .rows = 16, .row_tokens = 256, .samples_max = 2}, recall);
  Evaluate(*decoder_, vocab_,
           {.seed = progress_.seed + 1, .rows = 6, .row_tokens = 2048, .samples_max = 5}, recall);
  Json by_position = Json::array();
  std::fprintf(stderr, "\nrecall: fact %.3f (%d)  many %.3f (%d)  untold %.3f (%d)  by position",
               recall.facts.share(), recall.facts.asked, recall.many.share(), recall.many.asked,
               recall.unknown.share(), recall.unknown.asked);
  for (const Score& score : recall.by_position) {
    by_position.push_back({score.right, score.asked});
    std::fprintf(stderr, " %.3f", score.share());
  }
  std::fprintf(stderr, "\n");
  for (const std::string& sample : recall.samples)
    std::fprintf(stderr, "  wrong %s\n", sample.c_str());
  return Log(Json{{"step", progress_.step},
                  {"tokens", progress_.tokens},
                  {"recall",
                   {{"fact", {recall.facts.right, recall.facts.asked}},
                    {"many", {recall.many.right, recall.many.asked}},
                    {"untold", {recall.unknown.right, recall.unknown.asked}},
                    {"by_position", by_position}}}}
                 .dump());
}

Status Trainer::Run(const std::atomic<bool>& stop) {
  constexpr int64_t kReportSteps = 10;
  Clock::time_point saved = Clock::now(), reported = saved;
  int64_t reported_tokens = progress_.tokens;
  double loss_sum = 0;
  int64_t loss_count = 0;
  while (progress_.step < options_.schedule.steps && !stop) {
    loss_sum += Step();
    ++loss_count;
    if (progress_.step % kReportSteps == 0 || progress_.step == options_.schedule.steps) {
      const double seconds = SecondsSince(reported);
      GYRATOR_RETURN_IF_ERROR(
          Report(loss_sum / static_cast<double>(loss_count),
                 static_cast<double>(progress_.tokens - reported_tokens) / seconds,
                 seconds / static_cast<double>(loss_count)));
      reported = Clock::now();
      reported_tokens = progress_.tokens;
      loss_sum = 0;
      loss_count = 0;
    }
    if (options_.eval_steps > 0 &&
        (progress_.step % options_.eval_steps == 0 || progress_.step == options_.schedule.steps)) {
      GYRATOR_RETURN_IF_ERROR(EvaluateAndLog());
      reported = Clock::now();
    }
    if (SecondsSince(saved) > options_.checkpoint_minutes * 60) {
      GYRATOR_RETURN_IF_ERROR(Save());
      saved = Clock::now();
    }
  }
  GYRATOR_RETURN_IF_ERROR(Save());
  return stop ? Status::Cancelled("stopped at step " + std::to_string(progress_.step)) : Status();
}

}  // namespace gyrator::train
