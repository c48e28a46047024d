#!/usr/bin/env -S python3 -B
"""Disks that are too small: exit code 6, the state of before, and all is well with more room.

Where file systems can be mounted, a talk's home is a tmpfs of a size drawn at random, which grows
afterwards; else, and in every third try, the process has a limit of file size. Standard output on a
full device is an input/output error (8), and the turn is kept. --count: how many tries.
"""

import os
import resource
import shutil
import subprocess

from _attack import Attack, left_over, transcript_of, words

CHAT = ["chat", "-t", "1", "-n", "8", "--temp", "0.8", "--seed", "6", "--context", "talk"]
LINES_MAX = 40


def mount(path, kib, again=False):
    options = f"size={kib}k" + (",remount" if again else "")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", path], capture_output=True,
                          check=False)
    return done.returncode == 0


def can_mount(attack):
    path = attack.home()
    os.makedirs(path)
    if os.geteuid() != 0 or shutil.which("mount") is None or not mount(path, 64):
        return False
    subprocess.run(["umount", path], check=True)
    return True


def limit_of_file_size(size):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


class Disk:
    def __init__(self, attack, mounted):
        self.attack = attack
        self.home = attack.home()
        self.mounted = mounted
        self.what = ""
        os.makedirs(self.home)

    def talk(self, lines, **more):
        return self.attack.run(self.home, *CHAT, lines="".join(x + "\n" for x in lines).encode(),
                               **more)

    def fills(self):
        """Talks until it is full; returns the lines that were given."""
        rng = self.attack.random
        lines = [words(rng, rng.randint(3, 30)) for _ in range(LINES_MAX)]
        if self.mounted:
            size = rng.randint(60, 1500)
            self.what = f"tmpfs of {size} KiB:"
            mount(self.home, size)
            done = self.talk(lines)
        else:
            size = rng.choice([1, 100, 512, 4096, 5000, 20000, 66000])
            self.what = f"files of {size} bytes:"
            done = self.talk(lines, preexec_fn=limit_of_file_size(size))
        self.attack.note(f"{'tmpfs' if self.mounted else 'file size'}: exit {done.returncode}")
        self.attack.check(done.returncode in (0, 6), self.what, f"exit {done.returncode}", done.stderr)
        if done.returncode != 0:
            self.attack.check(done.stderr.startswith(b"gyrator: "), self.what, "message", done.stderr)
        return lines

    def is_whole(self, lines):
        """Whatever fitted is a whole conversation, and it goes on when there is room."""
        check = self.attack.check
        said = transcript_of(self.home, "talk") if os.path.isdir(
            os.path.join(self.home, "contexts", "names")) else []
        if said:
            seen = self.attack.run(self.home, "verify", "talk")
            check(seen.returncode == 0, self.what, "verify", seen.stderr)
        users = [text for role, text in said if role == "user"]
        check(users == lines[:len(users)], self.what, "lines lost", users)
        if self.mounted:
            mount(self.home, 65536, again=True)
        done = self.talk(["And now?"])
        then = transcript_of(self.home, "talk")
        check(done.returncode == 0 and then[:len(said)] == said and then[-1][0] == "assistant",
              self.what, "with more room", done.stderr)
        stays = left_over(self.home, ["talk"])
        check(not stays, self.what, "left over:", stays)

    def close(self):
        if self.mounted:
            subprocess.run(["umount", self.home], check=True)
        shutil.rmtree(self.home)


def full_device(attack):
    """Words that cannot be shown are owed; a reply that was whole before it was shown is kept."""
    for flags in ([], ["--json"]):
        home = attack.home()
        with open("/dev/full", "wb") as full:
            process = attack.start(home, *CHAT, *flags, stdout=full)
            _, err = process.communicate(b"Hello.\n")
        what = f"standard output is full {flags}:"
        attack.check(process.returncode == 8, what, f"exit {process.returncode}", err)
        said = transcript_of(home, "talk")
        left = ["user", "assistant"] if flags else ["user"]
        attack.check([role for role, _ in said] == left, what, said)
        for command in (["show", "talk"], ["ls"], ["verify", "talk"], ["stats"], ["--version"]):
            with open("/dev/full", "wb") as full:
                process = attack.start(home, *command, *(flags if command[0] != "--version" else []),
                                       stdout=full)
                _, err = process.communicate()
            attack.check(process.returncode == 8, what, command, f"exit {process.returncode}", err)
        done = attack.run(home, *CHAT, *flags)
        attack.check(done.returncode == 0 and bool(done.stdout) != bool(flags), what, "then", done)


def main():
    attack = Attack(__doc__, count=6)
    mounts = can_mount(attack)
    attack.note("file systems can be mounted", int(mounts))
    for i in range(attack.count):
        disk = Disk(attack, mounts and i % 3 != 2)
        try:
            disk.is_whole(disk.fills())
        finally:
            disk.close()
    full_device(attack)
    attack.finish()


main()
