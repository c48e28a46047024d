#!/usr/bin/env -S python3 -B
"""SIGKILL or a fault inside rm, load --as, fork, fork --seed and save: before or after, no remains.

A copy of one home for each try; at a file call drawn at random, each of them with the same chance, the
command is killed (in every second try) or the call fails. The contexts are then those before it or
those after it, all of them verify, and after one turn of another context (which recovers the home) no
file of the command is left. A failure has its message and its exit code. --count: how many tries.
"""

import os
import shutil

from _attack import FAULTS, Attack, died_of_kill, folder_of, left_over, state_of

CHAT = ["chat", "-t", "1", "-n", "6", "--temp", "0.8", "--seed", "5", "--context"]


def make_home(attack):
    home = attack.home()
    for name, lines in (("one", b"My name is Ada.\nHello.\n"), ("other", b"Good morning.\n")):
        done = attack.run(home, *CHAT, name, lines=lines)
        attack.check(done.returncode == 0, "the home is made", done.stderr)
    done = attack.run(home, "save", "one", "--to", os.path.join(attack.work, "away"))
    attack.check(done.returncode == 0, "the copy is made", done.stderr)
    return home, done.stdout.decode().strip()


def names_of(home):
    folder = os.path.join(home, "contexts", "names")
    return sorted(name for name in os.listdir(folder) if not name.startswith(".")
                  and not name.endswith(".tmp"))


def folders_of(home):
    return sum(1 for item in os.listdir(os.path.join(home, "contexts")) if item.startswith("m"))


def disturbed(attack, home, command, calls, kill):
    """Kills the command, or lets it fail, at one of its calls; returns what happened where."""
    n = attack.random.randint(1, calls)
    if kill:
        kind = attack.random.choice(["before", "after"])
        done = attack.run(home, *command, fault=f"{kind},{n}")
        attack.note("killed", died_of_kill(done))
        return f"{command[:3]} killed {kind} call {n}:"
    name = attack.random.choice(list(FAULTS))
    fault, code = FAULTS[name]
    done = attack.run(home, *command, fault=f"{fault},{n}")
    what = f"{command[:3]}, {name} at call {n}:"
    attack.note(f"fault: exit {done.returncode}")
    attack.check(done.returncode in (0, code), what, f"exit {done.returncode}", done.stderr)
    if done.returncode != 0:
        attack.check(done.stderr.startswith(b"gyrator: "), what, "no message", done.stderr)
    return what


def try_once(attack, home, plan, kill):
    """Disturbs a command; `after` is what the names and folders are when it ends undisturbed."""
    command, calls, after = plan
    copy = attack.home(like=home)
    what = disturbed(attack, copy, command, calls, kill)
    names = names_of(copy)
    before = names_of(home)
    attack.check(names in (before, after[0]), what, "the names are", names)
    for name in names:
        seen = attack.run(copy, "verify", name)
        attack.check(seen.returncode == 0, what, "verify", name, seen.stderr)
    if "one" in names:
        same = state_of(folder_of(copy, "one")) == state_of(folder_of(home, "one"))
        attack.check(same, what, "'one' has changed")
    # Anybody's next turn recovers the home.
    done = attack.run(copy, *CHAT, "other", lines=b"And then?\n")
    attack.check(done.returncode == 0, what, "the next turn", done.stderr)
    unnamed = folders_of(copy) - len(names)
    attack.check(unnamed in (0, after[1]), what, unnamed, "folders without a name")
    stays = left_over(copy, names, unnamed=after[1])
    locks = [item for item in os.listdir(os.path.join(copy, "locks")) if item not in names]
    attack.check(not stays and not locks, what, "left over:", stays, "locks:", locks)
    if names != after[0] or after[1]:
        done = attack.run(copy, *command)
        attack.check(done.returncode == 0, what, "the same command again", done.stderr)
    shutil.rmtree(copy)


def main():
    attack = Attack(__doc__, count=10)
    home, away = make_home(attack)
    commands = [(["rm", "one"], 0), (["load", away, "--as", "new"], 0), (["fork", "one", "new"], 0),
                (["fork", "one", "new", "--seed", "9"], 0), (["save", "one"], 1)]
    plans = []
    for command, unnamed in commands:
        copy = attack.home(like=home)
        calls = attack.calls(copy, *command)
        plans.append((command, calls, (names_of(copy), unnamed)))
        shutil.rmtree(copy)
        attack.note(f"file calls of {command[0]}", calls)
    for i in range(attack.count):
        try_once(attack, home, plans[i % len(plans)], kill=i // len(plans) % 2 == 0)
    attack.finish()


main()
