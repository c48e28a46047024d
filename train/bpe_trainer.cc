#include "bpe_trainer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/check.h"

namespace gyrator::train {
namespace {

// Qwen2's, as its tokenizer.json has it.
constexpr const char* kSplitPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

uint64_t PairKey(TokenId left, TokenId right) {
  return (static_cast<uint64_t>(left) << 32) | static_cast<uint32_t>(right);
}

// GPT-2's printable stand-in of each byte, UTF-8.
const std::array<std::string, 256>& ByteAlphabet() {
  static const std::array<std::string, 256> kAlphabet = [] {
    std::array<std::string, 256> out;
    int next = 256;
    for (int byte = 0; byte < 256; ++byte) {
      const bool printable =
          (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
      const int code = printable ? byte : next++;
      std::string& text = out[static_cast<size_t>(byte)];
      if (code < 0x80) {
        text = static_cast<char>(code);
      } else {
        text = {static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3f))};
      }
    }
    return out;
  }();
  return kAlphabet;
}

struct Word {
  std::vector<TokenId> ids;
  int64_t count;
};

// Joins every (left, right) of `ids` into `merged`, left to right.
void Apply(std::vector<TokenId>& ids, TokenId left, TokenId right, TokenId merged) {
  size_t out = 0;
  for (size_t i = 0; i < ids.size(); ++out) {
    const bool join = i + 1 < ids.size() && ids[i] == left && ids[i + 1] == right;
    ids[out] = join ? merged : ids[i];
    i += join ? 2 : 1;
  }
  ids.resize(out);
}

std::vector<Word> CountWords(const std::vector<std::string>& texts) {
  std::map<std::string, int64_t, std::less<>> counts;
  for (const std::string& text : texts) {
    for (std::string_view word : SplitWords(text)) ++counts[std::string(word)];
  }
  std::vector<Word> words;
  for (const auto& [text, count] : counts) {
    Word& word = words.emplace_back();
    word.count = count;
    for (unsigned char byte : text) word.ids.push_back(byte);
  }
  return words;
}

// The most frequent pair; {-1, -1} when there is none.
std::pair<TokenId, TokenId> BestPair(const std::vector<Word>& words) {
  std::unordered_map<uint64_t, int64_t> counts;
  for (const Word& word : words) {
    for (size_t i = 0; i + 1 < word.ids.size(); ++i)
      counts[PairKey(word.ids[i], word.ids[i + 1])] += word.count;
  }
  uint64_t best = 0;
  int64_t best_count = 0;
  for (const auto& [key, count] : counts) {
    if (count > best_count || (count == best_count && key < best)) {
      best = key;
      best_count = count;
    }
  }
  if (best_count == 0) return {-1, -1};
  return {static_cast<TokenId>(best >> 32), static_cast<TokenId>(best & 0xffffffffu)};
}

}  // namespace

std::vector<std::string_view> SplitWords(std::string_view text) {
  struct Free {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
    void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  };
  static const std::unique_ptr<pcre2_code, Free> kCode = [] {
    int error = 0;
    PCRE2_SIZE at = 0;
    auto* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(kSplitPattern), PCRE2_ZERO_TERMINATED,
                               PCRE2_UTF | PCRE2_UCP, &error, &at, nullptr);
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    return std::unique_ptr<pcre2_code, Free>(code);
  }();
  const std::unique_ptr<pcre2_match_data, Free> match(
      pcre2_match_data_create_from_pattern(kCode.get(), nullptr));
  std::vector<std::string_view> words;
  for (size_t at = 0; at < text.size();) {
    const int found = pcre2_match(kCode.get(), reinterpret_cast<PCRE2_SPTR>(text.data()),
                                  text.size(), at, 0, match.get(), nullptr);
    GYRATOR_CHECK(found > 0);  // the pattern matches at every position of well-formed text
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match.get());
    words.push_back(text.substr(range[0], range[1] - range[0]));
    at = range[1];
  }
  return words;
}

void BpeVocab::AddMerge(TokenId left, TokenId right) {
  ranks_.emplace(PairKey(left, right), static_cast<int32_t>(merges_.size()));
  merges_.emplace_back(left, right);
  tokens_.push_back(tokens_[static_cast<size_t>(left)] + tokens_[static_cast<size_t>(right)]);
}

Result<BpeVocab> BpeVocab::Train(const std::vector<std::string>& texts, int32_t vocab_size,
                                 std::vector<std::string> specials) {
  const int32_t num_merges = vocab_size - 256 - static_cast<int32_t>(specials.size());
  if (num_merges < 0)
    return Status::InvalidArgument("vocabulary of " + std::to_string(vocab_size) +
                                   " tokens is smaller than the 256 bytes");
  BpeVocab vocab;
  for (const std::string& text : ByteAlphabet()) vocab.tokens_.push_back(text);
  std::vector<Word> words = CountWords(texts);
  while (static_cast<int32_t>(vocab.merges_.size()) < num_merges) {
    const auto [left, right] = BestPair(words);
    if (left < 0)
      return Status::InvalidArgument("text has too few pairs for a vocabulary of " +
                                     std::to_string(vocab_size) + " tokens");
    const TokenId merged = vocab.size();
    vocab.AddMerge(left, right);
    for (Word& word : words) Apply(word.ids, left, right, merged);
  }
  vocab.num_specials_ = static_cast<int32_t>(specials.size());
  for (std::string& special : specials) vocab.tokens_.push_back(std::move(special));
  return vocab;
}

