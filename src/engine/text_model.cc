#include "engine/text_model.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/sha256.h"
#include "engine/messages.h"
#include "engine/model_path.h"
#include "formats/gguf_parts.h"

namespace gyrator {

namespace {

Result<Json> ParseField(std::string_view text, std::string_view field, Json::value_t type) {
  auto value = ParseExactJson(text);
  if (!value.ok() || value->type() != type) {
    const char* expected = type == Json::value_t::array ? "array" : "object";
    return Status::InvalidArgument(std::string(field) + ": a JSON " + expected + " expected" +
                                   (value.ok() ? "" : ", found: " + value.status().message()));
  }
  return value;
}

Status CheckFolderOptions(const TextOptions& options) {
  if (options.tokenizer_pre.empty()) return {};
  return Status::InvalidArgument(
      "tokenizer pre: expected a GGUF file, found a folder, whose tokenizer.json says how text is "
      "cut");
}

// SHA-256 of the template and of the special tokens that it names, but bos and eos, whose ids are
// recorded beside it. A template that names no others has the digest of its source alone.
std::string TemplateDigest(const Tokenizer& tokenizer) {
  Sha256 sha;
  sha.Update(AsBytes(tokenizer.chat_template()));
  for (const NamedToken& token : tokenizer.named_tokens()) {
    const bool named = tokenizer.chat_template().find(token.name) != std::string::npos;
    if (!named || token.name == "bos_token" || token.name == "eos_token") continue;
    for (const std::string& part : {token.name, token.text}) {
      sha.Update(AsBytes(std::to_string(part.size()) + ":"));
      sha.Update(AsBytes(part));
    }
  }
  return HexText(sha.Finish());
}

// The special token with which `tokens` begin.
std::optional<TokenId> FirstIfSpecial(const Tokenizer& tokenizer, std::span<const TokenId> tokens) {
  const bool is_special = !tokens.empty() && tokenizer.IsSpecial(tokens[0]);
  return is_special ? std::optional(tokens[0]) : std::nullopt;
}

// Without the white space before it.
std::string_view Stripped(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  return text;
}

constexpr std::string_view kUserWords = "voltage", kReplyWords = "gyrator", kNextWords = "current";

}  // namespace

TextModelImpl::TextModelImpl(std::unique_ptr<Tokenizer> tokenizer,
                             std::unique_ptr<ChatTemplate> chat)
    : tokenizer_(std::move(tokenizer)),
      chat_(std::move(chat)),
      special_tokens_(std::make_unique<Json>(Json::object())),
      template_digest_(TemplateDigest(*tokenizer_)) {
  for (const NamedToken& token : tokenizer_->named_tokens()) {
    (*special_tokens_)[token.name] = token.text;
  }
  ParseToolTemplate();
  FindEndOfTurn();
}

TextModelImpl::~TextModelImpl() = default;

// A template that is wrong does no harm until tools are given.
void TextModelImpl::ParseToolTemplate() {
  for (const NamedTemplate& other : tokenizer_->other_templates()) {
    if (other.name != "tool_use") continue;
    auto parsed = ChatTemplate::Parse(other.source);
    if (!parsed.ok()) parsed = std::move(parsed).status().Annotate("chat template 'tool_use'");
    tool_chat_ = std::make_unique<const Result<std::unique_ptr<ChatTemplate>>>(std::move(parsed));
  }
}

// The files of many folders name another token as the end (that of texts) than the one with which
// the template ends a reply, so the template is asked.
void TextModelImpl::FindEndOfTurn() {
  const std::span<const TokenId> named = tokenizer_->end_of_generation();
  end_of_generation_.assign(named.begin(), named.end());
  if (chat_ == nullptr) return;
  std::optional<TokenId> end = EndOfLastReply();
  if (!end) end = EndOfEarlierReply();
  if (!end) return;
  const auto place = std::ranges::lower_bound(end_of_generation_, *end);
  if (place == end_of_generation_.end() || *place != *end) end_of_generation_.insert(place, *end);
}

// The special token right behind the words of an assistant, at the end of a conversation.
std::optional<TokenId> TextModelImpl::EndOfLastReply() const {
  const Json messages = Json::array({{{"role", "user"}, {"content", kUserWords}},
                                     {{"role", "assistant"}, {"content", kReplyWords}}});
  const auto text = chat_->Render(
      {.messages = &messages, .variables = special_tokens_.get(), .add_generation_prompt = false});
  const size_t at = text.ok() ? text->rfind(kReplyWords) : std::string::npos;
  if (at == std::string::npos) return std::nullopt;
  const std::string_view behind = Stripped(std::string_view(*text).substr(at + kReplyWords.size()));
  return FirstIfSpecial(*tokenizer_, tokenizer_->Encode(behind, {.add_special = false}));
}

// Some templates end no reply that nothing follows. What stands between a reply and the next words
// of the user is its end, and then what also opens the first message of the user.
std::optional<TokenId> TextModelImpl::EndOfEarlierReply() const {
  const Json messages = Json::array({{{"role", "user"}, {"content", kUserWords}},
                                     {{"role", "assistant"}, {"content", kReplyWords}},
                                     {{"role", "user"}, {"content", kNextWords}}});
  const auto rendered = chat_->Render({.messages = &messages, .variables = special_tokens_.get()});
  if (!rendered.ok()) return std::nullopt;
  const std::string_view text = *rendered;
  const size_t first = text.find(kUserWords), reply = text.rfind(kReplyWords);
  const size_t next = text.rfind(kNextWords);
  if (first == text.npos || reply == text.npos || next == text.npos || first > reply ||
      reply > next) {
    return std::nullopt;
  }
  const size_t behind = reply + kReplyWords.size();
  const auto opening = tokenizer_->Encode(text.substr(0, first), {.add_special = false});
  const auto between =
      tokenizer_->Encode(Stripped(text.substr(behind, next - behind)), {.add_special = false});
  const auto after_user =
      tokenizer_->Encode(Stripped(text.substr(first + kUserWords.size())), {.add_special = false});
  const auto opens =
      std::mismatch(between.rbegin(), between.rend(), opening.rbegin(), opening.rend()).first;
  if (opens.base() != between.begin()) {
    return FirstIfSpecial(*tokenizer_, std::span(between.begin(), opens.base()));
  }
  // A system prompt that the template brings along may end as a reply does; then so does what the
  // user says, and another special token opens the next message.
  const auto specials = std::count_if(between.begin(), between.end(),
                                      [&](TokenId id) { return tokenizer_->IsSpecial(id); });
  const bool ends_alike =
      specials > 1 && !after_user.empty() && after_user.front() == between.front();
  return ends_alike ? FirstIfSpecial(*tokenizer_, between) : std::nullopt;
}

// As transformers: with tools the one called tool_use, if there is one.
Result<const ChatTemplate*> TextModelImpl::ChooseTemplate(bool has_tools) const {
  if (has_tools && tool_chat_ != nullptr) {
    if (!tool_chat_->ok()) return tool_chat_->status();
    return (*tool_chat_)->get();
  }
  if (chat_ != nullptr) return chat_.get();
  std::string names;
  for (const NamedTemplate& other : tokenizer_->other_templates()) {
    names += (names.empty() ? "'" : ", '") + other.name + "'";
  }
  if (names.empty()) {
    return Status::Unsupported(
        "the model has no chat template; continue raw text (gyrator run --raw)");
  }
  return Status::Unsupported(
      "the model's chat templates are called " + names + " and none is called 'default'" +
      (tool_chat_ != nullptr ? ", and 'tool_use' is for tools" : "") +
      "; give one of them that name, or continue raw text (gyrator run --raw)");
}

Result<std::shared_ptr<const TextModelImpl>> TextModelImpl::Open(const std::string& path,
                                                                 const TextOptions& options) {
  GYRATOR_ASSIGN_OR_RETURN(const ModelPath kind, ClassifyModelPath(path));
  if (kind == ModelPath::kFolder) {
    GYRATOR_RETURN_IF_ERROR(CheckFolderOptions(options));
    return Make(Tokenizer::FromHuggingFace(path), path);
  }
  // Of a split file the first part has the tokenizer; the others need not be there.
  GYRATOR_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(path));
  GYRATOR_RETURN_IF_ERROR(CheckIsFirstPart(file, path));
  return FromGguf(file, path, options);
}

