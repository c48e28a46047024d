#!/usr/bin/env python3
"""Runs Gyrator, llama.cpp and OpenVINO GenAI in turn (A B C A B C ...) on the same weights.

Every measurement is a process of its own: it loads, does the test once uncounted, then as often as
asked, and ends, so that memory is free between runs. The read bandwidth of the machine is measured
between the rounds. Writes peers.json, peers.md and peers.txt into --out. tools/peers/setup.sh first.
"""
import argparse
import dataclasses
import hashlib
import json
import os
import pathlib
import subprocess
import sys

import report

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parent.parent
ENGINES = ("gyrator", "llama.cpp", "openvino")


@dataclasses.dataclass(frozen=True)
class Test:
    name: str
    kind: str  # prefill or decode
    tokens: int
    depth: int = 0


TESTS = (Test("prefill 512", "prefill", 512), Test("decode 64", "decode", 64),
         Test("decode 32 at 4096", "decode", 32, 4096))


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of weights; Gyrator and llama.cpp read the same file."""
    name: str
    gguf: str
    compute: str  # of Gyrator
    openvino: str  # folder
    openvino_weights: str
    vocab: int


CASES = (
    Case("1b-q8_0", "1b-q8_0.gguf", "int8", "1b-int8.openvino", "int8, a scale a channel", 128256),
    Case("1b-bf16", "1b-bf16.gguf", "bf16", "1b-f16.openvino", "f16, computed in bf16", 128256),
    Case("1b-q4_k_m", "1b-q4_k_m.gguf", "int8", "1b-q4_k_m.openvino", "the file's Q4_K_M", 128256),
    Case("smollm2-q8_0", "smollm2-q8_0.gguf", "int8", "smollm2-int8.openvino",
         "int8, a scale a channel", 49152),
    Case("smollm2-q4_1", "smollm2-q4_1.gguf", "int8", "smollm2-q4_1.openvino", "the file's Q4_1",
         49152),
)


def command(engine, case, test, args):
    """What measures one test of one case."""
    counts = ["--repetitions", str(args.repetitions), "--seconds", str(args.seconds)]
    models = args.peers / "models"
    if engine == "gyrator":
        lengths = (["-p", str(test.tokens), "-n", "0"] if test.kind == "prefill" else
                   ["-p", "0", "-n", str(test.tokens), "-d", str(test.depth)])
        return [str(args.gyrator), "bench", "-m", str(models / case.gguf), "--compute", case.compute,
                "-t", str(args.threads), "--json", *lengths, *counts]
    shared = ["--test", test.kind, "--tokens", str(test.tokens), "--depth", str(test.depth),
              "--threads", str(args.threads), *counts]
    if engine == "llama.cpp":
        return [str(args.peers / "llamacpp/bin/python"), str(HERE / "run_llamacpp.py"), "--model",
                str(models / case.gguf), *shared]
    return [str(args.peers / "openvino/bin/python"), str(HERE / "run_openvino.py"), "--model",
            str(models / case.openvino), "--vocab", str(case.vocab), *shared]


def last_json(words):
    """The last line of a command's output, which is JSON; or {"error": ...}."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        return json.loads(lines[-1])
    said = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
    try:
        said = json.loads(said)["error"]["message"]  # gyrator --json
    except (ValueError, KeyError, TypeError):
        pass
    return {"error": f"exit code {done.returncode}: {said[:300]}"}


def measured(engine, case, test, args):
    """{"rate": median of one process, ...} or {"error": ...}"""
    found = last_json(command(engine, case, test, args))
    if "error" in found:
        return {"error": found["error"].replace(f"{args.peers / 'models'}{os.sep}", "")}
    if engine != "gyrator":
        return {"rate": report.median(found["rates"]), "repetitions": len(found["rates"]),
                "version": found["version"], "isa": found["isa"], "settings": found["settings"]}
    row = found["tests"][0]
    return {"rate": row["tokens_s"], "repetitions": row["repetitions"],
            "version": "Gyrator " + args.revision, "isa": found["limits"]["isa"],
            "settings": f"--compute {case.compute} ({found['numerics']}), -t {args.threads}",
            # What a token has to read, by Gyrator's count of the weights as it keeps them.
            "token_bytes": row["gb_s"] * 1e9 / row["tokens_s"]}


