"""The lines of a Dockerfile as instructions: comments, continued lines, flags, JSON forms.

What an instruction means is not known here.  Follows the Dockerfile reference ("Format", "Parser
directives") and docker's own parser.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from ferryman.build.words import BLANK, ESCAPE, quoted, split
from ferryman.errors import FerryError

# In bytes; docker refuses to read longer ones.
_MAX_LINE = 65535
_DIRECTIVE = re.compile(r"#[\t\n\f\r ]*([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=[\t\n\f\r ]*(.+)")
_GAP = re.compile(r"[\t\v\f\r ]+")


class DockerfileError(FerryError):
    """A line that is not of the form that its instruction asks for, in docker's words."""


class Instruction(NamedTuple):
    """One instruction.

    `keyword` is in lower case; `flags` are the words before the arguments that begin with ``--``;
    `json` tells that the arguments were written as a JSON array; `original` is the whole line.
    """

    keyword: str
    flags: tuple[str, ...]
    arguments: tuple[str, ...]
    json: bool
    original: str


class Dockerfile(NamedTuple):
    """What a text holds: its instructions, and the character that escapes in it."""

    instructions: tuple[Instruction, ...]
    escape: str


def parse(text: str) -> Dockerfile:
    """Return the instructions of a text; raises DockerfileError."""
    # Bytes that are not UTF-8 arrive as surrogates; docker replaces each by this sign.
    lines = _Lines(re.sub("[\ud800-\udfff]", "\ufffd", text).removeprefix("\ufeff"))
    instructions = tuple(_instruction(line, lines.escape) for line in lines.whole())
    if not instructions:
        raise DockerfileError("file with no instructions")
    return Dockerfile(instructions, lines.escape)


class _Lines:
    """Reads whole lines; `escape` is what the directives read so far say."""

    def __init__(self, text: str) -> None:
        self.escape = ESCAPE
        self._lines = iter(text.split("\n"))

    def whole(self) -> Iterator[str]:
        """Give each line with those that continue it, without comments and empty ones."""
        directives: set[str] | None = set()
        for line in self._lines:
            line = _checked(line).lstrip(BLANK)
            # Directives come before anything else, other comments included.
            if directives is not None:
                directives = self._directive(line, directives)
            if line and not line.startswith("#"):
                yield self._continued(line)

    def _directive(self, line: str, seen: set[str]) -> set[str] | None:
        """Obey a parser directive; None when the line is none."""
        found = _DIRECTIVE.match(line)
        if not found or (name := found[1].lower()) not in ("escape", "syntax", "check"):
            return None
        if name in seen:
            raise DockerfileError(f"only one {name} parser directive can be used")
        if name == "escape":
            value = found[2].rstrip("\t\n\f\r ")
            if value not in ("`", "\\"):
                raise DockerfileError(f"invalid escape token '{value}' does not match ` or \\")
            self.escape = value
        return seen | {name}

    def _continued(self, line: str) -> str:
        # One at the end of a line continues it, two do not.
        end = re.compile(rf"(?:(?<=[^{re.escape(self.escape)}])|^){re.escape(self.escape)}[ \t]*\Z")
        whole, continued = end.subn("", line)
        while continued and (following := next(self._lines, None)) is not None:
            following = _checked(following)
            if (text := following.lstrip(BLANK)) and not text.startswith("#"):
                following, continued = end.subn("", following)
                whole += following
        return whole


def _checked(line: str) -> str:
    if len(line.encode()) > _MAX_LINE:
        raise DockerfileError(f"dockerfile line greater than max allowed size of {_MAX_LINE}")
    return line.removesuffix("\r")


def _instruction(line: str, escape: str) -> Instruction:
    keyword, *rest = _GAP.split(line.strip(BLANK), maxsplit=1)
    flags, text = _flags(rest[0] if rest else "", escape)
    form = _FORMS.get(keyword.lower(), _whole)
    json, arguments = form(text.strip(BLANK), escape)
    return Instruction(keyword.lower(), tuple(flags), tuple(arguments), json, line)


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
        words = msgspec.json.decode(text, type=list[Any])
    except (msgspec.DecodeError, RecursionError):
        return None
    strings = [word for word in words if isinstance(word, str)]
    if len(strings) != len(words):
        raise DockerfileError(
            "when using JSON array syntax, arrays must be comprised of strings only"
        )
    return strings


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
