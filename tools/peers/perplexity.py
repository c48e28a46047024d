"""Perplexity of a GGUF file by Gyrator and by llama.cpp, and what each is off from exact arithmetic.

The same token ids in windows of their own (nothing carries over): every position but the first is
scored. The measure of exactness is the file with its weights dequantized to f32 (gguf_rewrite.py f32),
run by Gyrator with --compute f32: the mean of KL(exact || engine) over all positions. Keys and values
are kept in f16 by both engines. Run it by the python of the environment llamacpp:

  .cache/peers/llamacpp/bin/python tools/peers/perplexity.py --out build/peers/perplexity
"""
import argparse
import ctypes
import json
import os
import pathlib
import subprocess
import tempfile

import llama_cpp as lc
import numpy as np

import run_llamacpp

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
ROWS = 200  # logits of so many positions are widened to f64 at a time


def encode(path, text):
    """Token ids of a text by llama.cpp, nothing added."""
    model = run_llamacpp.Model(path, 2, 256)
    data = text.encode()
    ids = (lc.llama_token * len(data))()
    count = lc.llama_tokenize(lc.llama_model_get_vocab(model.model), data, len(data), ids, len(data),
                              False, False)
    if count <= 0:
        raise SystemExit("llama.cpp cannot encode the text")
    return list(ids[:count])


class LlamaCpp:
    """Logits of whole windows, all positions."""

    def __init__(self, path, threads, window):
        self.window = window
        self.model = run_llamacpp.Model(path, threads, -(-window // 256) * 256, all_logits=True)
        self.batch = lc.llama_batch_init(window, 0, 1)

    def logits(self, ids):
        batch = self.batch
        batch.n_tokens = len(ids)
        for at, token in enumerate(ids):
            batch.token[at], batch.pos[at] = token, at
            batch.n_seq_id[at], batch.seq_id[at][0], batch.logits[at] = 1, 0, 1
        self.model.clear()
        if lc.llama_decode(self.model.context, batch) != 0:
            raise SystemExit("llama_decode failed")
        self.model.synchronize()
        rows = ctypes.cast(lc.llama_get_logits(self.model.context), ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(rows, (len(ids), self.model.vocab))


def gyrator_logits(args, path, compute, kv_dtype, ids):
    """The same by the command, through a file that is gone again when this returns."""
    with tempfile.TemporaryDirectory(dir=args.out.parent) as work:
        file = os.path.join(work, "logits.npy")
        done = subprocess.run(
            [str(args.gyrator), "run", "-m", str(path), "--tokens", ",".join(map(str, ids)), "-n", "1",
             "--ignore-eos", "--temp", "0", "-c", str(len(ids) + 1), "-t", str(args.threads),
             "--compute", compute, "--kv-dtype", kv_dtype, "--dump-logits", file, "--logits-all"],
            capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(done.stderr.strip().splitlines()[-1])
        logits = np.load(file)
    # The row of the last position is there once: it is the first step's.
    if len(logits) != len(ids):
        raise SystemExit(f"gyrator gave {len(logits)} rows of logits for {len(ids)} tokens")
    return logits


def log_softmax(rows):
    rows = rows.astype(np.float64)
    rows -= rows.max(axis=1, keepdims=True)
    return rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))


class Sums:
    """What is summed over the positions of all windows."""

    def __init__(self, names):
        self.scored = self.positions = 0
        self.loss = dict.fromkeys(names, 0.0)
        self.divergence = dict.fromkeys(names[1:], 0.0)
        self.same_first = dict.fromkeys(names[1:], 0)

    def add(self, ids, logits):
        """`logits`: by name, the exact ones first; [tokens, vocab]."""
        for begin in range(0, len(ids), ROWS):
            part = slice(begin, min(begin + ROWS, len(ids)))
            following = np.array(ids[begin + 1 : part.stop + 1])
            at = np.arange(len(following))
            exact = None
            for name, rows in logits.items():
                found = log_softmax(rows[part])
                self.loss[name] -= found[at, following].sum()
                if exact is None:
                    exact, probability = found, np.exp(found)
                    continue
                self.divergence[name] += (probability * (exact - found)).sum()
                self.same_first[name] += int((exact.argmax(axis=1) == found.argmax(axis=1)).sum())
        self.scored += len(ids) - 1
        self.positions += len(ids)

    def result(self):
        return {name: {"perplexity": float(np.exp(loss / self.scored)),
                       **({"kl": self.divergence[name] / self.positions,
                           "same_likeliest": self.same_first[name] / self.positions}
                          if name in self.divergence else {})}
                for name, loss in self.loss.items()}


def text(result):
    lines = [f"{result['model']}, {result['windows']} windows of {result['window']} tokens of "
             f"{result['text']}; Gyrator --compute {result['compute']}, KV f16; exact: f32 weights, "
             "compute f32, KV f32", "",
             f"{'':12}{'perplexity':>12}{'of exact':>10}{'mean KL':>12}{'same likeliest':>16}"]
    exact = result["engines"]["exact"]["perplexity"]
    for name, found in result["engines"].items():
        line = f"{name:12}{found['perplexity']:12.4f}{found['perplexity'] / exact:10.4f}"
        if "kl" in found:
            line += f"{found['kl']:12.6f}{100 * found['same_likeliest']:14.2f} %"
        lines.append(line)
    if "kl_ratio" in result:
        lines.append(f"Gyrator over llama.cpp: perplexity {result['perplexity_ratio']:.5f}, "
                     f"KL {result['kl_ratio']:.3f}")
    return "\n".join(lines) + "\n"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    peers = pathlib.Path(os.environ.get("PEERS_DIR", TREE / ".cache/peers"))
    models = peers / "models"
    parser.add_argument("--model", type=pathlib.Path, default=models / "smollm2-q4_1.gguf")
    parser.add_argument("--exact", type=pathlib.Path, default=models / "smollm2-f32.gguf",
                        help="the same weights, dequantized to f32")
    parser.add_argument("--text", type=pathlib.Path, default=peers / "alice.txt")
    parser.add_argument("--windows", type=int, default=10)
    parser.add_argument("--window", type=int, default=2000, help="tokens of each")
    parser.add_argument("--compute", default="int8", help="of Gyrator")
    parser.add_argument("--engines", default="gyrator,llama.cpp")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--gyrator", type=pathlib.Path, default=TREE / "build/bin/gyrator")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/peers/perplexity"),
                        help="of OUT.json and OUT.txt")
    args = parser.parse_args()
    args.engines = args.engines.split(",")
    if not set(args.engines) <= {"gyrator", "llama.cpp"}:
        parser.error("--engines: gyrator, llama.cpp or both expected")
    return args


