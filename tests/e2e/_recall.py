"""Recall after a kill, over generated conversations with values that training never saw.

usage: _recall.py BIN_FOLDER CONVERSATIONS   (GYRATOR_HOME is set by the caller; run by recall.sh)

Each conversation runs three times: in one process that is never stopped; in a process that gets
SIGKILL in the middle of the reply before a question, with a second process that goes on from what was
saved; and the question alone, in a process that was told nothing. Prints one line a figure:
NAME VALUE LIMIT, and what went wrong first.
"""

import json
import os
import signal
import subprocess
import sys

BIN, COUNT = sys.argv[1], int(sys.argv[2])
CHAT = [os.path.join(BIN, "gyrator"), "chat", "--temp", "0", "-t", "1", "-n", "60"]


def conversations():
    """Lists of turns, each with a question (its index) about something told before it."""
    made = subprocess.run(
        [os.path.join(BIN, "gyrator-dialogues"), "--held-out", "--json", "--seed", "20261121",
         "-n", str(2 * COUNT), "--turns", "8"], check=True, capture_output=True, text=True).stdout
    for line in made.splitlines():
        dialogue = json.loads(line)
        turns = dialogue["turns"]
        asks = [i for i, turn in enumerate(turns) if turn["kind"] == "ask" and i > 0]
        if dialogue["system"] is None and asks:
            yield turns, asks[0]


def replies(lines, flags):
    """What a process says to the lines: a list of replies."""
    talk = subprocess.run(CHAT + flags, input="".join(line + "\n" for line in lines), text=True,
                          capture_output=True, check=True)
    return talk.stdout.split("\n")[:-1]


def kill_in_reply(lines, flags):
    """Gives the lines to a process and kills it when the last one's reply has begun."""
    talk = subprocess.Popen(CHAT + flags, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    talk.stdin.write("".join(line + "\n" for line in lines).encode())
    talk.stdin.flush()
    said = b""
    while said.count(b"\n") < len(lines) - 1 or said.endswith(b"\n") or not said:
        piece = os.read(talk.stdout.fileno(), 1)
        if not piece:
            raise RuntimeError("the process ended by itself")
        said += piece
    talk.send_signal(signal.SIGKILL)
    talk.wait()
    talk.stdin.close()
    talk.stdout.close()


def knows(reply, turn):
    return all(text in reply for text in turn["expected"])


def main():
    done = same = recalled = guessed = cut = 0
    for turns, ask in conversations():
        if done == COUNT:
            break
        lines = [turn["user"] for turn in turns]
        name = ["--context", f"c{done}"]
        whole = replies(lines, [])
        kill_in_reply(lines[:ask], name)
        resumed = replies(lines[ask:], name)
        cut += len(resumed) == len(lines) - ask + 1
        if resumed == whole[-len(resumed):]:
            same += 1
        elif same == done:
            print(f"# conversation {done}: {whole} but resumed {resumed}")
        recalled += knows(resumed[len(resumed) - len(lines) + ask], turns[ask])
        guessed += knows(replies([lines[ask]], [])[0], turns[ask])
        done += 1
    print(f"conversations {done} {COUNT}")
    print(f"word_for_word {same} {done}")
    print(f"killed_in_the_reply {cut} {done}")
    print(f"recalled {recalled} {done}")
    print(f"guessed {guessed} {done}")


main()