def run_rounds(args, measure=measured, limits=last_json):
    """[{case, test, engines: {engine: [runs]}, read_gb_s: [...]}]: the engines in turn, each round."""
    rows = [{"case": case, "test": test, "engines": {engine: [] for engine in args.engines},
             "read_gb_s": []} for case in args.cases for test in args.tests]
    for row in rows:
        case, test = row["case"], row["test"]
        for number in range(args.rounds):
            for engine in args.engines:
                runs = row["engines"][engine]
                if runs and "error" in runs[-1]:
                    continue  # it will say the same again
                runs.append(measure(engine, case, test, args))
                runs[-1]["load"] = os.getloadavg()[0]
                note = runs[-1].get("error") or f"{runs[-1]['rate']:.1f} tokens/s"
                print(f"{case.name}, {test.name}, round {number + 1}: {engine}: {note}",
                      file=sys.stderr)
            found = limits([str(args.gyrator), "bench", "limits", "-t", str(args.threads), "--json"])
            if "error" in found:
                raise SystemExit(f"peers: gyrator bench limits: {found['error']}")
            args.machine.update(found)
            row["read_gb_s"].append(found["read_gb_s"])
    return rows


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files(args):
    """Name, size and digest of each file that is measured; of an OpenVINO model, its weights."""
    paths = []
    for case in args.cases:
        paths.append(args.peers / "models" / case.gguf)
        if "openvino" in args.engines:
            paths.append(args.peers / "models" / case.openvino / "openvino_model.bin")
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise SystemExit(f"peers: {missing[0]} is not there; run tools/peers/setup.sh")
    return [{"file": str(path.relative_to(args.peers / "models")), "bytes": path.stat().st_size,
             "sha256": digest(path)} for path in paths]


def chosen(parser, what, all_of, text):
    names = {entry if isinstance(entry, str) else entry.name: entry for entry in all_of}
    wanted = names if not text else text.split(",")
    for name in wanted:
        if name not in names:
            parser.error(f"unknown {what} '{name}'; known: {', '.join(names)}")
    return [names[name] for name in wanted]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each engine and test (5)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=3, help="least repetitions of a run (3)")
    parser.add_argument("--seconds", type=float, default=2, help="least time of them (2)")
    parser.add_argument("--models", default="", help="some of " + ", ".join(c.name for c in CASES))
    parser.add_argument("--tests", default="", help="some of " + ", ".join(t.name for t in TESTS))
    parser.add_argument("--engines", default="", help="some of " + ", ".join(ENGINES))
    parser.add_argument("--gyrator", type=pathlib.Path, default=TREE / "build/bin/gyrator")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/peers"))
    args = parser.parse_args()
    args.cases = chosen(parser, "model", CASES, args.models)
    args.tests = chosen(parser, "test", TESTS, args.tests)
    args.engines = chosen(parser, "engine", ENGINES, args.engines)
    args.peers = pathlib.Path(os.environ.get("PEERS_DIR", TREE / ".cache/peers"))
    described = subprocess.run(["git", "-C", str(TREE), "describe", "--always", "--dirty"],
                               capture_output=True, text=True, check=False)
    args.revision = described.stdout.strip() or "of unknown revision"
    args.machine = {}
    return args


def main():
    args = arguments()
    measured_files = files(args)
    rows = run_rounds(args)
    result = report.summary(rows, args, measured_files)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "peers.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (args.out / "peers.md").write_text(report.markdown(result), encoding="utf-8")
    (args.out / "peers.txt").write_text(report.text(result), encoding="utf-8")
    print(report.text(result), end="")


if __name__ == "__main__":
    main()
