#!/usr/bin/env python3
"""Makes one small mistake at a time in the sources, and looks whether a test notices.

usage: tools/mutate/mutate.py [--count 20] [--seed 1] [--paths src/kv,src/base/fs.cc] [--log FILE]
                              [--again LOG] [--own] [--list] [--folder build-mutate] [--jobs 1]

What is drawn is a function of the seed, of --paths and of the sources alone: first an operator, then
one of its places. The working tree is never changed: its files are copied to FOLDER/tree, and built
in FOLDER/build. A mutation that does not compile is drawn again; one that no test notices gets a trap
in its place: when no test notices that either, no test comes there, which is told apart.

Each verdict is a line of JSON in the log. The same command with the same log goes on where it was
stopped. --again LOG runs those of an earlier log that survived, on the sources of today. --own runs
the room's own unit tests alone, which is quick: what survives them goes to --again.
"""

import argparse
import hashlib
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

import operators

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROOMS = ("src/base", "src/formats", "src/kv", "src/snapshot", "src/engine")


def program(name, *arguments):
    return (name, [name], ["{build}/bin/" + name, "--gtest_fail_fast", *arguments])


def script(name):
    return ("e2e_" + name, ["gyrator", "make_random_model"], ["{tree}/tests/e2e/" + name + ".sh", "{build}"])


UNIT = {room: program(room + "_test") for room in
        ("base", "formats", "kv", "snapshot", "engine", "model", "tokenizer", "kill_save")}
SCHEDULES = program("schedules_test", "--schedules=2")
CLIENTS = program("clients_test", "--seconds=5")
# The tests that come near a room, its own first, then those that are cheap.
TESTS = {
    "base": [UNIT["base"], UNIT["formats"], UNIT["kv"], UNIT["snapshot"], UNIT["engine"],
             UNIT["kill_save"]],
    "formats": [UNIT["formats"], UNIT["model"], UNIT["tokenizer"], UNIT["engine"]],
    "kv": [UNIT["kv"], UNIT["snapshot"], UNIT["engine"], SCHEDULES, CLIENTS],
    "snapshot": [UNIT["snapshot"], UNIT["engine"], UNIT["kill_save"], script("contexts")],
    "engine": [UNIT["engine"], SCHEDULES, CLIENTS, script("contexts"), script("run"),
               script("batch")],
}


def room_of(path):
    return path.split("/")[1]


def sources_of(paths):
    """The sources that are mutated: no headers, no tests, nothing that only tests use."""
    listed = subprocess.run(["git", "ls-files", "--", *paths], cwd=ROOT, check=True,
                            stdout=subprocess.PIPE, text=True).stdout.split("\n")
    kept = [path for path in sorted(listed)
            if path.endswith(".cc") and not re.search(r"_(test|fake|testing)\.cc$", path)]
    strange = [path for path in kept if room_of(path) not in TESTS]
    if strange or not kept:
        sys.exit(f"mutate: --paths: sources of {', '.join(ROOMS)} expected, found "
                 f"{', '.join(strange) or 'none'}")
    return {path: (ROOT / path).read_text() for path in kept}


def draw(sources, seed):
    """All mutations of the sources in the order of the seed: [(path, mutation)]."""
    rng = random.Random(seed)
    places = {name: [] for name in operators.NAMES}
    for path, source in sources.items():
        for mutation in operators.mutations(source):
            places[mutation.operator].append((path, mutation))
    for listed in places.values():
        rng.shuffle(listed)
    while any(places.values()):
        yield places[rng.choice([name for name in operators.NAMES if places[name]])].pop()


def describe(source, mutation):
    line = source.count("\n", 0, mutation.begin) + 1
    first = source.rfind("\n", 0, mutation.begin) + 1
    return {"operator": mutation.operator, "line": line, "column": mutation.begin - first,
            "before": source[mutation.begin:mutation.end], "after": mutation.text,
            "text": source[first:source.find("\n", mutation.end)]}


