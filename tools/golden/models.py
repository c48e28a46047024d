"""Makes tests/golden/models and fuzz/corpus/config: tiny random models of every family, with their f32 logits.

Each <name>/ is a Hugging Face folder as transformers writes it, plus
  tokens.npy    int64 [n]
  logits.npy    float32 [n, vocab], computed by transformers in f32, eager attention, one thread
  inv_freq.npy  float32 [head_dim / 2], the inverse rope frequencies that transformers used
  bf16_delta.npy  float32 [1], max |delta| of transformers' own bf16 logits over the range of logits
  digest.txt    the digest of the weights, computed here a second time
<name>.<type>.gguf is the same model written with the gguf package, with the permutation of query and
key rows that llama.cpp's converter applies to the llama architecture. versions.json says what made
them. Reproducible: the weights are drawn from a seed of their own for each model.

    .venv/bin/python tools/golden/models.py
"""

import hashlib
import json
import math
import os
import shutil
import sys

os.environ["CUDA_VISIBLE_DEVICES"] = ""
import gguf
import numpy as np
import safetensors
import torch
import transformers
from transformers import AutoModelForCausalLM

ROOT = os.path.join(os.path.dirname(__file__), "..", "..", "tests", "golden", "models")
CORPUS = os.path.join(os.path.dirname(__file__), "..", "..", "fuzz", "corpus", "config")
SEED = 20261121

SMALL = dict(vocab_size=256, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
             max_position_embeddings=512, rms_norm_eps=1e-5)

# name -> (config class, config values, storage dtype, number of tokens, style of config.json, shards)
MODELS = {
    # Llama 2: multi-head attention, untied head; config.json as transformers 4 wrote it.
    "llama2": ("LlamaConfig", dict(SMALL, num_attention_heads=4, num_key_value_heads=4,
                                   tie_word_embeddings=False), torch.float32, 48, 4, 1),
    # Llama 3: grouped queries, heads wider than hidden / heads, tied, rope scaling "llama3".
    "llama3": ("LlamaConfig", dict(SMALL, num_attention_heads=4, num_key_value_heads=2, head_dim=32,
                                   tie_word_embeddings=True, max_position_embeddings=1024,
                                   rope_parameters=dict(rope_type="llama3", rope_theta=500000.0, factor=8.0,
                                                        low_freq_factor=1.0, high_freq_factor=4.0,
                                                        original_max_position_embeddings=64)),
               torch.float32, 160, 5, 1),
    # Every bias that the Llama family knows, linear scaling, three layers in three shards.
    "llama_bias": ("LlamaConfig", dict(SMALL, num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=1,
                                       attention_bias=True, mlp_bias=True, tie_word_embeddings=False,
                                       rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0)),
                   torch.float32, 120, 4, 3),
    # SmolLM2: three query heads on one key head, tied, bf16 storage, odd vocabulary.
    "smollm2": ("LlamaConfig", dict(SMALL, vocab_size=251, hidden_size=96, num_attention_heads=3,
                                    num_key_value_heads=1, tie_word_embeddings=True,
                                    rope_parameters=dict(rope_type="default", rope_theta=100000.0)),
                torch.bfloat16, 48, 5, 1),
    "mistral": ("MistralConfig", dict(SMALL, num_attention_heads=4, num_key_value_heads=1, head_dim=24,
                                      sliding_window=None, tie_word_embeddings=False,
                                      rope_parameters=dict(rope_type="default", rope_theta=1000000.0)),
                torch.bfloat16, 48, 4, 1),
    "qwen2": ("Qwen2Config", dict(SMALL, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True,
                                  rope_parameters=dict(rope_type="default", rope_theta=1000000.0)),
              torch.float32, 48, 5, 1),
    # Qwen2.5 with the published long-context setting.
    "qwen2_yarn": ("Qwen2Config", dict(SMALL, num_attention_heads=4, num_key_value_heads=2,
                                       tie_word_embeddings=False,
                                       rope_parameters=dict(rope_type="yarn", rope_theta=10000.0, factor=4.0,
                                                            original_max_position_embeddings=64)),
                   torch.bfloat16, 160, 4, 1),
    "qwen3": ("Qwen3Config", dict(SMALL, num_attention_heads=4, num_key_value_heads=2, head_dim=32,
                                  tie_word_embeddings=True,
                                  rope_parameters=dict(rope_type="default", rope_theta=1000000.0)),
              torch.float32, 48, 5, 1),
    # Yarn with every option, attention biases, heads of 80 (two chunks of 32 and a half), f16 storage.
    "qwen3_yarn": ("Qwen3Config", dict(SMALL, num_attention_heads=2, num_key_value_heads=1, head_dim=80,
                                       attention_bias=True, tie_word_embeddings=False,
                                       rope_parameters=dict(rope_type="yarn", rope_theta=10000.0, factor=2.0,
                                                            original_max_position_embeddings=96, beta_fast=16.0,
                                                            beta_slow=2.0, attention_factor=1.25, truncate=False)),
                   torch.float16, 160, 5, 1),
}

