#include "tokenizer/bpe.h"

#include <algorithm>
#include <bit>
#include <queue>

#include "base/utf8.h"
#include "tokenizer/byte_alphabet.h"

namespace gyrator {

namespace {

constexpr size_t kShortWord = 48;  // symbols; above it the quadratic scan loses to the heap

std::string ByteTokenText(int byte) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  return {'<', '0', 'x', kDigits[byte >> 4], kDigits[byte & 15], '>'};
}

}  // namespace

Result<Bpe> Bpe::Create(const Vocab& vocab, const MergeList& merges, const BpeOptions& options) {
  Bpe out(options);
  if (options.unk_token) {
    const std::optional<TokenId> unk = vocab.Find(*options.unk_token);
    if (!unk) {
      return Status::Corruption("bpe: unk_token " + Quoted(*options.unk_token) +
                                " is not in the vocabulary");
    }
    out.unk_ = *unk;
  }
  for (int byte = 0; byte < 256; ++byte) {
    out.byte_tokens_[byte] = vocab.Find(ByteTokenText(byte)).value_or(kNone);
  }
  GYRATOR_RETURN_IF_ERROR(out.AddMerges(vocab, merges));
  out.IndexSymbols(vocab);
  return out;
}

Status Bpe::AddMerges(const Vocab& vocab, const MergeList& merges) {
  table_.resize(std::bit_ceil(2 * merges.size() + 2));
  slot_mask_ = table_.size() - 1;
  slot_shift_ = 64 - std::countr_zero(table_.size());
  std::string text;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    text.assign(left);
    text.append(right);
    const auto left_id = vocab.Find(left), right_id = vocab.Find(right), result = vocab.Find(text);
    if (!left_id || !right_id || !result) {
      const std::string_view missing = !left_id ? left : !right_id ? right : text;
      return Status::Corruption("bpe: merge " + std::to_string(rank) + " (" + Quoted(left) + ", " +
                                Quoted(right) + ") needs token " + Quoted(missing) +
                                ", which is not in the vocabulary");
    }
    const uint64_t pair = Pair(*left_id, *right_id);
    size_t at = Slot(pair);
    while (table_[at].pair != kNoPair && table_[at].pair != pair) at = (at + 1) & slot_mask_;
    table_[at] = {pair, static_cast<uint32_t>(rank), *result};
  }
  return {};
}

void Bpe::IndexSymbols(const Vocab& vocab) {
  if (options_.over_bytes) {
    for (int byte = 0; byte < 256; ++byte) {
      byte_symbols_[byte] = vocab.Find(ByteCharacter(static_cast<uint8_t>(byte))).value_or(kNone);
    }
  }
  for (TokenId id = 0; id < vocab.end(); ++id) {
    const std::string_view text = vocab.Text(id);
    if (text.empty()) continue;
    const Utf8Unit unit = ReadUtf8(text);
    const bool character = unit.kind == Utf8Unit::Kind::kCharacter && unit.size == text.size();
    if (character && !options_.over_bytes) character_symbols_[unit.code_point] = id;
    if (!options_.ignore_merges) continue;
    if (!options_.over_bytes) {
      words_.emplace(text, id);
    } else if (std::optional<std::string> bytes = MapFromAlphabet(text)) {
      words_.emplace(*std::move(bytes), id);
    }
  }
}

void Bpe::Encode(std::string_view word, std::vector<TokenId>* ids) const {
  if (options_.ignore_merges) {
    const auto at = words_.find(std::string(word));
    if (at != words_.end()) {
      ids->push_back(at->second);
      return;
    }
  }
  const size_t from = ids->size();
  FirstSymbols(word, ids);
  if (ids->size() - from <= kShortWord) {
    MergeShort(ids, from);
  } else {
    MergeLong(ids, from);
  }
}

void Bpe::FirstSymbols(std::string_view word, std::vector<TokenId>* symbols) const {
  // A pending unknown token is written before the next known symbol, but after byte tokens: so does
  // Hugging Face.
  bool unk_pending = false;
  const auto flush = [&] {
    if (unk_pending) symbols->push_back(unk_);
    unk_pending = false;
  };
  for (size_t i = 0; i < word.size();) {
    TokenId symbol = kNone;
    size_t size = 1;
    if (options_.over_bytes) {
      symbol = byte_symbols_[static_cast<uint8_t>(word[i])];
    } else {
      const Utf8Unit unit = ReadUtf8(word.substr(i));
      size = unit.size;
      const auto at = character_symbols_.find(unit.code_point);
      if (at != character_symbols_.end()) symbol = at->second;
    }
    const std::string_view bytes = word.substr(i, size);
    i += size;
    if (symbol != kNone) {
      flush();
      symbols->push_back(symbol);
      continue;
    }
    const auto byte_token = [&](char c) { return byte_tokens_[static_cast<uint8_t>(c)]; };
    if (options_.byte_fallback &&
        std::all_of(bytes.begin(), bytes.end(), [&](char c) { return byte_token(c) != kNone; })) {
      for (const char c : bytes) symbols->push_back(byte_token(c));
      continue;
    }
    if (unk_ == kNone) continue;
    if (!options_.fuse_unk) flush();
    unk_pending = true;
  }
  flush();
}

