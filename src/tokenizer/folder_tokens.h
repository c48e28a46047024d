// What the files beside tokenizer.json say of tokens: which have a name (bos_token), and which are
// added to those of tokenizer.json.
//
// Follows from_pretrained of transformers 5.23 and 5.24 for tokenizers that take their
// tokenizer.json as it is. Not for concurrent use.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "gyrator/status.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/pipeline_tokenizer.h"

namespace gyrator {

class FolderTokens {
 public:
  // The files' JSON, null where there is none.
  struct Files {
    const Json* config = nullptr;       // tokenizer_config.json
    const Json* special_map = nullptr;  // special_tokens_map.json
    const Json* added = nullptr;        // added_tokens.json
  };
  // Tokens that added_tokens_decoder of tokenizer_config.json lists are added, else those of
  // added_tokens.json. special_tokens_map.json goes before tokenizer_config.json where that has no
  // added_tokens_decoder; otherwise it only gives the names that tokenizer_config.json lacks.
  // kCorruption names the field.
  static Result<FolderTokens> Read(const Files& files);

  // The padding token of tokenizer.json is the pad_token of a folder that says nothing of one.
  void SetDefaultPad(std::string_view content);

  // Adds the tokens that `parts` lacks, and gives those that it has the flags that were read. Ids
  // of new tokens follow the vocabulary, as in Hugging Face's add_tokens. kCorruption: a file lists
  // a token with another id than it gets so.
  Status AddTo(TokenizerParts* parts) const;

  // bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token, then the folder's
  // own (image_token); only those that it has.
  std::vector<NamedToken> named() const;
  // The content of a token by its name; null when it has none. An empty text names no token.
  const std::string* Find(std::string_view name) const;
  // Whether tokenizer_config.json or special_tokens_map.json says that there is no such token.
  bool IsDenied(std::string_view name) const;

 private:
  struct Special {
    std::string name;  // empty: of the list of extra tokens
    AddedToken token;
  };
  class Reader;

  Special* FindSpecial(std::string_view name);
  bool IsNamed(std::string_view content) const;

  std::vector<Special> specials_;    // in the order in which they are added
  std::vector<std::string> denied_;  // names that are null in the files
  std::vector<AddedToken> listed_;   // with the ids of the file, ascending
  const char* list_file_ = "";       // where they are listed
};

}  // namespace gyrator
