#!/usr/bin/env -S python3 -B
"""Readers beside a talk that saves all the time: a healthy context is never called damaged.

One process talks, and saves twice a turn; verify, show, save, fork, stats, ls and explain of the same
context run beside it, two at once. Each of them ends well, and the copies that save and fork made
verify. --count: how many reader commands.
"""

import os
import queue
import threading

from _attack import Attack, folder_of, left_over, transcript_of

CHAT = ["chat", "-t", "1", "-n", "1", "--temp", "0.9", "--seed", "8", "-c", "128",
        "--overflow", "fifo", "--context", "talk"]
AT_ONCE = 2


class Talker:
    """Says a line after each reply until it is told to stop."""

    def __init__(self, attack, home):
        self.turns = 0
        self.stopping = False
        self.process = attack.start(home, *CHAT)
        self.thread = threading.Thread(target=self.talk)
        self.thread.start()

    def talk(self):
        self.say()
        for _ in self.process.stdout:
            self.turns += 1
            if self.stopping:
                break
            self.say()
        self.process.stdin.close()

    def say(self):
        self.process.stdin.write(b"Tell me of turn %d.\n" % self.turns)
        self.process.stdin.flush()

    def stop(self):
        self.stopping = True
        self.thread.join()
        self.process.stdin = None
        return self.process.wait()


def commands(number, work):
    """The i-th reader's command, and the context that it makes, if any."""
    copies = os.path.join(work, f"copies{number}")
    return [(["verify", "talk"], None), (["show", "talk"], None), (["show", "talk", "--json"], None),
            (["save", "talk", "--to", copies], copies), (["fork", "talk", f"fork{number}"], None),
            (["stats", "--context", "talk"], None), (["ls"], None), (["ls", "--json"], None),
            (["explain", "--context", "talk", "-p", "And now?"], None)]


class Readers:
    def __init__(self, attack, home):
        self.attack = attack
        self.home = home
        self.todo = queue.SimpleQueue()
        self.lock = threading.Lock()

    def read(self, number):
        which = commands(number, self.attack.work)
        command, copies = which[number % len(which)]
        done = self.attack.run(self.home, *command)
        wrong = done.returncode != 0 or b"unreadable" in done.stdout + done.stderr
        with self.lock:
            self.attack.note(f"{command[0]}: {'wrong' if wrong else 'right'}")
            self.attack.check(not wrong, command[0], f"exit {done.returncode}", done.stderr,
                              done.stdout[-200:] if wrong else b"")
        made = None
        if command[0] == "fork":
            made = f"fork{number}"
        elif copies and done.returncode == 0:
            made = done.stdout.decode().strip()
        if made and done.returncode == 0:
            seen = self.attack.run(self.home, "verify", made)
            self.attack.run(self.home, "rm", made) if command[0] == "fork" else None
            with self.lock:
                self.attack.check(seen.returncode == 0, command[0], "the copy", seen.stderr)

    def work(self):
        while True:
            try:
                number = self.todo.get_nowait()
            except queue.Empty:
                return
            self.read(number)

    def run(self, count):
        for number in self.attack.random.sample(range(count), count):
            self.todo.put(number)
        threads = [threading.Thread(target=self.work) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def main():
    attack = Attack(__doc__, count=45)
    home = attack.home()
    attack.run(home, *CHAT, lines=b"Hello.\n")
    talker = Talker(attack, home)
    Readers(attack, home).run(attack.count)
    code = talker.stop()
    attack.check(code == 0, "the talk:", f"exit {code}")
    said = transcript_of(home, "talk")
    attack.check(len(said) == 2 + 2 * talker.turns, "turns lost:", len(said), talker.turns)
    seen = attack.run(home, "verify", folder_of(home, "talk"))
    attack.check(seen.returncode == 0, "verify at the end", seen.stderr)
    # A copy that somebody read while it was removed goes with anybody's next turn.
    done = attack.run(home, *CHAT, lines=b"Goodbye.\n")
    attack.check(done.returncode == 0, "the last turn", done.stderr)
    stays = left_over(home, ["talk"])
    attack.check(not stays, "left over:", stays)
    attack.note("turns of the talk", talker.turns)
    attack.finish()


main()
