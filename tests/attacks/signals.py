#!/usr/bin/env -S python3 -B
"""Signals in a talk: what was saved is whole, and the talk goes on.

INT, TERM, HUP (once, or a second later one), QUIT, USR1, PIPE and XFSZ, sent after a time drawn at
random in a talk of four turns. --count: how many signals.
"""

import shutil
import signal
import subprocess
import time

from _attack import Attack, left_over, transcript_of, words

CHAT = ["chat", "-t", "1", "-n", "24", "--temp", "0.8", "--seed", "4", "--context", "talk"]
# Signals that end a talk, and its exit code; PIPE and XFSZ are no reason to end.
ENDS = {signal.SIGINT: 130, signal.SIGTERM: 130, signal.SIGHUP: 130, signal.SIGQUIT: -signal.SIGQUIT,
        signal.SIGUSR1: -signal.SIGUSR1, signal.SIGPIPE: 0, signal.SIGXFSZ: 0}
TURNS = 4


def seconds_of_talk(attack):
    home = attack.home()
    begin = time.monotonic()
    done = attack.run(home, *CHAT, lines=b"Hello.\n" * TURNS)
    attack.check(done.returncode == 0, "an undisturbed talk", done.stderr)
    return time.monotonic() - begin


def wait_for_first_byte(process, seconds):
    """Lets a time pass; the handlers are there when the process has been running for a while."""
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        pass


def once(attack, number, seconds):
    rng = attack.random
    home = attack.home()
    lines = [words(rng, rng.randint(1, 5)) for _ in range(TURNS)]
    done = attack.run(home, *CHAT, lines=(lines[0] + "\n").encode())
    attack.check(done.returncode == 0, "the first turn", done.stderr)
    process = attack.start(home, *CHAT)
    process.stdin.write("".join(line + "\n" for line in lines[1:]).encode())
    process.stdin.flush()
    began = rng.random() < 0.8 and process.stdout.read(1)
    wait_for_first_byte(process, rng.uniform(0, seconds))
    process.send_signal(number)
    if number in (signal.SIGINT, signal.SIGTERM) and rng.random() < 0.3:
        wait_for_first_byte(process, rng.uniform(0, 0.02))
        process.send_signal(number)  # a second one ends the process at once
    _, err = process.communicate()
    what = f"{signal.Signals(number).name} ({'in the talk' if began else 'at any time'}):"
    attack.note(f"{signal.Signals(number).name}: exit {process.returncode}")
    # Before the handlers are there a signal does what it does to any process.
    codes = (ENDS[number], 0) if began else (ENDS[number], 0, -number)
    attack.check(process.returncode in codes, what, f"exit {process.returncode}", err)
    said = transcript_of(home, "talk")
    users = [text for role, text in said if role == "user"]
    attack.check(users == lines[:len(users)], what, "the lines are", users)
    seen = attack.run(home, "verify", "talk")
    attack.check(seen.returncode == 0, what, "verify", seen.stderr)
    after = attack.run(home, *CHAT, lines=b"And then?\n")
    then = transcript_of(home, "talk")
    attack.check(after.returncode == 0 and then[:len(users)] == said[:len(users)]
                 and then[-1][0] == "assistant", what, "the next turn", after.stderr, then[-2:])
    stays = left_over(home, ["talk"])
    attack.check(not stays, what, "left over:", stays)
    shutil.rmtree(home)


def main():
    attack = Attack(__doc__, count=7)
    seconds = seconds_of_talk(attack)
    for i in range(attack.count):
        once(attack, list(ENDS)[i % len(ENDS)], seconds)
    attack.finish()


main()
