"""Makes tests/golden/snapshots: context folders as numpy writes them, without any code of ours.

  bare/<case>/        v1.0 folders without a manifest: orders, types, padding, static caches
  full/               a folder with manifest, protocol, session, chat and logits
  expected.json       what each holds: tokens, positions, K and V (hex of the stored elements,
                      [layer][key, value][kv head][token][dim]; int8: [layer][key, value, their scales]),
                      what int8 stands for (floats), and the versions and seed that made it
  compat.json         SHA-256 of every array that numpy reads in each folder of tests/compat,
                      which our writer made

src/snapshot/golden_test.cc loads all of them. Reproducible: values are drawn from one seed.

    .venv/bin/python tools/golden/snapshots.py           # remake
    .venv/bin/python tools/golden/snapshots.py --check   # remake elsewhere and compare
"""

import filecmp
import hashlib
import json
import os
import shutil
import sys
import tempfile

import numpy as np

TESTS = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", "..", "tests"))
ROOT = os.path.join(TESTS, "golden", "snapshots")
COMPAT = [os.path.join(TESTS, "compat", f"snapshot_v1_0_{minor}")
          for minor in ("1", "2", "3", "4", "4_int8")]
SEED = 20261121
LAYERS, HEADS, DIM, VOCAB = 2, 2, 4, 50
INT8_DIM, GROUP = 64, 32


def draw_kv(rng, kind, tokens):
    """[layer][key, value] -> (1, HEADS, tokens, DIM)."""
    shape = (LAYERS, 2, 1, HEADS, tokens, DIM)
    values = rng.standard_normal(shape).astype(np.float32)
    if kind == "bfloat16":
        return (values.view(np.uint32) >> 16).astype(np.uint16)
    return values.astype(kind)


def save(path, array, version=None):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as out:
        np.lib.format.write_array(out, array, version=version, allow_pickle=False)


