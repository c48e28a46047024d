// Qwen2 and Qwen2.5 (biased query, key and value projections); Qwen3 (normed query and key heads).
// Source: transformers models/qwen2 and models/qwen3, llama.cpp LLM_ARCH_QWEN2 and LLM_ARCH_QWEN3.
#include "model/family.h"

namespace gyrator {

const Family kQwen2 = {
    .name = "qwen2",
    .hf_class = "Qwen2ForCausalLM",
    .gguf_arch = "qwen2",
    .gguf_rope = RopeStyle::kHalf,
    .default_kv_heads = 32,
    .default_window = 4096,
    .default_max_window_layers = 28,
    .qkv_bias = BiasRule::kAlways,
    .window = WindowRule::kByLayer,
    .tensors = &DecoderTensors,
};

const Family kQwen3 = {
    .name = "qwen3",
    .hf_class = "Qwen3ForCausalLM",
    .gguf_arch = "qwen3",
    .gguf_rope = RopeStyle::kHalf,
    .default_kv_heads = 32,
    .default_head_dim = 128,
    .default_window = 4096,
    .default_max_window_layers = 28,
    .qkv_bias = BiasRule::kConfig,
    .output_bias = BiasRule::kConfig,
    .qk_norm = true,
    .window = WindowRule::kByLayer,
    .tensors = &DecoderTensors,
};

}  // namespace gyrator
