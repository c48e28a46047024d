#include "tokenizer/normalizer.h"

#include <utility>

#include "base/utf8.h"
#include "tokenizer/json_fields.h"
#include "tokenizer/vocab.h"

namespace gyrator {

namespace {

constexpr int kNestingMax = 16;
constexpr size_t kGrowthMax = 256;  // bytes of text that one byte may become

bool IsSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

struct StepRunner {
  std::string_view text;

  std::string operator()(const Normalizer::Form& step) const {
    return ToUnicodeForm(step.form, text);
  }
  std::string operator()(const Normalizer::Lowercase&) const { return ToLowercase(text); }
  std::string operator()(const Normalizer::Prepend& step) const {
    return text.empty() ? std::string() : step.text + std::string(text);
  }
  std::string operator()(const Normalizer::Replace& step) const {
    return ReplaceAll(*step.pattern, step.content, text);
  }
  std::string operator()(const Normalizer::Strip& step) const {
    std::string_view rest = text;
    if (step.left) rest.remove_prefix(LeadingSpace(rest));
    if (step.right) rest.remove_suffix(TrailingSpace(rest));
    return std::string(rest);
  }
};

}  // namespace

size_t LeadingSpace(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const Utf8Unit unit = ReadUtf8(text.substr(at));
    if (!IsSpace(unit.code_point)) break;
    at += unit.size;
  }
  return at;
}

size_t TrailingSpace(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t at = end - 1;
    while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
    if (!IsSpace(ReadUtf8(text.substr(at, end - at)).code_point)) break;
    end = at;
  }
  return text.size() - end;
}

Result<Normalizer> Normalizer::FromJson(const Json& json) {
  Normalizer out;
  if (!IsNull(json)) GYRATOR_RETURN_IF_ERROR(out.Append(json, 0));
  size_t growth = 1;
  for (const Step& step : out.steps_) {
    if (const auto* replace = std::get_if<Replace>(&step)) growth *= replace->content.size() + 1;
    if (const auto* prepend = std::get_if<Prepend>(&step)) growth += prepend->text.size();
    if (growth > kGrowthMax) {
      return Status::Unsupported("normalizer: Replace and Prepend would grow a text by more than " +
                                 std::to_string(kGrowthMax) + " times");
    }
  }
  return out;
}

Status Normalizer::Append(const Json& json, int depth) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string type, ComponentType(json, "normalizer"));
  if (type == "Sequence") {
    if (depth == kNestingMax) return Status::Unsupported("normalizer: nested too deep");
    GYRATOR_ASSIGN_OR_RETURN(const auto list, ArrayField(json, "normalizers", "normalizer"));
    for (const Json* item : list) GYRATOR_RETURN_IF_ERROR(Append(*item, depth + 1));
  } else if (type == "NFC") {
    steps_.emplace_back(Form{UnicodeForm::kNfc});
  } else if (type == "NFD") {
    steps_.emplace_back(Form{UnicodeForm::kNfd});
  } else if (type == "NFKC") {
    steps_.emplace_back(Form{UnicodeForm::kNfkc});
  } else if (type == "NFKD") {
    steps_.emplace_back(Form{UnicodeForm::kNfkd});
  } else if (type == "Lowercase") {
    steps_.emplace_back(Lowercase{});
  } else if (type == "Prepend") {
    GYRATOR_ASSIGN_OR_RETURN(std::string text, StringField(json, "prepend"));
    steps_.emplace_back(Prepend{std::move(text)});
  } else if (type == "Replace") {
    GYRATOR_ASSIGN_OR_RETURN(TextPattern pattern, ParseTextPattern(json));
    GYRATOR_ASSIGN_OR_RETURN(std::string content, StringField(json, "content"));
    steps_.emplace_back(Replace{std::move(pattern), std::move(content)});
  } else if (type == "Strip") {
    GYRATOR_ASSIGN_OR_RETURN(const bool left, BoolField(json, "strip_left"));
    GYRATOR_ASSIGN_OR_RETURN(const bool right, BoolField(json, "strip_right"));
    steps_.emplace_back(Strip{left, right});
  } else {
    return Status::Unsupported("normalizer: type " + Quoted(type) + " is not supported");
  }
  return {};
}

std::string Normalizer::Apply(std::string_view text) const {
  std::string out(text);
  for (const Step& step : steps_) out = std::visit(StepRunner{out}, step);
  return out;
}

void Normalizer::Describe(Canonical* out) const {
  struct Writer {
    Canonical* out;
    void operator()(const Form& step) const {
      out->Add("form");
      out->Add(static_cast<int64_t>(step.form));
    }
    void operator()(const Lowercase&) const { out->Add("lowercase"); }
    void operator()(const Prepend& step) const {
      out->Add("prepend");
      out->Add(step.text);
    }
    void operator()(const Replace& step) const {
      out->Add("replace");
      out->Add(step.pattern->pattern());
      out->Add(int64_t{step.pattern->is_literal()});
      out->Add(step.content);
    }
    void operator()(const Strip& step) const {
      out->Add("strip");
      out->Add(int64_t{step.left});
      out->Add(int64_t{step.right});
    }
  };
  for (const Step& step : steps_) std::visit(Writer{out}, step);
}

}  // namespace gyrator
