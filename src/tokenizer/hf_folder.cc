// Tokenizer::FromHuggingFace: tokenizer.json, and what its neighbours say of special tokens,
// generation and the chat template.
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/mapped_file.h"
#include "formats/lfs_pointer.h"
#include "tokenizer/folder_tokens.h"
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

// One id or a list of them; others (null, nested) are kCorruption. A number that is no id names no
// token that a model could say.
Status AppendIds(const Json& config, const char* key, std::vector<TokenId>* ids) {
  const Json* field = FindField(config, key);
  if (!field) return {};
  const auto append = [&](const Json& value) -> Status {
    if (!value.is_number_integer()) {
      return Status::Corruption(std::string(key) + ": expected ids, found " + value.type_name());
    }
    const bool is_id = value.is_number_unsigned() && value.get<uint64_t>() <= 0x7FFFFFFF;
    if (is_id) ids->push_back(static_cast<TokenId>(value.get<uint64_t>()));
    return {};
  };
  if (!field->is_array()) return append(*field);
  for (const Json& value : *field) GYRATOR_RETURN_IF_ERROR(append(value));
  return {};
}

struct Templates {
  std::string main;                   // the only one, or that called "default"
  std::vector<NamedTemplate> others;  // by name

  void Add(std::string name, std::string source) {
    if (name == "default") {
      main = std::move(source);
      return;
    }
    const auto at = std::lower_bound(
        others.begin(), others.end(), name,
        [](const NamedTemplate& other, const std::string& wanted) { return other.name < wanted; });
    if (at != others.end() && at->name == name) {
      at->source = std::move(source);
    } else {
      others.insert(at, {std::move(name), std::move(source)});
    }
  }
};

// "chat_template": text, or several by name, as a list of {name, template} or an object.
Status AddConfigured(const Json& config, Templates* templates) {
  const Json* field = FindField(config, "chat_template");
  if (!field) return {};
  if (field->is_string()) {
    templates->main = field->get<std::string>();
    return {};
  }
  if (field->is_object()) {
    for (const auto& item : field->get_ref<const Json::object_t&>()) {
      GYRATOR_ASSIGN_OR_RETURN(std::string source, StringField(*field, item.first));
      templates->Add(item.first, std::move(source));
    }
    return {};
  }
  if (!field->is_array()) {
    return Status::Corruption("chat_template: expected a string or a list of templates");
  }
  for (const Json& item : *field) {
    GYRATOR_ASSIGN_OR_RETURN(std::string name, StringField(item, "name"));
    GYRATOR_ASSIGN_OR_RETURN(std::string source, StringField(item, "template"));
    templates->Add(std::move(name), std::move(source));
  }
  return {};
}

// chat_template.jinja and additional_chat_templates/NAME.jinja. Whether there are any.
Result<bool> AddTemplateFiles(const std::string& folder, Templates* templates) {
  bool any = false;
  const auto add = [&](const std::string& path, std::string name) -> Status {
    Result<std::string> source = ReadSmallFile(path, kConfigBytesMax);
    if (!source.ok() && source.status().code() == Code::kNotFound) return {};
    GYRATOR_RETURN_IF_ERROR(source.status());
    GYRATOR_RETURN_IF_ERROR(CheckIsNoLfsPointer(path, *source));
    any = true;
    templates->Add(std::move(name), *std::move(source));
    return {};
  };
  GYRATOR_RETURN_IF_ERROR(add(folder + "/chat_template.jinja", "default"));
  constexpr size_t kFilesMax = 1000;
  size_t files = 0;
  std::error_code error;
  std::filesystem::directory_iterator more(folder + "/additional_chat_templates", error);
  for (; !error && more != std::filesystem::directory_iterator(); more.increment(error)) {
    if (more->path().extension() != ".jinja") continue;
    if (++files > kFilesMax) {
      return Status::Exhausted("additional_chat_templates: more than " + std::to_string(kFilesMax) +
                               " templates");
    }
    GYRATOR_RETURN_IF_ERROR(add(more->path().string(), more->path().stem().string()));
  }
  const bool absent =
      error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory;
  if (error && !absent) {
    return Status::Io(folder + "/additional_chat_templates: " + error.message()).Named("io");
  }
  return any;
}

// Template files go before what tokenizer_config.json has.
Status ReadTemplates(const std::string& folder, const Json& config, TokenizerNames* names) {
  Templates templates;
  GYRATOR_ASSIGN_OR_RETURN(const bool files, AddTemplateFiles(folder, &templates));
  if (!files) GYRATOR_RETURN_IF_ERROR(AddConfigured(config, &templates));
  names->chat_template = std::move(templates.main);
  names->other_templates = std::move(templates.others);
  return {};
}

