"""``--chmod``: ``755``, or letters as chmod(1) takes them: ``u=rwX,go=rX``."""

import re
import stat

from ferryman.build.lines import DockerfileError

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)")
_ACTION = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_SHIFTS = {"u": 6, "g": 3, "o": 0}


def check(text: str) -> None:
    """Raise DockerfileError for what is no mode."""
    if re.fullmatch("[0-7]{1,8}", text) and int(text, 8) <= 0o7777:
        return
    if text.isdigit() or not all(map(_CLAUSE.fullmatch, text.split(","))):
        raise DockerfileError(
            f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
        )


def changed(text: str, mode: int) -> int:
    """Return the permissions of a file of a mode, once they are changed; `text` was checked."""
    permissions = stat.S_IMODE(mode)
    if text.isdigit():
        return int(text, 8)
    executable = stat.S_ISDIR(mode) or bool(permissions & 0o111)
    for clause in text.split(","):
        found = _CLAUSE.fullmatch(clause)
        assert found
        who = found[1].replace("a", "ugo") or "ugo"
        for sign, letters in _ACTION.findall(found[2]):
            permissions = _one(permissions, who, sign, letters, executable=executable)
    return permissions


def _one(permissions: int, who: str, sign: str, letters: str, *, executable: bool) -> int:
    bits = 0
    for each in who:
        shift = _SHIFTS[each]
        if letters in _SHIFTS and letters:
            wanted = permissions >> _SHIFTS[letters] & 7
        else:
            wanted = 4 * ("r" in letters) | 2 * ("w" in letters)
            wanted |= "x" in letters or ("X" in letters and executable)
        bits |= wanted << shift
        if "s" in letters:
            bits |= {"u": stat.S_ISUID, "g": stat.S_ISGID, "o": 0}[each]
    if "t" in letters:
        bits |= stat.S_ISVTX
    if sign == "+":
        return permissions | bits
    if sign == "-":
        return permissions & ~bits
    for each in who:
        permissions &= ~(7 << _SHIFTS[each])
        permissions &= ~{"u": stat.S_ISUID, "g": stat.S_ISGID, "o": 0}[each]
    return permissions | bits
