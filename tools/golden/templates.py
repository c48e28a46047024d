"""Makes tests/golden/templates/{chats,snippets}.jsonl: what transformers renders.

  chats.jsonl      the templates beside it (*.jinja, written by hand in the style of each model family)
                   over conversations: tools, tool calls, content parts, scripts, errors
  snippets.jsonl   small templates, one for each corner of the language

A line is {"name", "template" (a file) or "source", "messages", "tools", "variables",
"add_generation_prompt", and "expected" or "raises" (the text of raise_exception) or "error" (the
exception of any other failure)}. The first line has the versions. Nothing is random; the clock is
fixed at NOW.

    .venv/bin/python tools/golden/templates.py           # remake
    .venv/bin/python tools/golden/templates.py --check   # remake elsewhere and compare
"""

import datetime as datetime_module
import filecmp
import json
import os
import sys
import tempfile
from importlib.metadata import version

import jinja2
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

from _templates_snippets import ERRORS, SNIPPETS

ROOT = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", "..", "tests", "golden", "templates"))
NOW = datetime_module.datetime(2026, 11, 3, 14, 5, 9)
BARE = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE()))  # has no special tokens of its own


class FixedClock(datetime_module.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def system(text):
    return {"role": "system", "content": text}


def tool_call(name, arguments, **more):
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **more}


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place, now.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": " City and country, e.g. \"Zürich, CH\" "},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "description": "Unit <of> & 'degrees'"},
                "days": {"type": ["integer", "null"], "description": "How far ahead", "default": 1},
            },
            "required": ["place"],
        },
        "return": {"type": "object", "additionalProperties": {"type": "number"}, "description": "Degrees by day"},
    },
}
SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Looks things up",
        "parameters": {
            "type": "object",
            "properties": {
                "terms": {"type": "array", "items": {"type": "string"}, "description": "what"},
                "limits": {"type": "object", "description": "bounds", "additionalProperties": {"type": "number"}},
                "exact": {"type": "boolean", "description": "yes or no"},
            },
        },
    },
}
EMPTY_TOOL = {"type": "function", "function": {"name": "ping", "description": "", "parameters": {"type": "object", "properties": {}}}}

ONE = [user("Hello, who are you?")]
WITH_SYSTEM = [system("You are brief."), user("Hello!")]
TURNS = [user("My name is Ada."), assistant("Nice to meet you, Ada."), user("What is my name?")]
SYSTEM_TURNS = [system(" Be kind.\n"), *TURNS, assistant("Ada."), user("Thanks")]
SPACES = [user("  two spaces \n\n"), assistant("\ttab\n"), user("\u00a0nbsp \u3000wide\u2028")]
SCRIPTS = [user("Grüße, 世界! Привет 🌍👩‍👩‍👧 العربية"), assistant("“quotes” — ‘and’ \\ \"dashes\" <b>&amp;</b>"), user("é é")]
EMPTY_TEXT = [user(""), assistant(""), user("x")]
LONG = [m for i in range(20) for m in (user(f"question {i}"), assistant(f"answer {i}\n" * (i % 3 + 1)))] + [user("last")]
CALL = [
    system("Use tools."),
    user("Weather in Zürich?"),
    {"role": "assistant", "content": "", "tool_calls": [tool_call("get_weather", {"place": "Zürich, CH", "days": 2}, id="abcdef123")]},
    {"role": "tool", "name": "get_weather", "tool_call_id": "abcdef123", "content": "{\"today\": 3.5, \"tomorrow\": -1}"},
    assistant("3.5 degrees, then frost."),
    user("And Paris?"),
]
TWO_CALLS = [
    user("Weather in Rome and Oslo?"),
    {"role": "assistant", "content": "One moment.", "tool_calls": [
        tool_call("get_weather", {"place": "Rome", "unit": None}, id="call00001"),
        tool_call("search", {"terms": ["a", "b"], "exact": True, "limits": {"min": 0.5}}, id="call00002")]},
    {"role": "tool", "tool_call_id": "call00001", "content": "warm"},
    {"role": "tool", "tool_call_id": "call00002", "content": "cold\nand wet"},
]
STRING_ARGUMENTS = [
    user("go"),
    {"role": "assistant", "content": None, "tool_calls": [{"name": "search", "arguments": "{\"terms\": []}"}]},
    {"role": "tool", "content": "done"},
]
IPYTHON = [
    user("Who won?"),
    {"role": "assistant", "content": "", "tool_calls": [tool_call("brave_search", {"query": "who won"})]},
    {"role": "ipython", "content": {"result": ["A", 1, None, True, 2.50]}},
]
THINK = [
    user("2+2?"),
    assistant("<think>\nadd them\n</think>\n\n4"),
    user("3+3?"),
    assistant("<think>again</think>6"),
]
REASONING = [
    user("hard"),
    assistant("easy", reasoning_content="\nlet me see\n"),
    user("harder"),
    {"role": "assistant", "content": "call", "reasoning_content": "need a tool", "tool_calls": [tool_call("search", {"terms": ["x"]})]},
    {"role": "tool", "content": "found"},
    assistant("It is x.", reasoning="so"),
]
THINKING_ALIAS = [user("a"), assistant("b", thinking="via thinking"), user("c"), assistant("d", thinking=None, reasoning="r")]
TOOL_RESPONSE_IN_USER = [user("q"), assistant("<think>t</think>a"), user("<tool_response>\nr\n</tool_response>"), assistant("<think>u</think>b")]
PARTS = [
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " What is this? "}, {"type": "text", "text": "Tell me."}]},
    assistant("A cat."),
    {"role": "user", "content": [{"type": "text", "text": "Sure?"}, {"type": "image", "url": "a.png"}, {"type": "image"}]},
]
NO_CONTENT = [user("x"), {"role": "assistant", "content": None}, {"role": "user", "content": "y"}]
NULL_FIELDS = [
    {"role": "user", "content": "a", "name": None, "audio": None},
    {"role": "assistant", "content": "b", "refusal": None, "annotations": None, "audio": None, "function_call": None, "tool_calls": None},
    {"role": "user", "content": "c"},
    {"role": "assistant", "content": None, "refusal": None, "function_call": None,
     "tool_calls": [tool_call("search", {"terms": None}, id="call00003")]},
]
BAD_ORDER = [user("a"), user("b")]
ODD_ROLE = [user("a"), assistant("b"), {"role": "critic", "content": "c"}]
BAD_ID = [user("a"), {"role": "assistant", "tool_calls": [tool_call("f", {}, id="short")]}]

