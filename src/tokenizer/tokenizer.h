// Text to token ids and back, with the bits of Hugging Face tokenizers.
//
// Byte-level and byte-fallback BPE from tokenizer.json (Hugging Face) or GGUF metadata. Does not
// know messages or templates (chat_template.h). Immutable after creation: safe for concurrent use.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gyrator/status.h"
#include "gyrator/types.h"

namespace gyrator {

class GgufFile;
class TextDecoder;

struct EncodeOptions {
  bool add_special = false;   // the post-processor's BOS, EOS
  bool parse_special = true;  // special tokens written in the text become their ids
};

// What the files call a token: {"bos_token", "<s>"}.
struct NamedToken {
  std::string name, text;
  bool operator==(const NamedToken&) const = default;
};

// A chat template of a model that has several.
struct NamedTemplate {
  std::string name, source;
  bool operator==(const NamedTemplate&) const = default;
};

class Tokenizer {
 public:
  // tokenizer.json and, where present, tokenizer_config.json, special_tokens_map.json,
  // added_tokens.json, generation_config.json, chat_template.jinja and additional_chat_templates/
  // of a Hugging Face folder. kNotFound, kCorruption, kUnsupported (names the component that is not
  // known); kUnsupported, called "foreign_tokenizer", when the folder has a tokenizer in another
  // form alone.
  static Result<std::unique_ptr<Tokenizer>> FromHuggingFace(const std::string& folder);
  // `pre` stands for the file's tokenizer.ggml.pre where that is absent or another; empty: as the
  // file says, and where it does not, as its merges are known. kInvalidArgument: `pre` is no name
  // that is known, or the file is not byte-level; kUnsupported ("unknown_pre"): nobody says it.
  static Result<std::unique_ptr<Tokenizer>> FromGguf(const GgufFile& file,
                                                     std::string_view pre = {});
  virtual ~Tokenizer() = default;

  virtual std::vector<TokenId> Encode(std::string_view text,
                                      const EncodeOptions& options) const = 0;
  // As Hugging Face decode(skip_special_tokens, clean_up_tokenization_spaces=false): ill-formed
  // UTF-8 becomes U+FFFD. Ids out of range are skipped.
  virtual std::string Decode(std::span<const TokenId> ids, bool skip_special) const = 0;
  // The bytes that one id adds in the middle of a text; may be part of a character. Empty for ids
  // out of range. For streaming: stream_decoder.h.
  virtual std::string_view TokenBytes(TokenId id) const = 0;
  virtual bool IsSpecial(TokenId id) const = 0;
  // How token texts become text; for stream_decoder.h.
  virtual const TextDecoder& decoder() const = 0;

  virtual int32_t vocab_size() const = 0;  // 1 + the largest id
  virtual std::optional<TokenId> bos() const = 0;
  virtual std::optional<TokenId> eos() const = 0;
  // Ids that end a reply: eos, and those of generation_config.json or GGUF (eot). Sorted.
  virtual std::span<const TokenId> end_of_generation() const = 0;
  virtual std::optional<TokenId> TokenToId(std::string_view token) const = 0;
  virtual std::string_view IdToToken(TokenId id) const = 0;  // as written in the vocabulary

  // The names of tokens that templates see as variables, in the files' order.
  virtual std::span<const NamedToken> named_tokens() const = 0;
  // The chat template's source, of several that called "default"; empty when the files have none.
  virtual const std::string& chat_template() const = 0;
  // The other templates, "tool_use" among them, by name.
  virtual std::span<const NamedTemplate> other_templates() const = 0;
  // SHA-256 over the canonical description of everything that Encode and Decode depend on, hex.
  virtual const std::string& digest() const = 0;
};

}  // namespace gyrator
