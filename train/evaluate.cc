#include "evaluate.h"

#include <torch/types.h>

#include <algorithm>

#include "formats/safetensors.h"
#include "rows.h"

namespace gyrator::train {
namespace {

void Count(const Question& question, bool right, Recall& recall) {
  auto count = [&](Score& score) {
    ++score.asked;
    score.right += right;
  };
  if (question.kind == TurnKind::kAskUnknown) return count(recall.unknown);
  for (size_t i = 0; i < kPositionBounds.size(); ++i) {
    if (question.begin < kPositionBounds[i]) {
      count(recall.by_position[i]);
      break;
    }
  }
  count(question.kind == TurnKind::kAskMany ? recall.many : recall.facts);
}

void ScoreRow(const Row& row, const at::Tensor& best, const BpeVocab& vocab, size_t samples_max,
              Recall& recall) {
  ++recall.rows;
  recall.turns += row.num_turns;
  const int64_t* guess = best.const_data_ptr<int64_t>();  // guess[i] follows ids[i]
  for (const Question& question : row.questions) {
    std::vector<TokenId> expected(row.ids.begin() + question.begin, row.ids.begin() + question.end);
    std::vector<TokenId> found(guess + question.begin - 1, guess + question.end - 1);
    const bool right = expected == found;
    Count(question, right, recall);
    if (!right && recall.samples.size() < samples_max) {
      recall.samples.push_back("at " + std::to_string(question.begin) + ", age " +
                               std::to_string(question.age) + ": " + vocab.Decode(expected) +
                               " | " + vocab.Decode(found));
    }
  }
}

}  // namespace

void Evaluate(const Decoder& decoder, const BpeVocab& vocab, const EvalOptions& options,
              Recall& recall) {
  const at::NoGradGuard no_grad;
  const int32_t batch = std::max(1, 4096 / options.row_tokens);
  for (int32_t first = 0; first < options.rows; first += batch) {
    const int32_t count = std::min(batch, options.rows - first);
    at::Tensor ids = torch::zeros({count, options.row_tokens}, torch::kInt64);
    std::vector<Row> rows;
    for (int32_t i = 0; i < count; ++i) {
      rows.push_back(MakeRow(vocab, options.seed, static_cast<uint64_t>(first + i),
                             {.row_tokens = options.row_tokens, .split = Split::kHeldOut}));
      rows.back().ids.resize(
          std::min(rows.back().ids.size(), static_cast<size_t>(options.row_tokens)));
      std::copy(rows.back().ids.begin(), rows.back().ids.end(), ids[i].data_ptr<int64_t>());
    }
    const at::Tensor best = decoder.Forward(ids).argmax(-1);
    for (int32_t i = 0; i < count; ++i) {
      ScoreRow(rows[static_cast<size_t>(i)], best[i], vocab,
               static_cast<size_t>(options.samples_max), recall);
    }
  }
}

Status WriteLogits(const Decoder& decoder, const BpeVocab& vocab, uint64_t seed,
                   const std::string& path) {
  constexpr int64_t kTokens = 64;
  const at::NoGradGuard no_grad;
  const Row row = MakeRow(vocab, seed, 0, {.row_tokens = 512, .split = Split::kHeldOut});
  const std::vector<int64_t> ids(row.ids.begin(), row.ids.begin() + kTokens);
  const at::Tensor logits = decoder.Forward(torch::tensor(ids).view({1, kTokens})).contiguous();
  SafetensorsWriter writer;
  writer.AddTensor("ids", DType::kI64, {1, kTokens}, std::as_bytes(std::span(ids)));
  writer.AddTensor("logits", DType::kF32, {1, kTokens, vocab.size()},
                   {static_cast<const std::byte*>(logits.const_data_ptr()), logits.nbytes()});
  return writer.WriteFile(path);
}

}  // namespace gyrator::train
