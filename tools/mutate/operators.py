"""Mutations of C++ sources: where a mistake can be made, and what it looks like.

Nothing here reads a file or builds anything. The sources are read as text, not parsed: comments,
strings and preprocessor lines are blanked first, and what looks like code in a function body is
offered. A mutation that does not compile is found out by the compiler.
"""

import dataclasses
import re

NAMES = ("comparison", "off_by_one", "constant", "logic", "arithmetic", "negation", "statement",
         "arguments", "early_return")


@dataclasses.dataclass(frozen=True)
class Mutation:
    operator: str
    begin: int  # the characters [begin, end) of the source give way to `text`
    end: int
    text: str

    def apply(self, source):
        return source[:self.begin] + self.text + source[self.end:]


_BLANKED = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<mark>[^(\s]*)\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9A-Za-z_])'(?:\\.|[^'\\\n])+'|^[ \t]*#(?:\\\n|[^\n])*", re.DOTALL | re.MULTILINE)


def blank(source):
    """The source with comments, literals of text and preprocessor lines as spaces; same length."""
    return _BLANKED.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), source)


def closing(text, at):
    """Where the bracket that opens at `at` closes; the end of the text when it does not."""
    depth = 0
    for i in range(at, len(text)):
        if text[i] in "([{":
            depth += 1
        elif text[i] in ")]}":
            depth -= 1
            if depth == 0:
                return i
    return len(text)


@dataclasses.dataclass(frozen=True)
class Body:
    begin: int  # behind the opening brace
    end: int  # at the closing one
    returns: str  # what an early return is; empty: not known


def bodies(text):
    """The bodies of functions in a blanked source."""
    found = []
    head = at = 0
    while at < len(text):
        character = text[at]
        if character in ";}":
            head = at + 1
        elif character == "(":
            at = closing(text, at)
        elif character == "{":
            before = text[head:at]
            is_body = "(" in before and before[-1:].isspace() and not re.search(r"=\s*$", before)
            if re.search(r"\b(namespace|class|struct|enum|union|extern)\b", before.split("(")[0]):
                head = at + 1  # what stands within is looked at too
            elif is_body:
                end = closing(text, at)
                found.append(Body(at + 1, end, _early_return(before)))
                head = at = end
            else:
                at = closing(text, at)  # an initializer
        at += 1
    return found


def _early_return(head):
    name = re.match(r"\s*(?:template\s*<[^{]*?>\s*)?(.*?)\(", head, re.DOTALL)
    words = name.group(1).split() if name else []
    if not words or "auto" in words or "operator" in words[-1]:
        return ""
    if len(words) == 1 or "void" in words[:-1]:
        return "return;"  # a constructor or a function without a result
    return "return {};"


@dataclasses.dataclass(frozen=True)
class Statement:
    begin: int
    end: int  # behind the semicolon, or behind the closing parenthesis of a head
    is_head: bool  # of an if, for, while or switch
    in_lambda: bool = False


_HEAD = re.compile(r"(if|for|while|switch)\b(?:\s+constexpr)?\s*(?=\()")
_WORD = re.compile(r"\w+")


def statements(text, begin, end, in_lambda=False):
    """All statements of a body, in order; those of inner blocks and of lambdas too."""
    at = begin
    while at < end:
        if text[at].isspace() or text[at] in "{};":
            at += 1
            continue
        head = _HEAD.match(text, at, end)
        word = _WORD.match(text, at, end)
        if head:
            close = closing(text, head.end()) + 1
            yield Statement(at, close, True, in_lambda)
            yield from _lambdas(text, head.end(), close)
            at = close
        elif word and word.group() in ("else", "do", "try"):
            at = word.end()
        elif word and word.group() in ("case", "default"):
            label = re.compile(r"(?:[^:]|::)*:(?!:)").match(text, at, end)
            at = label.end() if label else end
        else:
            close = _semicolon(text, at, end)
            yield Statement(at, close, False, in_lambda)
            yield from _lambdas(text, at, close)
            at = close


def _semicolon(text, at, end):
    while at < end and text[at] != ";":
        at = closing(text, at) + 1 if text[at] in "([{" else at + 1
    return min(at + 1, end)


def _lambdas(text, begin, end):
    at = begin
    while at < end:
        if text[at] == "{" and re.search(r"[)\]]\s*(mutable\s*)?(->\s*[\w:<>, ]+\s*)?$",
                                         text[max(begin, at - 60):at]):
            close = closing(text, at)
            yield from statements(text, at + 1, close, in_lambda=True)
            at = close
        at += 1


_SWAPPED = {"<": ("<=", ">"), "<=": ("<", ">"), ">": (">=", "<"), ">=": (">", "<"), "==": ("!=",),
            "!=": ("==",)}
_TURNED = {"+": "-", "-": "+", "*": "+", "/": "*", "+=": "-=", "-=": "+="}
_DECLARES = re.compile(r"(const|constexpr|static|auto|using|return|typename|struct|class|enum|goto|"
                       r"GYRATOR_ASSIGN_OR_RETURN)\b|[A-Za-z_][\w:]*(<.*>)?[&*]*\s+[&*]*\w+\s*([;={(\[,]|$)",
                       re.DOTALL)
