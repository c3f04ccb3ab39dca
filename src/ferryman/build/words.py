"""Words as Dockerfiles split and quote them, and the variables in them.

Follows the Dockerfile reference ("Environment replacement") and, where that is silent, what
docker's classic builder does.  Two steps, as there: `split` cuts a line into words and leaves the
quotes in them; `expand` takes the quotes away and puts the variables in.
"""

from collections.abc import Callable, Mapping

from ferryman.errors import FerryError

ESCAPE = "\\"

# What Unicode calls white space.  str.isspace and str.strip take four control characters more.
BLANK = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)


class WordError(FerryError):
    """A word with a quote that never ends, or a substitution that makes no sense."""


def split(text: str, escape: str = ESCAPE) -> list[str]:
    """Split a text at blanks that stand outside of quotes; quotes and escapes stay in the words."""
    words: list[str] = []
    word = quote = ""
    rest = iter(text)
    for character in rest:
        if character == escape and quote != "'":
            # An escape at the very end escapes nothing, and is dropped.
            following = next(rest, "")
            word += character + following if following else ""
        elif character in BLANK and not quote:
            words.append(word)
            word = ""
        else:
            if quote:
                quote = "" if character == quote else quote
            elif character in "'\"":
                quote = character
            word += character
    return [word for word in [*words, word] if word]


def expand(word: str, variables: Mapping[str, str], escape: str = ESCAPE) -> str:
    """Return a word with quotes removed and variables replaced; raises WordError."""
    return "".join(text for text, _ in _pieces(word, variables, escape))


def expand_words(text: str, variables: Mapping[str, str], escape: str = ESCAPE) -> list[str]:
    """Do as `expand`, then split at blanks that were not quoted; raises WordError."""
    words = [""]
    for piece, quoted in _pieces(text, variables, escape):
        for character in piece:
            if character in BLANK and not quoted:
                words.append("")
            else:
                words[-1] += character
    return [word for word in words if word]


def quoted(text: str) -> str:
    """Return a text in double quotes as docker's messages have it: Go's ``%q``."""
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if short := _SHORT.get(character):
        return short
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_SHORT = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}

_Piece = tuple[str, bool]  # a part of the result, and whether it was quoted or escaped


def _pieces(source: str, variables: Mapping[str, str], escape: str) -> list[_Piece]:
    try:
        return _Scanner(source, variables, escape).pieces("")
    except WordError as e:
        raise WordError(f"failed to process {quoted(source)}: {e}") from None
    except RecursionError:
        raise WordError("failed to process a word: substitutions are nested too deeply") from None


class _Scanner:
    """One pass over a text."""

    def __init__(self, text: str, variables: Mapping[str, str], escape: str) -> None:
        self._text = text
        self._at = 0
        self._variables = variables
        self._escape = escape

    def _peek(self) -> str:
        """Return the next character, or nothing at the end."""
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        character = self._peek()
        self._at += 1
        return character

    def pieces(self, stop: str) -> list[_Piece]:
        """Read up to the character `stop`, which must come, or to the end if it is empty."""
        pieces: list[_Piece] = []
        while (character := self._next()) != stop:
            if not character:
                raise WordError(f"unexpected end of statement while looking for matching {stop}")
            if character == "'":
                pieces.append((self._single(), True))
            elif character == '"':
                pieces.append((self._double(), True))
            elif character == "$":
                pieces.append((self._variable(), False))
            elif character == self._escape:
                pieces.append((self._next(), True))
            else:
                pieces.append((character, False))
        return pieces

    def _single(self) -> str:
        content, quote, rest = self._text[self._at :].partition("'")
        if not quote:
            self._at = len(self._text)
            raise WordError("unexpected end of statement while looking for matching single-quote")
        self._at = len(self._text) - len(rest)
        return content

    def _double(self) -> str:
        content = ""
        while (character := self._next()) != '"':
            if not character:
                raise WordError(
                    "unexpected end of statement while looking for matching double-quote"
                )
            if character == "$":
                content += self._variable()
            elif character != self._escape:
                content += character
            elif following := self._peek():
                content += self._next() if following in ('"', "$", self._escape) else character
        return content

    def _variable(self) -> str:
        """Read what follows a dollar sign, and return what it stands for."""
        if self._peek() == "{":
            self._next()
            return self._braced()
        name = self._name()
        return self._variables.get(name, "") if name else "$"

    def _name(self) -> str:
        """Read a name, a number or one of the shell's special parameters."""
        first = self._peek()
        if first.isdecimal():
            return self._while(str.isdecimal)
        if first and first in "@*#?-$!":
            return self._next()
        return self._while(lambda each: each == "_" or each.isalpha() or each.isdecimal())

    def _while(self, belongs: Callable[[str], bool]) -> str:
        start = self._at
        while (character := self._peek()) and belongs(character):
            self._at += 1
        return self._text[start : self._at]

    def _braced(self) -> str:
        """Read ``name}``, or a name with a modifier: ``-``, ``+``, ``?``, with a colon or not."""
        first = self._peek()
        if not first:
            raise WordError("syntax error: missing '}'")
        if first in "{}:":
            raise WordError("syntax error: bad substitution")
        name = self._name()
        value = self._variables.get(name)
        modifier = self._next()
        if modifier == "}":
            return value or ""
        colon = modifier == ":"
        if colon:
            modifier = self._next()
        elif not modifier or modifier not in "-+?":
            raise WordError("missing ':' in substitution")
        word = self._until_brace()
        # With a colon, an empty value is as none.
        missing = not value if colon else value is None
        if modifier == "-":
            return word if missing else value or ""
        if modifier == "+":
            return "" if missing else word
        if modifier == "?":
            if missing:
                state = "unset" if value is None else "empty"
                raise WordError(f"{name}: {word or f'is not allowed to be {state}'}")
            return value or ""
        raise WordError(f"unsupported modifier ({modifier}) in substitution")

    def _until_brace(self) -> str:
        try:
            return "".join(text for text, _ in self.pieces("}"))
        except WordError:
            if not self._peek():
                raise WordError("syntax error: missing '}'") from None
            raise