GGUF_FILES = [("llama2", "f32"), ("llama2", "q8_0"), ("llama3", "f32"), ("mistral", "bf16"), ("qwen2", "f32"),
              ("qwen2", "f16"), ("qwen2", "q8_0"), ("qwen2_yarn", "bf16"), ("qwen3", "q8_0")]


def make_model(name):
    class_name, values, dtype, _, _, _ = MODELS[name]
    config = getattr(transformers, class_name)(**values)
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config)
    generator = torch.Generator().manual_seed(SEED + list(MODELS).index(name))
    with torch.no_grad():
        for key, p in sorted(model.named_parameters()):
            if key.endswith("bias"):
                p.normal_(0, 0.3, generator=generator)
            elif p.dim() == 1:
                p.normal_(1, 0.2, generator=generator)
            elif "embed" in key:
                p.normal_(0, 0.5, generator=generator)
            else:
                p.normal_(0, 1.5 / math.sqrt(p.shape[1]), generator=generator)
            p.copy_(p.to(dtype))  # the stored values are the model's values
    model.eval()
    return model


def write_config_of_transformers_4(folder):
    """The same model as transformers 4 described it: rope_theta, rope_scaling, torch_dtype."""
    path = os.path.join(folder, "config.json")
    config = json.load(open(path))
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    if rope["rope_type"] == "default":
        config["rope_scaling"] = None
    else:
        rope["type"] = rope.pop("rope_type")
        config["rope_scaling"] = rope
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.45.0"
    with open(path, "w") as f:
        f.write(json.dumps(config, indent=2, sort_keys=True) + "\n")


def write_folder(name, model):
    _, _, dtype, num_tokens, style, shards = MODELS[name]
    folder = os.path.join(ROOT, name)
    tokens = torch.randint(0, model.config.vocab_size, (num_tokens,),
                           generator=torch.Generator().manual_seed(SEED))
    with torch.no_grad():
        logits = model(tokens[None]).logits[0].float().numpy()
    os.makedirs(folder)
    inv_freq = model.model.rotary_emb.inv_freq.numpy()
    np.save(os.path.join(folder, "tokens.npy"), tokens.numpy())
    np.save(os.path.join(folder, "logits.npy"), logits)
    np.save(os.path.join(folder, "inv_freq.npy"), inv_freq)
    with torch.no_grad():
        rounded = make_model(name).to(torch.bfloat16)(tokens[None]).logits[0].float().numpy()
    delta = np.abs(rounded - logits).max() / (logits.max() - logits.min())
    np.save(os.path.join(folder, "bf16_delta.npy"), np.array([delta], dtype=np.float32))
    bytes_all = sum(p.numel() for p in model.parameters()) * torch.finfo(dtype).bits // 8
    stored = make_model(name).to(dtype)
    stored.config.dtype = dtype
    stored.save_pretrained(folder, max_shard_size=int(bytes_all / (shards - 0.5)) if shards > 1 else "5GB")
    os.remove(os.path.join(folder, "generation_config.json"))
    if style == 4:
        write_config_of_transformers_4(folder)
    write_digest(folder)
    for file in os.listdir(folder):
        os.chmod(os.path.join(folder, file), 0o644)


HF_TO_GGUF = [("model.embed_tokens.", "token_embd."), ("model.norm.", "output_norm."), ("lm_head.", "output."),
              ("model.layers.", "blk."), ("input_layernorm.", "attn_norm."),
              ("post_attention_layernorm.", "ffn_norm."), ("self_attn.q_proj.", "attn_q."),
              ("self_attn.k_proj.", "attn_k."), ("self_attn.v_proj.", "attn_v."),
              ("self_attn.o_proj.", "attn_output."), ("self_attn.q_norm.", "attn_q_norm."),
              ("self_attn.k_norm.", "attn_k_norm."), ("mlp.gate_proj.", "ffn_gate."), ("mlp.up_proj.", "ffn_up."),
              ("mlp.down_proj.", "ffn_down.")]


def permute(weights, num_heads):
    """Rows of a rotary projection from halves to neighbours, as llama.cpp's converter permutes them."""
    shape = weights.shape
    return (weights.reshape(num_heads, 2, shape[0] // num_heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape))


def llama3_factors(rope, head_dim):
    """rope_freqs.weight as llama.cpp's converter computes it."""
    low = rope["original_max_position_embeddings"] / rope["low_freq_factor"]
    high = rope["original_max_position_embeddings"] / rope["high_freq_factor"]
    factors = []
    freqs = 1.0 / (rope["rope_theta"] ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim))
    for freq in freqs:
        wavelen = 2 * math.pi / freq
        if wavelen < high:
            factors.append(1)
        elif wavelen > low:
            factors.append(rope["factor"])
        else:
            smooth = (rope["original_max_position_embeddings"] / wavelen - rope["low_freq_factor"]) / (
                rope["high_freq_factor"] - rope["low_freq_factor"])
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, dtype=np.float32)


