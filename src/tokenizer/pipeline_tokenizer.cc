#include "tokenizer/pipeline_tokenizer.h"

#include <algorithm>
#include <unordered_set>

#include "base/utf8.h"

namespace gyrator {

Result<std::unique_ptr<PipelineTokenizer>> PipelineTokenizer::Create(TokenizerParts parts) {
  parts.bpe.over_bytes = parts.pre_tokenizer.gives_bytes();
  // Byte pair encoding sees the model's own tokens alone; the tokenizer all of them.
  GYRATOR_ASSIGN_OR_RETURN(const Vocab model_vocab, Vocab::Create(parts.vocab));
  GYRATOR_ASSIGN_OR_RETURN(Bpe bpe, Bpe::Create(model_vocab, parts.merges, parts.bpe));
  GYRATOR_ASSIGN_OR_RETURN(AddedTokens added,
                           AddedTokens::Create(parts.added_tokens, parts.normalizer));
  for (const AddedToken& token : added.tokens()) {
    if (model_vocab.Find(token.content) != token.id) {
      parts.vocab.push_back({token.content, token.id});
    }
  }
  GYRATOR_ASSIGN_OR_RETURN(Vocab vocab, Vocab::Create(parts.vocab));
  for (const std::vector<TokenId>* ids : {&parts.prefix, &parts.suffix}) {
    for (const TokenId id : *ids) {
      if (!vocab.Has(id)) {
        return Status::Corruption("post_processor: id " + std::to_string(id) +
                                  " is not in the vocabulary");
      }
    }
  }
  std::unique_ptr<PipelineTokenizer> out(
      new PipelineTokenizer(std::move(parts), std::move(vocab), std::move(bpe), std::move(added)));
  out->digest_ = out->MakeDigest(model_vocab);
  return out;
}

PipelineTokenizer::PipelineTokenizer(TokenizerParts parts, Vocab vocab, Bpe bpe, AddedTokens added)
    : vocab_(std::move(vocab)),
      added_(std::move(added)),
      bpe_(std::move(bpe)),
      normalizer_(std::move(parts.normalizer)),
      pre_tokenizer_(std::move(parts.pre_tokenizer)),
      prefix_(std::move(parts.prefix)),
      suffix_(std::move(parts.suffix)),
      decoder_(std::move(parts.decoder)) {
  IndexTokens();
}

void PipelineTokenizer::IndexTokens() {
  // Hugging Face writes a normalized token as it is matched, and knows special ones by what it
  // writes.
  std::unordered_set<std::string_view> special_texts;
  for (const AddedToken& token : added_.tokens()) {
    if (token.special) special_texts.insert(token.content);
    if (!token.normalized) continue;
    std::string text = normalizer_.Apply(token.content);
    if (text != token.content) rewritten_[token.id] = std::move(text);
  }
  special_.assign(static_cast<size_t>(vocab_.end()), false);
  for (const AddedToken& token : added_.tokens()) {
    special_[static_cast<size_t>(token.id)] = special_texts.contains(IdToToken(token.id));
  }
  token_begin_.reserve(static_cast<size_t>(vocab_.end()) + 1);
  token_begin_.push_back(0);
  for (TokenId id = 0; id < vocab_.end(); ++id) {
    if (vocab_.Has(id)) token_bytes_ += decoder_.MiddleBytes(IdToToken(id));
    token_begin_.push_back(token_bytes_.size());
  }
}

Status PipelineTokenizer::SetNames(TokenizerNames names) {
  const auto check = [&](TokenId id, std::string_view what) -> Status {
    if (vocab_.Has(id)) return {};
    return Status::Corruption(std::string(what) + " id " + std::to_string(id) +
                              " is not in the vocabulary of " + std::to_string(vocab_.end()));
  };
  if (names.bos) GYRATOR_RETURN_IF_ERROR(check(*names.bos, "bos"));
  if (names.eos) {
    GYRATOR_RETURN_IF_ERROR(check(*names.eos, "eos"));
    names.end_of_generation.push_back(*names.eos);
  }
  std::vector<TokenId>& ends = names.end_of_generation;
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  names_ = std::move(names);
  return {};
}

struct PipelineTokenizer::Scratch {
  bool parse_special;
  std::vector<TokenId> ids;  // the result
  PretokenizeScratch pretokenize;
};

std::vector<TokenId> PipelineTokenizer::Encode(std::string_view text,
                                               const EncodeOptions& options) const {
  std::string repaired;
  if (!IsValidUtf8(text)) {
    AppendLossy(text, &repaired);
    text = repaired;
  }
  Scratch scratch{options.parse_special, {}, {}};
  scratch.ids.reserve(text.size() / 3 + 8);
  if (options.add_special) scratch.ids = prefix_;
  std::vector<AddedTokenMatch> matches;
  added_.raw().Find(text, options.parse_special, &matches);
  for (const AddedTokenMatch& match : matches) {
    if (match.id >= 0) {
      scratch.ids.push_back(match.id);
    } else {
      EncodeText(text.substr(match.begin, match.end - match.begin), match.begin == 0, &scratch);
    }
  }
  if (options.add_special) scratch.ids.insert(scratch.ids.end(), suffix_.begin(), suffix_.end());
  return std::move(scratch.ids);
}

void PipelineTokenizer::EncodeText(std::string_view text, bool begins_input,
                                   Scratch* scratch) const {
  std::string normalized;
  if (!normalizer_.empty()) {
    normalized = normalizer_.Apply(text);
    text = normalized;
  }
  if (added_.normalized().empty()) {
    EncodeWords(text, begins_input, scratch);
    return;
  }
  std::vector<AddedTokenMatch> matches;
  added_.normalized().Find(text, scratch->parse_special, &matches);
  for (const AddedTokenMatch& match : matches) {
    if (match.id >= 0) {
      scratch->ids.push_back(match.id);
    } else {
      EncodeWords(text.substr(match.begin, match.end - match.begin),
                  begins_input && match.begin == 0, scratch);
    }
  }
}

void PipelineTokenizer::EncodeWords(std::string_view text, bool begins_input,
                                    Scratch* scratch) const {
  pre_tokenizer_.Run(text, begins_input, &scratch->pretokenize);
  for (const Piece& piece : scratch->pretokenize.pieces) bpe_.Encode(piece.text, &scratch->ids);
}

std::string PipelineTokenizer::Decode(std::span<const TokenId> ids, bool skip_special) const {
  std::string out;
  TextDecoding decoding(decoder_);
  for (const TokenId id : ids) {
    if (!vocab_.Has(id) || (skip_special && IsSpecial(id))) continue;
    decoding.Push(IdToToken(id), &out);
  }
  decoding.Finish(&out);
  return out;
}

std::string_view PipelineTokenizer::TokenBytes(TokenId id) const {
  if (!vocab_.Has(id)) return {};
  const size_t at = static_cast<size_t>(id);
  return std::string_view(token_bytes_)
      .substr(token_begin_[at], token_begin_[at + 1] - token_begin_[at]);
}

bool PipelineTokenizer::IsSpecial(TokenId id) const {
  return vocab_.Has(id) && special_[static_cast<size_t>(id)];
}

std::optional<TokenId> PipelineTokenizer::TokenToId(std::string_view token) const {
  return vocab_.Find(token);
}

std::string_view PipelineTokenizer::IdToToken(TokenId id) const {
  const auto rewritten = rewritten_.find(id);
  return rewritten == rewritten_.end() ? vocab_.Text(id) : std::string_view(rewritten->second);
}

std::string PipelineTokenizer::MakeDigest(const Vocab& model_vocab) const {
  Canonical out;
  out.Add("gyrator tokenizer 1");
  out.Add(static_cast<int64_t>(model_vocab.size()));
  for (TokenId id = 0; id < model_vocab.end(); ++id) {
    if (!model_vocab.Has(id)) continue;
    out.Add(int64_t{id});
    out.Add(model_vocab.Text(id));
  }
  added_.Describe(&out);
  normalizer_.Describe(&out);
  pre_tokenizer_.Describe(&out);
  bpe_.Describe(&out);
  out.Add("affixes");
  for (const std::vector<TokenId>* ids : {&prefix_, &suffix_}) {
    out.Add(static_cast<int64_t>(ids->size()));
    for (const TokenId id : *ids) out.Add(int64_t{id});
  }
  decoder_.Describe(&out);
  return out.Finish();
}

}  // namespace gyrator
