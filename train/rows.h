// Conversations as rows of token ids: the shipped model's chat format, loss weights and questions.
//
// A message is `<|role|>text<|end|>`; no BOS. One conversation fills one row from position 0, so
// that attention needs no mask but the causal one and every position up to the row's length is
// trained.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bpe_trainer.h"
#include "dialogue.h"

namespace gyrator::train {

inline constexpr const char* kSpecials[] = {"<|system|>", "<|user|>", "<|assistant|>", "<|end|>"};
// Renders what rows hold; content is trimmed.
extern const char* const kChatTemplate;

struct Question {
  int32_t begin, end;  // positions of the reply's tokens with <|end|>: [begin, end)
  int32_t age;         // turns since the fact was told
  TurnKind kind;
};

struct Row {
  std::vector<TokenId> ids;    // at most row_tokens
  std::vector<float> weights;  // of the loss of predicting ids[i]; 1 in replies, `other` elsewhere
  std::vector<Question> questions;
  int32_t num_turns = 0;
};

struct RowOptions {
  int32_t row_tokens = 512;
  float other_weight = 0.1f;
  Split split = Split::kTrain;
};

// The `index`-th conversation of the stream, as many whole turns as fit (at least one).
Row MakeRow(const BpeVocab& vocab, uint64_t seed, uint64_t index, const RowOptions& options);

// Text to learn the vocabulary from: the messages of `num_conversations`, 24 turns each.
std::vector<std::string> VocabText(uint64_t seed, int32_t num_conversations);

}  // namespace gyrator::train
