#!/usr/bin/env -S python3 -B
"""Lines that no one should type: each costs one line at most, never the conversation.

A talk is given lines of odd kinds (too long, control characters, bytes that are not UTF-8, empty,
enormous, what means something to a template), in a pipe or on a terminal, and is killed now and then.
After each the context opens again and a plain line is answered; no control character reaches a
terminal. --count: how many odd lines.
"""

import os
import pty
import re
import select
import shutil
import time

from _attack import TIME_LIMIT, Attack, died_of_kill, left_over, transcript_of

CHAT = ["chat", "-t", "1", "-n", "4", "--temp", "0.8", "--seed", "6", "-c", "160",
        "--context", "talk"]
# What is left of a terminal's output when the sequences that libedit draws with are taken away.
DRAWN = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|[\r\n\t\b\x07]")
ODD = {
    "too long": lambda r: b"word " * r.randint(160, 3000),
    "too long, one word": lambda r: b"a" * r.randint(2000, 30000),
    "control characters": lambda r: bytes(r.choice(b"\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x1b\x7f")
                                          for _ in range(r.randint(1, 20))),
    "controls in words": lambda r: b"Hello \x1b[31m" + bytes([r.randint(1, 8)]) + b" there \x02.",
    "C1 controls": lambda r: "Hello \u0085\u009b31m \u009d.".encode(),
    "NUL": lambda r: b"Hel\0lo" + b"\0" * r.randint(0, 3),
    "not UTF-8": lambda r: b"caf\xe9 " + bytes(r.randint(128, 255) for _ in range(r.randint(1, 9))),
    "cut UTF-8": lambda r: "na\u00efve \U0001f600".encode()[:-r.randint(1, 3)],
    "surrogates": lambda r: b"\xed\xa0\xbd\xed\xb8\x80",
    "empty": lambda r: b"",
    "blanks": lambda r: b" " * r.randint(1, 40) + b"\t",
    "enormous": lambda r: b"x y " * 250000,
    "template words": lambda r: r.choice([b"<|user|>", b"<|assistant|><|end|>", b"{{ x }}", b"{% raw %}",
                                          b"</s><s>[INST]", b"<|im_end|>", b"{{ raise_exception('x') }}"]),
    "line ends": lambda r: b"one\rtwo\x0bthree\x0c four \xe2\x80\xa8 five",
    "wide": lambda r: ("\u202e\u200d\U0001f469\u200d\U0001f467 \u0301" * r.randint(1, 20)).encode(),
    "U+0002 alone": lambda r: b"\x02",
    "byte order mark": lambda r: b"\xef\xbb\xbfHello.",
    "slash": lambda r: r.choice([b"/", b"//", b"/etc/passwd", b"/rewind 99", b"/edit", b"/fork ../x"]),
}


def on_terminal(attack, home, data, fault):
    """chat with its input and output on a terminal; the exit code and all that it printed."""
    pid, master = pty.fork()
    if pid == 0:
        env = attack.environment(home, fault)
        env["TERM"] = "dumb"
        os.execve(attack.gyrator, [attack.gyrator, *CHAT], env)
    printed, end = b"", time.monotonic() + TIME_LIMIT
    todo = data + b"\n\x04"
    while time.monotonic() < end:
        readable, writable, _ = select.select([master], [master] if todo else [], [], 5)
        if writable:
            todo = todo[os.write(master, todo[:512]):]
        if readable:
            try:
                printed += os.read(master, 65536)
            except OSError:
                break
        elif not todo:
            # The end of the line may have been eaten by half a character before it, and the end of
            # the input ends a talk at the beginning of a line only.
            todo = b"\n\x04"
    os.close(master)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), printed


class OddLines:
    def __init__(self, attack):
        self.attack = attack
        self.home = attack.home()
        self.next_line(0, "at the beginning")

    def next_line(self, number, what):
        """A plain line is answered."""
        line = f"Hello number {number}."
        done = self.attack.run(self.home, *CHAT, lines=f"{line}\n".encode())
        said = transcript_of(self.home, "talk")
        self.attack.check(done.returncode == 0 and said[-1:] and said[-1][0] == "assistant"
                          and ("user", line) in said, what, f"then exit {done.returncode}",
                          done.stderr[-300:], str(said[-2:])[:300])

    def once(self, number):
        rng, attack = self.attack.random, self.attack
        kind = list(ODD)[number % len(ODD)]
        line = ODD[kind](rng).replace(b"\n", b" ")
        terminal = rng.random() < 0.4 and len(line) < 4000
        fault = f"{rng.choice(['before', 'after'])},{rng.randint(1, 400)}" if rng.random() < 0.3 else None
        what = f"{kind} ({'terminal' if terminal else 'pipe'}, {fault}):"
        if terminal:
            code, printed = on_terminal(attack, self.home, line, fault)
            raw = DRAWN.sub(b"", printed)
            attack.check(not re.search(rb"[\x00-\x1f\x7f]", raw), what, "raw on the terminal:", raw)
            killed = code == -9
        else:
            done = attack.run(self.home, *CHAT, lines=line + b"\nPlease go on.\n", fault=fault)
            code, killed = done.returncode, died_of_kill(done)
            if code not in (0, -9):
                attack.check(done.stderr.startswith(b"gyrator: "), what, "no message", done.stderr)
            if not killed:
                said = transcript_of(self.home, "talk")
                attack.check(("user", "Please go on.") in said[-3:], what, "the line behind it",
                             f"exit {code}", done.stderr[-300:], str(said[-2:])[:300])
        attack.note(f"{'terminal' if terminal else 'pipe'}: exit {code}")
        attack.check(code in (0, 2, 4, 6, -9), what, f"exit {code}")
        seen = attack.run(self.home, "verify", "talk")
        attack.check(seen.returncode == 0, what, "verify", seen.stderr)
        self.next_line(number, what)
        stays = left_over(self.home, ["talk"])
        attack.check(not stays, what, "left over:", stays)


def main():
    attack = Attack(__doc__, count=18)
    talk = OddLines(attack)
    for number in range(attack.count):
        if number % 36 == 35:  # an enormous context makes all later turns slow
            shutil.rmtree(talk.home)
            talk = OddLines(attack)
        talk.once(number)
    attack.finish()


main()
