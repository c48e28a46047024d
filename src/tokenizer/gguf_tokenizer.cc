// Tokenizer::FromGguf: the tokenizer.ggml.* metadata of GGUF files.
//
// Ids are those of the Hugging Face tokenizer that the file was made from; where llama.cpp's own
// differ from those (Qwen's NFC), Hugging Face's count. Names of keys, pre-tokenizers and token
// types: ggml docs/gguf.md, llama.cpp src/llama-vocab.cpp.
#include <algorithm>
#include <array>
#include <span>
#include <tuple>
#include <utility>

#include "base/utf8.h"
#include "formats/gguf.h"
#include "tokenizer/gguf_pre.h"
#include "tokenizer/pipeline_tokenizer.h"

namespace gyrator {

namespace {

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581

enum TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4 };

// The texts that llama.cpp takes for the end of a turn, where they are control tokens.
constexpr std::array<std::string_view, 9> kEndTexts = {
    "<|eot_id|>",      "<|eom_id|>",    "<|im_end|>",      "<|end|>", "<|endoftext|>",
    "<|end_of_text|>", "<end_of_turn>", "<|end_of_turn|>", "<EOT>"};

struct Arrays {
  std::vector<std::string_view> tokens;
  std::vector<int32_t> types;
};

Result<Arrays> ReadArrays(const GgufFile& file) {
  Arrays out;
  GYRATOR_ASSIGN_OR_RETURN(out.tokens, file.GetArray<std::string_view>("tokenizer.ggml.tokens"));
  out.types.assign(out.tokens.size(), kNormal);
  if (file.Has("tokenizer.ggml.token_type")) {
    GYRATOR_ASSIGN_OR_RETURN(out.types, file.GetArray<int32_t>("tokenizer.ggml.token_type"));
  }
  if (out.types.size() != out.tokens.size()) {
    return Status::Corruption("tokenizer.ggml.token_type: expected " +
                              std::to_string(out.tokens.size()) + " values, found " +
                              std::to_string(out.types.size()));
  }
  for (size_t id = 0; id < out.tokens.size(); ++id) {
    if (!IsValidUtf8(out.tokens[id])) {
      return Status::Corruption("tokenizer.ggml.tokens: token " + std::to_string(id) +
                                " is not UTF-8");
    }
  }
  return out;
}

void AddTokens(const Arrays& arrays, TokenizerParts* parts) {
  for (size_t id = 0; id < arrays.tokens.size(); ++id) {
    const auto token_id = static_cast<TokenId>(id);
    parts->vocab.push_back({arrays.tokens[id], token_id});
    const int32_t type = arrays.types[id];
    if (type != kUnknown && type != kControl && type != kUserDefined) continue;
    parts->added_tokens.push_back({.content = std::string(arrays.tokens[id]),
                                   .id = token_id,
                                   .special = type != kUserDefined});
  }
}

// "left right"; the first space that is not the first byte parts them, for a token may be a space.
Status AddMerges(std::span<const std::string_view> merges, TokenizerParts* parts) {
  for (const std::string_view merge : merges) {
    const size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos) {
      return Status::Corruption("tokenizer.ggml.merges: expected two tokens, found " +
                                Quoted(merge));
    }
    parts->merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  return {};
}

// How text is cut: as the caller says, else the file, else as these merges are known to be used.
// Where nobody knows, a guess would give other ids in silence.
Result<const PreType*> ChoosePre(const GgufFile& file, std::string_view pre,
                                 std::span<const std::string_view> merges) {
  if (!pre.empty()) {
    if (const PreType* type = FindPreType(pre)) return type;
    return Status::InvalidArgument("tokenizer pre: expected " + PreTypeNames() + ", found " +
                                   Quoted(pre));
  }
  const std::string advice =
      "; say how text is cut: --tokenizer-pre NAME, one of " + PreTypeNames();
  GYRATOR_ASSIGN_OR_RETURN(const auto named,
                           file.GetOr<std::string_view>("tokenizer.ggml.pre", ""));
  // Old converters wrote "default" where they did not know.
  if (named.empty() || named == "default") {
    if (const PreType* type = PreTypeOfMerges(MergesDigest(merges))) return type;
  }
  if (named.empty()) {
    return Status::Unsupported(
               "tokenizer.ggml.pre: absent, and the vocabulary is none of those that are known" +
               advice)
        .Named("unknown_pre");
  }
  if (const PreType* type = FindPreType(named)) return type;
  return Status::Unsupported("tokenizer.ggml.pre: " + Quoted(named) + " is not supported" + advice)
      .Named("unknown_pre");
}

Status FillByteLevel(const GgufFile& file, const Arrays& arrays, std::string_view pre,
                     TokenizerParts* parts, bool* add_bos) {
  GYRATOR_ASSIGN_OR_RETURN(const auto merges,
                           file.GetArray<std::string_view>("tokenizer.ggml.merges"));
  GYRATOR_ASSIGN_OR_RETURN(const PreType* type, ChoosePre(file, pre, merges));
  GYRATOR_ASSIGN_OR_RETURN(const bool prefix_space,
                           file.GetOr<bool>("tokenizer.ggml.add_space_prefix", false));
  GYRATOR_ASSIGN_OR_RETURN(parts->pre_tokenizer,
                           PreTokenizer::ByteLevelOver(type->patterns, prefix_space));
  if (type->nfc) parts->normalizer = Normalizer({Normalizer::Form{UnicodeForm::kNfc}});
  parts->bpe.ignore_merges = type->ignore_merges;
  *add_bos = type->add_bos;
  AddTokens(arrays, parts);
  return AddMerges(merges, parts);
}

// SentencePiece's merges are implied: any two tokens that make a third, the third's score first. In
// the order in which transformers writes them (generate_merges), so that ids are equal.
Status AddImpliedMerges(const Arrays& arrays, const std::vector<float>& scores,
                        TokenizerParts* parts) {
  constexpr size_t kTokenBytesMax = 512;  // bounds the work; SentencePiece's own limit is far lower
  GYRATOR_ASSIGN_OR_RETURN(const Vocab vocab, Vocab::Create(parts->vocab));
  struct Implied {
    float score;
    size_t left_size, right_size;  // characters
    TokenId left, right;
  };
  std::vector<Implied> implied;
  const auto characters = [](std::string_view text) {
    return static_cast<size_t>(std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
  };
  for (size_t id = 0; id < arrays.tokens.size(); ++id) {
    const std::string_view text = arrays.tokens[id];
    if (arrays.types[id] != kNormal || text.size() > kTokenBytesMax) continue;
    const size_t first = implied.size();
    for (size_t cut = 1; cut < text.size(); ++cut) {
      if ((static_cast<uint8_t>(text[cut]) & 0xC0) == 0x80) continue;
      const auto left = vocab.Find(text.substr(0, cut)), right = vocab.Find(text.substr(cut));
      if (!left || !right) continue;
      implied.push_back({scores[id], characters(text.substr(0, cut)), characters(text.substr(cut)),
                         *left, *right});
    }
    std::sort(implied.begin() + static_cast<ptrdiff_t>(first), implied.end(),
              [](const Implied& a, const Implied& b) {
                return std::tie(a.left, a.right) < std::tie(b.left, b.right);
              });
  }
  std::stable_sort(implied.begin(), implied.end(), [](const Implied& a, const Implied& b) {
    return std::tie(a.score, a.left_size, a.right_size) >
           std::tie(b.score, b.left_size, b.right_size);
  });
  for (const Implied& merge : implied) {
    parts->merges.emplace_back(arrays.tokens[static_cast<size_t>(merge.left)],
                               arrays.tokens[static_cast<size_t>(merge.right)]);
  }
  return {};
}

Status FillSentencePiece(const GgufFile& file, const Arrays& arrays, TokenizerParts* parts,
                         bool* add_bos) {
  GYRATOR_ASSIGN_OR_RETURN(const auto scores, file.GetArray<float>("tokenizer.ggml.scores"));
  const bool finite = std::none_of(scores.begin(), scores.end(), [](float s) { return s != s; });
  if (scores.size() != arrays.tokens.size() || !finite) {
    return Status::Corruption("tokenizer.ggml.scores: expected " +
                              std::to_string(arrays.tokens.size()) + " numbers, found " +
                              std::to_string(scores.size()) + (finite ? "" : " and a NaN"));
  }
  GYRATOR_ASSIGN_OR_RETURN(const bool prefix_space,
                           file.GetOr<bool>("tokenizer.ggml.add_space_prefix", true));
  GYRATOR_ASSIGN_OR_RETURN(const int32_t unk,
                           file.GetOr<int32_t>("tokenizer.ggml.unknown_token_id", 0));
  AddTokens(arrays, parts);
  GYRATOR_RETURN_IF_ERROR(AddImpliedMerges(arrays, scores, parts));
  parts->bpe.byte_fallback = parts->bpe.fuse_unk = true;
  if (unk >= 0 && static_cast<size_t>(unk) < arrays.tokens.size()) {
    parts->bpe.unk_token = std::string(arrays.tokens[static_cast<size_t>(unk)]);
  }
  GYRATOR_ASSIGN_OR_RETURN(Regex space, Regex::Literal(" "));
  GYRATOR_ASSIGN_OR_RETURN(Regex mark, Regex::Literal(kSpaceMark));
  const TextPattern space_pattern = std::make_shared<const Regex>(std::move(space));
  const TextPattern mark_pattern = std::make_shared<const Regex>(std::move(mark));
  std::vector<Normalizer::Step> normalize;
  std::vector<TextDecoder::Step> decode;
  if (prefix_space) normalize.emplace_back(Normalizer::Prepend{std::string(kSpaceMark)});
  normalize.emplace_back(Normalizer::Replace{space_pattern, std::string(kSpaceMark)});
  decode.emplace_back(TextDecoder::Replace{mark_pattern, " "});
  decode.emplace_back(TextDecoder::ByteFallback{});
  decode.emplace_back(TextDecoder::Fuse{});
  if (prefix_space) decode.emplace_back(TextDecoder::Strip{" ", 1, 0});
  parts->normalizer = Normalizer(std::move(normalize));
  parts->decoder = TextDecoder(std::move(decode));
  *add_bos = true;
  return {};
}

// A token id of the metadata; nothing when the key is absent.
Result<std::optional<TokenId>> ReadId(const GgufFile& file, std::string_view key) {
  if (!file.Has(key)) return std::optional<TokenId>();
  GYRATOR_ASSIGN_OR_RETURN(const int32_t id, file.Get<int32_t>(key));
  return std::optional<TokenId>(id);
}

// The tokens that templates know by name. An id that the vocabulary lacks names none.
Status ReadNamedTokens(const GgufFile& file, const Arrays& arrays, TokenizerNames* names) {
  constexpr std::pair<const char*, const char*> kKeys[] = {
      {"bos_token", "tokenizer.ggml.bos_token_id"},
      {"eos_token", "tokenizer.ggml.eos_token_id"},
      {"unk_token", "tokenizer.ggml.unknown_token_id"},
      {"sep_token", "tokenizer.ggml.seperator_token_id"},  // the format's own spelling
      {"pad_token", "tokenizer.ggml.padding_token_id"},
      {"cls_token", "tokenizer.ggml.cls_token_id"},
      {"mask_token", "tokenizer.ggml.mask_token_id"},
  };
  for (const auto& [name, key] : kKeys) {
    GYRATOR_ASSIGN_OR_RETURN(const std::optional<TokenId> id, ReadId(file, key));
    if (id && *id >= 0 && static_cast<size_t>(*id) < arrays.tokens.size()) {
      names->named_tokens.push_back({name, std::string(arrays.tokens[static_cast<size_t>(*id)])});
    }
  }
  return {};
}

// tokenizer.chat_template, and tokenizer.chat_template.NAME for the names that
// tokenizer.chat_templates lists.
Status ReadTemplates(const GgufFile& file, TokenizerNames* names) {
  const std::string base = "tokenizer.chat_template";
  GYRATOR_ASSIGN_OR_RETURN(const auto source, file.GetOr<std::string_view>(base, ""));
  names->chat_template = std::string(source);
  for (const std::string_view key : file.keys()) {
    if (!key.starts_with(base + ".")) continue;
    GYRATOR_ASSIGN_OR_RETURN(const auto other, file.Get<std::string_view>(key));
    const std::string name(key.substr(base.size() + 1));
    if (name == "default") {
      names->chat_template = std::string(other);
    } else {
      names->other_templates.push_back({name, std::string(other)});
    }
  }
  std::sort(names->other_templates.begin(), names->other_templates.end(),
            [](const NamedTemplate& a, const NamedTemplate& b) { return a.name < b.name; });
  return {};
}

Result<TokenizerNames> ReadNames(const GgufFile& file, const Arrays& arrays) {
  TokenizerNames names;
  GYRATOR_ASSIGN_OR_RETURN(names.bos, ReadId(file, "tokenizer.ggml.bos_token_id"));
  GYRATOR_ASSIGN_OR_RETURN(names.eos, ReadId(file, "tokenizer.ggml.eos_token_id"));
  for (const char* key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    GYRATOR_ASSIGN_OR_RETURN(const std::optional<TokenId> id, ReadId(file, key));
    if (id) names.end_of_generation.push_back(*id);
  }
  for (size_t id = 0; id < arrays.tokens.size(); ++id) {
    if (arrays.types[id] == kControl &&
        std::find(kEndTexts.begin(), kEndTexts.end(), arrays.tokens[id]) != kEndTexts.end()) {
      names.end_of_generation.push_back(static_cast<TokenId>(id));
    }
  }
  GYRATOR_RETURN_IF_ERROR(ReadNamedTokens(file, arrays, &names));
  GYRATOR_RETURN_IF_ERROR(ReadTemplates(file, &names));
  return names;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> Tokenizer::FromGguf(const GgufFile& file, std::string_view pre) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string_view model,
                           file.Get<std::string_view>("tokenizer.ggml.model"));
  GYRATOR_ASSIGN_OR_RETURN(const Arrays arrays, ReadArrays(file));
  GYRATOR_ASSIGN_OR_RETURN(TokenizerNames names, ReadNames(file, arrays));
  TokenizerParts parts;
  bool add_bos = false;
  if (model == "gpt2") {
    GYRATOR_RETURN_IF_ERROR(FillByteLevel(file, arrays, pre, &parts, &add_bos));
  } else if (model == "llama") {
    if (!pre.empty()) {
      return Status::InvalidArgument("tokenizer pre: expected a byte-level vocabulary, found " +
                                     Quoted(model) + ", whose text is not cut");
    }
    GYRATOR_RETURN_IF_ERROR(FillSentencePiece(file, arrays, &parts, &add_bos));
  } else {
    return Status::Unsupported("tokenizer.ggml.model: " + Quoted(model) +
                               " is not supported, only gpt2 and llama");
  }
  GYRATOR_ASSIGN_OR_RETURN(add_bos, file.GetOr<bool>("tokenizer.ggml.add_bos_token", add_bos));
  GYRATOR_ASSIGN_OR_RETURN(const bool add_eos,
                           file.GetOr<bool>("tokenizer.ggml.add_eos_token", false));
  if (add_bos && names.bos) parts.prefix.push_back(*names.bos);
  if (add_eos && names.eos) parts.suffix.push_back(*names.eos);
  GYRATOR_ASSIGN_OR_RETURN(auto tokenizer, PipelineTokenizer::Create(std::move(parts)));
  GYRATOR_RETURN_IF_ERROR(tokenizer->SetNames(std::move(names)));
  return std::unique_ptr<Tokenizer>(std::move(tokenizer));
}

}  // namespace gyrator
