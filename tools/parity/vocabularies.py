"""Compares Gyrator with Hugging Face tokenizers on real vocabularies: ids and decodings.

    .venv/bin/python tools/parity/vocabularies.py [--lines N] [--gguf FILE.gguf=FOLDER[=PRE]]... FOLDER...

A FOLDER has a tokenizer.json (and what lies beside it) of a published model; --gguf compares a GGUF file with the
folder that it was made from. The texts are the lines of tools/golden/tokenizer_lines.py, random texts of many
scripts, code, spaces and the vocabulary's own added tokens, all from a fixed seed. Vocabularies are not ours
and are not kept.

Needs build/bin/text_server and the packages of tools/setup.sh golden. Exit 1: an id or a text differs.
"""

import argparse
import json
import os
import random
import sys

from tokenizers import Tokenizer

from server import Server

ROOT = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tools", "golden"))
from tokenizer_lines import make_lines  # noqa: E402

SEED = 20261130
RANGES = [(0x20, 0x7F), (0xA0, 0x250), (0x370, 0x530), (0x5D0, 0x5EB), (0x620, 0x650), (0x900, 0x980), (0xE00, 0xE5C),
          (0x1100, 0x11FF), (0x1E00, 0x2000), (0x2000, 0x2070), (0x2190, 0x2600), (0x3000, 0x3100), (0x4E00, 0x4F00),
          (0xAC00, 0xAD00), (0xFB00, 0xFB50), (0x1F300, 0x1F650), (0x1D400, 0x1D500)]
SNIPPETS = ["  ", "\n", "\n\n", "\r\n", "\t", "'s", "'LL", " 12345", "3.14", "def f(x):\n    return x\n", "http://a.b/c?d=e",
            "e\u0301", "\u200d", "\ufe0f", "...", "!!!", "_", "\u2581", " \u00a0", "\u3000", "0x1F", "--", "==", "</s>", "<s>"]


def texts(count, added):
    rng = random.Random(SEED)
    core, rest = make_lines(random.Random(SEED))
    out = core + rest
    while len(out) < count:
        parts = []
        for _ in range(rng.randint(1, 12)):
            kind = rng.random()
            if kind < 0.3:
                parts.append(rng.choice(SNIPPETS))
            elif kind < 0.4 and added:
                parts.append(rng.choice(added))
            elif kind < 0.6:
                parts.append("".join(rng.choice("etaoin shrdlu") for _ in range(rng.randint(1, 12))))
            else:
                low, high = rng.choice(RANGES)
                parts.append("".join(chr(rng.randrange(low, high)) for _ in range(rng.randint(1, 6))))
        out.append("".join(parts))
    return out[:count]


def named_specials(folder):
    """Tokens that tokenizer_config.json names (eos_token and others): transformers makes them special."""
    path = os.path.join(folder, "tokenizer_config.json")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        named = [value for key, value in json.load(file).items() if key.endswith("_token") and value]
    return [value["content"] if isinstance(value, dict) else value for value in named
            if isinstance(value, (str, dict))]


def compare(server, path, folder, count, pre):
    """(mismatches of ids, of decodings, the first one)"""
    reference = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    reference.add_special_tokens([name for name in named_specials(folder) if reference.token_to_id(name) is not None])
    reference.no_truncation()
    reference.no_padding()
    opened = server.ask(open=path, **({"pre": pre} if pre else {}))
    if "error" in opened:
        return None, None, opened["error"]
    lines = texts(count, [token.content for token in reference.get_added_tokens_decoder().values()])
    ids_differ = text_differs = 0
    first = ""
    for line in lines:
        for special in (False, True):
            wanted = reference.encode(line, add_special_tokens=special).ids
            given = server.ask(encode=line, special=special)["ids"]
            if wanted != given:
                ids_differ += 1
                first = first or f"{line!r}: wanted {wanted}, given {given}"
        for skip in (False, True):
            if reference.decode(wanted, skip_special_tokens=skip) != server.ask(decode=wanted, skip=skip)["text"]:
                text_differs += 1
                first = first or f"decoding {wanted}"
    return ids_differ, text_differs, first


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="*")
    parser.add_argument("--gguf", action="append", default=[], help="FILE=FOLDER[=PRE]")
    parser.add_argument("--lines", type=int, default=4000)
    parser.add_argument("--server", default=os.path.join(ROOT, "build/bin/text_server"))
    arguments = parser.parse_args()
    server = Server(arguments.server)
    jobs = [(folder, folder, "") for folder in arguments.folders]
    for item in arguments.gguf:
        path, folder, *pre = item.split("=")
        jobs.append((path, folder, pre[0] if pre else ""))
    wrong = False
    for path, folder, pre in jobs:
        ids, decoded, first = compare(server, path, folder, arguments.lines, pre)
        if ids is None:
            print(f"{path}: refused: {first}")
            continue
        wrong |= bool(ids or decoded)
        print(f"{path}: {arguments.lines} texts, {ids} ids differ, {decoded} decodings differ{'; ' + first[:300] if first else ''}", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
