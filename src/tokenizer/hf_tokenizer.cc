#include "tokenizer/hf_tokenizer.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "tokenizer/folder_tokens.h"
#include "tokenizer/json_fields.h"

namespace gyrator {

namespace {

const Json kNull = nullptr;

const Json& FieldOrNull(const Json& object, std::string_view key) {
  const Json* field = FindField(object, key);
  return field ? *field : kNull;
}

Result<TokenId> TokenIdOf(const Json& value, std::string_view what) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > 0x7FFFFFFF) {
    return Status::Corruption(std::string(what) + ": expected an id, found " + value.type_name());
  }
  return static_cast<TokenId>(value.get<uint64_t>());
}

Status ReadVocab(const Json& model, TokenizerParts* parts) {
  GYRATOR_ASSIGN_OR_RETURN(const Json* vocab, ObjectField(model, "vocab", "model"));
  parts->vocab.reserve(vocab->size());
  for (const auto& [token, id_value] : vocab->items()) {
    GYRATOR_ASSIGN_OR_RETURN(const TokenId id, TokenIdOf(id_value, "vocab " + Quoted(token)));
    parts->vocab.push_back({token, id});
  }
  return {};
}

// Each merge is "left right", or ["left", "right"] since tokenizers 0.20.
Status ReadMerges(const Json& model, TokenizerParts* parts) {
  GYRATOR_ASSIGN_OR_RETURN(const auto merges, ArrayField(model, "merges", "model"));
  parts->merges.reserve(merges.size());
  for (const Json* item : merges) {
    const Json& merge = *item;
    const auto wrong = [&] {
      return Status::Corruption("merge " + std::to_string(parts->merges.size()) +
                                ": expected two tokens, found " + Quoted(DumpJson(merge)));
    };
    if (merge.is_array()) {
      if (merge.size() != 2 || !merge[0].is_string() || !merge[1].is_string()) return wrong();
      parts->merges.emplace_back(merge[0].get_ref<const std::string&>(),
                                 merge[1].get_ref<const std::string&>());
      continue;
    }
    if (!merge.is_string()) return wrong();
    const std::string_view text = merge.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
      return wrong();
    }
    parts->merges.emplace_back(text.substr(0, space), text.substr(space + 1));
  }
  return {};
}

// Old files have no type; their fields say which it is.
Result<std::string> ModelType(const Json& model) {
  if (FindField(model, "type")) return StringField(model, "type");
  const Json* vocab = FindField(model, "vocab");
  if (vocab && vocab->is_array()) return std::string("Unigram");  // [["<piece>", score], ...]
  if (FindField(model, "merges")) return std::string("BPE");
  if (FindField(model, "max_input_chars_per_word")) return std::string("WordPiece");
  const bool words = vocab && FindField(model, "unk_token") && model.size() == 2;
  return std::string(words ? "WordLevel" : "BPE");
}

Status ReadModel(const Json& root, TokenizerParts* parts) {
  GYRATOR_ASSIGN_OR_RETURN(const Json* model, ObjectField(root, "model", "tokenizer.json"));
  GYRATOR_ASSIGN_OR_RETURN(const std::string type, ModelType(*model));
  if (type != "BPE") {
    const char* guess = FindField(*model, "type") ? "" : " (by its fields; the file names no type)";
    return Status::Unsupported("model: type " + Quoted(type) + guess +
                               " is not supported, only BPE");
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    GYRATOR_ASSIGN_OR_RETURN(const std::string affix, StringField(*model, key, ""));
    if (!affix.empty()) {
      return Status::Unsupported("model: " + std::string(key) + " " + Quoted(affix) +
                                 " is not supported");
    }
  }
  if (const Json* dropout = FindField(*model, "dropout")) {
    if (!dropout->is_number()) return Status::Corruption("model: \"dropout\" is not a number");
    if (dropout->get<double>() != 0) {
      return Status::Unsupported("model: dropout is not supported, ids would be random");
    }
  }
  if (FindField(*model, "unk_token")) {
    GYRATOR_ASSIGN_OR_RETURN(parts->bpe.unk_token, StringField(*model, "unk_token"));
  }
  GYRATOR_ASSIGN_OR_RETURN(parts->bpe.fuse_unk, BoolField(*model, "fuse_unk", false));
  GYRATOR_ASSIGN_OR_RETURN(parts->bpe.byte_fallback, BoolField(*model, "byte_fallback", false));
  GYRATOR_ASSIGN_OR_RETURN(parts->bpe.ignore_merges, BoolField(*model, "ignore_merges", false));
  GYRATOR_RETURN_IF_ERROR(ReadVocab(*model, parts));
  return ReadMerges(*model, parts);
}

