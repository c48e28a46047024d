// The files beside a tokenizer.json, as one JSON object {"config", "map", "added"}: whatever is
// accepted beside a small tokenizer.json encodes and decodes a short text.
#include <memory>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/utf8.h"
#include "tokenizer/folder_tokens.h"
#include "tokenizer/hf_tokenizer.h"

namespace gyrator {
namespace {

constexpr std::string_view kTokenizer =
    R"({"added_tokens":[{"id":4,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,)"
    R"("normalized":false,"special":true}],"padding":{"pad_token":"x"},)"
    R"("model":{"type":"BPE","vocab":{"a":0,"b":1,"x":2," ":3},"merges":[]}})";

void Try(const Json& files) {
  const Json none;
  const auto part = [&](const char* name) {
    const auto at = files.find(name);
    return at == files.end() ? &none : &*at;
  };
  auto tokens = FolderTokens::Read(
      {.config = part("config"), .special_map = part("map"), .added = part("added")});
  if (!tokens.ok()) return;
  const auto tokenizer = ParseHfTokenizer(kTokenizer, &*tokens);
  if (!tokenizer.ok()) return;
  const std::vector<TokenId> ids = (*tokenizer)->Encode("a <s> bx<n><m>\xFF", {});
  for (const TokenId id : ids) GYRATOR_CHECK(id >= 0 && id < (*tokenizer)->vocab_size());
  GYRATOR_CHECK(IsValidUtf8((*tokenizer)->Decode(ids, true)));
  for (const NamedToken& token : tokens->named()) {
    GYRATOR_CHECK(token.text.empty() || (*tokenizer)->TokenToId(token.text));
  }
}

}  // namespace
}  // namespace gyrator

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto files = gyrator::ParseJson({reinterpret_cast<const char*>(data), size});
  if (files.ok() && files->is_object()) gyrator::Try(*files);
  return 0;
}
