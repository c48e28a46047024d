// The tokens of a sequence. Copies made by Share have the common part once, until one of them
// changes it: a fork of a long sequence costs nothing.
//
// Not thread-safe; copies may live on different threads.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "gyrator/types.h"

namespace gyrator {

// Positions [begin, end).
struct TokenSpan {
  int32_t begin = 0;
  int32_t end = 0;
  bool operator==(const TokenSpan&) const = default;
};

// Positions of spans that have none in common.
inline int32_t LengthOf(std::span<const TokenSpan> spans) {
  int32_t length = 0;
  for (const TokenSpan& span : spans) length += span.end - span.begin;
  return length;
}

class TokenList {
 public:
  int32_t size() const { return shared_size_ + static_cast<int32_t>(own_.size()); }
  TokenId operator[](int32_t i) const {
    return i < shared_size_ ? (*shared_)[static_cast<size_t>(i)]
                            : own_[static_cast<size_t>(i - shared_size_)];
  }

  // An equal list. Moves what this one has alone to the part that both share.
  TokenList Share();
  void Append(std::span<const TokenId> tokens);
  // REQUIRES length <= size().
  void Truncate(int32_t length);
  // Drops these; what follows moves up. REQUIRES: ascending, disjoint, within [0, size()].
  void Erase(std::span<const TokenSpan> spans);
  void Reserve(int32_t size) { own_.reserve(static_cast<size_t>(size - shared_size_)); }

  // Length of the longest common prefix.
  int32_t CommonPrefix(std::span<const TokenId> tokens) const;
  // Appends tokens [begin, end) to *out.
  void CopyTo(int32_t begin, int32_t end, std::vector<TokenId>* out) const;
  std::vector<TokenId> ToVector() const;

 private:
  std::shared_ptr<const std::vector<TokenId>> shared_;
  int32_t shared_size_ = 0;  // of *shared_, which may hold more
  std::vector<TokenId> own_;
};

}  // namespace gyrator