LLAMA = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}
MISTRAL = {"bos_token": "<s>", "eos_token": "</s>"}
GEMMA = {"bos_token": "<bos>", "eos_token": "<eos>"}
QWEN = {"eos_token": "<|im_end|>"}

PLAIN = {"one": ONE, "system": WITH_SYSTEM, "turns": TURNS, "spaces": SPACES, "scripts": SCRIPTS, "long": LONG}


def chat_cases():
    """(name, template, messages, tools, variables, add_generation_prompt)"""
    cases = []

    def add(template, name, messages, tools=None, variables=None, prompt=True):
        cases.append((f"{template}/{name}", template, messages, tools, variables or {}, prompt))

    special = {"chatml": {}, "llama2": MISTRAL, "llama3": LLAMA, "llama31": LLAMA, "llama32": LLAMA,
               "mistral_v01": MISTRAL, "mistral_v03": MISTRAL, "mistral_nemo": MISTRAL, "qwen2": QWEN,
               "qwen25": QWEN, "qwen3": QWEN, "smollm2": {}, "gemma2": GEMMA, "gemma3": GEMMA,
               "zephyr": MISTRAL, "generation": MISTRAL, "content_parts": {}}
    for template, variables in special.items():
        for name, messages in PLAIN.items():
            add(template, name, messages, None, variables)
        add(template, "system turns, no prompt", SYSTEM_TURNS, None, variables, prompt=False)
        add(template, "empty text", EMPTY_TEXT, None, variables)
        add(template, "odd role", ODD_ROLE, None, variables)
        add(template, "two users", BAD_ORDER, None, variables)
        add(template, "no content", NO_CONTENT, None, variables)
        add(template, "null fields", NULL_FIELDS, None, variables)
    for template in ("llama31", "llama32"):
        for name, messages in {"call": CALL, "one": ONE, "string arguments": STRING_ARGUMENTS, "ipython": IPYTHON}.items():
            add(template, f"tools, {name}", messages, [WEATHER, SEARCH], LLAMA)
        add(template, "two calls", TWO_CALLS, [WEATHER], LLAMA)
        add(template, "tools in system", CALL, [WEATHER, EMPTY_TOOL], {**LLAMA, "tools_in_user_message": False})
        add(template, "builtin tools", IPYTHON, None, {**LLAMA, "builtin_tools": ["brave_search", "code_interpreter", "wolfram"]})
        add(template, "date", ONE, None, {**LLAMA, "date_string": "1 Jan 2030"})
        add(template, "custom tools", ONE, None, {**LLAMA, "custom_tools": [SEARCH]})
        add(template, "tools without messages", [system("s")], [SEARCH], LLAMA)
    for template in ("mistral_v03", "mistral_nemo", "qwen25", "qwen3", "hermes_tools"):
        variables = MISTRAL if "mistral" in template else {**QWEN, "bos_token": ""}
        for name, messages in {"call": CALL, "two calls": TWO_CALLS, "one": ONE, "turns": SYSTEM_TURNS,
                               "string arguments": STRING_ARGUMENTS, "bad id": BAD_ID, "scripts": SCRIPTS}.items():
            add(template, f"tools, {name}", messages, [WEATHER, SEARCH, EMPTY_TOOL], variables)
    for name, messages in {"think": THINK, "reasoning": REASONING, "alias": THINKING_ALIAS,
                           "tool response in user": TOOL_RESPONSE_IN_USER, "calls": TWO_CALLS}.items():
        for thinking in (None, True, False):
            variables = {} if thinking is None else {"enable_thinking": thinking}
            add("qwen3", f"{name}, enable_thinking {thinking}", messages, None, variables)
        add("qwen3", f"{name}, no prompt", messages, [SEARCH], {}, prompt=False)
    for template in ("gemma3", "content_parts", "llama3"):
        add(template, "parts", PARTS, None, special[template])
    return cases


