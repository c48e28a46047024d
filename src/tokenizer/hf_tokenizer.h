// tokenizer.json of Hugging Face tokenizers. What is supported: docs/tokenizer.md.
#pragma once

#include <memory>
#include <string_view>

#include "gyrator/status.h"
#include "tokenizer/pipeline_tokenizer.h"

namespace gyrator {

class FolderTokens;

// A tokenizer without names (bos, eos, template) from the text of a tokenizer.json, with the tokens
// that `folder`, where there is one, adds; that learns tokenizer.json's padding token. kCorruption:
// not JSON, a field missing or of a wrong type, contradictions; kUnsupported names the component.
Result<std::unique_ptr<PipelineTokenizer>> ParseHfTokenizer(std::string_view json_text,
                                                            FolderTokens* folder = nullptr);

}  // namespace gyrator