def again(log, sources):
    """The mutations of a log that survived, found in the sources as they are now by their lines."""
    for entry in map(json.loads, log.read_text().splitlines()):
        if entry.get("verdict") != "survived" or entry["path"] not in sources:
            continue
        source = sources[entry["path"]]
        places = [hit.start() for hit in re.finditer(re.escape(entry["text"]), source)]
        if not places:
            print(f"gone       {entry['path']}:{entry['line']}: {entry['text'].strip()}")
            continue
        near = min(places, key=lambda at: abs(source.count("\n", 0, at) + 1 - entry["line"]))
        begin = near + entry["column"]
        end = begin + len(entry["before"])
        yield entry["path"], operators.Mutation(entry["operator"], begin, end, entry["after"])


class Bench:
    """A copy of the tree with a build folder of its own."""

    def __init__(self, folder, jobs, own):
        self.tree = folder / "tree"
        self.build = folder / "build"
        self.scratch = folder / "scratch"
        self.jobs = jobs
        self.own = own  # a room's own tests are all that is run
        self.seconds = {}  # of each test without a mutation
        self.environment = dict(os.environ, CCACHE_BASEDIR=str(self.tree), CCACHE_NOHASHDIR="1",
                                TEST_TMPDIR=str(self.scratch), TMPDIR=str(self.scratch),
                                HOME=str(self.scratch), LC_ALL="C.UTF-8")
        self.environment.setdefault("CCACHE_DIR", os.path.expanduser("~/.cache/ccache"))

    def prepare(self):
        """Copies what differs, so that a second run builds little."""
        listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others",
                                 "--exclude-standard"], cwd=ROOT, check=True,
                                stdout=subprocess.PIPE, text=True).stdout.split("\0")
        wanted = {name for name in listed if name and (ROOT / name).is_file()}
        for name in wanted:
            source, copy = ROOT / name, self.tree / name
            if not copy.exists() or copy.read_bytes() != source.read_bytes():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, copy)
        for copy in list(self.tree.rglob("*")):
            if copy.is_file() and str(copy.relative_to(self.tree)) not in wanted:
                copy.unlink()
        self.scratch.mkdir(parents=True, exist_ok=True)
        models = self.build.parent / "models"  # where a command in a build folder looks for its model
        if not models.exists():
            models.symlink_to(self.tree / "models")
        configure = ["cmake", "-S", self.tree, "-B", self.build, "-G", "Ninja",
                     "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_COMPILER=g++", "-DGYRATOR_DEV=ON",
                     "-DGYRATOR_TRAIN=OFF"]
        if self._run(configure, 600)[0] != 0:
            sys.exit(f"mutate: cmake fails, see {self.scratch}/output")

    def write(self, path, source):
        file = self.tree / path
        if file.read_text() != source:
            file.write_text(source)

    def compiles(self, targets):
        command = ["cmake", "--build", self.build, "-j", str(self.jobs), "--target", *targets]
        return self._run(command, 3600)[0] == 0

    def fails(self, test):
        """What fails in a test, in words; empty: it passes."""
        name, _, command = test
        limit = 120 + 5 * self.seconds.get(name, 200)
        began = time.monotonic()
        status, output = self._run([part.format(tree=self.tree, build=self.build)
                                    for part in command], limit)
        self.seconds.setdefault(name, time.monotonic() - began)
        if status == 0:
            return ""
        if status is None:
            return f"{name}: more than {limit:.0f} s"
        failed = re.findall(r"^\[  FAILED  \] ([\w/.]+)", output, re.MULTILINE)
        running = re.findall(r"^\[ RUN      \] ([\w/.]+)", output, re.MULTILINE)
        case = failed[0] if failed else running[-1] if running else f"exit {status}"
        return f"{name}: {case}"

    def _run(self, command, limit):
        """(exit status, output); the status is None when the time is over."""
        with open(self.scratch / "output", "w+b") as output:
            process = subprocess.Popen(command, cwd=self.tree, env=self.environment, stdout=output,
                                       stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                       start_new_session=True, preexec_fn=_limits)
            status = None
            try:
                status = process.wait(limit)
            except subprocess.TimeoutExpired:
                pass
            finally:
                _end_group(process.pid)  # and what it left running
            process.wait()
            output.seek(0)
            text = output.read().decode(errors="replace")
        for left in self.scratch.iterdir():
            if left.name != "output":
                shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink()
        return status, text


def _end_group(group):
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass  # all of it has ended


