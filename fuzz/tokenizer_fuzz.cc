// A tokenizer.json, or a GGUF file with a tokenizer: whatever is accepted encodes and decodes a
// short text, whole and streamed alike.
#include <memory>

#include "base/check.h"
#include "base/utf8.h"
#include "formats/gguf.h"
#include "tokenizer/hf_tokenizer.h"
#include "tokenizer/stream_decoder.h"

namespace gyrator {
namespace {

constexpr std::string_view kText =
    "Ab ab\xC3\xA9 e\xCC\x81  12345\n\n \xF0\x9F\x98\x80<s>x\xE2\x96\x81 'LL...\xFF "
    "aaaaaaaaaaaaaaaa";

void Try(const Tokenizer& tokenizer) {
  for (const bool flag : {false, true}) {
    const std::vector<TokenId> ids =
        tokenizer.Encode(kText, {.add_special = flag, .parse_special = !flag});
    const std::string text = tokenizer.Decode(ids, flag);
    GYRATOR_CHECK(IsValidUtf8(text));
    StreamDecoder stream(tokenizer, flag);
    std::string streamed;
    for (const TokenId id : ids) {
      GYRATOR_CHECK(id >= 0 && id < tokenizer.vocab_size());
      streamed += stream.Push(id);
    }
    GYRATOR_CHECK(streamed + stream.Finish() == text);
  }
}

}  // namespace
}  // namespace gyrator

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gyrator;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (bytes.starts_with("GGUF")) {
    const auto file = GgufFile::Parse(AsBytes(bytes), nullptr);
    if (!file.ok()) return 0;
    const auto tokenizer = Tokenizer::FromGguf(*file);
    if (tokenizer.ok()) Try(**tokenizer);
    return 0;
  }
  const auto tokenizer = ParseHfTokenizer(bytes);
  if (tokenizer.ok()) Try(**tokenizer);
  return 0;
}
