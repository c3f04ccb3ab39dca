"""Words as Dockerfiles split and quote them, and the variables in them.

Follows the Dockerfile reference ("Environment replacement") and, where that is silent, what
docker does.  Two steps, as there: `split` cuts a line into words and leaves the quotes in them;
`expand` takes the quotes away and puts the variables in.
"""

import re
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


def expand_text(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with variables replaced in which quotes mean nothing; raises WordError."""
    return "".join(text for text, _ in _pieces(text, variables, ESCAPE, quotes=_PLAIN))


def expand_words(
    text: str, variables: Mapping[str, str], escape: str = ESCAPE, *, keep_unset: bool = False
) -> list[str]:
    """Do as `expand`, then split at blanks that were not quoted; raises WordError.

    With `keep_unset`, variables that are not there stay as they were written.
    """
    return _split_pieces(_pieces(text, variables, escape, keep_unset=keep_unset))


def raw_words(text: str) -> list[str]:
    """Split a text as `expand_words`, with quotes, escapes and variables left as they stand.

    Raises WordError.
    """
    return _split_pieces(_pieces(text, {}, ESCAPE, quotes=_KEPT, keep_unset=True))


def quoted(text: str) -> str:
    """Return a text in double quotes as docker's messages have it: Go's ``%q``."""
    return f'"{"".join(map(_escaped, text))}"'


def lower(text: str) -> str:
    """Return a text in lower case as Go has it: a letter for each, whatever its neighbours."""
    return text.replace("\u0130", "i").lower()


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

# What becomes of quotes: they are removed, are kept (and escapes with them), or are none.
_REMOVED, _KEPT, _PLAIN = range(3)


def _split_pieces(pieces: list[_Piece]) -> list[str]:
    words = [""]
    for piece, quoted in pieces:
        for character in piece:
            if character in BLANK and not quoted:
                words.append("")
            else:
                words[-1] += character
    return [word for word in words if word]


def _pieces(
    source: str,
    variables: Mapping[str, str],
    escape: str,
    *,
    quotes: int = _REMOVED,
    keep_unset: bool = False,
) -> list[_Piece]:
    try:
        scanner = _Scanner(source, variables, escape, quotes, keep_unset)
        return scanner.pieces("", raw=quotes == _KEPT)
    except WordError as e:
        raise WordError(f"failed to process {quoted(source)}: {e}") from None
    except RecursionError:
        raise WordError("failed to process a word: substitutions are nested too deeply") from None


class _Scanner:
    """One pass over a text."""

    def __init__(
        self, text: str, variables: Mapping[str, str], escape: str, quotes: int, keep_unset: bool
    ) -> None:
        self._text = text.removeprefix("\ufeff")  # as Go's scanner, wherever it begins
        self._at = 0
        self._variables = variables
        self._escape = escape
        self._quotes = quotes
        self._keep_unset = keep_unset

    def _peek(self) -> str:
        """Return the next character, or nothing at the end."""
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        character = self._peek()
        self._at += 1
        return character

    def pieces(self, stop: str, *, raw: bool) -> list[_Piece]:
        """Read up to the character `stop`, which must come, or to the end if it is empty.

        With `raw`, escapes stay where they are.
        """
        pieces: list[_Piece] = []
        while (character := self._next()) != stop:
            if not character:
                raise WordError(f"unexpected end of statement while looking for matching {stop}")
            if character == "'" and self._quotes != _PLAIN:
                pieces.append((self._with_quotes(self._single(), "'"), True))
            elif character == '"' and self._quotes != _PLAIN:
                pieces.append((self._with_quotes(self._double(raw=raw), '"'), True))
            elif character == "$":
                pieces.append((self._variable(), False))
            elif character == "<" and self._peek() == "<":
                # A here-document's word may stand apart from its sign, and belongs to it.
                self._next()
                pieces.append(("<<" + self._while(lambda each: each in "\t\r "), True))
            elif character == self._escape:
                pieces.append(((character if raw else "") + self._next(), True))
            else:
                pieces.append((character, False))
        return pieces

    def _with_quotes(self, content: str, quote: str) -> str:
        return f"{quote}{content}{quote}" if self._quotes == _KEPT else content

    def _single(self) -> str:
        content, quote, rest = self._text[self._at :].partition("'")
        if not quote:
            self._at = len(self._text)
            raise WordError("unexpected end of statement while looking for matching single-quote")
        self._at = len(self._text) - len(rest)
        return content

    def _double(self, *, raw: bool) -> str:
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
                escapes = following in ('"', "$", self._escape)
                if raw or not escapes:
                    content += character
                if escapes:
                    content += self._next()
        return content

    def _variable(self) -> str:
        """Read what follows a dollar sign, and return what it stands for."""
        if self._peek() == "{":
            self._next()
            return self._braced()
        name = self._name()
        if not name or self._kept(name):
            return "$" + name
        return self._variables.get(name, "")

    def _kept(self, name: str) -> bool:
        return self._keep_unset and name not in self._variables

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
        """Read ``name}``, or a name with a modifier, and return what it stands for.

        The modifiers are ``-``, ``+`` and ``?``, with a colon or not, and the patterns ``#``,
        ``##``, ``%``, ``%%``, ``/`` and ``//``.
        """
        first = self._peek()
        if not first:
            raise WordError("syntax error: missing '}'")
        if first in "{}:":
            raise WordError("syntax error: bad substitution")
        name = self._name()
        value = self._variables.get(name)
        modifier = self._next()
        if modifier == "}":
            return f"${{{name}}}" if self._kept(name) else value or ""
        if modifier == "/":
            return self._replaced(name, value or "")
        if modifier and modifier in "#%":
            pattern = self._until("}", raw=True)
            if self._kept(name):
                return f"${{{name}{modifier}{pattern}}}"
            return _trimmed(value or "", modifier, pattern)
        colon = modifier == ":"
        if colon:
            modifier = self._next()
        elif not modifier or modifier not in "-+?":
            raise WordError("missing ':' in substitution")
        if modifier and modifier in "#%":
            raise WordError(f"unsupported modifier ({modifier}) in substitution")
        word = self._until("}", raw=False)
        if self._kept(name):
            return f"${{{name}{':' * colon}{modifier}{word}}}"
        # With a colon, an empty value is as none.
        missing = not value if colon else value is None
        if modifier == "-":
            return word if missing else value or ""
        if modifier == "+":
            return "" if missing else word
        if modifier != "?":
            raise WordError(f"unsupported modifier ({modifier}) in substitution")
        if missing:
            state = "unset" if value is None else "empty"
            raise WordError(f"{name}: {word or f'is not allowed to be {state}'}")
        return value or ""

    def _replaced(self, name: str, value: str) -> str:
        every = self._peek() == "/"
        if every:
            self._next()
        pattern = self._until("/", raw=True)
        replacement = self._until("}", raw=True)
        if self._kept(name):
            return f"${{{name}/{pattern}/{replacement}}}"
        expression = _expression(pattern, greedy=True)
        return expression.sub(lambda _: replacement, value, count=0 if every else 1)

    def _until(self, stop: str, *, raw: bool) -> str:
        try:
            return "".join(text for text, _ in self.pieces(stop, raw=raw))
        except WordError:
            if not self._peek():
                where = " in ${}" if stop == "/" else ""
                raise WordError(f"syntax error: missing '{stop}'{where}") from None
            raise


def _trimmed(value: str, side: str, pattern: str) -> str:
    """Take what a pattern matches off the beginning (``#``) or the end (``%``) of a value.

    A pattern that begins with `side` once more takes as much as it can, otherwise as little.
    """
    greedy = pattern.startswith(side)
    expression = _expression(pattern.removeprefix(side), greedy=greedy)
    if side == "#":
        found = expression.match(value)
        return value[found.end() :] if found else value
    starts = range(len(value) + 1) if greedy else range(len(value), -1, -1)
    return next((value[:at] for at in starts if expression.fullmatch(value, at)), value)


def _expression(pattern: str, *, greedy: bool) -> re.Pattern[str]:
    """Return a shell's pattern, of which ``*`` and ``?`` are special, as a regular expression."""
    expression = ""
    rest = iter(pattern)
    for character in rest:
        if character == "*":
            expression += ".*" if greedy else ".*?"
        elif character == "?":
            expression += "."
        elif character == "\\":
            escaped = next(rest, "")
            if escaped not in ("*", "?", "\\", "}", "/"):
                raise WordError(
                    f"invalid pattern ({pattern}) in substitution: invalid escape '\\{escaped}'"
                )
            expression += re.escape(escaped)
        else:
            expression += re.escape(character)
    return re.compile(expression)
