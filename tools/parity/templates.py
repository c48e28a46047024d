"""Renders published chat templates with Gyrator and with transformers, and compares every byte.

    .venv/bin/python tools/parity/templates.py [--list FILE] [--show N] PATH...

A PATH is a template (*.jinja), a tokenizer_config.json, a GGUF file, or a folder in which all of these are
looked for. Templates that are equal count once. Each is rendered over the conversations below, with and
without a generation prompt, under transformers' apply_chat_template (5.23.0 or later) at a fixed clock.
--list writes where each template was found; templates are not ours and are not kept.

Needs build/bin/text_server (target text_server, GYRATOR_DEV=ON) and the packages of tools/setup.sh golden; with
the openai package the dumps of its messages are made by it, otherwise by its documented form.
Exit 1: a render differs for another reason than the documented `safe`.
"""

import argparse
import datetime as datetime_module
import hashlib
import json
import os
import re
import sys

import jinja2
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

from server import Server

ROOT = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", ".."))
NOW = datetime_module.datetime(2026, 11, 3, 14, 5, 9)
BARE = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE()))
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


class FixedClock(datetime_module.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


# --- Conversations: name -> (messages, tools, variables).

def user(content):
    return {"role": "user", "content": content}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def system(content):
    return {"role": "system", "content": content}


def call(name, arguments, identity="call00001"):
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def answer(content, identity="call00001", **more):
    return {"role": "tool", "tool_call_id": identity, "content": content, **more}


WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather at a place.",
    "parameters": {"type": "object", "required": ["place"], "properties": {
        "place": {"type": "string", "description": "City, country"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "description": "unit"},
        "days": {"type": "integer", "description": "days", "default": 1}}}}}
SEARCH = {"type": "function", "function": {
    "name": "search", "description": "Looks up", "parameters": {"type": "object", "properties": {
        "terms": {"type": "array", "items": {"type": "string"}, "description": "what"}}}}}
BARE_TOOL = {"type": "function", "function": {"name": "ping", "description": "", "parameters": {"type": "object", "properties": {}}}}


def openai_reply(content=None, calls=None, refusal=None):
    """A reply as the OpenAI package dumps it: every field is there, most are null."""
    fields = {"role": "assistant", "content": content, "refusal": refusal, "tool_calls": calls}
    try:
        from openai.types.chat import ChatCompletionMessage
        return ChatCompletionMessage.model_validate(fields).model_dump()
    except ImportError:
        return {"content": content, "refusal": refusal, "role": "assistant", "annotations": None, "audio": None,
                "function_call": None, "tool_calls": calls}


HELLO = [user("Hello, who are you?")]
TURNS = [user("My name is Ada."), assistant("Nice to meet you, Ada."), user("What is my name?")]
CALLED = [user("Weather in Oslo?"), assistant("", tool_calls=[call("get_weather", {"place": "Oslo"})]), answer('{"t": -3.5}'),
          assistant("Cold."), user("And Rome?")]
TWICE = [user("Rome and Oslo?"),
         assistant("A moment.", tool_calls=[call("get_weather", {"place": "Rome", "days": 2}), call("search", {"terms": ["a", "b"]}, "call00002")]),
         answer("warm"), answer("cold\nand wet", "call00002"), assistant("Warm and cold.")]
DUMPED = [user("Weather in Oslo?"), openai_reply(calls=[call("get_weather", '{"place": "Oslo"}')]), answer('{"t": -3.5}'),
          openai_reply("It is cold."), user("Thanks")]
THINKING = [user("2+2?"), assistant("4", reasoning_content="add them"), user("3+3?"), assistant("6", reasoning_content="again"), user("why?")]


