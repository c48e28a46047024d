// Decodes tokens as they come. What Push and Finish give, joined, is Tokenizer::Decode of all ids.
//
// Only whole characters are given; bytes that a later token may complete or change are held back.
// With byte-fallback vocabularies a run of byte tokens is held until another token ends it.
// Not for concurrent use.
#pragma once

#include <string>

#include "gyrator/types.h"
#include "tokenizer/text_decoder.h"
#include "tokenizer/tokenizer.h"

namespace gyrator {

class StreamDecoder {
 public:
  // `tokenizer` must outlive it.
  StreamDecoder(const Tokenizer& tokenizer, bool skip_special);

  // The text that is final once `id` is known; often empty. Ids out of range give nothing.
  std::string Push(TokenId id);
  // What is still held back. Once, after the last Push.
  std::string Finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  TextDecoding decoding_;
};

}  // namespace gyrator
