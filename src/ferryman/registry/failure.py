"""What a registry answers when it does not do what was asked (distribution spec, "Error Codes")."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from ferryman.errors import InvalidImage, RegistryError
from ferryman.image.decode import decode

_MOST = 300
"""Characters of a stranger's message that a user has to read."""


class Refused(RegistryError):
    """What a registry has answered with an error; `code` is the first that it names."""

    def __init__(self, words: str, code: str = "", status: int = 0) -> None:
        """Say it in these words; `status` is that of HTTP."""
        super().__init__(words)
        self.code = code
        self.status = status


class Busy(Refused):
    """The registry has too much to do, or is in trouble; `wait` is its Retry-After."""

    wait = ""


class NotFound(Refused):
    """A repository, manifest or blob that the registry does not have."""


class Denied(Refused):
    """The registry does not let this user do that, or does not know who it is."""


class Unreachable(RegistryError):
    """There is no registry at that address, or none that can be understood."""


class Said(NamedTuple):
    """One error of an answer: its code, in capitals, and its message."""

    code: str
    message: str

    @property
    def words(self) -> str:
        """The error as docker prints it: ``manifest unknown: manifest unknown``."""
        code = self.code.lower().replace("_", " ")
        return f"{code}: {self.message}" if code and self.message else code or self.message


class _Error(msgspec.Struct, frozen=True):
    code: str = ""
    message: str = ""


class _Errors(msgspec.Struct, frozen=True):
    errors: list[_Error] | None = None


def said(content: bytes) -> Sequence[Said]:
    """Return the errors that the body of an answer names; none when it is no such body."""
    try:
        found = decode(content, _Errors, "answer").errors or []
    except InvalidImage:
        return []
    return [Said(each.code[:_MOST], " ".join(each.message.split())[:_MOST]) for each in found[:10]]
