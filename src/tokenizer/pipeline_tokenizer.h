// The tokenizer that every file format gives: added tokens, normalizer, pre-tokenizer, byte pair
// encoding, post-processor and decoder, in that order. hf_tokenizer.cc and gguf_tokenizer.cc fill
// the parts in.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gyrator/status.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/text_decoder.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/vocab.h"

namespace gyrator {

// What a tokenizer is made of. Texts may point into the file that they were read from.
struct TokenizerParts {
  std::vector<Vocab::Entry> vocab;
  Bpe::MergeList merges;
  BpeOptions bpe;  // over_bytes is set from the pre-tokenizer
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::vector<AddedToken> added_tokens;
  std::vector<TokenId> prefix, suffix;  // of EncodeOptions::add_special
  TextDecoder decoder{{TextDecoder::ByteLevel{}}};
};

// What a tokenizer knows beyond encoding; none of it changes ids.
struct TokenizerNames {
  std::optional<TokenId> bos, eos;
  std::vector<TokenId> end_of_generation;  // any order; eos is added
  std::vector<NamedToken> named_tokens;
  std::string chat_template;
  std::vector<NamedTemplate> other_templates;
};

class PipelineTokenizer : public Tokenizer {
 public:
  // kCorruption: ids or texts that contradict each other (Vocab, Bpe); kUnsupported: AddedTokens.
  static Result<std::unique_ptr<PipelineTokenizer>> Create(TokenizerParts parts);
  // kCorruption: an id out of range. Before the tokenizer is shared.
  Status SetNames(TokenizerNames names);

  std::vector<TokenId> Encode(std::string_view text, const EncodeOptions& options) const override;
  std::string Decode(std::span<const TokenId> ids, bool skip_special) const override;
  std::string_view TokenBytes(TokenId id) const override;
  bool IsSpecial(TokenId id) const override;
  const TextDecoder& decoder() const override { return decoder_; }
  int32_t vocab_size() const override { return vocab_.end(); }
  std::optional<TokenId> bos() const override { return names_.bos; }
  std::optional<TokenId> eos() const override { return names_.eos; }
  std::span<const TokenId> end_of_generation() const override { return names_.end_of_generation; }
  std::optional<TokenId> TokenToId(std::string_view token) const override;
  std::string_view IdToToken(TokenId id) const override;
  std::span<const NamedToken> named_tokens() const override { return names_.named_tokens; }
  const std::string& chat_template() const override { return names_.chat_template; }
  std::span<const NamedTemplate> other_templates() const override { return names_.other_templates; }
  const std::string& digest() const override { return digest_; }

 private:
  struct Scratch;
  PipelineTokenizer(TokenizerParts parts, Vocab vocab, Bpe bpe, AddedTokens added);
  // Text between added tokens; EncodeWords: and between normalized ones.
  void EncodeText(std::string_view text, bool begins_input, Scratch* scratch) const;
  void EncodeWords(std::string_view text, bool begins_input, Scratch* scratch) const;
  void IndexTokens();
  std::string MakeDigest(const Vocab& model_vocab) const;

  Vocab vocab_;  // with the added tokens
  AddedTokens added_;
  Bpe bpe_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  std::vector<TokenId> prefix_, suffix_;
  TextDecoder decoder_;
  std::unordered_map<TokenId, std::string> rewritten_;  // normalized added tokens, normalized
  std::vector<bool> special_;                           // by id
  std::string token_bytes_;                             // of all ids
  std::vector<size_t> token_begin_;  // where an id's bytes begin; one more than there are ids
  TokenizerNames names_;
  std::string digest_;
};

}  // namespace gyrator
