// Cuts normalized text into the words that byte pair encoding works on, as Hugging Face's
// pre_tokenizers do: Split, ByteLevel, Digits, Metaspace, Whitespace, WhitespaceSplit, Sequence.
//
// Does not encode. Immutable after creation: safe for concurrent use; scratch memory is the
// caller's.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "gyrator/status.h"
#include "tokenizer/canonical.h"
#include "tokenizer/text_pattern.h"

namespace gyrator {

// What becomes of the matches of a Split.
enum class SplitBehavior : uint8_t {
  kRemoved,
  kIsolated,
  kMergedWithPrevious,
  kMergedWithNext,
  kContiguous
};

// When Metaspace puts its character before a text that does not begin with it.
enum class PrependScheme : uint8_t { kAlways, kFirst, kNever };
Result<PrependScheme> ParsePrependScheme(const Json& component);

struct Piece {
  std::string_view text;      // never empty
  bool begins_input = false;  // its first byte is the first of the whole input
};

struct PretokenizeScratch {
  std::vector<Piece> pieces;  // the result
  std::vector<Piece> next_pieces;
  std::vector<TextRange> matches;
  std::deque<std::string> texts;  // what steps have written; pieces point here
};

class PreTokenizer {
 public:
  struct Split {
    TextPattern pattern;
    SplitBehavior behavior = SplitBehavior::kIsolated;
    bool invert = false;  // what lies between the matches is the match
  };
  struct Prefix {  // ByteLevel's add_prefix_space
    std::string text;
  };
  struct MapBytes {};  // each byte to its character of the byte alphabet
  struct Metaspace {
    std::string replacement;
    PrependScheme scheme = PrependScheme::kAlways;
  };
  using Step = std::variant<Split, Prefix, MapBytes, Metaspace>;

  // `json` is null or a pre_tokenizer. kUnsupported names a type that is not known.
  static Result<PreTokenizer> FromJson(const Json& json);
  // Isolated splits by these patterns one after another, then bytes; as GGUF files mean it.
  static Result<PreTokenizer> ByteLevelOver(const std::vector<std::string_view>& patterns,
                                            bool add_prefix_space);
  PreTokenizer() = default;

  // The words are raw bytes that stand for their characters in the byte alphabet.
  bool gives_bytes() const { return gives_bytes_; }

  // Cuts `text` (valid UTF-8) into scratch->pieces, which point into `text` or scratch->texts.
  void Run(std::string_view text, bool begins_input, PretokenizeScratch* scratch) const;

  void Describe(Canonical* out) const;

 private:
  Status Append(const Json& json, int depth);
  Status AppendSplit(const Json& json);
  Status AppendByteLevel(const Json& json);
  Status AppendMetaspace(const Json& json);
  Status AppendPattern(std::string_view regex, SplitBehavior behavior, bool invert);
  Status Finish();

  std::vector<Step> steps_;
  bool gives_bytes_ = false;
};

// GPT-2's pattern, which ByteLevel uses when use_regex is set.
extern const std::string_view kGpt2Pattern;

}  // namespace gyrator
