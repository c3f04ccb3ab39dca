"""Who a container runs as: ``USER``, ``--user`` and ``--group-add``, by its own accounts.

The names stand for what the root filesystem's own ``/etc/passwd`` and ``/etc/group`` say.  Those
are a stranger's files: they are found without leaving the root filesystem and read within limits,
and lines that make no sense are taken as docker takes them (a number that is none is 0).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from ferryman.rootfs import within
from ferryman.runtime.settings import InvalidSettings

_LARGEST = 2**31 - 1
_MAX_FILE = 16 << 20
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)


class User(NamedTuple):
    """A user as the kernel knows them, and where their home is."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    """The supplementary groups, with the primary one first, as docker has them."""
    home: str = "/"


class _Account(NamedTuple):
    name: str
    uid: int
    gid: int
    home: str


class _Group(NamedTuple):
    name: str
    gid: int
    members: tuple[str, ...]


def find(root: str, wanted: str, more_groups: Sequence[str] | None = None) -> User:
    """Return the user that ``name``, ``uid``, ``name:group``, ``uid:gid`` … means in a root.

    `root` is the path of the mounted root filesystem; an empty text is the user with number 0.
    Raises InvalidSettings in docker's words when there is no such user or group.
    """
    name, group = [*wanted.split(":"), ""][:2]
    account = _account(root, name)
    groups = _groups(root) if group or account.name or more_groups else []
    gid, supplementary = account.gid, []
    if group:
        gid = _gid(groups, group, "unable to find group {}: no matching entries in group file")
    else:
        supplementary = [each.gid for each in groups if account.name in each.members]
    for more in more_groups or ():
        added = _gid(groups, more, "Unable to find group {}: no matching entries in group file")
        if added not in supplementary:
            supplementary.append(added)
    return User(account.uid, gid, (gid, *supplementary), account.home or "/")


def _account(root: str, wanted: str) -> _Account:
    """Return the account of a name or number; one without name where no account has the number."""
    number = _number(wanted or "0")
    for fields in _entries(root, "/etc/passwd"):
        account = _Account(fields[0], _id(fields[2]), _id(fields[3]), fields[5])
        if account.uid == number if number is not None else account.name == wanted:
            return account
    if number is None:
        raise InvalidSettings(f"unable to find user {wanted}: no matching entries in passwd file")
    return _Account("", _in_range(number), 0, "")


def _groups(root: str) -> list[_Group]:
    return [
        _Group(fields[0], _id(fields[2]), tuple(filter(None, fields[3].split(","))))
        for fields in _entries(root, "/etc/group")
        if not fields[0].startswith("#")
    ]


def _gid(groups: Sequence[_Group], wanted: str, refusal: str) -> int:
    number = _number(wanted)
    for group in groups:
        if group.gid == number if number is not None else group.name == wanted:
            return group.gid
    if number is None:
        raise InvalidSettings(refusal.format(wanted))
    return _in_range(number)


def _entries(root: str, path: str) -> list[list[str]]:
    """Return the lines of such a file, each as at least seven fields; none when there is no file.

    What is there but no file says as little as one that is missing.
    """
    try:
        content = within.read(root, path, _MAX_FILE)
    except OSError:
        return []
    lines = (line.strip() for line in content.decode(errors="surrogateescape").split("\n"))
    return [[*line.split(":"), *[""] * 7][: max(7, line.count(":") + 1)] for line in lines if line]


def _number(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None


def _id(text: str) -> int:
    return _number(text) or 0


def _in_range(number: int) -> int:
    if not 0 <= number <= _LARGEST:
        raise InvalidSettings(f"uids and gids must be in range 0-{_LARGEST}")
    return number
