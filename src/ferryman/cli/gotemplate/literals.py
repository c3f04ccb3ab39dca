"""Go's literals: numbers, characters and strings."""

import re
from math import isinf

_ESCAPES = dict(zip("abfnrtv\\", "\a\b\f\n\r\t\v\\", strict=True))
_ESCAPE = re.compile(
    r"\\(?:([0-7]{3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))|\\", re.DOTALL
)


def number(text: str) -> int | float:
    """Read a number; raise ValueError with Go's words."""
    integral = re.fullmatch(r"[+-]?(?:0[xXoObB]\w*|[0-9_]*)", text)
    try:
        if not integral:
            real = float(text)
            if not isinf(real):
                return real
        else:
            value = int(text, 8 if re.match(r"[+-]?0[0-9_]", text) else 0)
            if -(1 << 63) <= value < 1 << 64:
                return value
    except ValueError:
        pass
    if re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(f'integer overflow: "{text}"')
    raise ValueError(f'illegal number syntax: "{text}"')


def character(text: str) -> int:
    """Read a character constant and give its code point; raise ValueError with Go's words."""
    value = _unescape(text[1:-1], "'")
    if len(value) == 1:
        return value[0]
    decoded = value.decode(errors="surrogateescape")
    if not decoded:
        raise ValueError("invalid syntax")
    if len(decoded) > 1:
        raise ValueError(f"malformed character constant: {text}")
    return ord(decoded)


def string(text: str) -> str:
    """Read a string in double quotes or backquotes; raise ValueError with Go's words.

    Bytes that are no UTF-8 become lone surrogates, as in names of files.
    """
    if text[0] == "`":
        return text[1:-1].replace("\r", "")
    return _unescape(text[1:-1], '"').decode(errors="surrogateescape")


def _unescape(text: str, quote: str) -> bytes:
    # Go's strings are bytes, and \xe2\x82\xac is a way to write one character.
    result = bytearray()
    at = 0
    for found in _ESCAPE.finditer(text):
        result += text[at : found.start()].encode(errors="surrogateescape")
        result += _escaped(found, quote)
        at = found.end()
    return bytes(result + text[at:].encode(errors="surrogateescape"))


def _escaped(found: re.Match[str], quote: str) -> bytes:
    octal, byte, short, long, letter = found.groups()
    if octal or byte:
        value = int(octal, 8) if octal else int(byte, 16)
        if value < 256:
            return bytes([value])
    elif short or long:
        value = int(short or long, 16)
        if value < 0xD800 or 0xDFFF < value < 0x110000:
            return chr(value).encode()
    elif letter == quote:
        return quote.encode()
    elif letter in _ESCAPES:
        return _ESCAPES[letter].encode()
    raise ValueError("invalid syntax")
