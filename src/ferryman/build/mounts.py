"""The mounts of a step: ``RUN --mount=type=cache,target=/root/.cache`` (Dockerfile reference)."""

import re
from collections.abc import Callable
from typing import NamedTuple

from ferryman.build.lines import DockerfileError
from ferryman.build.suggest import did_you_mean
from ferryman.build.words import quoted

_TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
_SHARING = ("shared", "private", "locked")
_OWNED = ("secret", "ssh", "cache")
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kmgtp]?)(?:i?b)?", re.IGNORECASE | re.ASCII)
_KEYS = (
    "type from source src target dst destination readonly ro readwrite rw id sharing required "
    "size mode uid gid env"
).split()


class Mount(NamedTuple):
    """One mount, as it is asked for."""

    type: str
    stage: str = ""
    """The stage or image that it comes from; empty for the context."""
    source: str = ""
    target: str = ""
    read_only: bool = True
    size: int = 0
    """In bytes, of a tmpfs; 0 sets no limit."""
    id: str = ""
    sharing: str = "shared"
    required: bool = False
    env: str | None = None
    """The variable that a secret is given in; empty for one of the secret's name."""
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


def stage_of(text: str) -> str:
    """Return which stage or image a mount comes from; raises DockerfileError.

    That is to be known before any variable is.
    """
    for field in _fields(text):
        key, _, value = field.partition("=")
        if key.lower() == "from":
            if "$" in value[:-1]:
                raise DockerfileError(
                    "'from' doesn't support variable expansion, define alias stage instead"
                )
            return value
    return ""


def read(text: str, expand: Callable[[str], str]) -> Mount:
    """Return a mount, its variables replaced by `expand`; raises DockerfileError."""
    said: dict[str, str | None] = {}
    kind, read_only = "bind", None
    for field in _fields(text):
        key, equals, value = field.partition("=")
        key = _LONG.get(key.lower(), key.lower())
        if key not in _KEYS:
            raise DockerfileError(f"unexpected key '{key}' in '{field}'{did_you_mean(key, _KEYS)}")
        value = expand(value)
        if key in ("readonly", "readwrite"):
            yes = _boolean(key, value) if equals else True
            read_only = yes if key == "readonly" else not yes
        elif not equals and key != "required":
            raise DockerfileError(f"invalid field '{field}' must be a key=value pair")
        elif key == "type":
            kind = value.lower()
            if kind not in _TYPES:
                raise DockerfileError(
                    f"unsupported mount type {quoted(value)}{did_you_mean(value, _TYPES)}"
                )
        else:
            said[key] = value if equals else None
    _check(kind, said)
    sharing = (said.get("sharing") or "shared").lower()
    if sharing not in _SHARING:
        raise DockerfileError(
            f"unsupported sharing value {quoted(sharing)}{did_you_mean(sharing, _SHARING)}"
        )
    required = said.get("required", "false")
    return Mount(
        kind,
        stage=said.get("from") or "",
        source=said.get("source") or "",
        target=said.get("target") or "",
        read_only=kind not in ("cache", "tmpfs") if read_only is None else read_only,
        size=_size(said.get("size") or ""),
        id=said.get("id") or "",
        sharing=sharing,
        required=required is None or _boolean("required", required),
        env=said.get("env"),
        mode=_number("mode", said.get("mode"), 8),
        uid=_number("uid", said.get("uid"), 10),
        gid=_number("gid", said.get("gid"), 10),
    )


_LONG = {"src": "source", "dst": "target", "destination": "target"} | {
    "ro": "readonly",
    "rw": "readwrite",
}


_FIELD = re.compile(r'"((?:[^"]|"")*)"|([^",]*)')


def _fields(text: str) -> list[str]:
    """Split at commas; a field in double quotes may hold some (RFC 4180)."""
    if not text:
        raise DockerfileError("failed to parse csv mounts: EOF")
    fields: list[str] = []
    at = 0
    while at <= len(text):
        found = _FIELD.match(text, at)
        assert found
        if found.end() < len(text) and text[found.end()] != ",":
            raise DockerfileError(f"failed to parse csv mounts: a quote in {text[at:]}")
        quoted = found[1] is not None
        fields.append(found[1].replace('""', '"') if quoted else found[2])
        at = found.end() + 1
    return fields


def _check(kind: str, said: dict[str, str | None]) -> None:
    """Raise DockerfileError for what a type of mount does not have, or lacks."""
    if "required" in said and kind not in ("secret", "ssh"):
        raise DockerfileError(f"unexpected key 'required' for mount type '{kind}'")
    if "size" in said and kind != "tmpfs":
        raise DockerfileError(f"unexpected key 'size' for mount type '{kind}'")
    for key in ("mode", "uid", "gid"):
        if key in said and kind not in _OWNED:
            raise DockerfileError(f"{key} not allowed for {quoted(kind)} type mounts")
    if kind == "secret":
        if said.get("from"):
            raise DockerfileError("secret mount should not have a from")
        if said.get("sharing"):
            raise DockerfileError("secret mount should not define sharing")
        if not (said.get("source") or said.get("target") or said.get("id")):
            raise DockerfileError("invalid secret mount. one of source, target required")
        if said.get("source") and said.get("id"):
            raise DockerfileError("both source and id can't be set")
    if said.get("sharing") and kind != "cache":
        raise DockerfileError(f"invalid cache sharing set for {kind} mount")


def _boolean(key: str, value: str) -> bool:
    if value not in (*_TRUE, *_FALSE):
        raise DockerfileError(f"invalid value for {key}: {value}")
    return value in _TRUE


def _number(key: str, value: str | None, base: int) -> int | None:
    if value is None:
        return None
    digits = "[0-7]{1,16}" if base == 8 else "[0-9]{1,16}"
    if not re.fullmatch(digits, value) or (number := int(value, base)) >= 1 << 32:
        raise DockerfileError(f"invalid value {value} for {key}")
    return number


def _size(value: str) -> int:
    if not value:
        return 0
    found = _SIZE.fullmatch(value)
    if not found or len(found[1]) > 18:
        raise DockerfileError(f"invalid value for size: {value}")
    return int(float(found[1]) * _UNITS[found[2].lower()])
