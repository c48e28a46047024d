"""One measurement of llama.cpp, through the low-level API of llama-cpp-python.

Does what llama-bench does: llama_decode on batches of random tokens, timed to llama_synchronize, with
no sampling and no Python between the tokens but the call itself. Prints one JSON line.
"""
import argparse
import ctypes
import json
import random
import time

import llama_cpp as lc

UBATCH = 512  # llama.cpp's default
BATCH = 2048  # the same


class Model:
    """A model and one context over it."""

    def __init__(self, path, threads, context, all_logits=False):
        lc.llama_log_set(QUIET, ctypes.c_void_p(0))
        lc.llama_backend_init()
        model_params = lc.llama_model_default_params()
        model_params.use_mmap = True
        model_params.n_gpu_layers = 0
        self.model = lc.llama_model_load_from_file(path.encode(), model_params)
        if not self.model:
            raise SystemExit(f"llama.cpp cannot load {path}")
        params = lc.llama_context_default_params()
        params.n_ctx = context
        params.n_batch = max(BATCH, context) if all_logits else BATCH
        params.n_ubatch = UBATCH
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = lc.LLAMA_FLASH_ATTN_TYPE_ENABLED
        params.type_k = params.type_v = lc.GGML_TYPE_F16
        self.context = lc.llama_init_from_model(self.model, params)
        if not self.context:
            raise SystemExit(f"llama.cpp cannot make a context of {context} tokens")
        self.memory = lc.llama_get_memory(self.context)
        self.vocab = lc.llama_vocab_n_tokens(lc.llama_model_get_vocab(self.model))

    def decode(self, tokens):
        """Decodes tokens behind what is there; logits of the last one alone, as in llama-bench."""
        for begin in range(0, len(tokens), BATCH):
            part = tokens[begin : begin + BATCH]
            array = (lc.llama_token * len(part))(*part)
            if lc.llama_decode(self.context, lc.llama_batch_get_one(array, len(part))) != 0:
                raise SystemExit("llama_decode failed")

    def clear(self):
        lc.llama_memory_clear(self.memory, True)

    def cut(self, position):
        """Forgets what stands at `position` and behind it."""
        lc.llama_memory_seq_rm(self.memory, -1, position, -1)

    def synchronize(self):
        lc.llama_synchronize(self.context)


@lc.llama_log_callback
def QUIET(_level, _text, _data):
    pass


def prefill(model, tokens, draw):
    prompt = draw(tokens)
    model.clear()
    begin = time.perf_counter()
    model.decode(prompt)
    model.synchronize()
    return time.perf_counter() - begin


def generate(model, tokens, depth, draw):
    """`tokens` steps of one token behind `depth` tokens, which are there already."""
    model.cut(depth)
    steps = [(lc.llama_token * 1)(token) for token in draw(tokens)]
    begin = time.perf_counter()
    for step in steps:
        if lc.llama_decode(model.context, lc.llama_batch_get_one(step, 1)) != 0:
            raise SystemExit("llama_decode failed")
        model.synchronize()
    return time.perf_counter() - begin


def measure(args):
    context = -(-(args.depth + args.tokens + 1) // 256) * 256
    model = Model(args.model, args.threads, context)
    rng = random.Random(1)

    def draw(count):
        return [rng.randrange(model.vocab) for _ in range(count)]

    if args.test == "decode":
        model.decode(draw(args.depth))
        model.synchronize()

    def once():
        if args.test == "prefill":
            return prefill(model, args.tokens, draw)
        return generate(model, args.tokens, args.depth, draw)

    once()  # not counted
    rates, seconds = [], 0.0
    while len(rates) < args.repetitions or seconds < args.seconds:
        took = once()
        seconds += took
        rates.append(args.tokens / took)
    return rates


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="GGUF file")
    parser.add_argument("--test", choices=["prefill", "decode"], required=True)
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--depth", type=int, default=0, help="tokens before the first that is timed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="repeat until this long was timed")
    return parser.parse_args()


def main():
    args = arguments()
    rates = measure(args)
    print(json.dumps({
        "rates": rates,
        "version": f"llama-cpp-python {lc.__version__}",
        "isa": " ".join(lc.llama_print_system_info().decode().split()),
        "settings": f"flash attention on, n_threads = n_threads_batch = {args.threads}, mmap, "
                    f"n_batch {BATCH}, n_ubatch {UBATCH}, KV f16",
    }))


if __name__ == "__main__":
    main()
