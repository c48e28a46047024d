// Rewrites text before it is cut, as Hugging Face's normalizers do: NFC, NFD, NFKC, NFKD,
// Lowercase, Prepend, Replace, Strip, Sequence. Immutable after creation: safe for concurrent use.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "gyrator/status.h"
#include "tokenizer/canonical.h"
#include "tokenizer/text_pattern.h"
#include "tokenizer/unicode_forms.h"

namespace gyrator {

class Normalizer {
 public:
  struct Form {
    UnicodeForm form = UnicodeForm::kNfc;
  };
  struct Lowercase {};
  struct Prepend {
    std::string text;  // before a text that is not empty
  };
  struct Replace {
    TextPattern pattern;
    std::string content;
  };
  struct Strip {
    bool left = true;
    bool right = true;
  };
  using Step = std::variant<Form, Lowercase, Prepend, Replace, Strip>;

  // `json` is null or a normalizer. kUnsupported names a type that is not known.
  static Result<Normalizer> FromJson(const Json& json);
  explicit Normalizer(std::vector<Step> steps = {}) : steps_(std::move(steps)) {}

  bool empty() const { return steps_.empty(); }
  // `text` must be valid UTF-8; so is the result.
  std::string Apply(std::string_view text) const;

  void Describe(Canonical* out) const;

 private:
  Status Append(const Json& json, int depth);

  std::vector<Step> steps_;
};

// Bytes of white space (Unicode White_Space) at the beginning and at the end of `text`.
size_t LeadingSpace(std::string_view text);
size_t TrailingSpace(std::string_view text);

}  // namespace gyrator
