#include "tokenizer/folder_tokens.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>

#include "tokenizer/json_fields.h"
#include "tokenizer/vocab.h"

namespace gyrator {

namespace {

constexpr std::array<std::string_view, 7> kStandard = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

bool IsStandard(std::string_view name) {
  return std::find(kStandard.begin(), kStandard.end(), name) != kStandard.end();
}

// An added token as an object of its flags; those that are absent have the defaults of Hugging
// Face's AddedToken.
Result<AddedToken> ReadToken(const Json& object, bool special) {
  AddedToken token;
  GYRATOR_ASSIGN_OR_RETURN(token.content, StringField(object, "content"));
  GYRATOR_ASSIGN_OR_RETURN(token.single_word, BoolField(object, "single_word", false));
  GYRATOR_ASSIGN_OR_RETURN(token.lstrip, BoolField(object, "lstrip", false));
  GYRATOR_ASSIGN_OR_RETURN(token.rstrip, BoolField(object, "rstrip", false));
  GYRATOR_ASSIGN_OR_RETURN(token.normalized, BoolField(object, "normalized", !special));
  token.special = special;
  return token;
}

// A token by its text, or as an object.
Result<AddedToken> ReadSpecial(std::string_view name, const Json& value) {
  if (value.is_string()) {
    return AddedToken{.content = value.get<std::string>(), .special = true};
  }
  const Json* content = FindField(value, "content");
  if (content == nullptr || !content->is_string()) {
    return Status::Corruption(std::string(name) + ": expected a string or an added token");
  }
  Result<AddedToken> token = ReadToken(value, true);
  if (!token.ok()) return std::move(token).status().Annotate(name);
  return token;
}

Status ReadId(std::string_view text, TokenId* id) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *id);
  if (error == std::errc() && end == text.data() + text.size() && *id >= 0) return {};
  return Status::Corruption("added_tokens_decoder: expected ids, found " + Quoted(text));
}

bool SameFlags(const AddedToken& a, const AddedToken& b) {
  return a.single_word == b.single_word && a.lstrip == b.lstrip && a.rstrip == b.rstrip &&
         a.normalized == b.normalized && a.special == b.special;
}

// Adds tokens to the parts of a tokenizer as Hugging Face's add_tokens does.
class Adder {
 public:
  explicit Adder(TokenizerParts* parts) : parts_(parts) {
    for (size_t i = 0; i < parts->added_tokens.size(); ++i) {
      places_.emplace(parts->added_tokens[i].content, i);
      last_ = std::max(last_, parts->added_tokens[i].id);
    }
  }

  const AddedToken* Find(const std::string& content) const {
    const auto at = places_.find(content);
    return at == places_.end() ? nullptr : &parts_->added_tokens[at->second];
  }

  // The id that the token has then.
  TokenId Add(AddedToken token) {
    const auto at = places_.find(token.content);
    if (at != places_.end()) {
      AddedToken& old = parts_->added_tokens[at->second];
      token.id = old.id;
      token.special |= old.special;  // a token that was special once stays so in decoding
      old = std::move(token);
      return old.id;
    }
    if (vocab_.empty()) {
      for (const Vocab::Entry& entry : parts_->vocab) vocab_.emplace(entry.text, entry.id);
    }
    const auto known = vocab_.find(token.content);
    const auto size = static_cast<TokenId>(parts_->vocab.size());
    token.id = known != vocab_.end() ? known->second : std::max(last_ + 1, size);
    last_ = std::max(last_, token.id);
    places_.emplace(token.content, parts_->added_tokens.size());
    parts_->added_tokens.push_back(std::move(token));
    return parts_->added_tokens.back().id;
  }

 private:
  TokenizerParts* parts_;
  std::unordered_map<std::string, size_t> places_;       // in added_tokens, by content
  std::unordered_map<std::string_view, TokenId> vocab_;  // made when it is needed
  TokenId last_ = -1;                                    // the largest id of an added token
};

}  // namespace