Result<std::shared_ptr<const TextModelImpl>> TextModelImpl::FromGguf(const GgufFile& file,
                                                                     const std::string& path,
                                                                     const TextOptions& options) {
  if (!file.Has("tokenizer.ggml.model"))
    return Status::NotFound(path + ": no tokenizer in the file");
  return Make(Tokenizer::FromGguf(file, options.tokenizer_pre), path);
}

Result<std::shared_ptr<const TextModelImpl>> TextModelImpl::Make(
    Result<std::unique_ptr<Tokenizer>> opened, const std::string& path) {
  GYRATOR_ASSIGN_OR_RETURN(auto tokenizer, std::move(opened));
  std::unique_ptr<ChatTemplate> chat;
  if (!tokenizer->chat_template().empty()) {
    auto parsed = ChatTemplate::Parse(tokenizer->chat_template());
    if (!parsed.ok()) return std::move(parsed).status().Annotate(path + ": chat template");
    chat = *std::move(parsed);
  }
  return std::make_shared<const TextModelImpl>(std::move(tokenizer), std::move(chat));
}

Result<std::shared_ptr<const TextModel>> TextModel::Load(const std::string& path,
                                                         const TextOptions& options) {
  GYRATOR_ASSIGN_OR_RETURN(auto text, TextModelImpl::Open(path, options));
  return std::shared_ptr<const TextModel>(std::move(text));
}

