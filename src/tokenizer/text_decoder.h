// Token texts back to text, as Hugging Face's decoders do: ByteLevel, ByteFallback, Fuse, Strip,
// Replace, Metaspace, Sequence; without a decoder the tokens are joined by spaces.
//
// One implementation for whole and for streamed decoding: a chain of stages that tokens flow
// through. A stage holds back what a later token may still change (an incomplete character, a run
// of byte tokens), so what a stream has given is final, and all of it together is the decoding of
// the whole.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "gyrator/status.h"
#include "tokenizer/canonical.h"
#include "tokenizer/text_pattern.h"

namespace gyrator {

// Immutable after creation: safe for concurrent use.
class TextDecoder {
 public:
  struct JoinBySpace {};
  struct ByteLevel {};
  struct ByteFallback {};
  struct Fuse {};
  struct Strip {  // of each token (after Fuse: of the text), at most so many of one character
    std::string content;
    int32_t start = 0;
    int32_t stop = 0;
  };
  struct Replace {
    TextPattern pattern;
    std::string content;
  };
  struct Metaspace {
    std::string replacement;
    bool drops_first = true;  // the first token's marks are dropped, not made spaces
  };
  using Step = std::variant<JoinBySpace, ByteLevel, ByteFallback, Fuse, Strip, Replace, Metaspace>;

  // `json` is null or a decoder. kUnsupported names a type that is not known.
  static Result<TextDecoder> FromJson(const Json& json);
  explicit TextDecoder(std::vector<Step> steps) : steps_(std::move(steps)) {}

  // The bytes that a token adds in the middle of a text; may be part of a character.
  std::string MiddleBytes(std::string_view token) const;

  void Describe(Canonical* out) const;

 private:
  friend class TextDecoding;
  TextDecoder() = default;
  Status Append(const Json& json, int depth);

  std::vector<Step> steps_;
};

// One text being decoded. Not for concurrent use.
class TextDecoding {
 public:
  // Copies nothing: `decoder` must outlive it.
  explicit TextDecoding(const TextDecoder& decoder);
  TextDecoding(TextDecoding&&) noexcept;
  TextDecoding& operator=(TextDecoding&&) noexcept;
  ~TextDecoding();

  // Takes the next token and appends to `out` what is final now: whole characters.
  void Push(std::string_view token, std::string* out);
  // The end of the text: appends what was held back. Once.
  void Finish(std::string* out);

 private:
  class Stage;
  class JoinStage;
  class ByteLevelStage;
  class ByteFallbackStage;
  class FuseStage;
  class StripStage;
  class RewriteStage;
  class ReplaceStage;
  class MetaspaceStage;
  class OutputStage;
  struct StageMaker;

  std::unique_ptr<OutputStage> output_;
  std::vector<std::unique_ptr<Stage>> stages_;  // last to first; none points to a later element
};

}  // namespace gyrator
