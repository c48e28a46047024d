// From a checkpoint to what others read: one GGUF file in Q8_0 (what Gyrator ships), or a Hugging
// Face folder in F32 (for comparison with transformers). No torch.
#pragma once

#include <string>

#include "bpe_trainer.h"
#include "checkpoint_file.h"
#include "gyrator/status.h"

namespace gyrator::train {

// Llama architecture as llama.cpp's converter writes it: every matrix and the embedding in Q8_0,
// norms in F32, query and key rows permuted to its interleaved RoPE. The file appears whole or not
// at all.
Status ExportGguf(const CheckpointFile& checkpoint, const BpeVocab& vocab, const std::string& path);

// config.json, generation_config.json, tokenizer.json, tokenizer_config.json, model.safetensors.
// Creates the folder; files in it are replaced one by one.
Status ExportHuggingFace(const CheckpointFile& checkpoint, const BpeVocab& vocab,
                         const std::string& folder);

}  // namespace gyrator::train
