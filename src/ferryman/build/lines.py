"""A Dockerfile's lines: comments and directives taken out, continued lines put together.

Follows the Dockerfile reference ("Format", "Parser directives") and docker's own parser.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from ferryman.build.words import BLANK, ESCAPE
from ferryman.errors import FerryError

_MAX_LINE = 65535  # in bytes; docker refuses to read longer ones
_DIRECTIVE = re.compile(r"([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=[\t\n\f\r ]*(.+)")
_DIRECTIVES = ("escape", "syntax", "check")


class DockerfileError(FerryError):
    """What is wrong in a Dockerfile, in docker's words, and the number of its line where known."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


class Line(NamedTuple):
    """A line with those that continue it, and the number of the first of them, from 1."""

    text: str
    number: int


class Lines:
    """Reads a text.

    `escape` is what the directives read so far say, `number` that of the last line read.
    """

    def __init__(self, text: str) -> None:
        """Begin with the first line."""
        self.escape = ESCAPE
        self.number = 0
        lines = text.split("\n")
        self._count = len(lines) - (not lines[-1])
        lines[0] = lines[0].removeprefix("\ufeff")
        self._lines = iter(lines[: self._count])

    def whole(self) -> Iterator[Line]:
        """Yield each line with those that continue it, without comments and empty ones.

        Raises DockerfileError.
        """
        directives: set[str] | None = set()
        while (line := self._next()) is not None:
            line = line.rstrip("\r").lstrip(BLANK)
            # Directives come before anything else, other comments included.
            if directives is not None:
                directives = self._directive(line, directives)
            if line and not line.startswith("#"):
                number = self.number
                yield Line(self._continued(line), number)

    def document(self, end: str, *, tabs: bool) -> str | None:
        """Read a here-document up to the line that is its `end`; None when there is none.

        With `tabs` that line may begin with some.
        """
        content = ""
        while (line := self._next()) is not None:
            text = line.rstrip("\r")
            if (text.lstrip("\t") if tabs else text) == end:
                return content
            content += line + "\n"
        return None

    def _next(self) -> str | None:
        line = next(self._lines, None)
        if line is None:
            return None
        self.number += 1
        # Most lines are short: only those that could be too long are encoded.
        if len(line) * 4 > _MAX_LINE and len(line.encode(errors="surrogateescape")) > _MAX_LINE:
            raise DockerfileError(
                f"dockerfile line greater than max allowed size of {_MAX_LINE}", self.number
            )
        # Bytes that are not UTF-8 arrive as surrogates; docker replaces each by this sign.
        return line if line.isascii() else re.sub("[\ud800-\udfff]", "\ufffd", line)

    def _directive(self, line: str, seen: set[str]) -> set[str] | None:
        """Obey a parser directive; None when the line is none."""
        found = line.startswith("#") and _DIRECTIVE.match(line[1:].lstrip(BLANK))
        if not found or (name := found[1].lower()) not in _DIRECTIVES:
            return None
        if name in seen:
            raise DockerfileError(f"only one {name} parser directive can be used", self.number)
        if name == "escape":
            value = found[2].rstrip("\t\n\f\r ") or found[2]
            if value not in ("`", "\\"):
                raise DockerfileError(
                    f"invalid escape token '{value}' does not match ` or \\", self.number
                )
            self.escape = value
        return seen | {name}

    def _continued(self, line: str) -> str:
        # One at the end of a line continues it, two do not.
        end = re.compile(rf"(?:(?<=[^{re.escape(self.escape)}])|^){re.escape(self.escape)}[ \t]*\Z")
        first, continued = end.subn("", line)
        parts = [first]
        while continued and (following := self._next()) is not None:
            following = following.rstrip("\r")
            if (text := following.lstrip(BLANK)) and not text.startswith("#"):
                following, continued = end.subn("", following)
                parts.append(following)
        return "".join(parts)
