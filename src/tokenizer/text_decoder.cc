#include "tokenizer/text_decoder.h"

#include <optional>
#include <utility>

#include "base/utf8.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/json_fields.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/vocab.h"

namespace gyrator {

namespace {

constexpr int kNestingMax = 16;
constexpr size_t kGrowthMax = 256;  // bytes of text that one byte may become

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// The byte of a token <0xXX>.
std::optional<char> FallbackByte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  const int high = HexDigit(token[3]), low = HexDigit(token[4]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<char>(high * 16 + low);
}

std::string ByteLevelBytes(std::string_view token) {
  std::optional<std::string> bytes = MapFromAlphabet(token);
  return bytes ? *std::move(bytes) : std::string(token);
}

std::string MetaspaceText(std::string_view token, const std::string& replacement, bool drop) {
  std::string out;
  for (size_t i = 0; i < token.size();) {
    if (!token.substr(i).starts_with(replacement)) {
      out += token[i++];
      continue;
    }
    if (!drop) out += ' ';
    i += replacement.size();
  }
  return out;
}

}  // namespace

// A text flows through the stages as tokens, and a token as fragments: OnText for each, then
// OnTokenEnd; OnFinish after the last token. Fragments end between characters.
class TextDecoding::Stage {
 public:
  explicit Stage(Stage* next) : next_(next) {}
  virtual ~Stage() = default;
  virtual void OnText(std::string_view text) { next_->OnText(text); }
  virtual void OnTokenEnd() { next_->OnTokenEnd(); }
  virtual void OnFinish() { next_->OnFinish(); }

 protected:
  void PassToken(std::string_view text) {
    next_->OnText(text);
    next_->OnTokenEnd();
  }
  Stage* next_;
};

class TextDecoding::OutputStage : public Stage {
 public:
  OutputStage() : Stage(nullptr) {}
  void OnText(std::string_view text) override { out.append(text); }
  void OnTokenEnd() override {}
  void OnFinish() override {}
  std::string out;
};

class TextDecoding::JoinStage : public Stage {
 public:
  using Stage::Stage;
  void OnText(std::string_view text) override {
    if (space_due_) next_->OnText(" ");
    space_due_ = false;
    next_->OnText(text);
  }
  void OnTokenEnd() override {
    space_due_ = true;
    next_->OnTokenEnd();
  }

 private:
  bool space_due_ = false;
};

// Gathers whole tokens.
class TextDecoding::RewriteStage : public Stage {
 public:
  using Stage::Stage;
  void OnText(std::string_view text) override { token_.append(text); }
  void OnTokenEnd() override {
    OnToken(token_);
    token_.clear();
  }

 protected:
  virtual void OnToken(const std::string& token) = 0;

 private:
  std::string token_;
};

// All tokens' bytes are one text, ill-formed parts of it replaced.
class TextDecoding::ByteLevelStage : public RewriteStage {
 public:
  using RewriteStage::RewriteStage;
  void OnFinish() override {
    Give(bytes_.size());
    next_->OnTokenEnd();
    next_->OnFinish();
  }

 private:
  void OnToken(const std::string& token) override {
    bytes_ += ByteLevelBytes(token);
    Give(CompletePrefix(bytes_));
  }
  void Give(size_t size) {
    std::string text;
    AppendLossy(std::string_view(bytes_).substr(0, size), &text);
    bytes_.erase(0, size);
    if (!text.empty()) next_->OnText(text);
  }

  std::string bytes_;  // between tokens: the beginning of a character
};

// A run of byte tokens is text when all of it is well-formed, else one U+FFFD for each byte.
class TextDecoding::ByteFallbackStage : public RewriteStage {
 public:
  using RewriteStage::RewriteStage;
  void OnFinish() override {
    Flush();
    next_->OnFinish();
  }

 private:
  void OnToken(const std::string& token) override {
    if (const std::optional<char> byte = FallbackByte(token)) {
      run_ += *byte;
      return;
    }
    Flush();
    PassToken(token);
  }
  void Flush() {
    if (run_.empty()) return;
    if (IsValidUtf8(run_)) {
      PassToken(run_);
    } else {
      for (size_t i = 0; i < run_.size(); ++i) PassToken(kReplacementCharacter);
    }
    run_.clear();
  }

