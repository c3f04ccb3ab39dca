"""``WWW-Authenticate``: how a registry wants to know who asks (RFC 9110, section 11.6.1)."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?=[\s,]|$)")
# No two parts of it match the same character: a hostile header costs no more than its length.
_PARAMETER = re.compile(rf'[\s,]*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))', re.DOTALL)
_TOKEN68 = re.compile(r"\s*[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$))")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_MOST = 16 << 10


class Challenge(NamedTuple):
    """One way to say who one is: the scheme in lower case, and its parameters."""

    scheme: str
    parameters: Mapping[str, str]


def parse(headers: Iterable[str]) -> list[Challenge]:
    """Return the challenges of all headers of an answer; what cannot be read is left out."""
    return [challenge for header in headers for challenge in _parsed(header[:_MOST])]


def _parsed(header: str) -> Iterable[Challenge]:
    at = 0
    while scheme := _SCHEME.match(header, at):
        at = scheme.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, at):
            at = parameter.end()
            name, quoted, plain = parameter.groups()
            value = plain if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted)
            parameters.setdefault(name.lower(), value)
        if not parameters and (token := _TOKEN68.match(header, at)):
            at = token.end()
        yield Challenge(scheme.group(1).lower(), parameters)
