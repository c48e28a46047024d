#include "tokenizer/pretokenize.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/json_fields.h"
#include "tokenizer/vocab.h"

namespace gyrator {

const std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

namespace {

constexpr int kNestingMax = 16;
constexpr int64_t kGrowthMax = 256;  // bytes of text that one byte may become

Result<SplitBehavior> ParseBehavior(const Json& component) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string name, StringField(component, "behavior"));
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return Status::Corruption("\"behavior\": unknown value " + name);
}

// One part of a text on the way through a Split.
struct Part {
  TextRange range;
  bool is_match;
};

// The whole text as matches and what lies between them.
void CoverText(const std::vector<TextRange>& matches, size_t size, bool invert,
               std::vector<Part>* parts) {
  size_t done = 0;
  for (const TextRange& match : matches) {
    if (match.begin != done) parts->push_back({{done, match.begin}, invert});
    parts->push_back({match, !invert});
    done = match.end;
  }
  if (done != size) parts->push_back({{done, size}, invert});
}

// Joins parts as `behavior` says; the order of `parts` is kept.
void JoinParts(SplitBehavior behavior, std::vector<Part>* parts) {
  const bool backwards = behavior == SplitBehavior::kMergedWithNext;
  if (backwards) std::reverse(parts->begin(), parts->end());
  std::vector<Part> joined;
  bool match_before = false;
  for (const Part& part : *parts) {
    const bool join = behavior == SplitBehavior::kContiguous ? part.is_match == match_before
                                                             : part.is_match && !match_before;
    match_before = part.is_match;
    if (!join || joined.empty()) {
      joined.push_back(part);
    } else if (backwards) {
      joined.back().range.begin = part.range.begin;
    } else {
      joined.back().range.end = part.range.end;
    }
  }
  if (backwards) std::reverse(joined.begin(), joined.end());
  *parts = std::move(joined);
}

void PushPiece(const Piece& whole, const TextRange& range, std::vector<Piece>* out) {
  if (range.begin == range.end) return;
  out->push_back({whole.text.substr(range.begin, range.end - range.begin),
                  whole.begins_input && range.begin == 0});
}

struct StepRunner {
  PretokenizeScratch* scratch;
  const Piece& piece;

  std::vector<Piece>& out() const { return scratch->next_pieces; }
  Piece Keep(std::string text) const {
    return {scratch->texts.emplace_back(std::move(text)), piece.begins_input};
  }

  void operator()(const PreTokenizer::Split& step) const {
    std::vector<TextRange>& matches = scratch->matches;
    matches.clear();
    step.pattern->FindAll(piece.text, &matches);
    if (step.behavior == SplitBehavior::kIsolated) {
      size_t done = 0;
      for (const TextRange& match : matches) {
        PushPiece(piece, {done, match.begin}, &out());
        PushPiece(piece, match, &out());
        done = match.end;
      }
      PushPiece(piece, {done, piece.text.size()}, &out());
      return;
    }
    std::vector<Part> parts;
    CoverText(matches, piece.text.size(), step.invert, &parts);
    if (step.behavior == SplitBehavior::kRemoved) {
      std::erase_if(parts, [](const Part& part) { return part.is_match; });
    } else {
      JoinParts(step.behavior, &parts);
    }
    for (const Part& part : parts) PushPiece(piece, part.range, &out());
  }
  void operator()(const PreTokenizer::Prefix& step) const {
    out().push_back(piece.text.starts_with(step.text) ? piece
                                                      : Keep(step.text + std::string(piece.text)));
  }
  void operator()(const PreTokenizer::MapBytes&) const {
    out().push_back(Keep(MapToAlphabet(piece.text)));
  }
  void operator()(const PreTokenizer::Metaspace& step) const {
    std::string text;
    for (const char c : piece.text) {
      if (c == ' ')
        text += step.replacement;
      else
        text += c;
    }
    const bool prepend = step.scheme == PrependScheme::kAlways ||
                         (step.scheme == PrependScheme::kFirst && piece.begins_input);
    if (prepend && !text.starts_with(step.replacement)) text.insert(0, step.replacement);
    out().push_back(Keep(std::move(text)));
  }
};

}  // namespace

