#include "engine/text_model.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/sha256.h"
#include "engine/messages.h"
#include "engine/model_path.h"
#include "formats/gguf.h"

namespace gyrator {

namespace {

Result<Json> ParseField(std::string_view text, std::string_view field, Json::value_t type) {
  auto value = ParseJson(text);
  if (!value.ok() || value->type() != type) {
    const char* expected = type == Json::value_t::array ? "array" : "object";
    return Status::InvalidArgument(std::string(field) + ": a JSON " + expected + " expected" +
                                   (value.ok() ? "" : ", found: " + value.status().message()));
  }
  return value;
}

}  // namespace

TextModelImpl::TextModelImpl(std::unique_ptr<Tokenizer> tokenizer,
                             std::unique_ptr<ChatTemplate> chat)
    : tokenizer_(std::move(tokenizer)),
      chat_(std::move(chat)),
      template_digest_(HexText(Sha256Of(AsBytes(tokenizer_->chat_template())))) {}

Result<std::shared_ptr<const TextModelImpl>> TextModelImpl::Open(const std::string& path) {
  GYRATOR_ASSIGN_OR_RETURN(const ModelPath kind, ClassifyModelPath(path));
  if (kind == ModelPath::kFolder) return Make(Tokenizer::FromHuggingFace(path), path);
  GYRATOR_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(path));
  return FromGguf(file, path);
}

Result<std::shared_ptr<const TextModelImpl>> TextModelImpl::FromGguf(const GgufFile& file,
                                                                     const std::string& path) {
  if (!file.Has("tokenizer.ggml.model"))
    return Status::NotFound(path + ": no tokenizer in the file");
  return Make(Tokenizer::FromGguf(file), path);
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

Result<std::shared_ptr<const TextModel>> TextModel::Load(const std::string& path) {
  GYRATOR_ASSIGN_OR_RETURN(auto text, TextModelImpl::Open(path));
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
  if (chat_ == nullptr) {
    return Status::Unsupported("the model has no chat template; use a raw prompt (--raw)");
  }
  Json variables = Json::object();
  if (tokenizer_->bos()) variables["bos_token"] = tokenizer_->IdToToken(*tokenizer_->bos());
  if (tokenizer_->eos()) variables["eos_token"] = tokenizer_->IdToToken(*tokenizer_->eos());
  if (!options.variables.empty()) {
    GYRATOR_ASSIGN_OR_RETURN(const Json more,
                             ParseField(options.variables, "variables", Json::value_t::object));
    variables.update(more);
  }
  Json tools;
  if (!options.tools.empty()) {
    GYRATOR_ASSIGN_OR_RETURN(tools, ParseField(options.tools, "tools", Json::value_t::array));
  }
  return chat_->Render({.messages = &messages,
                        .tools = options.tools.empty() ? nullptr : &tools,
                        .variables = &variables,
                        .add_generation_prompt = options.add_generation_prompt});
}

}  // namespace gyrator