std::vector<TokenId> BpeVocab::EncodeWord(std::string_view word) const {
  std::vector<TokenId> ids;
  for (unsigned char byte : word) ids.push_back(byte);
  for (;;) {
    int32_t best = -1;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto rank = ranks_.find(PairKey(ids[i], ids[i + 1]));
      if (rank != ranks_.end() && (best < 0 || rank->second < best)) best = rank->second;
    }
    if (best < 0) return ids;
    Apply(ids, merges_[static_cast<size_t>(best)].first, merges_[static_cast<size_t>(best)].second,
          256 + best);
  }
}

std::vector<TokenId> BpeVocab::Encode(std::string_view text) const {
  constexpr size_t kCacheWordsMax = 1 << 16;
  std::vector<TokenId> ids;
  for (std::string_view word : SplitWords(text)) {
    std::string key(word);
    auto at = cache_.find(key);
    if (at == cache_.end()) {
      if (cache_.size() >= kCacheWordsMax) cache_.clear();
      at = cache_.emplace(std::move(key), EncodeWord(word)).first;
    }
    ids.insert(ids.end(), at->second.begin(), at->second.end());
  }
  return ids;
}

std::string BpeVocab::Decode(const std::vector<TokenId>& ids) const {
  std::string out;
  for (TokenId id : ids) {
    GYRATOR_CHECK(id >= 0 && id < size());
    if (id < 256) {
      out += static_cast<char>(id);
    } else if (id >= size() - num_specials_) {
      out += tokens_[static_cast<size_t>(id)];
    } else {
      const auto [left, right] = merges_[static_cast<size_t>(id) - 256];
      out += Decode({left, right});
    }
  }
  return out;
}

std::vector<std::string> BpeVocab::MergeTexts() const {
  std::vector<std::string> out;
  for (const auto& [left, right] : merges_)
    out.push_back(tokens_[static_cast<size_t>(left)] + " " + tokens_[static_cast<size_t>(right)]);
  return out;
}

TokenId BpeVocab::SpecialId(std::string_view token) const {
  const auto at = std::find(tokens_.end() - num_specials_, tokens_.end(), token);
  GYRATOR_CHECK(at != tokens_.end());
  return static_cast<TokenId>(at - tokens_.begin());
}

Json BpeVocab::ToJson() const {
  Json added = Json::array(), vocab = Json::object(), merges = Json::array();
  for (int32_t id = 0; id < size(); ++id) {
    const std::string& text = tokens_[static_cast<size_t>(id)];
    if (id < size() - num_specials_) {
      vocab[text] = id;
    } else {
      added.push_back({{"id", id},
                       {"content", text},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", true}});
    }
  }
  for (const auto& [left, right] : merges_)
    merges.push_back({tokens_[static_cast<size_t>(left)], tokens_[static_cast<size_t>(right)]});
  const Json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", false},
                           {"trim_offsets", false},
                           {"use_regex", false}};
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", kSplitPattern}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", nullptr},
          {"pre_tokenizer",
           {{"type", "Sequence"}, {"pretokenizers", Json::array({split, byte_level})}}},
          {"post_processor", nullptr},
          {"decoder", byte_level},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", false},
            {"vocab", vocab},
            {"merges", merges}}}};
}

Result<BpeVocab> BpeVocab::FromJson(const Json& json) {
  const auto bad = [](const std::string& what) {
    return Status::Corruption("tokenizer of the trainer: " + what);
  };
  if (!json.contains("model") || !json["model"].contains("vocab") ||
      !json["model"].contains("merges") || !json.contains("added_tokens")) {
    return bad("expected model.vocab, model.merges and added_tokens");
  }
  BpeVocab out;
  for (const std::string& text : ByteAlphabet()) out.tokens_.push_back(text);
  const Json& vocab = json["model"]["vocab"];
  for (const Json& merge : json["model"]["merges"]) {
    if (!merge.is_array() || merge.size() != 2 || !merge[0].is_string() || !merge[1].is_string())
      return bad("a merge is not a pair of strings");
    const auto left = vocab.find(merge[0].get<std::string>()),
               right = vocab.find(merge[1].get<std::string>());
    if (left == vocab.end() || right == vocab.end() || left->get<TokenId>() >= out.size() ||
        right->get<TokenId>() >= out.size()) {
      return bad("merge " + merge.dump() + " joins unknown tokens");
    }
    out.AddMerge(left->get<TokenId>(), right->get<TokenId>());
  }
  for (const Json& added : json["added_tokens"]) {
    if (!added.contains("content") || !added["content"].is_string())
      return bad("an added token without content");
    out.tokens_.push_back(added["content"].get<std::string>());
    ++out.num_specials_;
  }
  return out;
}

}  // namespace gyrator::train
