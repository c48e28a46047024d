// How the text of a byte-level GGUF tokenizer is cut into words: the values of tokenizer.ggml.pre,
// and the vocabularies that are known without it. Immutable tables: safe for concurrent use.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gyrator {

// What a value of tokenizer.ggml.pre means.
struct PreType {
  std::string_view name;
  std::vector<std::string_view> patterns;
  bool nfc = false;
  bool ignore_merges = false;
  bool add_bos = false;  // where the file does not say
};

// Null when the name is not known.
const PreType* FindPreType(std::string_view name);
// The names that FindPreType knows, for messages.
std::string PreTypeNames();

// The SHA-256 of merges, each followed by a line feed, in hex. The merges are what fine-tuned
// models and files with tokens added have in common.
std::string MergesDigest(std::span<const std::string_view> merges);
// How the vocabulary with these merges is used. Null when they are not known.
const PreType* PreTypeOfMerges(std::string_view digest);

}  // namespace gyrator
