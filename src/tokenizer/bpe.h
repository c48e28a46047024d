// Byte pair encoding: a word to token ids by merging the pair of lowest rank, leftmost first, until
// no pair of neighbours has a merge. As Hugging Face's models.BPE, to the id.
//
// A word is what the pre-tokenizer cut: its characters are the first symbols, or, over the byte
// alphabet (byte_alphabet.h), its bytes. Does not cut text and does not know added tokens. No
// cache: a merge costs two look-ups in one flat table, and a long word O(n log n). Immutable after
// Create: safe for concurrent use.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gyrator/status.h"
#include "gyrator/types.h"
#include "tokenizer/canonical.h"
#include "tokenizer/vocab.h"

namespace gyrator {

struct BpeOptions {
  std::optional<std::string> unk_token;  // for characters that the vocabulary lacks; none: dropped
  bool fuse_unk = false;                 // one unknown token for a run of unknown characters
  bool byte_fallback = false;            // unknown characters as the tokens <0x00> .. <0xFF>
  bool ignore_merges = false;  // a word that is a token is that token, whatever the merges
  bool over_bytes = false;     // words are bytes, the vocabulary is written in the byte alphabet
};

class Bpe {
 public:
  // Two texts of the vocabulary; the place in the list is the rank. A pair given twice: the last
  // counts.
  using MergeList = std::vector<std::pair<std::string_view, std::string_view>>;

  // `vocab` must outlive the result. kCorruption: a merge or the unknown token names a text that
  // the vocabulary lacks.
  static Result<Bpe> Create(const Vocab& vocab, const MergeList& merges, const BpeOptions& options);

  // Appends the ids of one word. `word` is valid UTF-8, or any bytes when over_bytes.
  void Encode(std::string_view word, std::vector<TokenId>* ids) const;

  void Describe(Canonical* out) const;

 private:
  struct Merge {
    uint64_t pair = kNoPair;  // left id << 32 | right id
    uint32_t rank = kNoRank;
    TokenId result = 0;
  };
  static constexpr uint64_t kNoPair = ~uint64_t{0};
  static constexpr uint32_t kNoRank = ~uint32_t{0};
  static constexpr TokenId kNone = -1;
  struct LongWord;

  explicit Bpe(BpeOptions options) : options_(std::move(options)) {}
  Status AddMerges(const Vocab& vocab, const MergeList& merges);
  void IndexSymbols(const Vocab& vocab);

  Merge FindMerge(TokenId left, TokenId right) const {
    const uint64_t pair = Pair(left, right);
    for (size_t at = Slot(pair);; at = (at + 1) & slot_mask_) {
      if (table_[at].pair == pair) return table_[at];
      if (table_[at].pair == kNoPair) return {};
    }
  }
  static uint64_t Pair(TokenId left, TokenId right) {
    return (static_cast<uint64_t>(left) << 32) | static_cast<uint32_t>(right);
  }
  size_t Slot(uint64_t pair) const { return (pair * 0x9E3779B97F4A7C15u) >> slot_shift_; }

  void FirstSymbols(std::string_view word, std::vector<TokenId>* symbols) const;
  void MergeShort(std::vector<TokenId>* symbols, size_t from) const;
  void MergeLong(std::vector<TokenId>* symbols, size_t from) const;

  BpeOptions options_;
  TokenId unk_ = kNone;
  std::array<TokenId, 256> byte_tokens_{};   // byte_fallback: id of <0xXX>, or kNone
  std::array<TokenId, 256> byte_symbols_{};  // over_bytes: id of the byte's character, or kNone
  std::unordered_map<char32_t, TokenId> character_symbols_;  // otherwise
  std::unordered_map<std::string, TokenId> words_;  // ignore_merges: tokens by the text of words
  std::vector<Merge> table_;                        // open addressing, at most half full
  size_t slot_mask_ = 0;
  int slot_shift_ = 0;
};

}  // namespace gyrator