def conversations():
    plain = {
        "hello": HELLO,
        "system": [system("You are brief."), *HELLO],
        "turns": TURNS,
        "system turns": [system(" Be kind.\n"), *TURNS, assistant("Ada."), user("Thanks")],
        "assistant last": [*TURNS, assistant("Ada.")],
        "system alone": [system("s")],
        "assistant first": [assistant("Hi."), user("Hello")],
        "two users": [user("a"), user("b")],
        "two systems": [system("a"), system("b"), user("c")],
        "late system": [user("a"), assistant("b"), system("c"), user("d")],
        "developer": [{"role": "developer", "content": "d"}, user("u")],
        "odd role": [user("a"), assistant("b"), {"role": "critic", "content": "c"}],
        "empty text": [user(""), assistant(""), user("x")],
        "spaces": [user("  two \n\n"), assistant("\ttab\n"), user("\u00a0nbsp\u3000wide\u2028")],
        "scripts": [user("Grüße, 世界! 🌍👩‍👩‍👧 العربية"), assistant("“q” \\ \"d\" <b>&amp;</b> '"), user("é é")],
        "markup": [user("<|im_end|> </s> [INST] {{ x }} {% y %}"), assistant("<think>t</think>a"), user("<tool_call>")],
        "numbers": [user("1 2.50 -0"), assistant("1e3"), user("0x1F")],
        "long": [m for i in range(12) for m in (user(f"question {i}"), assistant(f"answer {i}\n" * (i % 3 + 1)))] + [user("last")],
        "names": [{"role": "user", "content": "a", "name": "ada"}, assistant("b", name="bot"), user("c")],
        "thinking": THINKING,
        "thinking, other names": [user("a"), assistant("b", thinking="t"), user("c"), assistant("d", reasoning="r"), user("e")],
        "thinking in the text": [user("2+2?"), assistant("<think>\nadd\n</think>\n\n4"), user("3?"), assistant("<think>x</think>6")],
        "parts": [user([{"type": "text", "text": " What? "}, {"type": "text", "text": "Tell."}]), assistant("A cat."), user("Sure?")],
        "image part": [user([{"type": "image"}, {"type": "text", "text": "What is this?"}])],
        "openai reply": [user("hi"), openai_reply("yo"), user("more")],
        "openai refusal": [user("hi"), openai_reply(None, None, "I will not."), user("more")],
        "null content": [user("x"), assistant(None), user("y")],
        "null fields": [{"role": "user", "content": "a", "name": None, "audio": None}, assistant("b", tool_calls=None, function_call=None)],
    }
    out = {name: (messages, None, {}) for name, messages in plain.items()}
    tools = [WEATHER, SEARCH]
    out["tools, hello"] = (HELLO, tools, {})
    out["tools, system"] = ([system("Use tools."), *HELLO], tools, {})
    out["tools, called"] = (CALLED, tools, {})
    out["tools, twice"] = (TWICE, tools, {})
    out["tools, twice, system"] = ([system("s"), *TWICE], [*tools, BARE_TOOL], {})
    out["tools, dumped"] = (DUMPED, tools, {})
    out["dumped, no tools"] = (DUMPED, None, {})
    out["called, no tools"] = (CALLED, None, {})
    out["tools, arguments as text"] = ([user("go"), assistant(None, tool_calls=[call("search", '{"terms": []}')]), answer("done"), user("ok")], tools, {})
    out["tools, named answer"] = ([user("go"), assistant("", tool_calls=[call("search", {"terms": ["x"]})]), answer("done", name="search")], tools, {})
    out["tools, thinking"] = ([*THINKING, assistant("c", reasoning_content="need", tool_calls=[call("search", {"terms": ["x"]})]), answer("f")], tools, {})
    out["tools, answer is an object"] = ([user("q"), assistant("", tool_calls=[call("search", {})]), answer({"result": ["A", 1, None, True, 2.50]})], tools, {})
    out["tools, none called"] = (TURNS, [BARE_TOOL], {})
    out["documents"] = (HELLO, None, {"documents": [{"title": "T", "text": "body"}, {"title": "U", "text": "more"}]})
    out["thinking on"] = (THINKING, None, {"enable_thinking": True, "thinking": True})
    out["thinking off"] = (THINKING, None, {"enable_thinking": False, "thinking": False})
    out["date"] = (HELLO, tools, {"date_string": "1 Jan 2030"})
    return out


# --- Templates.