Status ReadAddedTokens(const Json& root, TokenizerParts* parts) {
  if (!FindField(root, "added_tokens")) return {};
  GYRATOR_ASSIGN_OR_RETURN(const auto list, ArrayField(root, "added_tokens", "tokenizer.json"));
  for (const Json* item : list) {
    AddedToken token;
    GYRATOR_ASSIGN_OR_RETURN(token.id, CountField(*item, "id"));
    GYRATOR_ASSIGN_OR_RETURN(token.content, StringField(*item, "content"));
    GYRATOR_ASSIGN_OR_RETURN(token.single_word, BoolField(*item, "single_word"));
    GYRATOR_ASSIGN_OR_RETURN(token.lstrip, BoolField(*item, "lstrip"));
    GYRATOR_ASSIGN_OR_RETURN(token.rstrip, BoolField(*item, "rstrip"));
    GYRATOR_ASSIGN_OR_RETURN(token.normalized, BoolField(*item, "normalized"));
    GYRATOR_ASSIGN_OR_RETURN(token.special, BoolField(*item, "special"));
    parts->added_tokens.push_back(std::move(token));
  }
  return {};
}

// The ids of a template's special token.
Status AppendTemplateIds(const Json& specials, const Json& item, std::vector<TokenId>* ids) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string name, StringField(item, "id"));
  GYRATOR_ASSIGN_OR_RETURN(const Json* special, ObjectField(specials, name, "special_tokens"));
  GYRATOR_ASSIGN_OR_RETURN(const auto list, ArrayField(*special, "ids", "special_tokens"));
  for (const Json* value : list) {
    GYRATOR_ASSIGN_OR_RETURN(const TokenId id, TokenIdOf(*value, "post_processor"));
    ids->push_back(id);
  }
  return {};
}

// TemplateProcessing's "single": special tokens around one sequence A. What an earlier processor
// has put around it stays inside.
Status ReadTemplate(const Json& json, TokenizerParts* parts) {
  GYRATOR_ASSIGN_OR_RETURN(const auto single, ArrayField(json, "single", "post_processor"));
  GYRATOR_ASSIGN_OR_RETURN(const Json* specials,
                           ObjectField(json, "special_tokens", "post_processor"));
  std::vector<TokenId> prefix, suffix;
  bool sequence_seen = false;
  for (const Json* entry : single) {
    const Json& item = *entry;
    if (const Json* special = FindField(item, "SpecialToken")) {
      GYRATOR_RETURN_IF_ERROR(
          AppendTemplateIds(*specials, *special, sequence_seen ? &suffix : &prefix));
      continue;
    }
    GYRATOR_ASSIGN_OR_RETURN(const Json* sequence, ObjectField(item, "Sequence", "post_processor"));
    GYRATOR_ASSIGN_OR_RETURN(const std::string name, StringField(*sequence, "id"));
    if (name != "A" || sequence_seen) {
      return Status::Unsupported("post_processor: a single template with more than sequence A");
    }
    sequence_seen = true;
  }
  if (!sequence_seen) return Status::Unsupported("post_processor: a template without sequence A");
  parts->prefix.insert(parts->prefix.begin(), prefix.begin(), prefix.end());
  parts->suffix.insert(parts->suffix.end(), suffix.begin(), suffix.end());
  return {};
}

Status ReadPostProcessor(const Json& json, int depth, TokenizerParts* parts) {
  constexpr int kNestingMax = 16;
  GYRATOR_ASSIGN_OR_RETURN(const std::string type, ComponentType(json, "post_processor"));
  if (type == "ByteLevel") return {};  // changes offsets alone
  if (type == "TemplateProcessing") return ReadTemplate(json, parts);
  if (type == "Sequence" && depth < kNestingMax) {
    GYRATOR_ASSIGN_OR_RETURN(const auto list, ArrayField(json, "processors", "post_processor"));
    for (const Json* item : list) {
      GYRATOR_RETURN_IF_ERROR(ReadPostProcessor(*item, depth + 1, parts));
    }
    return {};
  }
  return Status::Unsupported("post_processor: type " + Quoted(type) + " is not supported");
}

}  // namespace

Result<std::unique_ptr<PipelineTokenizer>> ParseHfTokenizer(std::string_view json_text,
                                                            FolderTokens* folder) {
  GYRATOR_ASSIGN_OR_RETURN(const Json root, ParseJson(json_text));
  TokenizerParts parts;
  GYRATOR_RETURN_IF_ERROR(ReadModel(root, &parts));
  GYRATOR_RETURN_IF_ERROR(ReadAddedTokens(root, &parts));
  GYRATOR_ASSIGN_OR_RETURN(parts.normalizer, Normalizer::FromJson(FieldOrNull(root, "normalizer")));
  GYRATOR_ASSIGN_OR_RETURN(parts.pre_tokenizer,
                           PreTokenizer::FromJson(FieldOrNull(root, "pre_tokenizer")));
  if (const Json* post_processor = FindField(root, "post_processor")) {
    GYRATOR_RETURN_IF_ERROR(ReadPostProcessor(*post_processor, 0, &parts));
  }
  GYRATOR_ASSIGN_OR_RETURN(parts.decoder, TextDecoder::FromJson(FieldOrNull(root, "decoder")));
  if (folder != nullptr) {
    const Json* pad = FindField(FieldOrNull(root, "padding"), "pad_token");
    if (pad != nullptr && pad->is_string()) folder->SetDefaultPad(pad->get<std::string>());
    GYRATOR_RETURN_IF_ERROR(folder->AddTo(&parts));
  }
  return PipelineTokenizer::Create(std::move(parts));
}

}  // namespace gyrator
