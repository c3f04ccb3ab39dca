"""A Dockerfile as instructions: flags, arguments, JSON forms, here-documents.

What an instruction means is not known here.  Follows the Dockerfile reference ("Format") and
docker's own parser.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from ferryman.build import heredoc
from ferryman.build.heredoc import Heredoc
from ferryman.build.lines import DockerfileError, Lines
from ferryman.build.words import BLANK, WordError, lower, quoted, split

_GAP = re.compile(r"[\t\v\f\r ]+")


class Instruction(NamedTuple):
    """One instruction.

    `keyword` is in lower case; `flags` are the words before the arguments that begin with ``--``;
    `json` tells that the arguments were written as a JSON array; `original` is the whole line, and
    `line` the number of its first one.
    """

    keyword: str
    flags: tuple[str, ...]
    arguments: tuple[str, ...]
    json: bool
    original: str
    line: int = 0
    heredocs: tuple[Heredoc, ...] = ()


class Dockerfile(NamedTuple):
    """What a text holds: its instructions, and the character that escapes in it."""

    instructions: tuple[Instruction, ...]
    escape: str


def parse(text: str) -> Dockerfile:
    """Return the instructions of a text; raises DockerfileError."""
    lines = Lines(text)
    instructions = []
    for line in lines.whole():
        with at_line(line.number):
            instruction = _instruction(line.text, lines.escape)
            heredocs = tuple(_heredocs(instruction, lines))
        instructions.append(instruction._replace(line=line.number, heredocs=heredocs))
    if not instructions:
        raise DockerfileError("file with no instructions", lines.number)
    return Dockerfile(tuple(instructions), lines.escape)


@contextmanager
def at_line(number: int) -> Iterator[None]:
    """Give the errors of the block that have no line this one."""
    try:
        yield
    except DockerfileError as e:
        e.line = e.line or number
        raise


def _heredocs(instruction: Instruction, lines: Lines) -> Iterator[Heredoc]:
    """Read the here-documents that follow an instruction."""
    if "<<" not in instruction.original or not _takes_heredocs(instruction, lines.escape):
        return
    try:
        announced = heredoc.announced(instruction.original)
    except WordError as e:
        raise DockerfileError(str(e)) from None
    for each in announced:
        content = lines.document(each.name, tabs=each.chomp)
        if content is None:
            raise DockerfileError("unterminated heredoc")
        yield each._replace(content=content)


def _takes_heredocs(instruction: Instruction, escape: str) -> bool:
    if instruction.keyword == "onbuild" and instruction.arguments:
        later = _GAP.split(instruction.original.strip(BLANK), maxsplit=1)[1]
        instruction = _instruction(_flags(later, escape)[1], escape)
    return instruction.keyword in ("add", "copy", "run") and not instruction.json


def _instruction(line: str, escape: str) -> Instruction:
    keyword, *rest = _GAP.split(line.strip(BLANK), maxsplit=1)
    flags, text = _flags(rest[0] if rest else "", escape)
    keyword = lower(keyword)
    form = _FORMS.get(keyword, _none)
    json, arguments = form(text.strip(BLANK), escape)
    return Instruction(keyword, tuple(flags), tuple(arguments), json, line)


def _flags(text: str, escape: str) -> tuple[list[str], str]:
    """Take the flags off a text; ``--`` ends them, and stays away."""
    flags: list[str] = []
    at = 0
    while True:
        at += len(text[at:]) - len(text[at:].lstrip(_ASCII_BLANK))
        if not text.startswith("--", at):
            return flags, text[at:]
        word = quote = ""
        while at < len(text) and (quote or text[at] not in _ASCII_BLANK):
            character = text[at]
            at += 1
            if character == escape:
                word += text[at : at + 1]
                at += 1
            elif quote and character == quote:
                quote = ""
            elif not quote and character in "'\"":
                quote = character
            else:
                word += character
        if word == "--":
            return flags, text[at:]
        flags.append(word)


_ASCII_BLANK = "\t\n\v\f\r "

_Form = tuple[bool, list[str]]  # whether it was JSON, and the arguments


def _none(text: str, escape: str) -> _Form:
    """Read what nobody knows: it will be refused, or is for whoever builds on the image."""
    return False, []


def _whole(text: str, escape: str) -> _Form:
    return False, [text] if text else []


def _words(text: str, escape: str) -> _Form:
    return False, split(text, escape)


def _columns(text: str, escape: str) -> _Form:
    return False, _GAP.split(text) if text else []


def _json_or_whole(text: str, escape: str) -> _Form:
    words = _json(text)
    return _whole(text, escape) if words is None else (True, words)


def _json_or_columns(text: str, escape: str) -> _Form:
    words = _json(text)
    return _columns(text, escape) if words is None else (True, words)


def _json(text: str) -> list[str] | None:
    """Return the words of a JSON array; None when the text is none, and so is meant otherwise."""
    if not text.startswith("["):
        return None
    try:
        words = msgspec.json.decode(_LONELY.sub(_replaced, text), type=list[Any])
    except (msgspec.DecodeError, RecursionError):
        return None
    strings = [word for word in words if isinstance(word, str)]
    if len(strings) != len(words):
        raise DockerfileError(
            "when using JSON array syntax, arrays must be comprised of strings only"
        )
    return strings


# Half of a pair of surrogates, where it stands alone; pairs and what else is escaped pass by.
_LONELY = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F]|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)


def _replaced(escape: re.Match[str]) -> str:
    return r"\ufffd" if escape[1] else escape[0]


def _pairs(instruction: str) -> Callable[[str, str], _Form]:
    """Return what reads ``name=value …``, or the old form: a name, and the rest of the line.

    Names and values take turns in the arguments.
    """

    def form(text: str, escape: str) -> _Form:
        words = split(text, escape)
        if words and "=" not in words[0]:
            pair = _GAP.split(text, maxsplit=1)
            if len(pair) < 2:
                raise DockerfileError(f"{instruction} must have two arguments")
            return False, pair
        for word in words:
            if "=" not in word:
                raise DockerfileError(
                    f"Syntax error - can't find = in {quoted(word)}."
                    " Must be of the form: name=value"
                )
        return False, [part for word in words for part in word.split("=", 1)]

    return form


def _typed(text: str, escape: str) -> _Form:
    """Read HEALTHCHECK's: a type, and what may be JSON."""
    if not text:
        return False, []
    kind, *rest = re.split(r"[\t\n\v\f\r ]+", text, maxsplit=1)
    json, arguments = _json_or_whole(rest[0] if rest else "", escape)
    return json, [kind, *arguments]


def _instruction_within(text: str, escape: str) -> _Form:
    if not text:
        return False, []
    inner = _instruction(text, escape)
    return False, [inner.keyword, *inner.arguments]


_FORMS: dict[str, Callable[[str, str], _Form]] = {
    "add": _json_or_columns,
    "arg": _words,
    "cmd": _json_or_whole,
    "copy": _json_or_columns,
    "entrypoint": _json_or_whole,
    "env": _pairs("ENV"),
    "expose": _columns,
    "from": _columns,
    "healthcheck": _typed,
    "label": _pairs("LABEL"),
    "maintainer": _whole,
    "onbuild": _instruction_within,
    "run": _json_or_whole,
    "shell": _json_or_whole,
    "stopsignal": _whole,
    "user": _whole,
    "volume": _json_or_columns,
    "workdir": _whole,
}
