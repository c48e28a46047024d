"""Runs a command on a terminal of its own and types.

    _terminal.py STEP... -- COMMAND...

STEP: see:TEXT (waits for it), type:TEXT (and the return key), key:c (with control), wait (for the
end). What the terminal got goes to standard output; the exit code is the command's, 128 + N after a
signal, 99 when something did not come within a minute.
"""
import os
import pty
import select
import sys
import time

SECONDS = 60


def main():
    split = sys.argv.index("--")
    steps, command = sys.argv[1:split], sys.argv[split + 1 :]
    child, terminal = pty.fork()
    if child == 0:
        os.execvp(command[0], command)
    seen, at = b"", 0

    def read(until):
        nonlocal seen
        while not until():
            ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                return False
            try:
                got = os.read(terminal, 65536)
            except OSError:  # the other side is closed
                return until()
            if not got:
                return until()
            seen += got
        return True

    failed = ""
    for step in steps + ["wait"]:
        deadline = time.monotonic() + SECONDS
        kind, _, text = step.partition(":")
        if kind == "see":
            if not read(lambda: seen.find(text.encode(), at) >= 0):
                failed = step
                break
            at = seen.find(text.encode(), at) + len(text.encode())
        elif kind == "type":
            os.write(terminal, text.encode() + b"\r")
        elif kind == "key":
            os.write(terminal, bytes([ord(text) & 0x1F]))
        elif not read(lambda: False) and time.monotonic() >= deadline:
            failed = step
    if failed:
        os.kill(child, 9)
    sys.stdout.buffer.write(seen)
    sys.stdout.flush()
    _, status = os.waitpid(child, 0)
    if failed:
        print(f"\nnot seen: {failed}", file=sys.stderr)
        sys.exit(99)
    sys.exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))


main()
