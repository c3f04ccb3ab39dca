"""The user's terminal (termios(3), tty_ioctl(4)): raw mode, its size, the keys that detach."""

import os
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from ferryman.errors import FerryError, InvalidFlag

DETACH_KEYS = b"\x10\x11"
"""ctrl-p, ctrl-q"""

_CONTROLS = {f"ctrl-{chr(code + 0x60)}": code for code in range(1, 27)} | {
    f"ctrl-{sign}": code & 0x1F for sign, code in ((s, ord(s)) for s in "@[\\]^_")
}


class NoTerminal(FerryError):
    """A terminal is needed where there is none."""


def check(stdin: int) -> None:
    """Raise NoTerminal when what is to become a container's terminal is none."""
    if not os.isatty(stdin):
        raise NoTerminal("the input device is not a TTY")


def size(*fds: int | None) -> tuple[int, int] | None:
    """Return rows and columns of the first of these that is a terminal; None when none is."""
    for fd in fds:
        if fd is None:
            continue
        try:
            columns, rows = os.get_terminal_size(fd)
        except OSError:
            continue
        if rows and columns:
            return rows, columns
    return None


@contextmanager
def raw(fd: int | None) -> Iterator[None]:
    """Give every key as it is typed to the program for the block; then all is as it was before.

    Nothing happens to what is not a terminal.
    """
    if fd is None or not os.isatty(fd):
        yield
        return
    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd, termios.TCSANOW)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSANOW, before)


def parse_keys(text: str) -> bytes:
    """Return the bytes of ``--detach-keys``: ``ctrl-p,ctrl-q``, ``a,b``; empty is the default.

    Raises InvalidFlag.
    """
    if not text:
        return DETACH_KEYS
    codes = bytearray()
    for key in text.split(","):
        if len(key) == 1 and key.isascii():
            codes.append(ord(key))
        elif key in _CONTROLS:
            codes.append(_CONTROLS[key])
        elif key == "DEL":
            codes.append(0x7F)
        else:
            raise InvalidFlag(f"invalid detach keys ({text}): Unknown character: '{key}'")
    return bytes(codes)


class DetachKeys:
    """Looks for the keys that detach in what a user types.

    The beginning of the sequence is held back until it is known whether the rest follows.
    """

    def __init__(self, keys: bytes) -> None:
        """Take the sequence, of one key at least."""
        self._keys = keys
        self._held = 0

    def pass_on(self, typed: bytes) -> tuple[bytes, bool]:
        """Return what is for the program, and whether the whole sequence has been typed."""
        passed = bytearray()
        for code in typed:
            if code != self._keys[self._held]:
                passed += self._keys[: self._held]
                self._held = 0
            if code != self._keys[self._held]:
                passed.append(code)
                continue
            self._held += 1
            if self._held == len(self._keys):
                self._held = 0
                return bytes(passed), True
        return bytes(passed), False