def _limits():
    """A mistake may ask for all memory or fill the disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 30, 8 << 30))
    resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def judge(bench, path, source, mutation):
    """(verdict, what noticed it)"""
    try:
        noticed = first_failure(bench, path, source, mutation.apply(source))
        if noticed is None:
            return "not compiled", ""
        if noticed:
            return "killed", noticed
        trapped = operators.probe(source, mutation)
        reached = trapped is None or first_failure(bench, path, source, trapped) != ""
        return ("survived" if reached else "not reached"), ""
    finally:
        bench.write(path, source)


def first_failure(bench, path, source, mutated):
    """What fails, in words; empty: nothing; None: it does not compile."""
    tests = TESTS[room_of(path)][:1 if bench.own else None]
    for test in tests:
        if test[0] not in bench.seconds:
            bench.write(path, source)
            check_unmutated(bench, test)
        bench.write(path, mutated)
        if not bench.compiles(test[1]):
            return None if test is tests[0] else f"{test[0]}: does not link"
        noticed = bench.fails(test)
        if noticed:
            return noticed
    return ""


def check_unmutated(bench, test):
    """A test has to pass as things are; gives the time that it takes."""
    if not bench.compiles(test[1]):
        sys.exit(f"mutate: {test[1]} does not build without a mutation")
    failed = bench.fails(test)
    if failed:
        sys.exit(f"mutate: without a mutation this fails: {failed}")
    print(f"{test[0]} passes in {bench.seconds[test[0]]:.1f} s", flush=True)


def digest(sources):
    return hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest()


def read_log(path, run):
    """The entries of a log; it must be of the same run."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(run) + "\n")
        return []
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    for key in ("seed", "paths", "again", "own", "sources"):
        if entries[0][key] != run[key]:
            sys.exit(f"mutate: {path} was begun with other {key} ({entries[0][key]}, now "
                     f"{run[key]}); give another --log")
    return entries[1:]


def show(entry):
    killer = f"  <- {entry['killer']}" if entry["killer"] else ""
    print(f"{entry['verdict']:<12} {entry['path']}:{entry['line']} {entry['operator']}: "
          f"{entry['before']!r} -> {entry['after']!r}{killer}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="mutations that are killed or survive")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--paths", default=",".join(ROOMS), help="folders or files, by commas")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build-mutate")
    parser.add_argument("--log", type=pathlib.Path, help="FOLDER/seed-SEED.jsonl, if not given")
    parser.add_argument("--again", type=pathlib.Path, help="the survivors of this log")
    parser.add_argument("--own", action="store_true", help="the room's own unit tests alone")
    parser.add_argument("--list", action="store_true", help="show what would be drawn, and build nothing")
    parser.add_argument("--jobs", type=int, default=1, help="of a build")
    options = parser.parse_args()
    folder = options.folder.resolve()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("mutate: stopped; the same command goes on"))

    sources = sources_of(options.paths.split(","))
    drawn = again(options.again, sources) if options.again else draw(sources, options.seed)
    if options.list:
        for path, mutation in [found for found, _ in zip(drawn, range(options.count))]:
            show({"path": path, "verdict": "drawn", "killer": "",
                  **describe(sources[path], mutation)})
        return
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE,
                            text=True).stdout.strip()
    run = {"seed": options.seed, "paths": options.paths, "again": str(options.again or ""),
           "own": options.own, "sources": digest(sources), "commit": commit}
    name = f"again-{options.again.stem}.jsonl" if options.again else f"seed-{options.seed}.jsonl"
    log = options.log or folder / name
    done = read_log(log, run)
    bench = Bench(folder, options.jobs, options.own)
    bench.prepare()
    with open(log, "a") as output:
        for index, (path, mutation) in enumerate(drawn):
            if sum(entry["verdict"] in ("killed", "survived") for entry in done) >= options.count:
                break
            if index < len(done):
                continue
            began = time.monotonic()
            verdict, killer = judge(bench, path, sources[path], mutation)
            entry = {"path": path, "verdict": verdict, "killer": killer,
                     "seconds": round(time.monotonic() - began, 1),
                     **describe(sources[path], mutation)}
            done.append(entry)
            output.write(json.dumps(entry) + "\n")
            output.flush()
            show(entry)
    print()
    for entry in done:
        if entry["verdict"] in ("survived", "not reached"):
            show(entry)
    counts = {verdict: sum(entry["verdict"] == verdict for entry in done)
              for verdict in ("killed", "survived", "not reached", "not compiled")}
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))


if __name__ == "__main__":
    main()
