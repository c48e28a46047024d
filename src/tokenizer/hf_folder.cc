// Tokenizer::FromHuggingFace: tokenizer.json, and what its neighbours say of special tokens,
// generation and the chat template.
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/mapped_file.h"
#include "formats/lfs_pointer.h"
#include "tokenizer/hf_tokenizer.h"
#include "tokenizer/json_fields.h"

namespace gyrator {

namespace {

constexpr uint64_t kTokenizerBytesMax = uint64_t{256} << 20;
constexpr uint64_t kConfigBytesMax = uint64_t{16} << 20;

// An absent file reads as null.
Result<Json> ReadOptionalJson(const std::string& folder, const char* name) {
  const std::string path = folder + "/" + name;
  Result<std::string> text = ReadSmallFile(path, kConfigBytesMax);
  if (!text.ok() && text.status().code() == Code::kNotFound) return Json(nullptr);
  GYRATOR_RETURN_IF_ERROR(std::move(text).status());
  GYRATOR_RETURN_IF_ERROR(CheckIsNoLfsPointer(path, *text));
  Result<Json> json = ParseJson(*text);
  if (!json.ok()) return std::move(json).status().Annotate(path);
  return json;
}

// "bos_token": "<s>", or {"content": "<s>", ...}; nothing when absent.
Result<std::optional<std::string>> SpecialTokenText(const Json& config, const char* key) {
  const Json* field = FindField(config, key);
  if (!field) return std::optional<std::string>();
  if (field->is_object()) field = FindField(*field, "content");
  if (!field || !field->is_string()) {
    return Status::Corruption(std::string(key) + ": expected a string or an added token");
  }
  return std::optional<std::string>(field->get<std::string>());
}

// One id or a list of them; others (null, nested) are kCorruption.
Status AppendIds(const Json& config, const char* key, std::vector<TokenId>* ids) {
  const Json* field = FindField(config, key);
  if (!field) return {};
  const auto append = [&](const Json& value) -> Status {
    if (!value.is_number_unsigned() || value.get<uint64_t>() > 0x7FFFFFFF) {
      return Status::Corruption(std::string(key) + ": expected ids, found " + value.type_name());
    }
    ids->push_back(static_cast<TokenId>(value.get<uint64_t>()));
    return {};
  };
  if (!field->is_array()) return append(*field);
  for (const Json& value : *field) GYRATOR_RETURN_IF_ERROR(append(value));
  return {};
}

// "chat_template": text, or a list of {name, template} of which "default" counts.
Result<std::string> ConfiguredTemplate(const Json& config) {
  const Json* field = FindField(config, "chat_template");
  if (!field) return std::string();
  if (field->is_string()) return field->get<std::string>();
  if (!field->is_array()) {
    return Status::Corruption("chat_template: expected a string or a list of templates");
  }
  for (const Json& item : *field) {
    GYRATOR_ASSIGN_OR_RETURN(const std::string name, StringField(item, "name"));
    if (name == "default") return StringField(item, "template");
  }
  return std::string();
}

struct FolderConfigs {
  Json tokenizer;   // tokenizer_config.json
  Json special;     // special_tokens_map.json
  Json generation;  // generation_config.json, or config.json where there is none
};

Result<FolderConfigs> ReadConfigs(const std::string& folder) {
  FolderConfigs out;
  GYRATOR_ASSIGN_OR_RETURN(out.tokenizer, ReadOptionalJson(folder, "tokenizer_config.json"));
  GYRATOR_ASSIGN_OR_RETURN(out.special, ReadOptionalJson(folder, "special_tokens_map.json"));
  GYRATOR_ASSIGN_OR_RETURN(out.generation, ReadOptionalJson(folder, "generation_config.json"));
  if (out.generation.is_null()) {
    GYRATOR_ASSIGN_OR_RETURN(out.generation, ReadOptionalJson(folder, "config.json"));
  }
  return out;
}

// tokenizer_config.json's name of a token, else special_tokens_map.json's, else the first id that
// generation_config.json has. A null in tokenizer_config.json says that there is none.
Result<std::optional<TokenId>> NamedToken(const FolderConfigs& configs, const Tokenizer& tokenizer,
                                          const std::string& name) {
  const std::string key = name + "_token";
  for (const Json* config : {&configs.tokenizer, &configs.special}) {
    GYRATOR_ASSIGN_OR_RETURN(const std::optional<std::string> text,
                             SpecialTokenText(*config, key.c_str()));
    if (text) {
      const std::optional<TokenId> id = tokenizer.TokenToId(*text);
      if (!id) {
        return Status::Corruption(key + " " + Quoted(*text) + " is not in the vocabulary");
      }
      return id;
    }
    if (config->is_object() && config->contains(key)) return std::optional<TokenId>();
  }
  std::vector<TokenId> ids;
  GYRATOR_RETURN_IF_ERROR(AppendIds(configs.generation, (key + "_id").c_str(), &ids));
  return ids.empty() ? std::optional<TokenId>() : ids.front();
}

Result<TokenizerNames> ReadNames(const std::string& folder, const Tokenizer& tokenizer) {
  GYRATOR_ASSIGN_OR_RETURN(const FolderConfigs configs, ReadConfigs(folder));
  TokenizerNames names;
  GYRATOR_ASSIGN_OR_RETURN(names.bos, NamedToken(configs, tokenizer, "bos"));
  GYRATOR_ASSIGN_OR_RETURN(names.eos, NamedToken(configs, tokenizer, "eos"));
  GYRATOR_RETURN_IF_ERROR(AppendIds(configs.generation, "eos_token_id", &names.end_of_generation));
  Result<std::string> source = ReadSmallFile(folder + "/chat_template.jinja", kConfigBytesMax);
  if (source.ok()) {
    GYRATOR_RETURN_IF_ERROR(CheckIsNoLfsPointer(folder + "/chat_template.jinja", *source));
    names.chat_template = *std::move(source);
  } else if (source.status().code() != Code::kNotFound) {
    return std::move(source).status();
  } else {
    GYRATOR_ASSIGN_OR_RETURN(names.chat_template, ConfiguredTemplate(configs.tokenizer));
  }
  return names;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> Tokenizer::FromHuggingFace(const std::string& folder) {
  const std::string path = folder + "/tokenizer.json";
  GYRATOR_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(path, kTokenizerBytesMax));
  GYRATOR_RETURN_IF_ERROR(CheckIsNoLfsPointer(path, text));
  Result<std::unique_ptr<PipelineTokenizer>> tokenizer = ParseHfTokenizer(text);
  if (!tokenizer.ok()) return std::move(tokenizer).status().Annotate(path);
  Result<TokenizerNames> names = ReadNames(folder, **tokenizer);
  if (!names.ok()) return std::move(names).status().Annotate(folder);
  Status named = (*tokenizer)->SetNames(*std::move(names));
  if (!named.ok()) return std::move(named).Annotate(folder);
  return std::unique_ptr<Tokenizer>(*std::move(tokenizer));
}

}  // namespace gyrator
