#include "kv/token_list.h"

#include <algorithm>

#include "base/check.h"

namespace gyrator {

TokenList TokenList::Share() {
  if (!own_.empty()) {
    shared_ = std::make_shared<const std::vector<TokenId>>(ToVector());
    shared_size_ = static_cast<int32_t>(shared_->size());
    own_ = {};
  }
  return *this;
}

void TokenList::Append(std::span<const TokenId> tokens) {
  own_.insert(own_.end(), tokens.begin(), tokens.end());
}

void TokenList::Truncate(int32_t length) {
  GYRATOR_CHECK(length >= 0 && length <= size());
  own_.resize(static_cast<size_t>(std::max(length - shared_size_, 0)));
  shared_size_ = std::min(shared_size_, length);
  if (shared_size_ == 0) shared_.reset();
}

void TokenList::Erase(std::span<const TokenSpan> spans) {
  if (spans.empty()) return;
  std::vector<TokenId> kept;
  for (size_t i = 0; i < spans.size(); ++i) {
    CopyTo(spans[i].end, i + 1 < spans.size() ? spans[i + 1].begin : size(), &kept);
  }
  Truncate(spans.front().begin);
  Append(kept);
}

int32_t TokenList::CommonPrefix(std::span<const TokenId> tokens) const {
  const auto length = std::min(size(), static_cast<int32_t>(tokens.size()));
  int32_t i = 0;
  while (i < length && (*this)[i] == tokens[static_cast<size_t>(i)]) ++i;
  return i;
}

void TokenList::CopyTo(int32_t begin, int32_t end, std::vector<TokenId>* out) const {
  GYRATOR_CHECK(begin >= 0 && begin <= end && end <= size());
  for (int32_t i = begin; i < end; ++i) out->push_back((*this)[i]);
}

std::vector<TokenId> TokenList::ToVector() const {
  std::vector<TokenId> all;
  all.reserve(static_cast<size_t>(size()));
  CopyTo(0, size(), &all);
  return all;
}

}  // namespace gyrator
