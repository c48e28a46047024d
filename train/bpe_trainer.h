// Byte-level BPE learned from text: the vocabulary of the shipped model.
//
// Alphabet of GPT-2, splitting of Qwen2 (digits one by one, which makes numbers easy to copy; known
// to llama.cpp as pre-tokenizer "qwen2"). Ids: 256 bytes, merges in order, then the special tokens.
// Encode is the trainer's own fast path over plain text, without special tokens; src/tokenizer
// reads the same vocabulary from tokenizer.json or GGUF. Not for concurrent use (words are cached).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/json.h"
#include "gyrator/status.h"
#include "gyrator/types.h"

namespace gyrator::train {

class BpeVocab {
 public:
  // Learns vocab_size - 256 - specials.size() merges from `texts`, the most frequent pair first,
  // ties to the smaller pair of ids. kInvalidArgument when the text has too few pairs or the size
  // is too small.
  static Result<BpeVocab> Train(const std::vector<std::string>& texts, int32_t vocab_size,
                                std::vector<std::string> specials);
  // The inverse of ToJson. kCorruption names what is missing.
  static Result<BpeVocab> FromJson(const Json& tokenizer_json);

  // A tokenizer.json as Hugging Face tokenizers writes it.
  Json ToJson() const;
  std::vector<TokenId> Encode(std::string_view text) const;
  // The bytes of plain ids, the text of special ones.
  std::string Decode(const std::vector<TokenId>& ids) const;

  int32_t size() const { return static_cast<int32_t>(tokens_.size()); }
  int32_t num_specials() const { return num_specials_; }
  const std::vector<std::string>& tokens() const { return tokens_; }  // in GPT-2's alphabet
  std::vector<std::string> MergeTexts() const;                        // "a b", by rank
  TokenId SpecialId(std::string_view token) const;                    // REQUIRES: it exists

 private:
  void AddMerge(TokenId left, TokenId right);
  std::vector<TokenId> EncodeWord(std::string_view word) const;

  std::vector<std::string> tokens_;
  std::vector<std::pair<TokenId, TokenId>> merges_;
  std::unordered_map<uint64_t, int32_t> ranks_;  // of pairs
  int32_t num_specials_ = 0;
  mutable std::unordered_map<std::string, std::vector<TokenId>> cache_;
};

// The pieces that merges never cross.
std::vector<std::string_view> SplitWords(std::string_view text);

}  // namespace gyrator::train
