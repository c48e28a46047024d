#include "tokenizer/added_tokens.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "tokenizer/vocab.h"

namespace gyrator {

namespace {

constexpr size_t kContentBytesMax = 1024;  // bounds the work at each place of a text

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(TextPattern word) : token_at_(1, -1), word_(std::move(word)) {}

void AddedTokenMatcher::Add(std::string_view content, const AddedToken& token) {
  if (content.empty()) return;
  first_[static_cast<uint8_t>(content[0])] = true;
  uint64_t node = 0;
  for (const char c : content) {
    const auto [at, is_new] = children_.try_emplace(node << 8 | static_cast<uint8_t>(c),
                                                    static_cast<uint32_t>(token_at_.size()));
    if (is_new) token_at_.push_back(-1);
    node = at->second;
  }
  if (token_at_[node] >= 0) return;
  token_at_[node] = static_cast<int32_t>(tokens_.size());
  tokens_.push_back(token);
}

AddedTokenMatcher::Longest AddedTokenMatcher::LongestAt(std::string_view text) const {
  Longest best;
  uint64_t node = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto at = children_.find(node << 8 | static_cast<uint8_t>(text[i]));
    if (at == children_.end()) break;
    node = at->second;
    if (token_at_[node] >= 0) best = {token_at_[node], i + 1};
  }
  return best;
}

bool AddedTokenMatcher::StandsAlone(std::string_view text, size_t begin, size_t end) const {
  std::vector<TextRange> words;
  if (begin > 0) {
    size_t at = begin - 1;
    while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
    word_->FindAll(text.substr(at, begin - at), &words);
  }
  if (end < text.size()) {
    word_->FindAll(text.substr(end, ReadUtf8(text.substr(end)).size), &words);
  }
  return words.empty();
}

void AddedTokenMatcher::Find(std::string_view text, bool parse_special,
                             std::vector<AddedTokenMatch>* out) const {
  size_t done = 0;  // everything before it is in `out`
  for (size_t at = 0; at < text.size() && !empty();) {
    const Longest found =
        first_[static_cast<uint8_t>(text[at])] ? LongestAt(text.substr(at)) : Longest{};
    if (found.token < 0) {
      ++at;
      continue;
    }
    size_t begin = at, end = at + found.size;
    at = end;  // a rejected match is passed over whole
    const AddedToken& token = tokens_[static_cast<size_t>(found.token)];
    if (token.special && !parse_special) continue;
    if (token.single_word && !StandsAlone(text, begin, end)) continue;
    if (token.lstrip) begin = std::max(begin - TrailingSpace(text.substr(0, begin)), done);
    if (token.rstrip) end += LeadingSpace(text.substr(end));
    if (done < begin) out->push_back({-1, done, begin});
    out->push_back({token.id, begin, end});
    done = end;
  }
  if (done < text.size()) out->push_back({-1, done, text.size()});
}

Result<AddedTokens> AddedTokens::Create(std::vector<AddedToken> tokens,
                                        const Normalizer& normalizer) {
  GYRATOR_ASSIGN_OR_RETURN(const TextPattern word,
                           MakeTextPattern("[" + std::string(kRustWordMembers) + "]"));
  AddedTokens out(word);
  const auto add = [&](const AddedToken& token) {
    if (token.normalized) {
      out.normalized_.Add(normalizer.Apply(token.content), token);
    } else {
      out.raw_.Add(token.content, token);
    }
  };
  for (const AddedToken& token : tokens) {
    if (token.content.size() > kContentBytesMax) {
      return Status::Unsupported("added token " + Quoted(token.content) + ": " +
                                 std::to_string(token.content.size()) + " bytes, at most " +
                                 std::to_string(kContentBytesMax));
    }
    if (token.special) add(token);
  }
  for (const AddedToken& token : tokens) {
    if (!token.special) add(token);
  }
  out.tokens_ = std::move(tokens);
  return out;
}

void AddedTokens::Describe(Canonical* out) const {
  out->Add("added");
  for (const AddedToken& token : tokens_) {
    out->Add(token.content);
    out->Add(int64_t{token.id});
    const int flags = token.single_word | token.lstrip << 1 | token.rstrip << 2 |
                      token.normalized << 3 | token.special << 4;
    out->Add(int64_t{flags});
  }
}

}  // namespace gyrator
