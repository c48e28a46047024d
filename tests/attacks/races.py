#!/usr/bin/env -S python3 -B
"""Six processes on one name: exactly one has it, the others say busy, no turn is lost.

The six begin at the same time and have a line each; the one that has the name waits for more, so all
others must find it taken. Then it is let go, and the context has its line and none of the others'.
Some of the six are not talks but load --as, fork and rm of that name. --count: how many races.
"""

import os
import shutil

from _attack import Attack, left_over, transcript_of, words

RIVALS = 6
CHAT = ["chat", "-t", "1", "-n", "4", "--temp", "0", "--context", "name"]


class Race:
    def __init__(self, attack, like, away):
        self.attack = attack
        self.home = attack.home(like=like)
        self.away = away
        self.before = transcript_of(self.home, "name")

    def rival(self, kind, line):
        """A process that is on its way; a talk keeps its input open."""
        command = {"chat": CHAT, "load": ["load", self.away, "--as", "name"],
                   "fork": ["fork", "other", "name"], "rm": ["rm", "name"]}[kind]
        process = self.attack.start(self.home, *command)
        if kind == "chat":
            try:
                process.stdin.write(line.encode() + b"\n")
                process.stdin.flush()
            except BrokenPipeError:
                process.stdin = None  # it was refused before it took the line
        else:
            process.stdin.close()
            process.stdin = None
        return process

    def talks(self):
        """Six talks: one answers, five are refused while it does."""
        lines = [words(self.attack.random, 4) for _ in range(RIVALS)]
        rivals = [self.rival("chat", line) for line in lines]
        # The first byte of a reply or the end of the output: who answers has the name.
        winners = []
        for i, process in enumerate(rivals):
            if process.stdout.readline():
                winners.append(i)
        self.attack.check(len(winners) == 1, "winners:", winners)
        for i, process in enumerate(rivals):
            if i in winners:
                continue
            _, err = process.communicate()
            self.attack.check(process.returncode == 8 and b"in use" in err, "a loser:",
                              f"exit {process.returncode}", err)
            self.attack.note("busy", process.returncode == 8)
        for i in winners:
            _, err = rivals[i].communicate()
            self.attack.check(rivals[i].returncode == 0, "the winner:", rivals[i].returncode, err)
            self.attack.note("talked", rivals[i].returncode == 0)
        said = transcript_of(self.home, "name")[len(self.before):]
        expected = [("user", lines[i]) for i in winners]
        self.attack.check(said[:1] == expected and len(said) == 2, "said:", said, "not", expected)

    def mixed(self):
        """A talk that has the name, and rivals of other kinds: each is refused, nothing changes."""
        rng = self.attack.random
        line = words(rng, 4)
        holder = self.rival("chat", line)
        holder.stdout.readline()
        kinds = [rng.choice(["chat", "load", "fork", "rm"]) for _ in range(RIVALS - 1)]
        rivals = [(kind, self.rival(kind, "No.")) for kind in kinds]
        for kind, process in rivals:
            _, err = process.communicate()
            # load and fork may say either that the name exists or that it is in use.
            self.attack.check(process.returncode in ((2, 8) if kind in ("load", "fork") else (8,)),
                              f"{kind} beside a talk:", f"exit {process.returncode}", err)
            self.attack.note(f"{kind} refused", process.returncode != 0)
        _, err = holder.communicate()
        self.attack.check(holder.returncode == 0, "the holder:", holder.returncode, err)
        said = transcript_of(self.home, "name")[len(self.before):]
        self.attack.check(len(said) == 2 and said[0] == ("user", line), "said:", said)

    def run(self, mixed):
        self.mixed() if mixed else self.talks()
        seen = self.attack.run(self.home, "verify", "name")
        self.attack.check(seen.returncode == 0, "verify", seen.stderr)
        stays = left_over(self.home, ["name", "other"])
        self.attack.check(not stays, "left over:", stays)
        shutil.rmtree(self.home)


def main():
    attack = Attack(__doc__, count=4)
    home = attack.home()
    for name in ("name", "other"):
        done = attack.run(home, *CHAT[:-1], name, lines=b"Hello.\n")
        attack.check(done.returncode == 0, "the home is made", done.stderr)
    away = attack.run(home, "save", "other", "--to", os.path.join(attack.work, "away"))
    new = attack.home()
    done = attack.run(new, *CHAT[:-1], "other", lines=b"Hello.\n")
    for i in range(attack.count):
        # In half of the races of talks the name is new.
        like = new if i % 4 == 2 else home
        Race(attack, like, away.stdout.decode().strip()).run(mixed=i % 4 == 3)
    attack.finish()


main()
