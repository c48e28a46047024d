// A vocabulary: ids and their texts, both ways. Immutable after Create: safe for concurrent use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gyrator/status.h"
#include "gyrator/types.h"

namespace gyrator {

// `text` in quotation marks, well-formed and at most 64 bytes of it: for messages.
std::string Quoted(std::string_view text);

class Vocab {
 public:
  struct Entry {
    std::string_view text;  // may be empty
    TokenId id = 0;
  };

  // Copies the texts. Ids may have gaps. kCorruption: a negative id, an id far beyond the number of
  // entries (memory is bounded by their number), an id or a text given twice.
  static Result<Vocab> Create(const std::vector<Entry>& entries);

  Vocab(Vocab&&) noexcept = default;
  Vocab& operator=(Vocab&&) noexcept = default;
  Vocab(const Vocab&) = delete;
  Vocab& operator=(const Vocab&) = delete;

  TokenId end() const { return static_cast<TokenId>(texts_.size()); }  // 1 + the largest id
  size_t size() const { return ids_.size(); }
  bool Has(TokenId id) const { return id >= 0 && id < end() && texts_[id].data() != nullptr; }
  std::optional<TokenId> Find(std::string_view text) const {
    const auto at = ids_.find(text);
    if (at == ids_.end()) return std::nullopt;
    return at->second;
  }
  // Empty when there is no such id.
  std::string_view Text(TokenId id) const { return Has(id) ? texts_[id] : std::string_view(); }

 private:
  Vocab() = default;

  std::vector<char> bytes_;              // all texts; the views point here
  std::vector<std::string_view> texts_;  // by id; a null view: no such id
  std::unordered_map<std::string_view, TokenId> ids_;
};

}  // namespace gyrator