struct FolderConfigs {
  Json tokenizer;   // tokenizer_config.json
  Json special;     // special_tokens_map.json
  Json added;       // added_tokens.json
  Json generation;  // generation_config.json, or config.json where there is none
};

Result<FolderConfigs> ReadConfigs(const std::string& folder) {
  FolderConfigs out;
  GYRATOR_ASSIGN_OR_RETURN(out.tokenizer, ReadOptionalJson(folder, "tokenizer_config.json"));
  GYRATOR_ASSIGN_OR_RETURN(out.special, ReadOptionalJson(folder, "special_tokens_map.json"));
  GYRATOR_ASSIGN_OR_RETURN(out.added, ReadOptionalJson(folder, "added_tokens.json"));
  GYRATOR_ASSIGN_OR_RETURN(out.generation, ReadOptionalJson(folder, "generation_config.json"));
  if (out.generation.is_null()) {
    GYRATOR_ASSIGN_OR_RETURN(out.generation, ReadOptionalJson(folder, "config.json"));
  }
  return out;
}

// The token of that name, else the first id that generation_config.json has. A null in the
// tokenizer's files says that there is none.
Result<std::optional<TokenId>> NamedId(const FolderConfigs& configs, const FolderTokens& tokens,
                                       const Tokenizer& tokenizer, const std::string& name) {
  if (const std::string* text = tokens.Find(name)) return tokenizer.TokenToId(*text);
  if (tokens.IsDenied(name)) return std::optional<TokenId>();
  std::vector<TokenId> ids;
  GYRATOR_RETURN_IF_ERROR(AppendIds(configs.generation, (name + "_id").c_str(), &ids));
  // The embedding may have rows for ids without a text; those have no name.
  std::erase_if(ids, [&](TokenId id) { return id >= tokenizer.vocab_size(); });
  return ids.empty() ? std::optional<TokenId>() : ids.front();
}

Result<std::unique_ptr<Tokenizer>> ReadFolder(const std::string& folder, std::string_view text) {
  GYRATOR_ASSIGN_OR_RETURN(const FolderConfigs configs, ReadConfigs(folder));
  GYRATOR_ASSIGN_OR_RETURN(FolderTokens tokens, FolderTokens::Read({.config = &configs.tokenizer,
                                                                    .special_map = &configs.special,
                                                                    .added = &configs.added}));
  GYRATOR_ASSIGN_OR_RETURN(auto tokenizer, ParseHfTokenizer(text, &tokens));
  TokenizerNames names;
  names.named_tokens = tokens.named();
  GYRATOR_ASSIGN_OR_RETURN(names.bos, NamedId(configs, tokens, *tokenizer, "bos_token"));
  GYRATOR_ASSIGN_OR_RETURN(names.eos, NamedId(configs, tokens, *tokenizer, "eos_token"));
  GYRATOR_RETURN_IF_ERROR(AppendIds(configs.generation, "eos_token_id", &names.end_of_generation));
  GYRATOR_RETURN_IF_ERROR(ReadTemplates(folder, configs.tokenizer, &names));
  GYRATOR_RETURN_IF_ERROR(tokenizer->SetNames(std::move(names)));
  return std::unique_ptr<Tokenizer>(std::move(tokenizer));
}

// Why a folder without tokenizer.json has no tokenizer for us, and what to do.
Status NoTokenizerJson(const std::string& folder, const Status& missing) {
  const auto has = [&](const char* name) {
    std::error_code error;
    return std::filesystem::exists(folder + "/" + name, error);
  };
  std::string found;
  if (has("vocab.json") && has("merges.txt")) found = "vocab.json and merges.txt";
  for (const char* name : {"tekken.json", "tokenizer.model", "spiece.model", "vocab.txt"}) {
    if (found.empty() && has(name)) found = name;
  }
  if (found.empty()) return missing;
  return Status::Unsupported(
             folder + ": tokenizer.json expected, found " + found +
             ", which is not read; make tokenizer.json with transformers: python -c \"from "
             "transformers import AutoTokenizer as T; T.from_pretrained('" +
             folder + "').save_pretrained('" + folder + "')\"")
      .Named("foreign_tokenizer");
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> Tokenizer::FromHuggingFace(const std::string& folder) {
  const std::string path = folder + "/tokenizer.json";
  const Result<std::string> text = ReadSmallFile(path, kTokenizerBytesMax);
  if (!text.ok() && text.status().code() == Code::kNotFound) {
    return NoTokenizerJson(folder, text.status());
  }
  GYRATOR_RETURN_IF_ERROR(text.status());
  GYRATOR_RETURN_IF_ERROR(CheckIsNoLfsPointer(path, *text));
  auto tokenizer = ReadFolder(folder, *text);
  if (!tokenizer.ok()) return std::move(tokenizer).status().Annotate(folder);
  return tokenizer;
}

}  // namespace gyrator
