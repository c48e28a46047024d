// The training run: rows from the stream, AdamW, schedule, checkpoints, log.
//
// On a CPU in f32 with the same number of threads a resumed run has the bits of one never stopped.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "bpe_trainer.h"
#include "checkpoint.h"
#include "decoder.h"
#include "gyrator/status.h"
#include "schedule.h"

namespace gyrator::train {

enum class Precision : uint8_t { kAuto, kF32, kBF16 };  // auto: bf16 where the CPU multiplies it

struct TrainOptions {
  std::string out = "build/train";  // folder of checkpoint.safetensors and log.jsonl; must exist
  uint64_t seed = 1;
  DecoderConfig config;
  Schedule schedule;
  int64_t finish_steps = 0;  // > 0: resume and decay to the end over as many further steps
  double weight_decay = 0.05;
  double clip_norm = 1.0;
  double checkpoint_minutes = 5;
  int64_t eval_steps = 100;  // between evaluations; 0: none
  int32_t threads = 2;
  Precision precision = Precision::kAuto;
  bool resume = false;  // from the checkpoint in `out`, where there is one
};

class Trainer {
 public:
  // Starts or resumes. kMismatch when the checkpoint has another shape or vocabulary size.
  static Result<std::unique_ptr<Trainer>> Create(const TrainOptions& options, BpeVocab vocab);

  // Until schedule.steps are done or `stop` is set (then a checkpoint is written and kCancelled
  // returned). Progress goes to stderr, one line a step on a terminal.
  Status Run(const std::atomic<bool>& stop);

  // One optimizer step; the weighted mean loss of its batch.
  double Step();

  const Decoder& decoder() const { return *decoder_; }
  const Progress& progress() const { return progress_; }
  Status Save() const;

 private:
  Trainer(const TrainOptions& options, BpeVocab vocab);
  void Update(double rate);
  Status Log(const std::string& line) const;
  Status Report(double loss, double tokens_per_s, double seconds) const;
  Status EvaluateAndLog() const;

  TrainOptions options_;
  BpeVocab vocab_;
  bool bf16_;
  std::unique_ptr<Decoder> decoder_;
  Moments moments_;
  Progress progress_;
};

std::string CheckpointPath(const std::string& out);
std::string LogPath(const std::string& out);

}  // namespace gyrator::train
