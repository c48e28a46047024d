// Mistral. In GGUF files it goes by the name of llama. Source: transformers models/mistral.
#include "model/family.h"

namespace gyrator {

const Family kMistral = {
    .name = "mistral",
    .hf_class = "MistralForCausalLM",
    .default_kv_heads = 8,
    .default_window = 4096,
    .window = WindowRule::kAllLayers,
    .tensors = &DecoderTensors,
};

}  // namespace gyrator
