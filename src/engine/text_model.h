// TextModel over our tokenizer and template engine; what the engine knows beyond the public class.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gyrator/model.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace gyrator {

class TextModelImpl final : public TextModel {
 public:
  // `chat` may be null: a model without a template.
  TextModelImpl(std::unique_ptr<Tokenizer> tokenizer, std::unique_ptr<ChatTemplate> chat);
  ~TextModelImpl() override;
  static Result<std::shared_ptr<const TextModelImpl>> Open(const std::string& path,
                                                           const TextOptions& options);
  // Of an opened GGUF file; `path` is for messages. kNotFound when it has no tokenizer.
  static Result<std::shared_ptr<const TextModelImpl>> FromGguf(const GgufFile& file,
                                                               const std::string& path,
                                                               const TextOptions& options);

  std::vector<TokenId> Encode(std::string_view text, bool add_special) const override;
  std::string Decode(std::span<const TokenId> ids, bool skip_special) const override;
  Result<std::string> Render(std::span<const Message> messages,
                             const RenderOptions& options) const override;
  Result<std::string> RenderJson(std::string_view messages,
                                 const RenderOptions& options) const override;
  int32_t vocab_size() const override { return tokenizer_->vocab_size(); }
  bool has_template() const override {
    return chat_ != nullptr || !tokenizer_->other_templates().empty();
  }
  // Those of the tokenizer, and the token with which the template ends a reply.
  std::span<const TokenId> end_of_generation() const override { return end_of_generation_; }

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  uint64_t num_renders() const { return num_renders_.load(std::memory_order_relaxed); }
  const std::string& template_digest() const { return template_digest_; }  // SHA-256, hex

 private:
  static Result<std::shared_ptr<const TextModelImpl>> Make(
      Result<std::unique_ptr<Tokenizer>> opened, const std::string& path);
  Result<std::string> RenderValue(const Json& messages, const RenderOptions& options) const;
  Result<const ChatTemplate*> ChooseTemplate(bool has_tools) const;
  void ParseToolTemplate();
  void FindEndOfTurn();
  std::optional<TokenId> EndOfLastReply() const;
  std::optional<TokenId> EndOfEarlierReply() const;

  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<ChatTemplate> chat_;  // null: none that serves without tools
  // The template called tool_use, or why it cannot be used; null: there is none.
  std::unique_ptr<const Result<std::unique_ptr<ChatTemplate>>> tool_chat_;
  std::unique_ptr<Json> special_tokens_;    // template variables: {"bos_token": "<s>"}
  std::vector<TokenId> end_of_generation_;  // sorted
  std::string template_digest_;
  mutable std::atomic<uint64_t> num_renders_ = 0;
};

}  // namespace gyrator
