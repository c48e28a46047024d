"""Checks an exported pair against transformers and gguf: same weights, same text, same tokens.

usage: check_export.py FOLDER FILE.gguf
FOLDER is what `gyrator-train export --folder` wrote, FILE what `--gguf` wrote, from one checkpoint.
"""
import sys

import gguf
import numpy as np
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer


def unpermute(weight, heads):
    """llama.cpp's row order of queries and keys back to Hugging Face's."""
    rows, cols = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, cols).swapaxes(1, 2).reshape(rows, cols)


def main(folder, path):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    reader = gguf.GGUFReader(path)
    config = model.config
    weights = dict(model.named_parameters())
    names = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
    parts = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
             "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
             "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    worst = 0.0
    for tensor in reader.tensors:
        stem = tensor.name.removesuffix(".weight")
        if stem.startswith("blk."):
            _, layer, part = stem.split(".")
            name = f"model.layers.{layer}.{parts[part]}.weight"
        else:
            part, name = stem, names[stem] + ".weight"
        value = gguf.dequantize(tensor.data, tensor.tensor_type)
        if part in ("attn_q", "attn_k"):
            heads = config.num_attention_heads if part == "attn_q" else config.num_key_value_heads
            value = unpermute(value, heads)
        ours = weights.pop(name).detach().numpy()
        # Q8_0 rounds to amax / 127 of each 32, and the scale to f16.
        blocks = np.abs(ours).reshape(-1, 32).max(1, keepdims=True) / 127
        error = np.abs(value - ours).reshape(-1, 32) / np.maximum(blocks, 1e-12)
        worst = max(worst, float(error.max()))
    assert not weights, f"not in the file: {list(weights)}"
    assert worst < 0.6, f"a weight is off by {worst} quantization steps"
    check = load_file(f"{folder}/check.safetensors")
    with torch.no_grad():
        logits = model(torch.from_numpy(check["ids"])).logits.numpy()
    spread = float(check["logits"].max() - check["logits"].min())
    difference = float(np.abs(logits - check["logits"]).max())
    assert difference < 1e-5 * spread, f"logits differ by {difference} of {spread}"
    field = reader.get_field("tokenizer.ggml.tokens")
    tokens = [bytes(field.parts[i]).decode() for i in field.data]
    assert tokens == tokenizer.convert_ids_to_tokens(range(len(tokens))), "vocabularies differ"
    messages = [{"role": "user", "content": " My name is Ada. "}, {"role": "assistant", "content": "Nice to meet you, Ada."},
                {"role": "user", "content": "What is my name?"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    expected = ("<|user|>My name is Ada.<|end|><|assistant|>Nice to meet you, Ada.<|end|>"
                "<|user|>What is my name?<|end|><|assistant|>")
    assert text == expected, text
    ids = tokenizer(text, return_tensors="pt").input_ids
    out = model.generate(ids, max_new_tokens=24, do_sample=False)
    print(f"{len(reader.tensors)} tensors, worst error {worst:.3f} steps, {len(tokens)} tokens, logits within {difference:.2g} of {spread:.3g}")
    print(tokenizer.decode(out[0]))


main(*sys.argv[1:])
