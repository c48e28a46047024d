#include "tokenizer/bpe.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace gyrator {
namespace {

// The definition, slowly: the pair of lowest rank, leftmost first, until there is none.
std::vector<TokenId> Reference(const std::vector<std::string>& tokens, const Bpe::MergeList& merges,
                               const std::string& word) {
  std::vector<std::string> parts;
  for (const char c : word) parts.emplace_back(1, c);
  for (;;) {
    size_t best_rank = merges.size(), best_at = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      for (size_t rank = 0; rank < best_rank; ++rank) {
        if (merges[rank].first != parts[i] || merges[rank].second != parts[i + 1]) continue;
        best_rank = rank;
        best_at = i;
      }
    }
    if (best_rank == merges.size()) break;
    parts[best_at] += parts[best_at + 1];
    parts.erase(parts.begin() + static_cast<ptrdiff_t>(best_at) + 1);
  }
  std::vector<TokenId> ids;
  for (const std::string& part : parts) {
    const auto at = std::find(tokens.begin(), tokens.end(), part);
    ids.push_back(static_cast<TokenId>(at - tokens.begin()));
  }
  return ids;
}

TEST(Bpe, ShortAndLongWordsFollowTheDefinition) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 40; ++round) {
    std::vector<std::string> tokens = {"a", "b", "c"};
    std::vector<std::pair<std::string, std::string>> pairs;
    for (int i = 0; i < 30; ++i) {
      const std::string left = tokens[random() % tokens.size()];
      const std::string right = tokens[random() % tokens.size()];
      if (std::find(tokens.begin(), tokens.end(), left + right) != tokens.end()) continue;
      pairs.emplace_back(left, right);
      tokens.push_back(left + right);
    }
    std::shuffle(pairs.begin(), pairs.end(), random);
    std::vector<Vocab::Entry> entries;
    for (size_t id = 0; id < tokens.size(); ++id) {
      entries.push_back({tokens[id], static_cast<TokenId>(id)});
    }
    const auto vocab = Vocab::Create(entries);
    ASSERT_TRUE(vocab.ok());
    const Bpe::MergeList merges(pairs.begin(), pairs.end());
    const auto bpe = Bpe::Create(*vocab, merges, {});
    ASSERT_TRUE(bpe.ok()) << bpe.status().ToString();
    for (const size_t size : {0, 1, 2, 7, 47, 48, 49, 50, 200}) {
      std::string word;
      for (size_t i = 0; i < size; ++i) word += static_cast<char>('a' + random() % 3);
      std::vector<TokenId> ids;
      bpe->Encode(word, &ids);
      ASSERT_EQ(ids, Reference(tokens, merges, word)) << word;
    }
  }
}

TEST(Bpe, AMegabyteOfOneLetterIsQuick) {
  std::vector<std::string> tokens = {"a"};
  while (tokens.size() < 12) tokens.push_back(tokens.back() + tokens.back());
  std::vector<Vocab::Entry> entries;
  Bpe::MergeList merges;
  for (size_t id = 0; id < tokens.size(); ++id) {
    entries.push_back({tokens[id], static_cast<TokenId>(id)});
    if (id > 0) merges.emplace_back(tokens[id - 1], tokens[id - 1]);
  }
  const auto vocab = Vocab::Create(entries);
  const auto bpe = Bpe::Create(*vocab, merges, {});
  std::vector<TokenId> ids;
  bpe->Encode(std::string(1 << 20, 'a'), &ids);
  EXPECT_EQ(ids, std::vector<TokenId>(512, 11));
}

TEST(Bpe, UnknownCharactersAsHuggingFaceWritesThem) {
  const std::vector<Vocab::Entry> entries = {{"?", 0}, {"a", 1}, {"<0xC3>", 2}, {"<0xA9>", 3}};
  const auto vocab = Vocab::Create(entries);
  const auto encode = [&](const BpeOptions& options, std::string_view word) {
    const auto bpe = Bpe::Create(*vocab, {}, options);
    std::vector<TokenId> ids;
    bpe->Encode(word, &ids);
    return ids;
  };
  EXPECT_EQ(encode({}, "axya"), (std::vector<TokenId>{1, 1}));
  EXPECT_EQ(encode({.unk_token = "?"}, "axya"), (std::vector<TokenId>{1, 0, 0, 1}));
  EXPECT_EQ(encode({.unk_token = "?", .fuse_unk = true}, "axya"), (std::vector<TokenId>{1, 0, 1}));
  EXPECT_EQ(encode({.unk_token = "?", .byte_fallback = true}, "x\u00e9a"),
            (std::vector<TokenId>{2, 3, 0, 1}));
}

}  // namespace
}  // namespace gyrator
