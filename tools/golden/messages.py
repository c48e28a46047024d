"""Makes tests/golden/messages/{messages,conversations}.jsonl: message lists as Python's json writes them.

  messages.jsonl        {"name", "input": the text to read, "messages": [[role, content, extras]],
                        "written": the text to write}
  conversations.jsonl   {"name", "input", "id", "system", "messages", "written"}

The first line of each has the versions. Nothing is random; only the standard library is used.

    .venv/bin/python tools/golden/messages.py           # remake
    .venv/bin/python tools/golden/messages.py --check   # remake elsewhere and compare
"""

import filecmp
import json
import os
import platform
import sys
import tempfile

ROOT = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", "..", "tests", "golden", "messages"))
CONTROLS = "".join(map(chr, range(0x20))) + "\x7f\x80\u2028\u2029\ufeff"
SCRIPTS = 'Grüße, 世界 🌍 "quoted" \\ back / slash\r\n\ttab שלום e\u0301 \U0010ffff'


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# Ways to write the same value.
LAYOUTS = {
    "compact": compact,
    "plain": json.dumps,
    "indented": lambda value: json.dumps(value, indent=2),
    "raw": lambda value: json.dumps(value, ensure_ascii=False, indent="\t") + "\n",
}


def call(name, arguments, call_id="call_1"):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def user(content, **more):
    return {"role": "user", "content": content, **more}


def parts(*texts):
    return [{"type": "text", "text": text} for text in texts]


CALLS = [call("add", '{"a": 1, "b":2}'), call("say", {"text": SCRIPTS}, "call_2"), call("now", "")]

LISTS = {
    "none": [],
    "roles": [{"role": "system", "content": "Be brief."}, user("Hi"), {"role": "assistant", "content": "Hello."},
              {"role": "tool", "content": "3", "tool_call_id": "call_1"}],
    "developer": [{"role": "developer", "content": "Be brief."}],
    "scripts": [user(SCRIPTS), user(CONTROLS), user("")],
    "parts": [user(parts("one", " two", "", SCRIPTS)), user([]), user([{"type": "text", "text": "x", "more": 1}])],
    "calls": [{"role": "assistant", "content": None, "tool_calls": CALLS},
              {"role": "assistant", "content": "", "tool_calls": CALLS},
              {"role": "assistant", "tool_calls": CALLS},
              {"role": "assistant", "content": "Let me see.", "tool_calls": CALLS},
              {"role": "assistant", "content": "", "tool_calls": []},
              {"role": "assistant", "content": "", "tool_calls": None}],
    "extras": [{"zeta": 1, "name": "Ada", "content": "x", "alpha": {"b": [True, False, None, {}], "a": []},
                "role": "user", SCRIPTS: SCRIPTS, "": ""}],
    "numbers": [user("x", n=[0, -1, 2**63 - 1, -(2**63), 2**64 - 1, 0.1, -2.5, 1e300, 5e-324, 1e-7, 100.0])],
}


def read(message):
    content, fields = message.get("content"), dict(message)
    if isinstance(content, list):
        content = "".join(part["text"] for part in content)
    fields.pop("role")
    fields.pop("content", None)
    role = "system" if message["role"] == "developer" else message["role"]
    return [role, content or "", compact(fields) if fields else ""]


def write(message):
    role, content, extras = read(message)
    extras = json.loads(extras or "{}")
    only_calls = role == "assistant" and content == "" and extras.get("tool_calls")
    return {"role": role, "content": None if only_calls else content, **extras}


def message_lines():
    for name, messages in LISTS.items():
        for layout, dump in LAYOUTS.items():
            yield {"name": f"{name} {layout}", "input": dump(messages), "messages": list(map(read, messages)),
                   "written": compact(list(map(write, messages)))}


def conversation_lines():
    number = 0
    for name, messages in LISTS.items():
        messages = [message for message in messages if read(message)[0] != "system"]
        for system in (None, "", SCRIPTS):
            for layout, dump in LAYOUTS.items():
                number += 1
                value = {"id": f"{number:032x}", "system": system, "messages": messages}
                written = {**value, "messages": list(map(write, messages))}
                yield {"name": f"{name} {layout}", "input": dump(value), "id": value["id"], "system": system,
                       "messages": list(map(read, messages)), "written": compact(written)}


def make(folder):
    os.makedirs(folder, exist_ok=True)
    versions = {"python": platform.python_version(), "json": json.__version__}
    for file, lines in (("messages.jsonl", message_lines()), ("conversations.jsonl", conversation_lines())):
        with open(os.path.join(folder, file), "w", encoding="utf-8", newline="\n") as out:
            for line in ({"versions": versions}, *lines):
                out.write(json.dumps(line) + "\n")


def main():
    if "--check" not in sys.argv[1:]:
        make(ROOT)
        return
    with tempfile.TemporaryDirectory() as folder:
        make(folder)
        for name in ("messages.jsonl", "conversations.jsonl"):
            if not filecmp.cmp(os.path.join(folder, name), os.path.join(ROOT, name), shallow=False):
                raise SystemExit(f"{name} differs from what is committed")
    print("messages: as committed")


if __name__ == "__main__":
    main()
