#include "tokenizer/stream_decoder.h"

namespace gyrator {

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special)
    : tokenizer_(&tokenizer), skip_special_(skip_special), decoding_(tokenizer.decoder()) {}

std::string StreamDecoder::Push(TokenId id) {
  std::string out;
  const std::string_view token = tokenizer_->IdToToken(id);
  if (token.data() == nullptr || (skip_special_ && tokenizer_->IsSpecial(id))) return out;
  decoding_.Push(token, &out);
  return out;
}

std::string StreamDecoder::Finish() {
  std::string out;
  decoding_.Finish(&out);
  return out;
}

}  // namespace gyrator