def render(source, messages, tools, variables, prompt):
    """{"expected"}, {"raises"} or {"error"}."""
    try:
        rendered = BARE.apply_chat_template(
            json.loads(json.dumps(messages)), tools=tools, chat_template=source, tokenize=False,
            add_generation_prompt=prompt, **variables)
        rendered.encode("utf-8")
        return {"expected": rendered}
    except jinja2.exceptions.TemplateError as error:
        if type(error) is jinja2.exceptions.TemplateError:
            return {"raises": str(error)}
        return {"error": f"{type(error).__name__}: {error}"}
    except Exception as error:  # what Python raises inside a template reaches the caller as it is
        return {"error": f"{type(error).__name__}: {error}"}


def line(name, where, messages, tools, variables, prompt, source):
    return {"name": name, **where, "messages": messages, "tools": tools, "variables": variables,
            "add_generation_prompt": prompt, **render(source, messages, tools, variables, prompt)}


def write(path, lines):
    head = {"jinja2": version("jinja2"), "transformers": version("transformers"), "now": NOW.isoformat(),
            "cases": len(lines)}
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        for entry in [head, *lines]:
            out.write(json.dumps(entry, ensure_ascii=False) + "\n")


def make(folder):
    chat_template_utils.datetime = FixedClock
    chats = []
    for name, template, messages, tools, variables, prompt in chat_cases():
        with open(os.path.join(ROOT, template + ".jinja"), encoding="utf-8", newline="") as file:
            source = file.read()
        chats.append(line(name, {"template": template + ".jinja"}, messages, tools, variables, prompt, source))
    snippets = []
    misplaced = []
    for index, snippet in enumerate(SNIPPETS + ERRORS):
        source, variables = snippet if isinstance(snippet, tuple) else (snippet, {})
        entry = line(f"{index}: {source[:60]}", {"source": source}, TURNS, None, variables, False, source)
        if ("expected" in entry) == (index >= len(SNIPPETS)):
            misplaced.append(f"{source}\n  {entry.get('expected', entry.get('error', entry.get('raises')))}")
        snippets.append(entry)
    if misplaced:
        raise SystemExit("snippets in the wrong list:\n" + "\n".join(misplaced))
    write(os.path.join(folder, "chats.jsonl"), chats)
    write(os.path.join(folder, "snippets.jsonl"), snippets)
    return len(chats), len(snippets)


def main():
    if "--check" in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            make(folder)
            for name in ("chats.jsonl", "snippets.jsonl"):
                if not filecmp.cmp(os.path.join(folder, name), os.path.join(ROOT, name), shallow=False):
                    raise SystemExit(f"{name} differs from what is committed")
        print("templates: as committed")
        return
    chats, snippets = make(ROOT)
    print(f"templates: {chats} chats, {snippets} snippets, jinja2 {version('jinja2')}, transformers {version('transformers')}")


if __name__ == "__main__":
    main()
