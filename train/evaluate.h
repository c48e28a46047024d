// Recall of held-out values, measured by the trainer: the share of questions whose reply is right
// token by token when the true reply is fed (teacher forcing), by position in the row.
//
// Cheap and close to what greedy decoding gives (an all-right reply is exactly what greedy decoding
// writes); the engine measures the final figure.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "bpe_trainer.h"
#include "decoder.h"
#include "gyrator/status.h"

namespace gyrator::train {

struct Score {
  int32_t asked = 0;
  int32_t right = 0;
  double share() const { return asked == 0 ? 0.0 : static_cast<double>(right) / asked; }
};

// Positions below 128, 256, 512, 1024, 2048.
inline constexpr std::array<int32_t, 5> kPositionBounds = {128, 256, 512, 1024, 2048};

struct Recall {
  std::array<Score, 5> by_position;  // of the reply's first token; facts asked for
  Score facts, unknown, many;        // one fact; "you have not told me"; several at once
  int64_t rows = 0, turns = 0;       // conversations and turns in them
  std::vector<std::string> samples;  // wrong replies, expected and found
};

struct EvalOptions {
  uint64_t seed = 1;
  int32_t rows = 16;
  int32_t row_tokens = 512;
  int32_t samples_max = 0;
};

// Rows of conversations with held-out values. Adds to `recall`.
void Evaluate(const Decoder& decoder, const BpeVocab& vocab, const EvalOptions& options,
              Recall& recall);

// The decoder's logits [1, 64, vocab] for the first 64 tokens of a held-out row, as safetensors
// ("ids", "logits"): what check_export.py compares transformers with.
Status WriteLogits(const Decoder& decoder, const BpeVocab& vocab, uint64_t seed,
                   const std::string& path);

}  // namespace gyrator::train