def main():
    args = arguments()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    ids = encode(str(args.model), args.text.read_text(encoding="utf-8"))
    if len(ids) < args.windows * args.window:
        raise SystemExit(f"{args.text} has {len(ids)} tokens, {args.windows * args.window} expected")
    peer = LlamaCpp(str(args.model), args.threads, args.window) if "llama.cpp" in args.engines else None
    sums = Sums(["exact", *args.engines])
    for number in range(args.windows):
        window = ids[number * args.window : (number + 1) * args.window]
        logits = {"exact": gyrator_logits(args, args.exact, "f32", "f32", window)}
        if "gyrator" in args.engines:
            logits["gyrator"] = gyrator_logits(args, args.model, args.compute, "f16", window)
        if peer:
            logits["llama.cpp"] = peer.logits(window)
        sums.add(window, logits)
        print(f"window {number + 1} of {args.windows}", flush=True)
    result = {"model": args.model.name, "exact": args.exact.name, "text": args.text.name,
              "windows": args.windows, "window": args.window, "compute": args.compute,
              "engines": sums.result()}
    if len(args.engines) == 2:
        ours, theirs = result["engines"]["gyrator"], result["engines"]["llama.cpp"]
        result["perplexity_ratio"] = ours["perplexity"] / theirs["perplexity"]
        result["kl_ratio"] = ours["kl"] / theirs["kl"]
    pathlib.Path(f"{args.out}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    pathlib.Path(f"{args.out}.txt").write_text(text(result), encoding="utf-8")
    print(text(result), end="")


if __name__ == "__main__":
    main()