Result<PrependScheme> ParsePrependScheme(const Json& component) {
  if (!FindField(component, "prepend_scheme")) {  // before tokenizers 0.15
    GYRATOR_ASSIGN_OR_RETURN(const bool prefix, BoolField(component, "add_prefix_space", true));
    return prefix ? PrependScheme::kAlways : PrependScheme::kNever;
  }
  GYRATOR_ASSIGN_OR_RETURN(const std::string name, StringField(component, "prepend_scheme"));
  if (name == "always") return PrependScheme::kAlways;
  if (name == "first") return PrependScheme::kFirst;
  if (name == "never") return PrependScheme::kNever;
  return Status::Corruption("\"prepend_scheme\": unknown value " + name);
}

Result<PreTokenizer> PreTokenizer::FromJson(const Json& json) {
  PreTokenizer out;
  if (!IsNull(json)) GYRATOR_RETURN_IF_ERROR(out.Append(json, 0));
  GYRATOR_RETURN_IF_ERROR(out.Finish());
  return out;
}

Result<PreTokenizer> PreTokenizer::ByteLevelOver(const std::vector<std::string_view>& patterns,
                                                 bool add_prefix_space) {
  PreTokenizer out;
  if (add_prefix_space) out.steps_.emplace_back(Prefix{" "});
  for (const std::string_view pattern : patterns) {
    GYRATOR_RETURN_IF_ERROR(out.AppendPattern(pattern, SplitBehavior::kIsolated, false));
  }
  out.steps_.emplace_back(MapBytes{});
  GYRATOR_RETURN_IF_ERROR(out.Finish());
  return out;
}

// Bytes become characters only when a later step has to see the characters.
Status PreTokenizer::Finish() {
  const auto maps = std::count_if(steps_.begin(), steps_.end(), [](const Step& step) {
    return std::holds_alternative<MapBytes>(step);
  });
  gives_bytes_ = maps == 1 && std::holds_alternative<MapBytes>(steps_.back());
  if (gives_bytes_) steps_.pop_back();
  int64_t growth = 1;  // of MapBytes; a prefix or Metaspace adds a character a piece
  for (int64_t i = 0; i < maps && growth <= kGrowthMax; ++i) growth *= 2;
  if (growth > kGrowthMax) return Status::Unsupported("pre_tokenizer: too many ByteLevel steps");
  return {};
}

Status PreTokenizer::Append(const Json& json, int depth) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string type, ComponentType(json, "pre_tokenizer"));
  if (type == "Sequence") {
    if (depth == kNestingMax) return Status::Unsupported("pre_tokenizer: nested too deep");
    GYRATOR_ASSIGN_OR_RETURN(const auto list, ArrayField(json, "pretokenizers", "pre_tokenizer"));
    for (const Json* item : list) GYRATOR_RETURN_IF_ERROR(Append(*item, depth + 1));
    return {};
  }
  if (type == "Split") return AppendSplit(json);
  if (type == "ByteLevel") return AppendByteLevel(json);
  if (type == "Metaspace") return AppendMetaspace(json);
  if (type == "Digits") {
    GYRATOR_ASSIGN_OR_RETURN(const bool each, BoolField(json, "individual_digits"));
    return AppendPattern(R"(\p{N})", each ? SplitBehavior::kIsolated : SplitBehavior::kContiguous,
                         false);
  }
  if (type == "Whitespace") {
    const std::string word(kRustWordMembers);
    return AppendPattern("[" + word + "]+|[^\\s" + word + "]+", SplitBehavior::kRemoved, true);
  }
  if (type == "WhitespaceSplit") return AppendPattern(R"(\s)", SplitBehavior::kRemoved, false);
  return Status::Unsupported("pre_tokenizer: type " + Quoted(type) + " is not supported");
}

