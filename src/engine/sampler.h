// Picks the next token from raw logits.
//
// The chain has llama.cpp's order and meaning: logit bias, penalties (repetition, frequency,
// presence), top-k, typical, top-p, min-p, temperature, then one draw of Philox4x32-10. Ties go to
// the lowest id everywhere. No C library mathematics: the choice is a function of the logits' bits,
// the options, the recent tokens and the draw's number, on every machine.
//
// State is the options and the number of draws made; both are part of a context. Not thread-safe.
#pragma once

#include <span>
#include <vector>

#include "base/philox.h"
#include "gyrator/engine.h"
#include "gyrator/types.h"

namespace gyrator {

class Sampler {
 public:
  // REQUIRES: CheckSampler(options).ok().
  Sampler(SamplerOptions options, uint64_t draws);

  // `logits` [vocab], raw; `history`: all tokens of the sequence so far (penalties look at its
  // tail); `banned`: ids that cannot be chosen. Makes one draw unless greedy. Logits that are NaN
  // are never chosen.
  TokenId Sample(std::span<const float> logits, std::span<const TokenId> history,
                 std::span<const TokenId> banned);

  const SamplerOptions& options() const { return options_; }
  uint64_t draws() const { return random_.draws(); }

 private:
  struct Candidate {
    TokenId id;
    float logit;
    double p;  // valid after Softmax
  };

  void Bias(std::span<const float> logits, std::span<const TokenId> banned);  // fills logits_
  void Penalize(std::span<const TokenId> history);
  TokenId Greedy() const;
  void Collect();  // fills candidates_
  void TopK();
  void Typical();
  void TopP();
  void MinP();
  TokenId Draw();
  static bool Better(const Candidate& a, const Candidate& b);  // ties go to the lowest id
  void Sort();                                                 // logit descending, id ascending
  void Softmax();

  SamplerOptions options_;
  PhiloxStream random_;
  std::vector<float> logits_;          // biased and penalized; reused between calls
  std::vector<Candidate> candidates_;  // likewise
  bool sorted_ = false;
};

}  // namespace gyrator