def sources_of(path, place):
    """(where, source) of every template in a file, which is called `place` in reports."""
    name = os.path.basename(path)
    if name.endswith((".jinja", ".jinja2")):
        with open(path, encoding="utf-8", newline="") as file:
            yield place, file.read()
    elif name.endswith(".json") and "tokenizer_config" in name:
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        found = config.get("chat_template") if isinstance(config, dict) else None
        if isinstance(found, str):
            yield place, found
        for item in found if isinstance(found, list) else []:
            yield f"{place} ({item['name']})", item["template"]
    elif name.endswith(".gguf"):
        import gguf
        for key, field in gguf.GGUFReader(path).fields.items():
            if re.fullmatch(r"tokenizer\.chat_template(\..*)?", key):
                yield f"{place} ({key})", field.contents()


def templates_in(paths):
    """source -> where it was first found."""
    found = {}
    for path in paths:
        files = [path]
        if os.path.isdir(path):
            files = sorted(os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
        for file in files:
            try:
                place = os.path.relpath(file, path) if os.path.isdir(path) else os.path.basename(file)
                for where, source in sources_of(file, place):
                    if "messages" in source:  # others are Jinja, but not of conversations
                        found.setdefault(source, where)
            except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
                print(f"templates: {file}: {error}", file=sys.stderr)
    return found


# --- Comparison.

def reference(source, messages, tools, variables, prompt):
    """("text", text), ("raise", the text of raise_exception) or ("error", the exception)."""
    try:
        text = BARE.apply_chat_template(json.loads(json.dumps(messages)), tools=tools, chat_template=source, tokenize=False,
                                        add_generation_prompt=prompt, **{**SPECIAL, **variables})
        text.encode("utf-8")
        return "text", text
    except jinja2.exceptions.TemplateError as error:
        return ("raise" if type(error) is jinja2.exceptions.TemplateError else "error"), str(error)
    except Exception as error:  # what Python raises inside a template reaches the caller as it is
        return "error", f"{type(error).__name__}: {error}"


def gyrator(server, source, messages, tools, variables, prompt):
    reply = server.ask(template=source, messages=messages, tools=tools, variables={**SPECIAL, **variables}, add_generation_prompt=prompt)
    if "text" in reply:
        return "text", reply["text"]
    return ("raise" if reply["name"] == "template_exception" else "error"), reply["error"]


def compare(server, found, show):
    chat_template_utils.datetime = FixedClock
    counts = {"equal": 0, "both refuse": 0, "safe (documented)": 0, "different": 0}
    different = set()
    for source, where in found.items():
        for name, (messages, tools, variables) in conversations().items():
            for prompt in (True, False):
                wanted = reference(source, messages, tools, variables, prompt)
                given = gyrator(server, source, messages, tools, variables, prompt)
                same_refusal = wanted[0] == given[0] and (wanted[0] == "error" or wanted[1] == given[1])
                if wanted[0] == given[0] == "text" and wanted[1] == given[1]:
                    counts["equal"] += 1
                elif wanted[0] != "text" and same_refusal:
                    counts["both refuse"] += 1
                elif re.search(r"\|\s*safe\b", source):
                    counts["safe (documented)"] += 1
                else:
                    counts["different"] += 1
                    different.add(where)
                    if counts["different"] <= show:
                        print(f"--- {where}, {name}, prompt {prompt}\nwanted {wanted}\ngiven  {given}")
    return counts, different


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--server", default=os.path.join(ROOT, "build/bin/text_server"))
    parser.add_argument("--list", help="write digest and place of each template here")
    parser.add_argument("--show", type=int, default=5, help="differences that are printed")
    arguments = parser.parse_args()
    found = templates_in(arguments.paths)
    if arguments.list:
        with open(arguments.list, "w", encoding="utf-8") as out:
            for source, where in found.items():
                out.write(f"{hashlib.sha256(source.encode()).hexdigest()[:16]} {where}\n")
    counts, different = compare(Server(arguments.server), found, arguments.show)
    print(f"{len(found)} templates, {len(conversations())} conversations, {sum(counts.values())} renders: "
          + ", ".join(f"{count} {name}" for name, count in counts.items()))
    for where in sorted(different):
        print(f"differs: {where}")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
