"""Makes tests/golden/formats: npy, safetensors and GGUF files as their own packages write them.

  npy/*.npy            every type, both orders, both byte orders, versions 1 to 3
  safetensors/all.safetensors, safetensors/sharded/
  gguf/all.gguf, gguf/foreign.gguf (a type that Gyrator does not read), gguf/aligned.gguf
  <format>.json        what the files hold: type, shape and C-order little-endian bytes (hex) of every
                       tensor, every metadata value, and the versions and seed that made them

Our writers must give the bytes of npy/ (version 1, C order, little-endian), of all.safetensors and of
all.gguf: src/formats/golden_test.cc. Reproducible: the values are drawn from one seed a format.

    .venv/bin/python tools/golden/formats.py           # remake
    .venv/bin/python tools/golden/formats.py --check   # remake elsewhere and compare
"""

import filecmp
import json
import os
import shutil
import sys
import tempfile
from importlib.metadata import version

import gguf
import numpy as np
import safetensors.torch
import torch
from huggingface_hub import save_torch_state_dict

ROOT = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", "..", "tests", "golden", "formats"))
SEED = 20261121

# Our names of types, and numpy's.
NUMPY = {"f32": "f4", "f16": "f2", "f64": "f8", "i8": "i1", "i16": "i2", "i32": "i4", "i64": "i8",
         "u8": "u1", "u16": "u2", "u32": "u4", "u64": "u8", "bool": "b1"}
TORCH = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "f64": torch.float64,
         "i8": torch.int8, "i16": torch.int16, "i32": torch.int32, "i64": torch.int64,
         "u8": torch.uint8, "u16": torch.uint16, "u32": torch.uint32, "u64": torch.uint64,
         "bool": torch.bool}


def draw(rng, name, shape):
    """Values of one type, numpy, with the ends of its range among them."""
    kind = np.dtype(NUMPY[name])
    if name == "bool":
        return rng.integers(0, 2, shape).astype(kind)
    if kind.kind == "f":
        values = rng.standard_normal(shape).astype(kind)
        ends = [np.inf, -0.0, np.finfo(kind).max, np.finfo(kind).smallest_subnormal]
    else:
        low, high = np.iinfo(kind).min, np.iinfo(kind).max
        values = rng.integers(low, high, shape, dtype=kind, endpoint=True)
        ends = [low, high]
    flat = values.reshape(-1)
    flat[: len(ends)] = np.array(ends, kind)[: flat.size]
    return flat.reshape(shape)


def made_by(*packages):
    versions = {name: version(name) for name in packages}
    return {"script": "tools/golden/formats.py", "seed": SEED, **versions}