def text(folder, path, content):
    path = os.path.join(folder, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", newline="\n") as out:
        out.write(content)


class Bare:
    """One folder; the defaults are the seeds' own layout, one row, float16."""

    def __init__(self, rng, tokens=6, kind="float16", stored_tokens=None):
        self.kind = kind
        self.kv = draw_kv(rng, kind, stored_tokens or tokens)
        self.ids = rng.integers(0, VOCAB, (1, tokens))
        self.mask = np.ones((1, tokens), np.int64)
        self.positions = np.arange(tokens).reshape(1, tokens)
        self.metadata = "metadata/"
        self.config = f"model: Tiny\ndtype: {kind}\ncache_impl: standard\n"
        self.version = None

    def write(self, folder, order=np.ascontiguousarray, swap=False, index_kind="<i8"):
        def stored(array):
            return array.astype(array.dtype.newbyteorder(">")) if swap else array

        names = {"input_ids": self.ids, "attention_mask": self.mask, "position_ids": self.positions}
        for name, array in names.items():
            save(f"{folder}/{name}.npy", order(array.astype(index_kind)), self.version)
        for layer in range(LAYERS):
            for half, name in enumerate(("key", "value")):
                save(f"{folder}/past_key_values/{layer}_{name}.npy",
                     order(stored(self.kv[layer, half])), self.version)
        text(folder, self.metadata + "config.txt", self.config)
        text(folder, self.metadata + "obfchain.txt", "")
        text(folder, self.metadata + "keylog.txt", "seed: 42918\nuser: agent_f\n")

    def expected(self):
        """What a reader must give: masked entries gone, cache trimmed."""
        kept = np.flatnonzero(self.mask.reshape(-1))
        return {
            "tokens": self.ids.reshape(-1)[kept].tolist(),
            "positions": self.positions.reshape(-1)[kept].tolist(),
            "dtype": self.kind,
            "kv": np.ascontiguousarray(self.kv[..., kept, :]).tobytes().hex(),
        }


def to_bf16(values):
    """float32 rounded to bf16, nearest even; denormals become zeros."""
    bits = values.view(np.uint32)
    rounded = (bits + 0x7fff + ((bits >> 16) & 1)) & np.uint32(0xffff0000)
    return np.where(np.abs(values) < 2.0 ** -126, np.float32(0), rounded.view(np.float32))


class Int8(Bare):
    """Keys and values in int8 with a scale for every 32, as docs/formats/snapshot.md defines them."""

    def __init__(self, rng, tokens=6, stored_tokens=None):
        super().__init__(rng, tokens, "float32")
        shape = (LAYERS, 2, 1, HEADS, stored_tokens or tokens, INT8_DIM)
        values = rng.standard_normal(shape).astype(np.float32)
        values[0, 0, 0, 0, 0] = 0  # groups of zeros
        groups = values.reshape(*shape[:-1], INT8_DIM // GROUP, GROUP)
        top = np.abs(groups).max(axis=-1)
        self.scales = top / np.float32(127)
        inverse = np.divide(np.float32(127), top, out=np.zeros_like(top), where=self.scales != 0)
        q = np.rint(groups * inverse[..., None]).astype(np.int8)
        self.kv, self.kind = q.reshape(shape), "int8"
        self.config = "model: Tiny\ndtype: int8\ncache_impl: standard\n"
        self.floats = to_bf16(self.scales[..., None] * q.astype(np.float32)).reshape(shape)

    def write(self, folder, order=np.ascontiguousarray, swap=False, index_kind="<i8"):
        super().write(folder, order, swap, index_kind)
        for layer in range(LAYERS):
            for half, name in enumerate(("key", "value")):
                scale = self.scales[layer, half]
                scale = scale.astype(scale.dtype.newbyteorder(">")) if swap else scale
                save(f"{folder}/past_key_values/{layer}_{name}_scale.npy", order(scale), self.version)

    def expected(self):
        kept = np.flatnonzero(self.mask.reshape(-1))
        layers = [np.ascontiguousarray(array[layer][..., kept, :]).tobytes()
                  for layer in range(LAYERS) for array in (self.kv, self.scales)]
        floats = np.ascontiguousarray(self.floats[..., kept, :])
        return super().expected() | {"kv": b"".join(layers).hex(),
                                     "floats": hashlib.sha256(floats.tobytes()).hexdigest()}


def make_bare(root):
    rng = np.random.default_rng(SEED)
    expected = {}

    def add(name, case, **options):
        case.write(f"{root}/bare/{name}", **options)
        expected[name] = case.expected()

    add("plain_f16", Bare(rng))
    add("plain_f32", Bare(rng, kind="float32"))
    add("fortran_f32", Bare(rng, kind="float32"), order=np.asfortranarray)
    add("big_endian_i32", Bare(rng, kind="float32"), swap=True, index_kind=">i4")
    case = Bare(rng, kind="bfloat16", stored_tokens=9)
    case.config = "model: Tiny\ndtype:bfloat16\ncache_impl:static"  # the seeds' style, no last LF
    add("static_bf16", case)
    case = Bare(rng, tokens=8)
    case.mask[0, 5:] = 0  # padding on the right
    case.positions[0, 5:] = 4
    add("padded_right", case, index_kind="<i4")
    case = Bare(rng, tokens=8)
    case.mask[0, :3] = 0  # padding on the left; its K and V are garbage
    case.positions = np.maximum(np.cumsum(case.mask, axis=1) - 1, 0)
    case.kv[..., :3, :] = np.nan
    add("padded_left", case)
    case = Bare(rng, tokens=12)  # two texts of one sequence, the second padded: the seeds' example
    case.ids, case.mask, case.positions = (a.reshape(2, 6) for a in (case.ids, case.mask,
                                                                    case.positions))
    case.mask[1, 5] = 0
    add("two_rows", case, order=np.asfortranarray)
    case = Bare(rng, kind="float32")
    case.metadata = ""  # text files at the top level
    case.config += f"n_layers: {LAYERS}\nn_kv_heads: {HEADS}\nhead_dim: {DIM}\n"
    case.version = (2, 0)
    add("top_level", case)
    add("empty", Bare(rng, tokens=0, kind="float32"))
    add("plain_int8", Int8(rng))
    add("fortran_big_endian_int8", Int8(rng, stored_tokens=9), order=np.asfortranarray, swap=True)
    case = Int8(rng, tokens=8)
    case.mask[0, :3] = 0  # padding on the left; its scales are garbage
    case.positions = np.maximum(np.cumsum(case.mask, axis=1) - 1, 0)
    case.scales[..., :3, :] = np.nan
    add("padded_int8", case)
    return expected


def manifest(folder):
    lines = ""
    paths = sorted(os.path.relpath(os.path.join(at, name), folder)
                   for at, _, names in os.walk(folder) for name in names)
    for path in paths:
        with open(os.path.join(folder, path), "rb") as file:
            content = file.read()
        lines += f"{hashlib.sha256(content).hexdigest()} {len(content)} {path}\n"
    return lines + f"root {hashlib.sha256(lines.encode()).hexdigest()}\n"


def make_full(root):
    rng = np.random.default_rng(SEED + 1)
    case, folder = Bare(rng, tokens=7, kind="bfloat16"), f"{root}/full"
    case.config = "".join(f"{key}: {value}\n" for key, value in {
        "model": "Tiny", "arch": "llama", "n_layers": LAYERS, "n_heads": 4, "n_kv_heads": HEADS,
        "head_dim": DIM, "vocab_size": VOCAB, "dtype": "bfloat16", "kv_dtype": "bf16",
        "cache_impl": "static", "cache_capacity": 32, "cache_position": 7, "n_tokens": 7,
        "weights_sha256": "a" * 64, "tokenizer_sha256": "b" * 64, "template_sha256": "c" * 64,
        "compute": "int8", "numerics": "int8.v1"}.items())
    case.write(folder)
    # Another header than ours for one tensor: any that the format allows is read.
    save(f"{folder}/past_key_values/1_key.npy", np.asfortranarray(case.kv[1, 0]), (3, 0))
    logits = rng.standard_normal((1, VOCAB)).astype(np.float32)
    save(f"{folder}/logits.npy", logits)
    text(folder, "metadata/protocol.txt",
         "protocol: v1.0\nminor: 1\nrequires: 1\nwriter: numpy\nwriter_version: 1\n"
         "created: 2026-11-21T07:03:05.000000001Z\nsequence: 0\nbyte_order: little\n"
         "axis_order: batch,heads,tokens,dim\n")
    text(folder, "metadata/session.txt", "id: golden\ncp: 7\nphase: running\n")
    text(folder, "chat.json", '[{"role": "user", "content": "h\\u00e9", "span": [0, 7]}]')
    text(folder, "metadata/manifest.txt", manifest(folder))
    return case.expected() | {"logits": logits.tobytes().hex()}


def read_compat(folder):
    """Digests of what numpy reads in a folder that our writer made."""
    arrays = {}
    for at, _, names in os.walk(folder):
        for name in names:
            if not name.endswith(".npy"):
                continue
            path = os.path.join(at, name)
            array = np.load(path)
            arrays[os.path.relpath(path, folder)] = {
                "dtype": str(array.dtype), "shape": list(array.shape),
                "fortran_order": bool(array.flags.f_contiguous and not array.flags.c_contiguous),
                "sha256": hashlib.sha256(array.tobytes()).hexdigest()}
    with open(os.path.join(folder, "metadata", "manifest.txt")) as file:
        ours = file.read()
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        os.remove(os.path.join(copy, "metadata", "manifest.txt"))
        assert manifest(copy) == ours, "the manifest is not what its grammar says"
    return dict(sorted(arrays.items()))


def write_json(path, value):
    with open(path, "w", newline="\n") as out:
        json.dump(value, out, indent=1)
        out.write("\n")


def make(root):
    shutil.rmtree(root, ignore_errors=True)
    expected = {"made_by": {"numpy": np.__version__, "seed": SEED}, "bare": make_bare(root),
                "full": make_full(root)}
    write_json(os.path.join(root, "expected.json"), expected)
    write_json(os.path.join(root, "compat.json"),
               {os.path.basename(folder): read_compat(folder) for folder in COMPAT})


def same(a, b):
    def files(root):
        return {os.path.relpath(os.path.join(at, name), root)
                for at, _, names in os.walk(root) for name in names}
    return files(a) == files(b) and all(
        filecmp.cmp(os.path.join(a, path), os.path.join(b, path), shallow=False)
        for path in files(a))


def main():
    if "--check" not in sys.argv:
        return make(ROOT)
    with tempfile.TemporaryDirectory() as elsewhere:
        make(elsewhere)
        if not same(ROOT, elsewhere):
            sys.exit(f"{ROOT} is not what this script makes")


if __name__ == "__main__":
    main()