def add_metadata(writer, name, config):
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_name(name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(head_dim)
    if head_dim != config.hidden_size // config.num_attention_heads:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    if config.rope_parameters["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(config.rope_parameters["factor"])
        writer.add_rope_scaling_orig_ctx_len(config.rope_parameters["original_max_position_embeddings"])
    return head_dim


def write_gguf(path, kind, model):
    config = model.config
    arch = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}[config.model_type]
    writer = gguf.GGUFWriter(path, arch)
    head_dim = add_metadata(writer, os.path.basename(path).split(".")[0], config)
    quant = {"f32": gguf.GGMLQuantizationType.F32, "f16": gguf.GGMLQuantizationType.F16,
             "bf16": gguf.GGMLQuantizationType.BF16, "q8_0": gguf.GGMLQuantizationType.Q8_0}[kind]
    if config.rope_parameters["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(config.rope_parameters, head_dim))
    for key, p in model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values = p.float().numpy()
        if arch == "llama" and ("q_proj" in key or "k_proj" in key):
            values = permute(values, config.num_attention_heads if "q_proj" in key else config.num_key_value_heads)
        for old, new in HF_TO_GGUF:
            key = key.replace(old, new)
        if values.ndim == 1 or kind == "f32":
            writer.add_tensor(key, np.ascontiguousarray(values))
        else:
            writer.add_tensor(key, gguf.quants.quantize(np.ascontiguousarray(values), quant), raw_dtype=quant)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_rope_table():
    """Unscaled inverse frequencies, one row a case: theta, dim, dim / 2 values, zeros."""
    rows = []
    for theta in (10000.0, 100000.0, 130000.0, 500000.0, 1000000.0, 5000000.0, 8000000.0, 10000000.0):
        for dim in (16, 32, 64, 80, 96, 128, 256):
            config = transformers.LlamaConfig(hidden_size=dim, num_attention_heads=1, head_dim=dim,
                                              rope_parameters=dict(rope_type="default", rope_theta=theta))
            inv_freq = transformers.models.llama.modeling_llama.LlamaRotaryEmbedding(config).inv_freq.numpy()
            rows.append(np.concatenate([[theta, dim], inv_freq, np.zeros(128 - dim // 2)]).astype(np.float32))
    np.save(os.path.join(ROOT, "rope_table.npy"), np.stack(rows))


def write_digest(folder):
    """The weights' digest as src/model/loader.h defines it, made from the files alone."""
    lines = []
    for file in os.listdir(folder):
        if not file.endswith(".safetensors"):
            continue
        data = open(os.path.join(folder, file), "rb").read()
        size = int.from_bytes(data[:8], "little")
        for name, tensor in json.loads(data[8:8 + size]).items():
            if name != "__metadata__":
                begin, end = tensor["data_offsets"]
                stored = hashlib.sha256(data[8 + size + begin:8 + size + end]).hexdigest()
                lines.append(f"{name} {tensor['dtype'].lower()} {tensor['shape']} {stored}\n")
    with open(os.path.join(folder, "digest.txt"), "w") as f:
        f.write(hashlib.sha256("".join(sorted(lines)).encode()).hexdigest() + "\n")


def write_fuzz_corpus():
    """Seeds of fuzz/config_fuzz.cc: every config.json, and GGUF files of a few kilobytes."""
    shutil.rmtree(CORPUS, ignore_errors=True)
    os.makedirs(CORPUS)
    for name in MODELS:
        shutil.copy(os.path.join(ROOT, name, "config.json"), os.path.join(CORPUS, name + ".json"))
    small = dict(vocab_size=8, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
                 max_position_embeddings=32)
    for name, kind, config in (
            ("llama", "f32", transformers.LlamaConfig(
                hidden_size=8, intermediate_size=8, head_dim=4, **small,
                rope_parameters=dict(MODELS["llama3"][1]["rope_parameters"]))),
            ("qwen2", "bf16", transformers.Qwen2Config(
                hidden_size=8, intermediate_size=8, **small,
                rope_parameters=dict(MODELS["qwen2_yarn"][1]["rope_parameters"]))),
            ("qwen3", "q8_0", transformers.Qwen3Config(
                hidden_size=32, intermediate_size=32, head_dim=16, tie_word_embeddings=True, **small,
                rope_parameters=dict(rope_type="default", rope_theta=10000.0)))):
        torch.manual_seed(SEED)
        write_gguf(os.path.join(CORPUS, f"{name}.{kind}.gguf"), kind, AutoModelForCausalLM.from_config(config))


def main():
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    shutil.rmtree(ROOT, ignore_errors=True)
    os.makedirs(ROOT)
    for name in MODELS:
        model = make_model(name)
        write_folder(name, model)
        for gguf_name, kind in GGUF_FILES:
            if gguf_name == name:
                write_gguf(os.path.join(ROOT, f"{name}.{kind}.gguf"), kind, model)
    write_rope_table()
    write_fuzz_corpus()
    versions = dict(seed=SEED, torch=torch.__version__, transformers=transformers.__version__,
                    safetensors=safetensors.__version__, numpy=np.__version__, gguf="0.19.0")
    with open(os.path.join(ROOT, "versions.json"), "w") as f:
        f.write(json.dumps(versions, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