// Puts the files together in the order in which transformers reads them.
class FolderTokens::Reader {
 public:
  Status Read(const Files& files) {
    const Json nothing = Json::object();
    const Json& config = files.config->is_object() ? *files.config : nothing;
    const Json& map = files.special_map->is_object() ? *files.special_map : nothing;
    const Json* decoder = FindField(config, "added_tokens_decoder");
    const Json& first = decoder != nullptr ? config : map;
    const Json& second = decoder != nullptr ? nothing : config;
    for (const std::string_view name : kStandard) {
      const std::string key(name);
      const Json& from = first.contains(key) ? first : second;
      if (from.contains(key)) GYRATOR_RETURN_IF_ERROR(AddNamed(key, from[key]));
    }
    // Of the map every object is a token; of the configuration only what is marked as one.
    if (decoder == nullptr) GYRATOR_RETURN_IF_ERROR(ReadOwn(map, "content"));
    GYRATOR_RETURN_IF_ERROR(ReadOwn(config, "__type"));
    GYRATOR_RETURN_IF_ERROR(ReadExtras(config, "additional_special_tokens"));
    const bool none = std::none_of(out_.specials_.begin(), out_.specials_.end(),
                                   [](const Special& special) { return special.name.empty(); });
    if (decoder == nullptr) {
      GYRATOR_RETURN_IF_ERROR(ReadExtras(map, none ? "additional_special_tokens" : ""));
    }
    if (decoder != nullptr) return ReadDecoder(*decoder);
    return ReadAdded(*files.added);
  }

  FolderTokens Take() { return std::move(out_); }

 private:
  Status AddNamed(const std::string& name, const Json& value) {
    if (value.is_null()) {
      out_.denied_.push_back(name);
      return {};
    }
    GYRATOR_ASSIGN_OR_RETURN(AddedToken token, ReadSpecial(name, value));
    if (Special* known = out_.FindSpecial(name)) {
      known->token = std::move(token);
    } else {
      out_.specials_.push_back({name, std::move(token)});
    }
    return {};
  }

  // The names that only this family of models has: keys of the form image_token, and those of
  // extra_special_tokens where that is an object. model_specific_special_tokens counts where there
  // are none of them.
  Status ReadOwn(const Json& file, const char* mark) {
    const size_t before = out_.specials_.size();
    for (const auto& [key, value] : file.get_ref<const Json::object_t&>()) {
      if (!key.ends_with("_token") || IsStandard(key)) continue;
      const bool is_token = value.is_string() || (value.is_object() && value.contains(mark));
      if (is_token) GYRATOR_RETURN_IF_ERROR(AddNamed(key, value));
    }
    GYRATOR_RETURN_IF_ERROR(ReadNames(FindField(file, "extra_special_tokens")));
    if (out_.specials_.size() > before) return {};
    return ReadNames(FindField(file, "model_specific_special_tokens"));
  }

  Status ReadNames(const Json* names) {
    if (names == nullptr || !names->is_object()) return {};
    for (const auto& [key, value] : names->get_ref<const Json::object_t&>()) {
      if (!value.is_null()) GYRATOR_RETURN_IF_ERROR(AddNamed(key, value));
    }
    return {};
  }

  // Special tokens without a name. The older key counts where the newer one is absent or empty.
  Status ReadExtras(const Json& file, const char* older) {
    const Json* list = FindField(file, "extra_special_tokens");
    if (list == nullptr || list->empty()) list = FindField(file, older);
    if (list == nullptr || list->is_object()) return {};
    if (!list->is_array()) {
      return Status::Corruption("additional_special_tokens: expected a list of tokens");
    }
    for (const Json& item : *list) {
      GYRATOR_ASSIGN_OR_RETURN(AddedToken token, ReadSpecial("additional_special_tokens", item));
      out_.specials_.push_back({"", std::move(token)});
    }
    return {};
  }

  Status ReadDecoder(const Json& decoder) {
    if (!decoder.is_object()) {
      return Status::Corruption("added_tokens_decoder: expected tokens by their ids");
    }
    out_.list_file_ = "tokenizer_config.json";
    for (const auto& [key, value] : decoder.get_ref<const Json::object_t&>()) {
      TokenId id = 0;
      GYRATOR_RETURN_IF_ERROR(ReadId(key, &id));
      Result<bool> special = BoolField(value, "special", false);
      if (!special.ok()) return std::move(special).status().Annotate("added_tokens_decoder");
      Result<AddedToken> token = ReadToken(value, *special);
      if (!token.ok()) return std::move(token).status().Annotate("added_tokens_decoder");
      token->id = id;
      out_.listed_.push_back(*std::move(token));
    }
    SortListed();
    return {};
  }

