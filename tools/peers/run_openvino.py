"""One measurement of OpenVINO GenAI, by the pipeline's own metrics. Prints one JSON line.

Prefill is the prompt's tokens over the time to first token (TTFT), which has the pass over the prompt
and the choice of the first token; the prompt is given as ids, so no tokenizer is in it. Decode is one
over the mean time per output token (TPOT), which leaves the first token out. Greedy, no end of text.
"""
import argparse
import json
import random

import numpy
import openvino
import openvino_genai as genai


def pipeline(args):
    properties = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": args.threads}
    if args.backend:
        properties["ATTENTION_BACKEND"] = args.backend
    if args.precision:
        properties["INFERENCE_PRECISION_HINT"] = args.precision
    return genai.LLMPipeline(args.model, "CPU", **properties)


def config(tokens):
    options = genai.GenerationConfig()
    options.max_new_tokens = tokens
    options.ignore_eos = True
    options.do_sample = False
    return options


def measure(args):
    model = pipeline(args)
    rng = random.Random(1)

    def draw(count):
        ids = [rng.randrange(args.vocab) for _ in range(count)]
        return openvino.Tensor(numpy.array([ids], dtype=numpy.int64))

    same = draw(max(args.depth, 1))

    def once():
        """(tokens a second, seconds)"""
        if args.test == "prefill":
            metrics = model.generate(draw(args.tokens), config(1)).perf_metrics
            seconds = metrics.get_ttft().mean / 1e3
            return args.tokens / seconds, seconds
        metrics = model.generate(same, config(args.tokens + 1)).perf_metrics
        if metrics.get_num_generated_tokens() != args.tokens + 1:
            raise SystemExit(f"{metrics.get_num_generated_tokens()} tokens generated")
        seconds = metrics.get_tpot().mean / 1e3
        return 1 / seconds, seconds * args.tokens

    once()  # not counted
    rates, seconds = [], 0.0
    while len(rates) < args.repetitions or seconds < args.seconds:
        rate, took = once()
        rates.append(rate)
        seconds += took
    return rates


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="folder of an OpenVINO model")
    parser.add_argument("--vocab", type=int, required=True)
    parser.add_argument("--test", choices=["prefill", "decode"], required=True)
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--depth", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--backend", default="", help="ATTENTION_BACKEND: PA or SDPA (its default)")
    parser.add_argument("--precision", default="", help="INFERENCE_PRECISION_HINT (its default)")
    return parser.parse_args()


def main():
    args = arguments()
    rates = measure(args)
    core = openvino.Core()
    precision, kv = (core.get_property("CPU", name).get_type_name()
                     for name in ("INFERENCE_PRECISION_HINT", "KV_CACHE_PRECISION"))
    print(json.dumps({
        "rates": rates,
        "version": f"OpenVINO GenAI {genai.__version__}",
        "isa": " ".join(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
        "settings": f"LATENCY, {args.threads} threads, attention {args.backend or 'as it chooses'}, "
                    f"precision {args.precision or precision}, KV {kv}, scheduler as it chooses",
    }))


if __name__ == "__main__":
    main()
