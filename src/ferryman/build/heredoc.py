"""Here-documents: content of a file, or a script, in the Dockerfile itself.

Follows the Dockerfile reference ("Here-Documents").
"""

import re
from typing import NamedTuple

from ferryman.build.words import WordError, expand_words, raw_words

SCRIPTS = "/dev/pipes"
"""The folder in which a step sees a script that names its own interpreter."""

_WORD = re.compile(r"([0-9]*)<<(-?)\s*([^<]*)", re.ASCII)


class Heredoc(NamedTuple):
    """A here-document: the word that ends it, and what stands before that."""

    name: str
    expand: bool
    """Whether variables in it are replaced: its word was not quoted."""
    chomp: bool
    """Whether tabs at the beginning of its lines are no part of it."""
    content: str = ""

    @property
    def text(self) -> str:
        """The content as it is meant."""
        return re.sub(r"^\t+", "", self.content, flags=re.MULTILINE) if self.chomp else self.content


def announced(line: str) -> list[Heredoc]:
    """Return the here-documents that a line says will follow it, without their content.

    Raises WordError for a word that makes no sense.
    """
    try:
        words = raw_words(line)
    except WordError:
        return []  # as for docker: the line is what it is, without any
    return [heredoc for each in words if (heredoc := _read(each))]


def word(text: str) -> Heredoc | None:
    """Return what a word such as ``<<-"EOF"`` announces; None when it announces nothing."""
    try:
        return _read(text)
    except WordError:
        return None


def _read(text: str) -> Heredoc | None:
    found = _WORD.fullmatch(text)
    if not found or not found[3]:
        return None
    names = expand_words(found[3], {}, keep_unset=True)
    if len(names) != 1:
        return None
    quotes = sum(map(found[3].count, "'\"")) - sum(map(names[0].count, "'\""))
    return Heredoc(names[0], expand=not quotes, chomp=bool(found[2]))
