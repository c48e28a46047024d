#!/usr/bin/env -S python3 -B
"""One file call of a turn fails: the state is whole, the message is there, the next turn works.

A turn of `chat --context` whose n-th file call fails, n drawn from all of them: with the disk full
(once, from then on, or after half a write), with an input/output error (once, from then on), without
the right, on a read-only file system, without a free descriptor. Afterwards the context is as before
the turn, or has the line, or has the reply too; it verifies; a failure has its message and its exit
code; the next turn works and nothing is left lying. --count: how many faults.
"""

import re
import shutil

from _attack import FAULTS, Attack, folder_of, left_over, state_of, transcript_of

CHAT = ["chat", "-t", "1", "-n", "5", "--temp", "0.8", "--seed", "3", "--context", "talk"]
FIRST, FAULTY, NEXT = "My name is Ada.", "Where do I live?", "Good night."


class Faults:
    def __init__(self, attack):
        self.attack = attack
        self.begun = self.make([FIRST])
        self.states = {}
        line = self.make([FIRST, FAULTY])
        self.done = (transcript_of(line, "talk"), state_of(folder_of(line, "talk")))
        self.calls = attack.calls(attack.home(like=self.begun), *CHAT, lines=f"{FAULTY}\n".encode())
        last = self.make([FIRST, FAULTY, NEXT])
        self.last = transcript_of(last, "talk")

    def make(self, lines):
        home = self.attack.home()
        done = self.attack.run(home, *CHAT, lines="".join(x + "\n" for x in lines).encode())
        self.attack.check(done.returncode == 0, "the home is made", done.stderr)
        return home

    def kind_of_state(self, home):
        said = transcript_of(home, "talk")
        before = transcript_of(self.begun, "talk")
        if said == before:
            return "old"
        if said == before + [("user", FAULTY)]:
            return "pending"
        return "new" if said == self.done[0] else "wrong"

    def once(self, name, n):
        attack = self.attack
        fault, code = FAULTS[name]
        home = attack.home(like=self.begun)
        done = attack.run(home, *CHAT, lines=f"{FAULTY}\n".encode(), fault=f"{fault},{n}")
        what = f"{name} at call {n}:"
        state = self.kind_of_state(home)
        attack.note(f"{state} state, exit {done.returncode}")
        attack.check(state != "wrong", what, "the transcript is", transcript_of(home, "talk"))
        attack.check(done.returncode in (0, code), what, f"exit {done.returncode}, not {code}",
                     done.stderr)
        if done.returncode != 0:
            # A message says what failed; a success may have lost nothing.
            attack.check(re.search(rb"^gyrator: .{8}", done.stderr), what, "no message", done.stderr)
        else:
            attack.check(state == "new", what, f"exit 0 with the {state} state")
        seen = attack.run(home, "verify", "talk")
        attack.check(seen.returncode == 0, what, "verify", seen.stderr)
        lines = f"{NEXT}\n" if state != "old" else f"{FAULTY}\n{NEXT}\n"
        after = attack.run(home, *CHAT, lines=lines.encode())
        attack.check(after.returncode == 0, what, "the next turn", after.stderr)
        attack.check(transcript_of(home, "talk") == self.last, what, "then the transcript is",
                     transcript_of(home, "talk"))
        attack.check(not left_over(home, ["talk"]), what, "left over:", left_over(home, ["talk"]))
        shutil.rmtree(home)


def main():
    attack = Attack(__doc__, count=9)
    faults = Faults(attack)
    attack.note("file calls of a turn", faults.calls)
    for i in range(attack.count):
        name = list(FAULTS)[i % len(FAULTS)]
        faults.once(name, attack.random.randint(1, faults.calls))
    attack.finish()


main()
