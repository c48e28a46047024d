"""Makes tests/golden/weights and fuzz/corpus/block_weights: blocks, and what the gguf package reads in them.

For each block type:
  <type>.blocks.npy  uint8 [n, bytes of a block]: random blocks, and blocks at the ends of the format
  <type>.values.npy  float32 [n, elements of a block]: the package's dequantization
  <type>.q8_0.npy    uint8 [n * elements / 32, 34]: the package's Q8_0 of those values
mixed.gguf is a Llama of two layers, written by the package, whose matrices have all types that are
read; mixed.txt has the SHA-256 of each of its tensors as f32, by the package. whole.gguf is a tiny
model in one file, and parts-0000N-of-00003.gguf the same model as the package splits it. versions.json
says what made them. Reproducible: all is drawn from one seed. All scales are finite: others are
refused, and their bits are nobody's promise. (mxfp4 has two exponents more, whose large values overflow.)

    python tools/golden/weights.py
"""

import hashlib
import json
import os
import shutil
from importlib.metadata import version

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

ROOT = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", "..", "tests", "golden", "weights"))
CORPUS = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", "..", "fuzz", "corpus", "block_weights"))
SEED = 20261201

# Name, ggml's type, byte offsets of the f16 scales in a block.
FORMATS = [("q4_0", Type.Q4_0, [0]), ("q4_1", Type.Q4_1, [0, 2]), ("q5_0", Type.Q5_0, [0]),
           ("q5_1", Type.Q5_1, [0, 2]), ("q8_0", Type.Q8_0, [0]), ("q2_K", Type.Q2_K, [80, 82]),
           ("q3_K", Type.Q3_K, [108]), ("q4_K", Type.Q4_K, [0, 2]), ("q5_K", Type.Q5_K, [0, 2]),
           ("q6_K", Type.Q6_K, [208]), ("iq4_nl", Type.IQ4_NL, [0]), ("iq4_xs", Type.IQ4_XS, [0]),
           ("mxfp4", Type.MXFP4, [])]

# Values of DType (include/gyrator/types.h), the first byte of an input of the fuzz target.
DTYPES = {"q8_0": 13, "q4_0": 14, "q4_1": 15, "q5_0": 16, "q5_1": 17, "q2_K": 18, "q3_K": 19, "q4_K": 20, "q5_K": 21,
          "q6_K": 22, "iq4_nl": 23, "iq4_xs": 24, "mxfp4": 25}

# The largest f16, the smallest normal one, the largest and the smallest denormal, zeros, one.
SCALES = [0x7BFF, 0xFBFF, 0x0400, 0x03FF, 0x83FF, 0x0001, 0x8001, 0x0000, 0x8000, 0x3C00]
# Ends of what is finite, of what an f16 holds and of what an f32 holds without denormals; 127 is 0.5.
EXPONENTS = [0, 1, 2, 3, 102, 103, 104, 113, 114, 127, 142, 143, 144, 250, 252, 253, 254]


def set_scales(block, offsets, bits):
    for offset, value in zip(offsets, bits):
        block[offset:offset + 2] = np.array([value], np.uint16).view(np.uint8)


def plain_scale(rng):
    """An f16 such as quantizers of weights write."""
    return int((rng.standard_normal(1) * 0.01).astype(np.float16).view(np.uint16)[0])


def blocks_of(kind, offsets, rng):
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = []

    def add(fill, scales=None, exponent=None):
        block = np.full(size, fill, np.uint8) if isinstance(fill, int) else fill.astype(np.uint8)
        if kind == Type.MXFP4:
            block[0] = exponent
        else:
            set_scales(block, offsets, scales)
        blocks.append(block)

    for _ in range(24 if elements == 32 else 8):
        add(rng.integers(0, 256, size), [plain_scale(rng) for _ in offsets], rng.integers(112, 128))
    for fill in (0x00, 0xFF):
        add(fill, [0x3C00] * len(offsets), 127)
    # Every code at every place of a byte, whatever the format's width is.
    for first in range(0, 256, size if elements == 256 else 16):
        add(np.arange(first, first + size) % 256, [plain_scale(rng) for _ in offsets], 120)
    if kind == Type.MXFP4:
        for exponent in EXPONENTS:
            add(rng.integers(0, 256, size), exponent=exponent)
        add(0x80, exponent=0)  # both zeros, with the exponent that quantizers write for them
    else:
        for i, scale in enumerate(SCALES):
            add(rng.integers(0, 256, size), [scale, SCALES[(i + 3) % len(SCALES)]])
    return np.stack(blocks)


def write_blocks():
    for index, (name, kind, offsets) in enumerate(FORMATS):
        blocks = blocks_of(kind, offsets, np.random.default_rng(SEED + index))
        values = gguf.quants.dequantize(blocks, kind)
        with np.errstate(all="ignore"):
            quantized = gguf.quants.quantize(values, Type.Q8_0)
        with open(os.path.join(CORPUS, name), "wb") as file:
            file.write(bytes([DTYPES[name]]) + blocks.tobytes())
        np.save(os.path.join(ROOT, name + ".blocks.npy"), blocks)
        np.save(os.path.join(ROOT, name + ".values.npy"), values)
        np.save(os.path.join(ROOT, name + ".q8_0.npy"), quantized.reshape(-1, 34))


# ---- One model of all types ----