std::vector<TokenId> TextModelImpl::Encode(std::string_view text, bool add_special) const {
  return tokenizer_->Encode(text, {.add_special = add_special, .parse_special = true});
}

std::string TextModelImpl::Decode(std::span<const TokenId> ids, bool skip_special) const {
  return tokenizer_->Decode(ids, skip_special);
}

Result<std::string> TextModelImpl::Render(std::span<const Message> messages,
                                          const RenderOptions& options) const {
  GYRATOR_ASSIGN_OR_RETURN(const Json value, MessagesToJson(messages));
  return RenderValue(value, options);
}

Result<std::string> TextModelImpl::RenderJson(std::string_view messages,
                                              const RenderOptions& options) const {
  GYRATOR_ASSIGN_OR_RETURN(const Json value,
                           ParseField(messages, "messages", Json::value_t::array));
  return RenderValue(value, options);
}

Result<std::string> TextModelImpl::RenderValue(const Json& messages,
                                               const RenderOptions& options) const {
  num_renders_.fetch_add(1, std::memory_order_relaxed);
  GYRATOR_ASSIGN_OR_RETURN(const ChatTemplate* chat, ChooseTemplate(!options.tools.empty()));
  Json variables = *special_tokens_;
  if (!options.variables.empty()) {
    GYRATOR_ASSIGN_OR_RETURN(const Json more,
                             ParseField(options.variables, "variables", Json::value_t::object));
    variables.update(more);
  }
  Json tools;
  if (!options.tools.empty()) {
    GYRATOR_ASSIGN_OR_RETURN(tools, ParseField(options.tools, "tools", Json::value_t::array));
  }
  return chat->Render({.messages = &messages,
                       .tools = options.tools.empty() ? nullptr : &tools,
                       .variables = &variables,
                       .add_generation_prompt = options.add_generation_prompt});
}

}  // namespace gyrator
