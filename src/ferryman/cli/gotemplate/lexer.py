"""A template's text in tokens."""

import re
from collections.abc import Iterator
from typing import NamedTuple

SPACES = " \t\r\n"
_KEYWORDS = frozenset("if else end range with break continue nil define template block .".split())
_CLOSING = re.compile(r"\}\}|[ \t\r\n]-\}\}")
_NUMBER = (
    r"[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?"
    r"|0[oO][0-7_]*(?:\.[0-7_]*)?"
    r"|0[bB][01_]*(?:\.[01_]*)?"
    r"|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)"
)
# Within an action, the first that fits.  One of the spaces before -}} belongs to it.
_TOKEN = re.compile(
    rf"""
      (?P<right>{_CLOSING.pattern})
    | (?P<space>(?:(?![ \t\r\n]-\}}\}})[ \t\r\n])+)
    | (?P<declare>:=)
    | (?P<number>(?=[+\-0-9]|\.[0-9]|\.\Z){_NUMBER})
    | (?P<field>\.\w*)
    | (?P<variable>\$\w*)
    | (?P<word>\w+)
    | (?P<string>"(?:[^"\\\n]|\\[^\n])*")
    | (?P<character>'(?:[^'\\\n]|\\[^\n])*')
    | (?P<raw>`[^`]*`)
    | (?P<pipe>\|)
    | (?P<assign>=)
    | (?P<open>\()
    | (?P<close>\))
    | (?P<char>[!#%&*,/;<>?@\[\\\]^{{}}~])
    """,
    re.VERBOSE,
)
# Behind a number: a letter, or the second half of a complex one.
_NO_NUMBER = re.compile(rf"\w|(?=[+-]){_NUMBER}\w?")
_NAME_ENDS = re.compile(r"[ \t\r\n.,|:()]|\}\}|\Z")
_UNCLOSED = {
    "": "unclosed action",
    ":": "expected :=",
    '"': "unterminated quoted string",
    "'": "unterminated character constant",
    "`": "unterminated raw quoted string",
}


class Token(NamedTuple):
    """A piece of a template: its kind, its text, and where it starts."""

    kind: str
    text: str
    position: int

    def __str__(self) -> str:
        if self.kind == "eof":
            return "EOF"
        if self.kind == "keyword":
            return f"<{self.text}>"
        return quoted(self.text) if len(self.text) <= 10 else f"{quoted(self.text[:10])}..."


def quoted(text: str) -> str:
    """Write a piece of a template within an error message."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def tokens(text: str) -> Iterator[Token]:
    """Cut a template into tokens; the last one is of the kind ``eof`` or ``error``."""
    at, trim = 0, False
    while True:
        opening = text.find("{{", at)
        plain = text[at:] if opening < 0 else text[at:opening]
        marker = opening >= 0 and re.match(r"-[ \t\r\n]", text[opening + 2 : opening + 4])
        kept = plain.lstrip(SPACES) if trim else plain
        if kept := kept.rstrip(SPACES) if marker else kept:
            yield Token("text", kept, at)
        if opening < 0:
            yield Token("eof", "", len(text))
            return
        yield Token("left", "{{", opening)
        at = opening + (4 if marker else 2)
        action = _comment if text.startswith("/*", at) else _action
        for token in action(text, at):
            yield token
        if token.kind == "error":
            return
        at, trim = token.position + len(token.text), len(token.text) > 2


def _comment(text: str, at: int) -> Iterator[Token]:
    end = text.find("*/", at)
    closing = _CLOSING.match(text, end + 2)
    if end < 0:
        yield Token("error", "unclosed comment", at)
    elif not closing:
        yield Token("error", "comment ends before closing delimiter", at)
    else:
        yield Token("comment", closing[0], end + 2)


def _action(text: str, at: int) -> Iterator[Token]:
    depth = 0
    while True:
        token = _token(text, at)
        depth += {"open": 1, "close": -1}.get(token.kind, 0)
        if depth < 0:
            token = Token("error", "unexpected right paren", at)
        elif depth and token.kind == "right":
            token = Token("error", "unclosed left paren", at)
        yield token
        if token.kind in ("right", "error"):
            return
        at += len(token.text)


def _token(text: str, at: int) -> Token:
    match = _TOKEN.match(text, at)
    if match is None:
        message = _UNCLOSED.get(text[at : at + 1])
        message = message or f"unrecognized character in action: {_code_point(text[at])}"
        return Token("error", message, at)
    kind, found, end = match.lastgroup or "", match[0], match.end()
    if kind == "number":
        if rest := _NO_NUMBER.match(text, end):
            return Token("error", f"bad number syntax: {quoted(found + rest[0])}", at)
    elif kind in ("field", "variable", "word"):
        if found not in (".", "$") and not _NAME_ENDS.match(text, end):
            return Token("error", f"bad character {_code_point(text[end])}", at)
        if found in ("true", "false"):
            kind = "bool"
        elif found in _KEYWORDS:
            kind = "keyword"
    return Token(kind, found, at)


def _code_point(character: str) -> str:
    printed = f" '{character}'" if character.isprintable() else ""
    return f"U+{ord(character):04X}{printed}"
