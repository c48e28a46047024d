// Llama 2 and 3, and what is published under their name (SmolLM2, TinyLlama, ...).
// Source: transformers models/llama, llama.cpp LLM_ARCH_LLAMA.
#include "model/family.h"

namespace gyrator {

const Family kLlama = {
    .name = "llama",
    .hf_class = "LlamaForCausalLM",
    .gguf_arch = "llama",
    .gguf_rope = RopeStyle::kInterleaved,
    .qkv_bias = BiasRule::kConfig,
    .output_bias = BiasRule::kConfig,
    .reads_mlp_bias = true,
    .tensors = &DecoderTensors,
};

}  // namespace gyrator