Status PreTokenizer::AppendSplit(const Json& json) {
  Split step;
  GYRATOR_ASSIGN_OR_RETURN(step.pattern, ParseTextPattern(json));
  GYRATOR_ASSIGN_OR_RETURN(step.behavior, ParseBehavior(json));
  GYRATOR_ASSIGN_OR_RETURN(step.invert, BoolField(json, "invert"));
  steps_.emplace_back(std::move(step));
  return {};
}

Status PreTokenizer::AppendByteLevel(const Json& json) {
  GYRATOR_ASSIGN_OR_RETURN(const bool prefix, BoolField(json, "add_prefix_space"));
  GYRATOR_ASSIGN_OR_RETURN(const bool use_regex, BoolField(json, "use_regex", true));
  if (prefix) steps_.emplace_back(Prefix{" "});
  if (use_regex) {
    GYRATOR_RETURN_IF_ERROR(AppendPattern(kGpt2Pattern, SplitBehavior::kIsolated, false));
  }
  steps_.emplace_back(MapBytes{});
  return {};
}

Status PreTokenizer::AppendMetaspace(const Json& json) {
  Metaspace step;
  GYRATOR_ASSIGN_OR_RETURN(step.replacement, StringField(json, "replacement"));
  if (step.replacement.empty() || ReadUtf8(step.replacement).size != step.replacement.size()) {
    return Status::Corruption("\"replacement\": expected one character, found " +
                              Quoted(step.replacement));
  }
  GYRATOR_ASSIGN_OR_RETURN(step.scheme, ParsePrependScheme(json));
  GYRATOR_ASSIGN_OR_RETURN(const bool split, BoolField(json, "split", true));
  steps_.emplace_back(step);
  if (!split) return {};
  GYRATOR_ASSIGN_OR_RETURN(Regex literal, Regex::Literal(step.replacement));
  steps_.emplace_back(Split{std::make_shared<const Regex>(std::move(literal)),
                            SplitBehavior::kMergedWithNext, false});
  return {};
}

Status PreTokenizer::AppendPattern(std::string_view regex, SplitBehavior behavior, bool invert) {
  GYRATOR_ASSIGN_OR_RETURN(TextPattern pattern, MakeTextPattern(regex));
  steps_.emplace_back(Split{std::move(pattern), behavior, invert});
  return {};
}

void PreTokenizer::Run(std::string_view text, bool begins_input,
                       PretokenizeScratch* scratch) const {
  scratch->texts.clear();
  scratch->pieces.clear();
  if (text.empty()) return;
  scratch->pieces.push_back({text, begins_input});
  for (const Step& step : steps_) {
    scratch->next_pieces.clear();
    for (const Piece& piece : scratch->pieces) std::visit(StepRunner{scratch, piece}, step);
    std::swap(scratch->pieces, scratch->next_pieces);
  }
}

void PreTokenizer::Describe(Canonical* out) const {
  struct Writer {
    Canonical* out;
    void operator()(const Split& step) const {
      out->Add("split");
      out->Add(step.pattern->pattern());
      out->Add(int64_t{step.pattern->is_literal()});
      out->Add(static_cast<int64_t>(step.behavior));
      out->Add(int64_t{step.invert});
    }
    void operator()(const Prefix& step) const {
      out->Add("prefix");
      out->Add(step.text);
    }
    void operator()(const MapBytes&) const { out->Add("bytes"); }
    void operator()(const Metaspace& step) const {
      out->Add("metaspace");
      out->Add(step.replacement);
      out->Add(static_cast<int64_t>(step.scheme));
    }
  };
  for (const Step& step : steps_) std::visit(Writer{out}, step);
  if (gives_bytes_) out->Add("bytes");
}

}  // namespace gyrator
