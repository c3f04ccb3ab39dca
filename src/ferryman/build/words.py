"""Words as Dockerfiles split and quote them, and the variables in them.

Follows the Dockerfile reference ("Environment replacement") and, where that is silent, what
docker's classic builder does.
"""

from collections.abc import Mapping

from ferryman.errors import FerryError

ESCAPE = "\\"


class WordError(FerryError):
    """A word with a quote that never ends, or a substitution that makes no sense."""


def expand(word: str, variables: Mapping[str, str]) -> str:
    """Return a word with quotes removed and variables replaced; raises WordError."""
    return "".join(text for text, _ in _Scanner(word, variables).pieces())


def expand_words(text: str, variables: Mapping[str, str]) -> list[str]:
    """Return the words of a text: like `expand`, then split where unquoted blanks are."""
    words: list[str] = []
    current = ""
    started = False
    for piece, quoted in _Scanner(text, variables).pieces():
        if quoted:
            current += piece
            started = True
            continue
        for character in piece:
            if character.isspace():
                if started:
                    words.append(current)
                current, started = "", False
            else:
                current += character
                started = True
    return [*words, current] if started else words


def split(text: str) -> list[str]:
    """Split a text at blanks that stand outside of quotes; quotes and escapes stay in the words."""
    words: list[str] = []
    current = ""
    quote = ""
    i = 0
    while i < len(text):
        character = text[i]
        if character == ESCAPE and quote != "'" and i + 1 < len(text):
            current += text[i : i + 2]
            i += 2
            continue
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character.isspace():
            if current:
                words.append(current)
            current = ""
            i += 1
            continue
        current += character
        i += 1
    return [*words, current] if current else words


class _Scanner:
    """One pass over a text; gives pieces of the result and whether each was quoted."""

    def __init__(self, text: str, variables: Mapping[str, str]) -> None:
        self._text = text
        self._at = 0
        self._variables = variables

    def pieces(self) -> list[tuple[str, bool]]:
        pieces: list[tuple[str, bool]] = []
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == "'":
                pieces.append((self._single(), True))
            elif character == '"':
                pieces.append((self._double(), True))
            elif character == "$":
                pieces.append((self._variable(), False))
            elif character == ESCAPE:
                self._at += 1
                if self._at < len(self._text):
                    pieces.append((self._next(), True))
            else:
                pieces.append((self._next(), False))
        return pieces

    def _next(self) -> str:
        self._at += 1
        return self._text[self._at - 1]

    def _single(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise WordError("unexpected end of statement while looking for matching single-quote")
        content = self._text[self._at + 1 : end]
        self._at = end + 1
        return content

    def _double(self) -> str:
        self._at += 1
        content = ""
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == '"':
                self._at += 1
                return content
            if character == "$":
                content += self._variable()
            elif character == ESCAPE:
                self._at += 1
                if self._at == len(self._text):
                    break
                # Within double quotes only these are escaped; before others the escape stays.
                following = self._next()
                content += following if following in '"$\\' else ESCAPE + following
            else:
                content += self._next()
        raise WordError("unexpected end of statement while looking for matching double-quote")

    def _variable(self) -> str:
        self._at += 1
        if self._at < len(self._text) and self._text[self._at] == "{":
            return self._braced()
        name = self._name()
        return self._variables.get(name, "") if name else "$"

    def _name(self) -> str:
        start = self._at
        text = self._text
        if start < len(text) and (text[start].isdigit() or text[start] in "@*#"):
            self._at += 1
            return text[start : self._at]
        while self._at < len(text) and (
            text[self._at] == "_" or (text[self._at].isascii() and text[self._at].isalnum())
        ):
            self._at += 1
        return text[start : self._at]

    def _braced(self) -> str:
        self._at += 1
        name = self._name()
        if self._at >= len(self._text):
            raise WordError("unexpected end of statement while looking for matching }")
        if not name:
            raise WordError(f"unsupported modifier ({self._text[self._at]}) in substitution")
        character = self._next()
        if character == "}":
            return self._variables.get(name, "")
        if character != ":":
            raise WordError(f"unsupported modifier ({character}) in substitution")
        modifier = self._next() if self._at < len(self._text) else ""
        word = self._until_brace()
        value = self._variables.get(name)
        if modifier == "+":
            return word if value else ""
        if modifier == "-":
            return value if value else word
        if modifier == "?":
            if value:
                return value
            raise WordError(f"{name}: {word or 'is not allowed to be empty'}")
        raise WordError(f"unsupported modifier ({modifier}) in substitution")

    def _until_brace(self) -> str:
        content = ""
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == "}":
                self._at += 1
                return content
            if character == "'":
                content += self._single()
            elif character == '"':
                content += self._double()
            elif character == "$":
                content += self._variable()
            elif character == ESCAPE and self._at + 1 < len(self._text):
                self._at += 1
                content += self._next()
            else:
                content += self._next()
        raise WordError("unexpected end of statement while looking for matching }")
