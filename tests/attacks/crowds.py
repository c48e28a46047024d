#!/usr/bin/env -S python3 -B
"""Commands of all kinds at once on a few names: each is done, or refused for what is true.

Five workers draw fork, load, rm, save, verify, show, ls, stats and chat on four names. A command ends
with 0, or says that its name exists (2), is not there (3) or is in use (8); none calls a context
damaged. At the end all contexts verify, and nothing is left of what was removed. Of six commands that
would make the same name exactly one does. --count: how many commands.
"""

import os
import random
import threading

from _attack import Attack, folder_of, left_over

WORKERS = 5
NAMES = ["one", "two", "three", "four"]
CHAT = ["chat", "-t", "1", "-n", "1", "--temp", "0", "--context"]
LINE = b"Hello there.\n"


def draw(rng, away, copies):
    name, other = rng.choice(NAMES), rng.choice(NAMES)
    return rng.choice([["fork", name, other], ["fork", name, other, "--messages", "0"],
                       ["load", away, "--as", name], ["rm", name], ["save", name, "--to", copies],
                       ["verify", name], ["show", name], ["ls"], ["stats"], [*CHAT, name]])


class Crowd:
    def __init__(self, attack):
        self.attack = attack
        self.home = attack.home()
        self.copies = os.path.join(attack.work, "copies")
        self.lock = threading.Lock()
        done = attack.run(self.home, *CHAT, "one", lines=LINE)
        attack.check(done.returncode == 0, "the home is made", done.stderr)
        done = attack.run(self.home, "save", "one", "--to", os.path.join(attack.work, "away"))
        self.away = done.stdout.decode().strip()

    def worker(self, seed, count):
        rng = random.Random(seed)
        for _ in range(count):
            command = draw(rng, self.away, self.copies)
            done = self.attack.run(self.home, *command, lines=LINE)
            good = done.returncode in (0, 2, 3) or (done.returncode == 8 and b"in use" in done.stderr)
            good = good and b"unreadable" not in done.stdout
            with self.lock:
                self.attack.note(f"{command[0]}: exit {done.returncode}")
                self.attack.check(good, command, f"exit {done.returncode}", done.stderr)

    def all_at_once(self, count):
        threads = [threading.Thread(target=self.worker, args=(self.attack.args.seed * 97 + i,
                                                              count // WORKERS))
                   for i in range(WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def is_whole(self):
        attack = self.attack
        # A turn of a context of its own recovers the home.
        done = attack.run(self.home, *CHAT, "last", lines=LINE)
        attack.check(done.returncode == 0, "the next turn", done.stderr)
        names = [name for name in [*NAMES, "last"] if folder_of(self.home, name)]
        for place in [*names, *(os.path.join(self.copies, item) for item in self.copied())]:
            done = attack.run(self.home, "verify", place)
            attack.check(done.returncode == 0, "verify", place, done.stderr)
        stays = left_over(self.home, names)
        attack.check(not stays, "left over:", stays)

    def copied(self):
        if not os.path.isdir(self.copies):
            return []
        return [item for item in os.listdir(self.copies) if item != ".lock"]

    def one_makes_it(self):
        """Six that would make a name, started together."""
        makers = [["fork", "last", "new"], ["load", self.away, "--as", "new"]] * 3
        processes = [self.attack.start(self.home, *command) for command in makers]
        codes = []
        for process in processes:
            _, err = process.communicate()
            codes.append(process.returncode)
            self.attack.check(process.returncode in (0, 2, 8), "makers:", process.returncode, err)
        self.attack.check(codes.count(0) == 1, "made it:", codes)
        done = self.attack.run(self.home, "rm", "new")
        self.attack.check(done.returncode == 0, "rm", done.stderr)


def main():
    attack = Attack(__doc__, count=60)
    crowd = Crowd(attack)
    crowd.all_at_once(attack.count)
    crowd.is_whole()
    for _ in range(1 + attack.count // 60):
        crowd.one_makes_it()
    attack.finish()


main()