def write_json(root, name, value):
    with open(os.path.join(root, name), "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
        file.write("\n")


def native_hex(values):
    values = np.ascontiguousarray(values)
    return values.astype(values.dtype.newbyteorder("<")).tobytes().hex()


def make_npy(root):
    os.makedirs(os.path.join(root, "npy"))
    rng = np.random.default_rng(SEED)
    entries = []

    def add(name, dtype, values, file_version=None):
        """`file_version`: None is numpy.save's own choice, 1.0."""
        path = os.path.join(root, "npy", name + ".npy")
        with open(path, "wb") as file:
            np.lib.format.write_array(file, values, version=file_version, allow_pickle=False)
        read = np.load(path)
        assert read.dtype == values.dtype and read.tobytes() == values.tobytes()
        native = file_version is None and values.flags.c_contiguous and values.dtype.isnative
        entries.append({"file": name + ".npy", "dtype": dtype, "shape": list(values.shape),
                        "native": bool(native), "hex": native_hex(values)})

    for dtype in NUMPY:
        values = draw(rng, dtype, (2, 3))
        swapped = values.astype(values.dtype.newbyteorder(">"))
        add(f"{dtype}_c_little", dtype, values)
        add(f"{dtype}_fortran_little", dtype, np.asfortranarray(values))
        add(f"{dtype}_c_big", dtype, swapped)
        add(f"{dtype}_fortran_big", dtype, np.asfortranarray(swapped))
    for shape in [(), (5,), (0,), (3, 0, 2), (1, 2, 3, 2), (1,) * 20, (12345678901, 0)]:
        text = "x".join(str(dim) for dim in shape[:6]) or "scalar"
        add(f"shape_{text}", "f32", draw(rng, "f32", shape))
    # Headers of 127, 128 and 129 bytes before the padding: the edge of a block of 64.
    for last in (10, 100, 1000):
        add(f"shape_edge_{last}", "f32", np.zeros((0,) + (1,) * 12 + (last,), np.float32))
    cube = draw(rng, "i32", (2, 3, 4))
    add("fortran_3d", "i32", np.asfortranarray(cube))
    add("version_2", "i64", draw(rng, "i64", (1, 4)), (2, 0))
    add("version_3", "i64", draw(rng, "i64", (1, 4)), (3, 0))
    add("version_3_fortran_big", "i32", np.asfortranarray(cube.astype(">i4")), (3, 0))
    write_json(root, "npy.json", {"made_by": made_by("numpy"), "arrays": entries})


def torch_tensor(rng, dtype, shape):
    if dtype == "bf16":
        return torch.from_numpy(draw(rng, "f32", shape)).to(torch.bfloat16)
    return torch.from_numpy(draw(rng, dtype, shape))


def torch_entry(name, dtype, tensor):
    raw = tensor.contiguous().reshape(-1).view(torch.uint8) if tensor.numel() else tensor
    return {"name": name, "dtype": dtype, "shape": list(tensor.shape),
            "hex": raw.numpy().tobytes().hex()}


def make_safetensors(root):
    folder = os.path.join(root, "safetensors")
    sharded = os.path.join(folder, "sharded")
    os.makedirs(sharded)
    rng = np.random.default_rng(SEED + 1)
    tensors, entries = {}, []
    for dtype in TORCH:
        tensors[f"of.{dtype}"] = torch_tensor(rng, dtype, (2, 3))
        entries.append(torch_entry(f"of.{dtype}", dtype, tensors[f"of.{dtype}"]))
    for name, shape in {"scalar": (), "empty": (0, 4), 'quote " and \u00e9': (1,)}.items():
        tensors[name] = torch_tensor(rng, "f32", shape)
        entries.append(torch_entry(name, "f32", tensors[name]))
    path = os.path.join(folder, "all.safetensors")
    safetensors.torch.save_file(tensors, path, {"format": "pt"})
    read = safetensors.torch.load_file(path)
    assert all(read[name].dtype == tensors[name].dtype for name in tensors)
    shards = {f"layer.{i}": torch_tensor(rng, "bf16", (4, 8)) for i in range(5)}
    save_torch_state_dict(shards, sharded, max_shard_size=150)
    shard_entries = [torch_entry(name, "bf16", tensor) for name, tensor in shards.items()]
    write_json(root, "safetensors.json", {
        "made_by": made_by("safetensors", "torch", "huggingface_hub"),
        "metadata": {"format": "pt"}, "tensors": entries, "sharded": shard_entries})


GGUF_VALUES = {
    "test.u8": (200, gguf.GGUFValueType.UINT8), "test.i8": (-100, gguf.GGUFValueType.INT8),
    "test.u16": (60000, gguf.GGUFValueType.UINT16), "test.i16": (-30000, gguf.GGUFValueType.INT16),
    "test.u32": (4000000000, gguf.GGUFValueType.UINT32),
    "test.i32": (-2000000000, gguf.GGUFValueType.INT32),
    "test.u64": (2**64 - 1, gguf.GGUFValueType.UINT64),
    "test.i64": (-(2**63), gguf.GGUFValueType.INT64),
    "test.f32": (0.5, gguf.GGUFValueType.FLOAT32), "test.f64": (0.1, gguf.GGUFValueType.FLOAT64),
    "test.bool": (True, gguf.GGUFValueType.BOOL),
    "test.string": ("na\u00efve \u65e5\u672c\U0001f600", gguf.GGUFValueType.STRING),
}
GGUF_ARRAYS = {
    "test.array.u8": ([0, 255], gguf.GGUFValueType.UINT8),
    "test.array.i32": ([1, -2, 3], gguf.GGUFValueType.INT32),
    "test.array.u64": ([2**64 - 1], gguf.GGUFValueType.UINT64),
    "test.array.f32": ([0.5, -1.25], gguf.GGUFValueType.FLOAT32),
    "test.array.f64": ([0.1], gguf.GGUFValueType.FLOAT64),
    "tokenizer.ggml.tokens": (["<s>", "", "\u2581the", "\u00e9"], gguf.GGUFValueType.STRING),
}
GGML = {"f32": "F32", "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0", "i8": "I8", "i16": "I16",
        "i32": "I32", "i64": "I64", "f64": "F64"}


def gguf_writer(path, values, tensors, alignment=None):
    """`tensors`: (name, array, type to store it as raw bytes, or None)."""
    writer = gguf.GGUFWriter(path, "test")
    if alignment is not None:
        writer.add_custom_alignment(alignment)
    for key, (value, kind) in values.items():
        writer.add_key_value(key, value, kind)
    for key, (value, kind) in (GGUF_ARRAYS.items() if values else []):
        writer.add_key_value(key, value, gguf.GGUFValueType.ARRAY, kind)
    for name, array, raw in tensors:
        writer.add_tensor(name, array, raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_gguf(root):
    folder = os.path.join(root, "gguf")
    os.makedirs(folder)
    rng = np.random.default_rng(SEED + 2)
    tensors, entries = [], []
    for dtype, name in GGML.items():
        quant = gguf.GGMLQuantizationType[name]
        if dtype in ("bf16", "q8_0"):
            floats = rng.standard_normal((2, 64)).astype(np.float32)
            array, raw, shape = gguf.quants.quantize(floats, quant), quant, [2, 64]
        else:
            array, raw, shape = draw(rng, dtype, (1, 2, 8)), None, [1, 2, 8]
        tensors.append((f"of.{dtype}", array, raw))
        entries.append({"name": f"of.{dtype}", "dtype": dtype, "shape": shape,
                        "hex": native_hex(array)})
    path = os.path.join(folder, "all.gguf")
    gguf_writer(path, GGUF_VALUES, tensors)
    read = gguf.GGUFReader(path)
    assert [t.name for t in read.tensors] == [e["name"] for e in entries]
    foreign = gguf.quants.quantize(rng.standard_normal((2, 256)).astype(np.float32),
                                   gguf.GGMLQuantizationType.TQ2_0)
    last = draw(rng, "f32", (8,))
    gguf_writer(os.path.join(folder, "foreign.gguf"), {},
                [("of.tq2_0", foreign, gguf.GGMLQuantizationType.TQ2_0), ("last", last, None)])
    gguf_writer(os.path.join(folder, "aligned.gguf"), {},
                [("first", draw(rng, "f32", (3,)), None), ("last", draw(rng, "f32", (64,)), None)],
                alignment=256)
    write_json(root, "gguf.json", {
        "made_by": made_by("gguf", "numpy"),
        "values": {"general.architecture": "test", **{k: v for k, (v, _) in GGUF_VALUES.items()}},
        "arrays": {k: v for k, (v, _) in GGUF_ARRAYS.items()}, "tensors": entries})


def make(root):
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(root)
    make_npy(root)
    make_safetensors(root)
    make_gguf(root)


def relative_files(root):
    return sorted(os.path.relpath(os.path.join(folder, name), root)
                  for folder, _, names in os.walk(root) for name in names)


def check():
    with tempfile.TemporaryDirectory() as scratch:
        make(os.path.join(scratch, "formats"))
        names = relative_files(os.path.join(scratch, "formats"))
        if names != relative_files(ROOT):
            return "other files than the committed ones"
        different = [name for name in names if not filecmp.cmp(
            os.path.join(scratch, "formats", name), os.path.join(ROOT, name), shallow=False)]
        return f"differs: {different}" if different else None


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        problem = check()
        print(problem or "the committed files are what the packages write")
        sys.exit(1 if problem else 0)
    make(ROOT)
    print(f"seed {SEED}, numpy {np.__version__}, torch {torch.__version__}, "
          f"safetensors {version('safetensors')}, gguf {version('gguf')}")