HIDDEN, FFN, HEADS, HEAD_DIM, VOCAB = 256, 256, 2, 32, 64
MIXED = [
    ("token_embd.weight", Type.Q4_K, (VOCAB, HIDDEN)), ("output.weight", Type.Q6_K, (VOCAB, HIDDEN)),
    ("blk.0.attn_q.weight", Type.Q5_K, (64, HIDDEN)), ("blk.0.attn_k.weight", Type.Q3_K, (32, HIDDEN)),
    ("blk.0.attn_v.weight", Type.Q2_K, (32, HIDDEN)), ("blk.0.attn_output.weight", Type.Q4_1, (HIDDEN, 64)),
    ("blk.0.ffn_gate.weight", Type.IQ4_XS, (FFN, HIDDEN)), ("blk.0.ffn_up.weight", Type.MXFP4, (FFN, HIDDEN)),
    ("blk.0.ffn_down.weight", Type.Q5_1, (HIDDEN, FFN)),
    ("blk.1.attn_q.weight", Type.F16, (64, HIDDEN)), ("blk.1.attn_k.weight", Type.BF16, (32, HIDDEN)),
    ("blk.1.attn_v.weight", Type.F32, (32, HIDDEN)), ("blk.1.attn_output.weight", Type.Q8_0, (HIDDEN, 64)),
    ("blk.1.ffn_gate.weight", Type.Q5_0, (FFN, HIDDEN)), ("blk.1.ffn_up.weight", Type.IQ4_NL, (FFN, HIDDEN)),
    ("blk.1.ffn_down.weight", Type.Q4_0, (HIDDEN, FFN)),
    ("output_norm.weight", Type.F32, (HIDDEN,)),
] + [(f"blk.{i}.{name}.weight", Type.F32, (HIDDEN,)) for i in (0, 1) for name in ("attn_norm", "ffn_norm")]


def random_blocks(kind, shape, rng):
    """Valid blocks of a type that the package cannot quantize to, with values of about 1 / sqrt(columns)."""
    offsets = {k: o for _, k, o in FORMATS}[kind]
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (shape[0] * shape[1] // elements, size)).astype(np.uint8)
    # How large a value is on average for a scale of one; the minimums are to leave a mean of about zero.
    deviation = {Type.Q2_K: 10, Type.Q3_K: 40, Type.Q4_K: 180, Type.Q5_K: 360, Type.Q6_K: 1400,
                 Type.IQ4_NL: 64, Type.IQ4_XS: 1200}[kind]
    middle = {Type.Q2_K: 1.5, Type.Q4_K: 7.5, Type.Q5_K: 15.5}.get(kind, 0)
    for block in blocks:
        scale = np.float16(rng.uniform(0.5, 1.0) / deviation / np.sqrt(shape[1]))
        set_scales(block, offsets, [int(np.float16(x).view(np.uint16)) for x in (scale, scale * middle)])
    return blocks.reshape(shape[0], -1)


def mixed_tensors():
    rng = np.random.default_rng(SEED + 100)
    tensors = []
    for name, kind, shape in MIXED:
        if len(shape) == 1:
            data = rng.normal(1, 0.2, shape).astype(np.float32)
        else:
            values = (rng.standard_normal(shape) * 1.5 / np.sqrt(shape[1])).astype(np.float32)
            try:
                data = gguf.quants.quantize(values, kind)
            except NotImplementedError:
                data = random_blocks(kind, shape, rng)
        tensors.append((name, kind, data))
    return tensors


def write_model(path, name, tensors, layers, **split):
    shapes = {name: data.shape for name, _, data in tensors}
    writer = gguf.GGUFWriter(path, "llama", **split)
    writer.add_name(name)
    writer.add_context_length(512)
    writer.add_embedding_length(shapes["output_norm.weight"][0])
    writer.add_block_count(layers)
    writer.add_feed_forward_length(shapes["blk.0.ffn_gate.weight"][0])
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(1)
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shapes["token_embd.weight"][0])
    for name, kind, data in tensors:
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_mixed():
    tensors = mixed_tensors()
    write_model(os.path.join(ROOT, "mixed.gguf"), "mixed", tensors, layers=2)
    with open(os.path.join(ROOT, "mixed.txt"), "w", encoding="utf-8") as file:
        for name, kind, data in tensors:
            values = gguf.quants.dequantize(data, kind).astype("<f4")
            file.write(name + " " + hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest() + "\n")


def write_parts():
    rng = np.random.default_rng(SEED + 200)
    shapes = [("token_embd", (16, 32)), ("output_norm", (32,)), ("output", (16, 32)), ("blk.0.attn_norm", (32,)),
              ("blk.0.attn_q", (64, 32)), ("blk.0.attn_k", (32, 32)), ("blk.0.attn_v", (32, 32)),
              ("blk.0.attn_output", (32, 64)), ("blk.0.ffn_norm", (32,)), ("blk.0.ffn_gate", (32, 32)),
              ("blk.0.ffn_up", (32, 32)), ("blk.0.ffn_down", (32, 32))]
    tensors = []
    for name, shape in shapes:
        values = (rng.standard_normal(shape) * 0.2 + (len(shape) == 1)).astype(np.float32)
        kind = Type.F32 if len(shape) == 1 else Type.Q8_0
        tensors.append((name + ".weight", kind, gguf.quants.quantize(values, kind)))
    write_model(os.path.join(ROOT, "whole.gguf"), "parts", tensors, layers=1)
    write_model(os.path.join(ROOT, "parts.gguf"), "parts", tensors, layers=1, split_max_tensors=5)


def main():
    for folder in (ROOT, CORPUS):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
    write_blocks()
    write_mixed()
    write_parts()
    with open(os.path.join(ROOT, "versions.json"), "w", encoding="utf-8") as file:
        json.dump({"seed": SEED, "numpy": np.__version__, "gguf": version("gguf")}, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    main()