  std::string run_;
};

class TextDecoding::FuseStage : public Stage {
 public:
  using Stage::Stage;
  void OnTokenEnd() override {}
  void OnFinish() override {
    next_->OnTokenEnd();
    next_->OnFinish();
  }
};

class TextDecoding::StripStage : public Stage {
 public:
  StripStage(Stage* next, const TextDecoder::Strip& step) : Stage(next), step_(step) {}
  void OnText(std::string_view text) override {
    std::string kept;
    for (size_t i = 0; i < text.size();) {
      const std::string_view character = text.substr(i, ReadUtf8(text.substr(i)).size);
      i += character.size();
      const bool strips = character == step_.content;
      if (at_start_ && strips && cut_ < step_.start) {
        ++cut_;
        continue;
      }
      at_start_ = false;
      if (strips && held_ < step_.stop) {
        ++held_;
      } else if (strips) {
        kept += character;  // one of a longer run than may be held: the oldest is final
      } else {
        while (held_ > 0) Release(&kept);
        kept += character;
      }
    }
    if (!kept.empty()) next_->OnText(kept);
  }
  void OnTokenEnd() override {
    at_start_ = true;
    cut_ = held_ = 0;
    next_->OnTokenEnd();
  }

 private:
  void Release(std::string* out) {
    *out += step_.content;
    --held_;
  }

  const TextDecoder::Strip& step_;
  bool at_start_ = true;  // of the token: only stripped characters so far
  int32_t cut_ = 0;
  int32_t held_ = 0;  // stripped characters at the end, at most `stop`
};

class TextDecoding::ReplaceStage : public RewriteStage {
 public:
  ReplaceStage(Stage* next, const TextDecoder::Replace& step) : RewriteStage(next), step_(step) {}

 private:
  void OnToken(const std::string& token) override {
    PassToken(ReplaceAll(*step_.pattern, step_.content, token));
  }
  const TextDecoder::Replace& step_;
};

class TextDecoding::MetaspaceStage : public RewriteStage {
 public:
  MetaspaceStage(Stage* next, const TextDecoder::Metaspace& step)
      : RewriteStage(next), step_(step) {}

 private:
  void OnToken(const std::string& token) override {
    PassToken(MetaspaceText(token, step_.replacement, is_first_ && step_.drops_first));
    is_first_ = false;
  }
  const TextDecoder::Metaspace& step_;
  bool is_first_ = true;
};

struct TextDecoding::StageMaker {
  Stage* next;
  using Made = std::unique_ptr<Stage>;

  Made operator()(const TextDecoder::JoinBySpace&) { return std::make_unique<JoinStage>(next); }
  Made operator()(const TextDecoder::ByteLevel&) { return std::make_unique<ByteLevelStage>(next); }
  Made operator()(const TextDecoder::ByteFallback&) {
    return std::make_unique<ByteFallbackStage>(next);
  }
  Made operator()(const TextDecoder::Fuse&) { return std::make_unique<FuseStage>(next); }
  Made operator()(const TextDecoder::Strip& s) { return std::make_unique<StripStage>(next, s); }
  Made operator()(const TextDecoder::Replace& s) { return std::make_unique<ReplaceStage>(next, s); }
  Made operator()(const TextDecoder::Metaspace& s) {
    return std::make_unique<MetaspaceStage>(next, s);
  }
};

TextDecoding::TextDecoding(const TextDecoder& decoder) : output_(std::make_unique<OutputStage>()) {
  Stage* next = output_.get();
  for (auto step = decoder.steps_.rbegin(); step != decoder.steps_.rend(); ++step) {
    stages_.push_back(std::visit(StageMaker{next}, *step));
    next = stages_.back().get();
  }
}
TextDecoding::TextDecoding(TextDecoding&&) noexcept = default;
TextDecoding& TextDecoding::operator=(TextDecoding&&) noexcept = default;
TextDecoding::~TextDecoding() = default;

void TextDecoding::Push(std::string_view token, std::string* out) {
  Stage& first = stages_.empty() ? *output_ : *stages_.back();
  first.OnText(token);
  first.OnTokenEnd();
  out->append(std::exchange(output_->out, {}));
}

void TextDecoding::Finish(std::string* out) {
  Stage& first = stages_.empty() ? *output_ : *stages_.back();
  first.OnFinish();
  out->append(std::exchange(output_->out, {}));
}

Result<TextDecoder> TextDecoder::FromJson(const Json& json) {
  if (IsNull(json)) return TextDecoder({JoinBySpace{}});
  TextDecoder out;
  GYRATOR_RETURN_IF_ERROR(out.Append(json, 0));
  size_t growth = 1;
  for (const Step& step : out.steps_) {
    if (const auto* replace = std::get_if<Replace>(&step)) growth *= replace->content.size() + 1;
    if (growth > kGrowthMax) {
      return Status::Unsupported("decoder: Replace would grow a text by more than " +
                                 std::to_string(kGrowthMax) + " times");
    }
  }
  return out;
}

Status TextDecoder::Append(const Json& json, int depth) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string type, ComponentType(json, "decoder"));
  if (type == "Sequence") {
    if (depth == kNestingMax) return Status::Unsupported("decoder: nested too deep");
    GYRATOR_ASSIGN_OR_RETURN(const auto list, ArrayField(json, "decoders", "decoder"));
    for (const Json* item : list) GYRATOR_RETURN_IF_ERROR(Append(*item, depth + 1));
  } else if (type == "ByteLevel") {
    steps_.emplace_back(ByteLevel{});
  } else if (type == "ByteFallback") {
    steps_.emplace_back(ByteFallback{});
  } else if (type == "Fuse") {
    steps_.emplace_back(Fuse{});
  } else if (type == "Strip") {
    Strip step;
    GYRATOR_ASSIGN_OR_RETURN(step.content, StringField(json, "content"));
    if (step.content.empty() || ReadUtf8(step.content).size != step.content.size()) {
      return Status::Corruption("decoder: Strip's \"content\": expected one character, found " +
                                Quoted(step.content));
    }
    GYRATOR_ASSIGN_OR_RETURN(step.start, CountField(json, "start"));
    GYRATOR_ASSIGN_OR_RETURN(step.stop, CountField(json, "stop"));
    steps_.emplace_back(std::move(step));
  } else if (type == "Replace") {
    GYRATOR_ASSIGN_OR_RETURN(TextPattern pattern, ParseTextPattern(json));
    GYRATOR_ASSIGN_OR_RETURN(std::string content, StringField(json, "content"));
    steps_.emplace_back(Replace{std::move(pattern), std::move(content)});
  } else if (type == "Metaspace") {
    Metaspace step;
    GYRATOR_ASSIGN_OR_RETURN(step.replacement, StringField(json, "replacement"));
    if (step.replacement.empty()) return Status::Corruption("decoder: empty \"replacement\"");
    GYRATOR_ASSIGN_OR_RETURN(const PrependScheme scheme, ParsePrependScheme(json));
    step.drops_first = scheme != PrependScheme::kNever;
    steps_.emplace_back(std::move(step));
  } else {
    return Status::Unsupported("decoder: type " + Quoted(type) + " is not supported");
  }
  return {};
}

