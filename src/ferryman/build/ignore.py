"""``.dockerignore``: which files of a context are left out.

Follows the Dockerfile reference (".dockerignore file") and docker's matcher: patterns are matched
against a path and all folders above it, and the last one that matches decides.
"""

import itertools
import posixpath
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ferryman.build.words import BLANK, quoted
from ferryman.errors import FerryError


class IgnoreError(FerryError):
    """A pattern that makes no sense."""


class Pattern(NamedTuple):
    """One pattern."""

    text: str
    expression: str
    """A regular expression for the paths meant; all that is below one is meant too."""
    keeps: bool
    """Whether it takes back what others leave out: it begins with ``!``."""

    def may_keep_below(self, folder: str) -> bool:
        """Tell whether it can take back anything in a folder."""
        if not self.keeps:
            return False
        for part, wanted in zip(folder.split("/"), self.text.split("/"), strict=False):
            if "**" in wanted:
                return True
            if part != wanted and not re.fullmatch(as_expression(wanted), part, re.DOTALL):
                return False
        return True


class Ignored(NamedTuple):
    """The patterns of a context, in order."""

    patterns: tuple[Pattern, ...] = ()
    runs: tuple[tuple[bool, re.Pattern[str]], ...] = ()
    """Whether it keeps, and one expression, for each run of patterns that do the same."""

    def leaves_out(self, path: str) -> bool:
        """Tell whether a path, relative to the context, is left out."""
        out = False
        for keeps, expression in self.runs:
            if keeps == out and expression.match(path):
                out = not keeps
        return out

    def may_keep_below(self, folder: str) -> bool:
        """Tell whether anything below a folder that is left out may be there all the same."""
        return any(pattern.may_keep_below(folder) for pattern in self.patterns)


def read(text: str) -> Ignored:
    """Return the patterns of a ``.dockerignore`` file; raises IgnoreError."""
    lines = text.removeprefix("\ufeff").split("\n")
    return patterns(line for line in lines if not line.startswith("#"))


def patterns(lines: Iterable[str]) -> Ignored:
    """Return patterns, such as those of ``--exclude``; raises IgnoreError."""
    each = tuple(_pattern(line.strip(BLANK)) for line in lines if line.strip(BLANK))
    return Ignored(each, tuple(_runs(each)))


def _runs(each: Iterable[Pattern]) -> Iterator[tuple[bool, re.Pattern[str]]]:
    for keeps, run in itertools.groupby(each, lambda pattern: pattern.keeps):
        any_of = "|".join(pattern.expression for pattern in run)
        yield keeps, re.compile(rf"(?:{any_of})(?:/|\Z)", re.DOTALL)


def _pattern(line: str) -> Pattern:
    text = line.removeprefix("!").strip(BLANK)
    if not text:
        raise IgnoreError(f"illegal exclusion pattern: {quoted(line)}")
    text = posixpath.normpath(text)
    text = text.lstrip("/") or "/"
    try:
        expression = as_expression(text)
        re.compile(expression)
    except re.error:
        raise IgnoreError(f"syntax error in pattern: {quoted(line)}") from None
    return Pattern(text, expression, line.startswith("!"))


def as_expression(pattern: str) -> str:
    """Return a pattern as a regular expression: ``*``, ``?``, ``[a-z]``, and ``**`` for folders."""
    expression = ""
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*":
            if pattern.startswith("*", at):
                at += 1
                if pattern.startswith("/", at):
                    at += 1
                expression += ".*" if at == len(pattern) else "(?:.*/)?"
            else:
                expression += "[^/]*"
        elif character == "?":
            expression += "[^/]"
        elif character == "\\":
            if at == len(pattern):
                raise IgnoreError(f"syntax error in pattern: {quoted(pattern)}")
            expression += re.escape(pattern[at])
            at += 1
        elif character == "[":
            end = _class_end(pattern, at)
            expression += "[" + re.sub(r"([\[&~|])", r"\\\1", pattern[at:end]) + "]"
            at = end + 1
        else:
            expression += re.escape(character)
    return expression


def _class_end(pattern: str, at: int) -> int:
    """Return where a class of characters ends; raises IgnoreError when it does not."""
    end = at + (pattern.startswith("^", at))
    start = end
    while end < len(pattern) and (pattern[end] != "]" or end == start):
        end += 2 if pattern[end] == "\\" else 1
    if end >= len(pattern) or end == start:
        raise IgnoreError(f"syntax error in pattern: {quoted(pattern)}")
    return end
