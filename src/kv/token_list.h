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
