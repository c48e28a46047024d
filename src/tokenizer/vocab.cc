#include "tokenizer/vocab.h"

#include <algorithm>

#include "base/utf8.h"

namespace gyrator {

std::string Quoted(std::string_view text) {
  constexpr size_t kShown = 64;
  std::string out = "\"";
  AppendLossy(text.substr(0, kShown), &out);
  return out + (text.size() > kShown ? "...\"" : "\"");
}

Result<Vocab> Vocab::Create(const std::vector<Entry>& entries) {
  const uint64_t id_limit = 16 * static_cast<uint64_t>(entries.size()) + 65536;
  size_t bytes = 1;  // so that the first text, even if empty, has an address
  TokenId id_max = -1;
  for (const Entry& entry : entries) {
    if (entry.id < 0 || static_cast<uint64_t>(entry.id) >= id_limit) {
      return Status::Corruption("vocabulary: id " + std::to_string(entry.id) + " of token " +
                                Quoted(entry.text) + " is not in 0.." +
                                std::to_string(id_limit - 1));
    }
    id_max = std::max(id_max, entry.id);
    bytes += entry.text.size();
  }
  Vocab out;
  out.bytes_.reserve(bytes);
  out.texts_.resize(static_cast<size_t>(id_max) + 1);
  out.ids_.reserve(entries.size());
  for (const Entry& entry : entries) {
    if (out.Has(entry.id)) {
      return Status::Corruption("vocabulary: id " + std::to_string(entry.id) + " is given to " +
                                Quoted(out.Text(entry.id)) + " and to " + Quoted(entry.text));
    }
    const char* at = out.bytes_.data() + out.bytes_.size();
    out.bytes_.insert(out.bytes_.end(), entry.text.begin(), entry.text.end());
    out.texts_[entry.id] = {at, entry.text.size()};
    if (!out.ids_.emplace(out.texts_[entry.id], entry.id).second) {
      return Status::Corruption("vocabulary: token " + Quoted(entry.text) + " has two ids, " +
                                std::to_string(*out.Find(entry.text)) + " and " +
                                std::to_string(entry.id));
    }
  }
  return out;
}

}  // namespace gyrator
