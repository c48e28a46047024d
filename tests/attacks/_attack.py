"""What the attacks share: flags, a work folder, running the command, reading a home, counting.

usage of each attack: tests/attacks/NAME.py BUILD_FOLDER [--seed N] [--count N] [--keep]
"""

import argparse
import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile

STAMP = re.compile(r"^m\d+d\d+x\d+x\d+x\d+(x\d+)?$")
# KIND of a fault (fault.cc), and the exit code of a command that fails of it.
FAULTS = {
    "disk full once": (f"{errno.ENOSPC}", 6),
    "disk full from then on": (f"{errno.ENOSPC}+", 6),
    "disk full in a write": ("short", 6),
    "quota": (f"{errno.EDQUOT}", 6),
    "input/output error once": (f"{errno.EIO}", 8),
    "input/output error from then on": (f"{errno.EIO}+", 8),
    "no right": (f"{errno.EACCES}", 8),
    "read-only": (f"{errno.EROFS}+", 8),
    "no descriptor": (f"{errno.EMFILE}", 8),
}
TIME_LIMIT = 300  # seconds; a command that takes longer hangs


class Attack:
    """One attack: its random numbers, its work folder and its figures."""

    def __init__(self, about, count):
        parser = argparse.ArgumentParser(description=about)
        parser.add_argument("build", help="the build folder")
        parser.add_argument("--seed", type=int, default=1, help="of all that is drawn (1)")
        parser.add_argument("--count", type=int, default=count, help=f"how many tries ({count})")
        parser.add_argument("--keep", action="store_true", help="keep the work folder")
        self.args = parser.parse_args()
        self.name = os.path.splitext(os.path.basename(sys.argv[0]))[0]
        self.build = os.path.abspath(self.args.build)
        self.gyrator = os.path.join(self.build, "bin", "gyrator")
        self.fault = os.path.join(self.build, "bin", "libattack_fault.so")
        self.source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        self.random = random.Random(self.args.seed)
        self.count = self.args.count
        self.work = tempfile.mkdtemp(prefix="attack_")
        self.passed = self.failed = 0
        self.figures = {}
        self.homes = 0

    def note(self, figure, more=1):
        """Adds to a figure of the summary."""
        self.figures[figure] = self.figures.get(figure, 0) + more

    def check(self, good, what, *details):
        """Counts one outcome; says what is wrong."""
        if good:
            self.passed += 1
        else:
            self.failed += 1
            print("FAIL", what, *details, flush=True)
        return good

    def home(self, like=None):
        """A fresh home, or a copy of another one."""
        self.homes += 1
        path = os.path.join(self.work, f"home{self.homes}")
        if like:
            shutil.copytree(like, path, symlinks=True)
        return path

    def environment(self, home, fault=None, count=None):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("GYRATOR_", "XDG_"))}
        env["GYRATOR_HOME"] = home
        if fault:
            env["GYRATOR_FAULT"] = fault
        if count:
            env["GYRATOR_FAULT_COUNT"] = count
        if fault or count:
            env["LD_PRELOAD"] = self.fault
        return env

    def run(self, home, *arguments, lines=b"", fault=None, count=None, **more):
        """The command, to its end; .returncode, .stdout, .stderr as bytes."""
        return subprocess.run([self.gyrator, *arguments], input=lines, capture_output=True,
                              env=self.environment(home, fault, count), timeout=TIME_LIMIT, **more)

    def start(self, home, *arguments, fault=None, **more):
        """The command, with a pipe into it."""
        more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        return subprocess.Popen([self.gyrator, *arguments], stdin=subprocess.PIPE,
                                env=self.environment(home, fault), **more)

    def calls(self, home, *arguments, lines=b""):
        """How many file calls the command makes."""
        path = os.path.join(self.work, "calls")
        done = self.run(home, *arguments, lines=lines, count=path)
        if done.returncode != 0:
            raise RuntimeError(f"{arguments}: exit {done.returncode}: {done.stderr!r}")
        with open(path, encoding="ascii") as file:
            return int(file.read())

    def finish(self):
        """Prints the figures, leaves the counts for tests/run.sh, ends the program."""
        if not self.args.keep:
            shutil.rmtree(self.work, ignore_errors=True)
        for figure, value in sorted(self.figures.items()):
            print(f"{figure}: {value}")
        results = os.path.join(self.build, "results")
        os.makedirs(results, exist_ok=True)
        with open(os.path.join(results, f"attack_{self.name}.count"), "w", encoding="ascii") as out:
            out.write(f"{self.passed} {self.failed}\n")
        print(f"{self.passed} passed, {self.failed} failed (--seed {self.args.seed} "
              f"--count {self.count})")
        sys.exit(0 if self.failed == 0 and self.passed > 0 else 1)


def folder_of(home, name):
    """The folder that a name points at, or None."""
    try:
        with open(os.path.join(home, "contexts", "names", name), encoding="ascii") as file:
            return os.path.join(home, "contexts", file.read().strip())
    except FileNotFoundError:
        return None


def transcript_of(home, name):
    """Pairs (role, content) of a saved context; [] when there is none."""
    folder = folder_of(home, name)
    if folder is None:
        return []
    with open(os.path.join(folder, "chat.json"), encoding="utf-8", errors="surrogatepass") as file:
        return [(message["role"], message["content"]) for message in json.load(file)]


def state_of(folder):
    """The bytes of all that a conversation is: tensors, chat, window."""
    state = {}
    for path, _, files in os.walk(folder):
        for name in files:
            if name.endswith(".npy") or name in ("chat.json", "window.txt"):
                full = os.path.join(path, name)
                with open(full, "rb") as file:
                    state[os.path.relpath(full, folder)] = file.read()
    return state


def left_over(home, names, unnamed=0):
    """What lies in a home and belongs to no context of `names`; `unnamed` folders may have no name."""
    contexts = os.path.join(home, "contexts")
    wrong = []
    pointed = {os.path.basename(folder_of(home, name) or "") for name in names}
    for item in sorted(os.listdir(contexts)):
        if item in ("names", ".lock") or item in pointed:
            continue
        if STAMP.match(item) and unnamed > 0:
            unnamed -= 1
            continue
        wrong.append(item)
    for item in sorted(os.listdir(os.path.join(contexts, "names"))):
        if item in names or (item.startswith(".") and item.endswith(".lock")
                             and item[1:-5] in names):
            continue
        wrong.append("names/" + item)
    return wrong


def died_of_kill(done):
    return done.returncode == -signal.SIGKILL


def words(rng, count):
    """A line that nobody said before."""
    pool = ("ada rain paris seven river stone light name city moon bread winter garden letter "
            "blue horse music ship island clock").split()
    return " ".join(rng.choice(pool) for _ in range(count)).capitalize() + "."
