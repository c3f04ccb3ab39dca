"""Flags that are pairs of a name and a value: variables, labels, sysctls; and files of them."""

import os
from collections.abc import Callable, Sequence

from ferryman.errors import InvalidFlag

_BLANK = " \t"
_SYSCTLS = frozenset(
    f"kernel.{name}"
    for name in "msgmax msgmnb msgmni sem shmall shmmax shmmni shm_rmid_forced".split()
)
_MAX_LINE = 64 * 1024
_MAX_FILE = 64 << 20


def variable(text: str) -> str:
    """Return ``NAME=VALUE``; a name alone gets the value that it has here, if it has one.

    Raises ValueError.
    """
    name, equals, _ = text.partition("=")
    if not name:
        raise ValueError(f"invalid environment variable: {text}")
    if not equals and name in os.environ:
        return f"{name}={os.environ[name]}"
    return text


def label(text: str) -> str:
    """Return ``NAME[=VALUE]`` as it is; raises ValueError."""
    name = text.partition("=")[0].lstrip(_BLANK)
    if not name:
        raise ValueError(f"invalid label '{text}': empty name")
    if any(blank in name for blank in _BLANK):
        raise ValueError(f"label '{name}' contains whitespaces")
    return text


def sysctl(text: str) -> str:
    """Return ``NAME=VALUE`` as it is, when a container may have it; raises ValueError."""
    name, equals, _ = text.partition("=")
    if not equals or not (name in _SYSCTLS or name.startswith(("net.", "fs.mqueue."))):
        raise ValueError(f"sysctl '{text}' is not allowed")
    return text


def pairs(given: Sequence[str]) -> dict[str, str]:
    """Return names and their values; the last one of a name counts."""
    return {name: value for name, _, value in (each.partition("=") for each in given)}


def environment(files: Sequence[str], given: Sequence[str]) -> list[str]:
    """Return the variables of files, then the last one of each name that was given.

    Raises InvalidFlag.
    """
    last = {entry.partition("=")[0]: entry for entry in given}
    return [*_of_files("--env-file", files, os.environ.get), *last.values()]


def labels(files: Sequence[str], given: Sequence[str]) -> dict[str, str]:
    """Return the labels of files, and over them those that were given; raises InvalidFlag."""
    return pairs([*_of_files("--label-file", files, lambda name: None), *given])


def _of_files(flag: str, paths: Sequence[str], known: Callable[[str], str | None]) -> list[str]:
    found: list[str] = []
    for path in paths:
        try:
            with open(path, "rb") as f:
                content = f.read(_MAX_FILE)
        except OSError as e:
            why = (e.strerror or str(e)).lower()
            raise InvalidFlag(f"{flag}: open {path}: {why}") from None
        try:
            found += _lines(content, known)
        except ValueError as e:
            raise InvalidFlag(f"{flag}: invalid env file ({path}): {e}") from None
    return found


def _lines(content: bytes, known: Callable[[str], str | None]) -> list[str]:
    """Return the pairs of a file, one a line; a name alone has the value that is `known` for it."""
    found = []
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if len(raw) >= _MAX_LINE:
            raise ValueError("bufio.Scanner: token too long")
        try:
            line = raw.removesuffix(b"\r").decode().lstrip()
        except UnicodeDecodeError:
            raise ValueError(f"invalid utf8 bytes at line {number}") from None
        if not line or line.startswith("#"):
            continue
        name, equals, _ = line.partition("=")
        if not name:
            raise ValueError(f"no variable name on line '{line}'")
        if any(blank in name for blank in _BLANK):
            raise ValueError(f"variable '{name}' contains whitespaces")
        if equals:
            found.append(line)
        elif (value := known(name)) is not None:
            found.append(f"{name}={value}")
    return found