std::string TextDecoder::MiddleBytes(std::string_view token) const {
  std::string bytes(token);
  bool fused = false;  // from here on a token's edges are not the text's
  for (const Step& step : steps_) {
    if (std::holds_alternative<ByteLevel>(step)) {
      bytes = ByteLevelBytes(bytes);
      fused = true;
    } else if (std::holds_alternative<ByteFallback>(step)) {
      if (const std::optional<char> byte = FallbackByte(bytes)) bytes = {*byte};
    } else if (std::holds_alternative<Fuse>(step)) {
      fused = true;
    } else if (const auto* replace = std::get_if<Replace>(&step)) {
      if (IsValidUtf8(bytes)) bytes = ReplaceAll(*replace->pattern, replace->content, bytes);
    } else if (const auto* metaspace = std::get_if<Metaspace>(&step)) {
      bytes = MetaspaceText(bytes, metaspace->replacement, /*drop=*/false);
    } else if (const auto* strip = std::get_if<Strip>(&step); strip && !fused) {
      for (int32_t i = 0; i < strip->start && bytes.starts_with(strip->content); ++i) {
        bytes.erase(0, strip->content.size());
      }
      for (int32_t i = 0; i < strip->stop && bytes.ends_with(strip->content); ++i) {
        bytes.resize(bytes.size() - strip->content.size());
      }
    } else if (std::holds_alternative<JoinBySpace>(step)) {
      bytes.insert(0, " ");
    }
  }
  return bytes;
}

void TextDecoder::Describe(Canonical* out) const {
  struct Writer {
    Canonical* out;
    void operator()(const JoinBySpace&) const { out->Add("join"); }
    void operator()(const ByteLevel&) const { out->Add("byte_level"); }
    void operator()(const ByteFallback&) const { out->Add("byte_fallback"); }
    void operator()(const Fuse&) const { out->Add("fuse"); }
    void operator()(const Strip& step) const {
      out->Add("strip");
      out->Add(step.content);
      out->Add(int64_t{step.start});
      out->Add(int64_t{step.stop});
    }
    void operator()(const Replace& step) const {
      out->Add("replace");
      out->Add(step.pattern->pattern());
      out->Add(int64_t{step.pattern->is_literal()});
      out->Add(step.content);
    }
    void operator()(const Metaspace& step) const {
      out->Add("metaspace");
      out->Add(step.replacement);
      out->Add(int64_t{step.drops_first});
    }
  };
  for (const Step& step : steps_) std::visit(Writer{out}, step);
}

}  // namespace gyrator
