#!/usr/bin/env -S python3 -B
"""SIGKILL inside talks: what is there at the end is what an uninterrupted talk leaves.

Talks of eight turns in six modes. A process is killed at a file call drawn at random (most of them
belong to a save) or after a time drawn at random, and started again with the lines that were not
taken; at the end the transcript, the tokens and every tensor are equal, byte for byte, to those of a
talk that nobody disturbed. --count: how many kills.
"""

import os
import subprocess
import time

from _attack import Attack, died_of_kill, folder_of, left_over, state_of, transcript_of, words

TURNS = 8
MODES = {
    "greedy": ["--temp", "0"],
    "sampled": ["--temp", "0.9"],
    "fifo": ["--temp", "0.8", "-c", "96", "--overflow", "fifo"],
    "message": ["--temp", "0.8", "-c", "96", "--overflow", "message"],
    "score, int8 KV": ["--temp", "0.8", "-c", "96", "--overflow", "score", "--kv-dtype", "int8"],
    "sink, recompute, f32": ["--temp", "0.8", "-c", "96", "--overflow", "sink", "--keep", "3",
                             "--evict-mode", "recompute", "--compute", "f32"],
}
RESUMED = {"greedy": [], "sampled": []}  # what a resumed process needs not be told again


class Talk:
    def __init__(self, attack, mode, home):
        self.attack = attack
        self.mode = mode
        self.home = home
        self.rng = attack.random
        self.lines = [words(self.rng, self.rng.randint(1, 6)) for _ in range(TURNS)]
        self.flags = ["-t", "1", "-n", "14", *MODES[mode]]
        if mode != "greedy":
            self.flags += ["--seed", str(self.rng.randint(0, 2**31))]

    def command(self, name):
        """The same flags in each process, or as few as a resume needs."""
        if self.mode in RESUMED and transcript_of(self.home, name) and self.rng.random() < 0.5:
            return ["chat", "-t", "1", "-n", "14", "--context", name, *RESUMED[self.mode]]
        return ["chat", *self.flags, "--context", name]

    def rest(self, name):
        """The lines that the context has not got yet."""
        taken = sum(1 for role, _ in transcript_of(self.home, name) if role == "user")
        return "".join(line + "\n" for line in self.lines[taken:]).encode()

    def undisturbed(self):
        begin = time.monotonic()
        calls = self.attack.calls(self.home, *self.command("whole"), lines=self.rest("whole"))
        self.seconds = time.monotonic() - begin
        self.calls_a_turn = calls // TURNS

    def killed_once(self):
        """True when the process was killed, False when it came to its end."""
        lines = self.rest("talk")
        if self.rng.random() < 0.6:
            # Kills around a rename or a removal are the interesting ones: they lie at a save's end.
            n = self.rng.randint(1, 3 * self.calls_a_turn)
            kind = self.rng.choice(["before", "after"])
            done = self.attack.run(self.home, *self.command("talk"), lines=lines,
                                   fault=f"{kind},{n}")
            self.attack.note("killed at a file call", died_of_kill(done))
        else:
            process = self.attack.start(self.home, *self.command("talk"))
            wait = self.rng.uniform(0, 0.6 * self.seconds)
            try:
                done = process.communicate(lines, timeout=wait)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
            done = process
            self.attack.note("killed after a time", died_of_kill(done))
        if died_of_kill(done):
            contexts = os.path.join(self.home, "contexts")
            inside = os.path.isdir(contexts) and any(
                item.startswith(".tmp-") for item in os.listdir(contexts))
            self.attack.note("found a save that had begun", inside)
            said = transcript_of(self.home, "talk")
            self.attack.note("left a line without its reply", bool(said) and said[-1][0] == "user")
            return True
        self.attack.check(done.returncode == 0, f"{self.mode}: exit {done.returncode}")
        return False

    def compare(self):
        attack, home = self.attack, self.home
        whole, talk = folder_of(home, "whole"), folder_of(home, "talk")
        one, other = state_of(whole), state_of(talk) if talk else {}
        differ = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
        attack.check(not differ, f"{self.mode}: differ:", differ[:4], transcript_of(home, "whole"),
                     transcript_of(home, "talk"))
        for name in ("whole", "talk"):
            done = attack.run(home, "verify", name)
            attack.check(done.returncode == 0, f"{self.mode}: verify {name}", done.stderr)
        attack.check(not left_over(home, ["whole", "talk"]), f"{self.mode}: left over:",
                     left_over(home, ["whole", "talk"]))


def main():
    attack = Attack(__doc__, count=8)
    kills = talks = 0
    while kills < attack.count:
        mode = list(MODES)[talks % len(MODES)]
        talk = Talk(attack, mode, attack.home())
        talk.undisturbed()
        # The last process is left alone, so that a talk that is killed again and again ends.
        while kills < attack.count and talk.killed_once():
            kills += 1
        done = attack.run(talk.home, *talk.command("talk"), lines=talk.rest("talk"))
        attack.check(done.returncode == 0, f"{mode}: last process: exit {done.returncode}", done.stderr)
        talk.compare()
        talks += 1
    attack.note("kills", kills)
    attack.note("talks", talks)
    attack.finish()


main()
