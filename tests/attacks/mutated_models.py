#!/usr/bin/env -S python3 -B
"""Damaged model files: each is refused by a message or works; none crashes, hangs or eats memory.

Takes the GGUF files, folders and tokenizers of tests/golden and the shipped model, damages one file
(bits, cuts, numbers of headers, JSON values, weights that are no numbers, pointers in the place of
files), and runs a command on it. Allowed exits: 0 works, 3 a file is not there, 4 damaged, 6 does not
fit into memory, 9 not supported; and 2 when a damaged chat template raises its own error. --count:
how many damaged files.
"""

import json
import os
import shutil
import struct
import subprocess
import threading

from _attack import Attack

TIME_LIMIT = 120  # seconds, of which an honest run takes less than one
RSS_MAX = 1536 << 20
ALLOWED = {0, 3, 4, 6, 9}
POINTER = (b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123\n")
NUMBERS = [0, 1, 2, 3, 7, 31, 32, 127, 128, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1,
           2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
VALUES = [None, True, False, 0, -1, 1, 2, 3, 0.5, 1e300, -1e-300, 2**31, 2**63, 2**64, "", "x",
          "\x00", "\ud800", "a" * 3000, [], [[]], {}, {"a": 1}, [None], [1, 2, 3], ["x"]]
FLOATS = [b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f", b"\x00\x00\x80\xff", b"\xff\xff\x7f\x7f",
          b"\x01\x00\x00\x00", b"\xff\xff\xff\xff"]


def cut(rng, data):
    return data[:rng.randrange(len(data))] if data else data


def flip(rng, data, until):
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.randrange(min(until, len(out)))
        out[at] ^= 1 << rng.randrange(8)
    return bytes(out)


def scribble(rng, data, until):
    at = rng.randrange(min(until, len(data)))
    size = rng.choice([1, 2, 4, 8, 16, 300])
    kind = rng.randrange(4)
    if kind == 0:
        return data[:at] + rng.randbytes(size) + data[at + size:]
    if kind == 1:
        return data[:at] + rng.randbytes(size) + data[at:]
    if kind == 2:
        return data[:at] + data[at + size:]
    start = rng.randrange(len(data))
    return data[:at] + data[start:start + size] + data[at + size:]


def number(rng, data, until):
    """A number of the header becomes another one."""
    at = rng.randrange(min(until, len(data)))
    form = rng.choice(["<I", "<Q", "<H", "<B"])
    value = rng.choice(NUMBERS) % (1 << (8 * struct.calcsize(form)))
    return data[:at] + struct.pack(form, value) + data[at + struct.calcsize(form):]


def weight(rng, data, begin):
    """Some weights become infinite, huge, tiny or no number."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 10, 1000])):
        at = rng.randrange(begin, max(begin + 1, len(out) - 4))
        out[at:at + 4] = rng.choice(FLOATS)
    return bytes(out[:len(data)])


def places(value, path=()):
    yield path
    if isinstance(value, dict):
        for key in list(value)[:300]:
            yield from places(value[key], path + (key,))
    elif isinstance(value, list):
        for i in range(min(len(value), 30)):
            yield from places(value[i], path + (i,))


def json_value(rng, data):
    """A value of the text is removed, replaced, doubled, or given another name."""
    root = json.loads(data)
    path = rng.choice([p for p in places(root) if p] or [()])
    if not path:
        return json.dumps(rng.choice(VALUES)).encode()
    parent = root
    for key in path[:-1]:
        parent = parent[key]
    last = path[-1]
    kind = rng.randrange(6)
    if kind == 0:
        del parent[last]
    elif kind == 1 and isinstance(parent, dict):
        parent[last + rng.choice(["x", "\n", "", " "])] = parent.pop(last)
    elif kind == 2 and isinstance(parent[last], (int, float)):
        parent[last] = parent[last] * rng.choice([2, -1, 0.5, 1000, 10**12]) + rng.choice([0, 1])
    elif kind == 3 and isinstance(parent[last], str):
        text = parent[last]
        at = rng.randrange(len(text) + 1)
        parent[last] = text[:at] + rng.choice(["\n", "\x1b[31m", "{{", "%}", "\u2581", "é"]) + text[at:]
    elif kind == 4:
        parent[last] = [parent[last]] * rng.choice([1, 2, 50])
    else:
        parent[last] = rng.choice(VALUES)
    return json.dumps(root).encode()


def damaged(rng, name, data):
    """(what was done, other bytes) for a file."""
    if rng.random() < 0.02:
        return "pointer", POINTER
    if rng.random() < 0.05:
        return "cut", cut(rng, data)
    if name.endswith(".json"):
        if rng.random() < 0.8:
            return "json", json_value(rng, data)
        return "scribble", scribble(rng, data, len(data))
    header = len(data)
    if name.endswith(".safetensors"):
        header = 8 + struct.unpack_from("<Q", data)[0]
    elif data[:4] == b"GGUF":
        header = min(len(data), rng.choice([200, 2000, 30000]))
    kind = rng.randrange(5)
    if kind == 0:
        return "flip", flip(rng, data, header)
    if kind == 1:
        return "scribble", scribble(rng, data, header)
    if kind == 2:
        return "number", number(rng, data, header)
    if kind == 3 and header < len(data):
        return "weight", weight(rng, data, header)
    return "flip anywhere", flip(rng, data, len(data))


def models(source):
    """(path, is it more than a tokenizer) for all that is damaged."""
    golden = os.path.join(source, "tests", "golden")
    found = []
    for folder, whole in (("models", True), ("tokenizer", False)):
        root = os.path.join(golden, folder)
        for name in sorted(os.listdir(root)):
            path = os.path.join(root, name)
            if name.endswith(".gguf") or os.path.isdir(path):
                found.append((path, whole))
    return found


def command_for(rng, path, whole, shipped):
    if shipped and rng.random() < 0.5:
        return ["chat", "-m", path, "-n", "3", "--temp", "0", "-t", "1"], b"Hello.\nMy name is Ada.\n"
    if shipped:
        return ["run", "-m", path, "-p", "Hello.", "-n", "3", "--temp", "0", "-t", "1"], b""
    if not whole:
        return ["tokenize", "-m", path, "--text-file", "-"], "Hello, wörld  1\n".encode()
    compute = rng.choice([[], ["--compute", "f32"], ["--compute", "bf16"], ["--compute", "int8"]])
    return ["run", "-m", path, "--tokens", "5,17,3", "-n", "3", "--temp", "0", "-t", "1",
            "--ignore-eos", *compute], b""


def run_measured(attack, home, arguments, lines):
    """(exit, standard error, bytes of memory at most); exit None: it hung and was ended."""
    child = subprocess.Popen([attack.gyrator, *arguments], stdin=subprocess.PIPE,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             env=attack.environment(home))
    hung = threading.Event()

    def end():
        hung.set()
        child.kill()

    timer = threading.Timer(TIME_LIMIT, end)
    timer.start()
    try:
        child.stdin.write(lines)
        child.stdin.close()
    except BrokenPipeError:
        pass
    errors = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    timer.cancel()
    return None if hung.is_set() else child.returncode, errors, usage.ru_maxrss * 1024


def copy_damaged(attack, original, folder):
    """A copy with one damaged file; (its path, what was done)."""
    rng = attack.random
    if not os.path.isdir(original):
        path = os.path.join(folder, os.path.basename(original))
        with open(original, "rb") as file:
            what, data = damaged(rng, original, file.read())
        with open(path, "wb") as file:
            file.write(data)
        return path, what
    path = os.path.join(folder, "model")
    os.mkdir(path)
    names = [n for n in sorted(os.listdir(original)) if n.endswith((".json", ".safetensors"))]
    names = [n for n in names if n != "cases.json"]
    for name in names:
        shutil.copy(os.path.join(original, name), path)
    name = rng.choice(names)
    if rng.random() < 0.02:
        os.remove(os.path.join(path, name))
        return path, f"removed {name}"
    with open(os.path.join(path, name), "rb") as file:
        what, data = damaged(rng, name, file.read())
    with open(os.path.join(path, name), "wb") as file:
        file.write(data)
    return path, f"{what} in {name}"


def main():
    attack = Attack(__doc__.splitlines()[0], 60)
    rng = attack.random
    shipped = os.path.join(attack.source, "models", "gyrator-chat.gguf")
    candidates = models(attack.source)
    home = attack.home()
    most = 0
    for i in range(attack.count):
        is_shipped = rng.random() < 0.2
        original, whole = (shipped, True) if is_shipped else rng.choice(candidates)
        folder = os.path.join(attack.work, str(i))
        os.mkdir(folder)
        path, what = copy_damaged(attack, original, folder)
        arguments, lines = command_for(rng, path, whole, is_shipped)
        code, errors, memory = run_measured(attack, home, arguments, lines)
        of = f"{i}: {os.path.basename(original)}, {what}: {' '.join(arguments)}:"
        attack.note(f"exit {code}")
        most = max(most, memory)
        raised = code == 2 and b"template" in errors
        good = attack.check(code in ALLOWED or raised, of, f"exit {code}", errors[-300:])
        good &= attack.check(memory <= RSS_MAX, of, f"{memory >> 20} MiB of memory")
        told = errors.startswith(b"gyrator: ") and errors.endswith(b"\n")
        good &= attack.check(code == 0 or told, of, "refused without a word", errors[-300:])
        raw = any(b < 0x20 and b not in b"\n\t" for b in errors)
        good &= attack.check(not raw, of, "control characters in the message", errors[-300:])
        if good or not attack.args.keep:
            shutil.rmtree(folder)
    attack.figures["MiB of memory at most"] = most >> 20
    attack.finish()


if __name__ == "__main__":
    main()