void Bpe::MergeShort(std::vector<TokenId>* symbols, size_t from) const {
  size_t count = symbols->size() - from;
  TokenId* ids = symbols->data() + from;
  Merge merges[kShortWord];  // merges[i]: of ids[i] and ids[i + 1]
  for (size_t i = 0; i + 1 < count; ++i) merges[i] = FindMerge(ids[i], ids[i + 1]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == kNoRank) break;
    ids[best] = merges[best].result;
    std::copy(ids + best + 2, ids + count, ids + best + 1);
    std::copy(merges + best + 1, merges + count - 1, merges + best);
    --count;
    if (best > 0) merges[best - 1] = FindMerge(ids[best - 1], ids[best]);
    if (best + 1 < count) merges[best] = FindMerge(ids[best], ids[best + 1]);
  }
  symbols->resize(from + count);
}

// A doubly linked list over the symbols' places, and a heap of the merges that were possible when
// they were pushed; a stale one no longer fits the pair at its place.
struct Bpe::LongWord {
  struct Candidate {
    uint32_t rank;
    uint32_t place;
    uint64_t pair;
    TokenId result;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : place > other.place;
    }
  };
  static constexpr uint32_t kEnd = ~uint32_t{0};

  LongWord(const Bpe& owner, TokenId* symbols, size_t count)
      : bpe(owner), ids(symbols), previous(count), next(count) {
    for (uint32_t i = 0; i < count; ++i) {
      previous[i] = i - 1;  // of the first: kEnd
      next[i] = i + 1 < count ? i + 1 : kEnd;
    }
    for (uint32_t i = 0; i + 1 < count; ++i) Push(i);
  }

  void Push(uint32_t place) {
    const uint32_t right = next[place];
    if (right == kEnd) return;
    const Merge merge = bpe.FindMerge(ids[place], ids[right]);
    if (merge.rank != kNoRank) heap.push({merge.rank, place, merge.pair, merge.result});
  }

  void Run() {
    while (!heap.empty()) {
      const Candidate top = heap.top();
      heap.pop();
      const uint32_t right = ids[top.place] == kNone ? kEnd : next[top.place];
      if (right == kEnd || Pair(ids[top.place], ids[right]) != top.pair) continue;
      ids[top.place] = top.result;
      ids[right] = kNone;
      next[top.place] = next[right];
      if (next[right] != kEnd) previous[next[right]] = top.place;
      if (previous[top.place] != kEnd) Push(previous[top.place]);
      Push(top.place);
    }
  }

  const Bpe& bpe;
  TokenId* ids;
  std::vector<uint32_t> previous, next;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> heap;
};

void Bpe::MergeLong(std::vector<TokenId>* symbols, size_t from) const {
  LongWord(*this, symbols->data() + from, symbols->size() - from).Run();
  symbols->erase(
      std::remove(symbols->begin() + static_cast<ptrdiff_t>(from), symbols->end(), kNone),
      symbols->end());
}

void Bpe::Describe(Canonical* out) const {
  out->Add("bpe");
  out->Add(options_.unk_token.value_or(""));
  out->Add(int64_t{unk_});
  out->Add(int64_t{options_.fuse_unk});
  out->Add(int64_t{options_.byte_fallback});
  out->Add(int64_t{options_.ignore_merges});
  out->Add(int64_t{options_.over_bytes});
  std::vector<Merge> merges;
  std::copy_if(table_.begin(), table_.end(), std::back_inserter(merges),
               [](const Merge& merge) { return merge.pair != kNoPair; });
  std::sort(merges.begin(), merges.end(),
            [](const Merge& a, const Merge& b) { return a.rank < b.rank; });
  out->Add(static_cast<int64_t>(merges.size()));
  for (const Merge& merge : merges) out->Add(static_cast<int64_t>(merge.pair));
}

}  // namespace gyrator