  // {"<token>": id}, of before transformers 4.34.
  Status ReadAdded(const Json& added) {
    if (added.is_null()) return {};
    if (!added.is_object()) return Status::Corruption("added_tokens.json: expected an object");
    out_.list_file_ = "added_tokens.json";
    for (const auto& item : added.get_ref<const Json::object_t&>()) {
      const std::string& content = item.first;
      Result<int32_t> id = CountField(added, content);
      if (!id.ok()) return std::move(id).status().Annotate("added_tokens.json");
      const bool special = IsSpecial(content);
      out_.listed_.push_back(
          {.content = content, .id = *id, .normalized = !special, .special = special});
    }
    SortListed();
    return {};
  }

  bool IsSpecial(std::string_view content) const {
    return std::any_of(out_.specials_.begin(), out_.specials_.end(), [&](const Special& special) {
      return special.token.content == content && (special.name.empty() || IsStandard(special.name));
    });
  }

  void SortListed() {
    std::stable_sort(out_.listed_.begin(), out_.listed_.end(),
                     [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  }

  FolderTokens out_;
};

Result<FolderTokens> FolderTokens::Read(const Files& files) {
  Reader reader;
  GYRATOR_RETURN_IF_ERROR(reader.Read(files));
  return reader.Take();
}

FolderTokens::Special* FolderTokens::FindSpecial(std::string_view name) {
  const auto at = std::find_if(specials_.begin(), specials_.end(),
                               [&](const Special& special) { return special.name == name; });
  return at == specials_.end() ? nullptr : &*at;
}

void FolderTokens::SetDefaultPad(std::string_view content) {
  if (Find("pad_token") != nullptr || IsDenied("pad_token")) return;
  const auto own = std::find_if(specials_.begin(), specials_.end(), [](const Special& special) {
    return special.name.empty() || !IsStandard(special.name) || special.name == "cls_token" ||
           special.name == "mask_token";
  });
  specials_.insert(own, {"pad_token", {.content = std::string(content), .special = true}});
}

Status FolderTokens::AddTo(TokenizerParts* parts) const {
  Adder adder(parts);
  std::vector<AddedToken> lacking;
  for (const AddedToken& token : listed_) {
    const AddedToken* known = adder.Find(token.content);
    if (known != nullptr && known->id == token.id && SameFlags(*known, token)) continue;
    lacking.push_back(token);
    lacking.back().special |= IsNamed(token.content);  // whatever its flags say
  }
  for (const AddedToken& token : lacking) {
    if (token.content.empty()) continue;
    const TokenId id = adder.Add(token);
    if (id != token.id) {
      return Status::Corruption(std::string(list_file_) + ": added token " + Quoted(token.content) +
                                " has id " + std::to_string(token.id) + " there, and " +
                                std::to_string(id) + " by tokenizer.json");
    }
  }
  for (const Special& special : specials_) {
    if (special.token.content.empty() || adder.Find(special.token.content) != nullptr) continue;
    adder.Add(special.token);
  }
  return {};
}

std::vector<NamedToken> FolderTokens::named() const {
  std::vector<NamedToken> out;
  for (const Special& special : specials_) {
    if (!special.name.empty()) out.push_back({special.name, special.token.content});
  }
  return out;
}

bool FolderTokens::IsNamed(std::string_view content) const {
  return std::any_of(specials_.begin(), specials_.end(), [&](const Special& special) {
    return !special.name.empty() && special.token.content == content;
  });
}

const std::string* FolderTokens::Find(std::string_view name) const {
  for (const Special& special : specials_) {
    if (special.name == name) return &special.token.content;
  }
  return nullptr;
}

bool FolderTokens::IsDenied(std::string_view name) const {
  return std::find(denied_.begin(), denied_.end(), name) != denied_.end();
}

}  // namespace gyrator