_NO_CALLS = ("if", "for", "while", "switch", "return", "sizeof")
# A check of the program's own mistakes never fails, and room that is made ahead is never seen.
_LEFT_OUT = re.compile(r"\b(GYRATOR_CHECK\w*|static_assert|assert)\s*(?=\()|[\w.>()\[\]-]+[.>]reserve(?=\()")


def mutations(source):
    """Every mutation of a source, in a fixed order."""
    text = blank(source)
    found = []
    for body in bodies(text):
        left_out = [(hit.start(), closing(text, hit.end()))
                    for hit in _LEFT_OUT.finditer(text, body.begin, body.end)]
        offered = list(_tokens(text, body)) + list(_calls(text, source, body))
        for statement in statements(text, body.begin, body.end):
            offered += _of_statement(text, source, body, statement)
        found += [m for m in offered
                  if not any(begin <= m.begin <= end for begin, end in left_out)]
    unique = {(m.operator, m.begin, m.end, m.text): m for m in found}
    return [unique[key] for key in sorted(unique)]


def _tokens(text, body):
    for hit in re.finditer(r"(?<=\s)(<=|>=|==|!=|<|>)(?=\s)", text[body.begin:body.end]):
        for other in _SWAPPED[hit.group()]:
            yield Mutation("comparison", body.begin + hit.start(), body.begin + hit.end(), other)
    for hit in re.finditer(r"(?<=\s)(&&|\|\|)(?=\s)", text[body.begin:body.end]):
        other = "||" if hit.group() == "&&" else "&&"
        yield Mutation("logic", body.begin + hit.start(), body.begin + hit.end(), other)
    for hit in re.finditer(r"(?<=\s)([-+*/]|[-+]=)(?=\s)", text[body.begin:body.end]):
        other = _TURNED[hit.group()]
        yield Mutation("arithmetic", body.begin + hit.start(), body.begin + hit.end(), other)
    for hit in re.finditer(r"\b(true|false)\b", text[body.begin:body.end]):
        other = "false" if hit.group() == "true" else "true"
        yield Mutation("constant", body.begin + hit.start(), body.begin + hit.end(), other)
    for hit in re.finditer(r"(?<![\w.'])(\d+)(?=[uU]?[lL]*\b)(?![.'\w]*[.'])", text[body.begin:body.end]):
        begin, end = body.begin + hit.start(), body.begin + hit.end()
        value = int(hit.group())
        yield Mutation("off_by_one", begin, end, str(value + 1))
        if value > 0:
            yield Mutation("off_by_one", begin, end, str(value - 1))
        if value > 1:
            yield Mutation("constant", begin, end, "0")
    for hit in re.finditer(r"\.size\(\)", text[body.begin:body.end]):
        for other in (" + 1", " - 1"):
            yield Mutation("off_by_one", body.begin + hit.end(), body.begin + hit.end(), other)


def _calls(text, source, body):
    for hit in re.finditer(r"(\w+)(?:<[\w:, ]*>)?\(", text[body.begin:body.end]):
        if hit.group(1) in _NO_CALLS or hit.group(1).isupper():  # a macro takes no expressions
            continue
        begin = body.begin + hit.end() - 1
        arguments = _arguments(text, begin)
        for (a, b), (c, d) in zip(arguments, arguments[1:]):
            if source[a:b] != source[c:d]:
                yield Mutation("arguments", a, d, source[c:d] + source[b:c] + source[a:b])


def _arguments(text, opening):
    """The ranges of the arguments of a call, without the spaces around them."""
    ranges = []
    end = closing(text, opening)
    begin = at = opening + 1
    while at <= end:
        if at == end or text[at] == ",":
            part = text[begin:at]
            if part.strip():
                left = begin + len(part) - len(part.lstrip())
                ranges.append((left, begin + len(part.rstrip())))
            begin = at + 1
        elif text[at] in "([{":
            at = closing(text, at)
        at += 1
    return ranges


def _of_statement(text, source, body, statement):
    written = text[statement.begin:statement.end]
    if statement.is_head:
        word = re.match(r"(if|while)\b\s*\(", written)
        if not word:
            return
        condition = statement.begin + word.end()
        inner = text[condition:statement.end - 1]
        last = inner.rfind(";") + 1  # behind the declaration of "if (x = f(); x > 0)"
        condition += last + len(inner[last:]) - len(inner[last:].lstrip())
        end = statement.end - 1
        yield Mutation("negation", condition, end, "!(" + source[condition:end] + ")")
        return
    if written == "return;" or not _DECLARES.match(written):
        yield Mutation("statement", statement.begin, statement.end, "{}")
    if body.returns and not statement.in_lambda and not written.startswith("return"):
        yield Mutation("early_return", statement.begin, statement.begin, body.returns + " ")


def probe(source, mutation):
    """The source with a trap where the mutation is; nothing when a trap has no place there."""
    text = blank(source)
    best = None
    for body in bodies(text):
        for statement in statements(text, body.begin, body.end):
            if statement.begin <= mutation.begin < max(statement.end, statement.begin + 1):
                best = statement  # the innermost one comes last
    if best is None:
        return None
    before = text[:best.begin].rstrip()
    if best.is_head and before.endswith("else"):  # "else if": the trap goes into the condition
        condition = text.index("(", best.begin) + 1
        return source[:condition] + "(__builtin_trap(), false) || " + source[condition:]
    return source[:best.begin] + "__builtin_trap(); " + source[best.begin:]
