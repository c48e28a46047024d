// Tokens that are found in the text itself, before byte pair encoding: special and user-defined
// ones.
//
// As Hugging Face's AddedVocabulary: at each place the longest token, from left to right; tokens
// that are not `normalized` in the text as given, the others in the normalized rest.
// Immutable after creation: safe for concurrent use.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gyrator/status.h"
#include "gyrator/types.h"
#include "tokenizer/canonical.h"
#include "tokenizer/normalizer.h"

namespace gyrator {

struct AddedToken {
  std::string content;
  TokenId id = 0;
  bool single_word = false;  // not where a letter, digit, mark or _ stands beside it
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space after it
  bool normalized = false;   // matched, itself normalized, in the normalized text
  bool special = false;      // skipped by Decode(skip_special)
};

// A part of a text: a token (id >= 0), or text between tokens.
struct AddedTokenMatch {
  TokenId id = -1;
  size_t begin = 0;  // bytes
  size_t end = 0;
};

// Finds one of two sets of tokens.
class AddedTokenMatcher {
 public:
  // `word` matches a character of a word.
  explicit AddedTokenMatcher(TextPattern word);
  // The first token of a content wins. An empty content is never found.
  void Add(std::string_view content, const AddedToken& token);
  bool empty() const { return tokens_.empty(); }

  // Covers `text` (valid UTF-8) with matches and the text between them, in order; nothing for an
  // empty text. Without `parse_special` a special token's text is text.
  void Find(std::string_view text, bool parse_special, std::vector<AddedTokenMatch>* out) const;

 private:
  struct Longest {
    int32_t token = -1;
    size_t size = 0;
  };
  Longest LongestAt(std::string_view text) const;
  bool StandsAlone(std::string_view text, size_t begin, size_t end) const;

  // A trie: the node reached from `node` by `byte` is children_[node << 8 | byte]; token_at_[node]
  // is an index of tokens_ or -1.
  std::array<bool, 256> first_{};
  std::unordered_map<uint64_t, uint32_t> children_;
  std::vector<int32_t> token_at_;
  std::vector<AddedToken> tokens_;
  TextPattern word_;
};

class AddedTokens {
 public:
  // `tokens` in file order. kUnsupported: a content longer than 1,024 bytes.
  static Result<AddedTokens> Create(std::vector<AddedToken> tokens, const Normalizer& normalizer);

  const std::vector<AddedToken>& tokens() const { return tokens_; }
  const AddedTokenMatcher& raw() const { return raw_; }
  const AddedTokenMatcher& normalized() const { return normalized_; }

  void Describe(Canonical* out) const;

 private:
  explicit AddedTokens(const TextPattern& word) : raw_(word), normalized_(word) {}

  std::vector<AddedToken> tokens_;
  AddedTokenMatcher raw_;
  AddedTokenMatcher normalized_;
};

}  // namespace gyrator
