import os
import re
from pathlib import Path

import pytest

from ferryman.runtime.settings import InvalidSettings
from ferryman.runtime.users import User, find

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
ann:x:1000:100::/home/ann:/bin/sh
# nobody is meant by this line

ben:x:1001:1001::/home/ben
again:x:1000:7::/home/again:/bin/sh
short:x:1002
1234:x:77:78::/home/digits:/bin/sh
noone:x:odd:odd::/odd:/bin/sh
far:x:4:5::relative:/bin/sh
"""
GROUP = """\
root:x:0:
# comment:x:5:ann
staff:x:50:ann,ben
sailors:x:60:ann
sailors:x:61:nobody
99:x:3:
short:x:70
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    (tmp_path / "etc/group").write_text(GROUP)
    return tmp_path


@pytest.mark.parametrize(
    ("wanted", "user"),
    [
        ("", User(0, 0, (0,), "/root")),
        ("root", User(0, 0, (0,), "/root")),
        ("0", User(0, 0, (0,), "/root")),
        ("ann", User(1000, 100, (100, 50, 60), "/home/ann")),
        ("1000", User(1000, 100, (100, 50, 60), "/home/ann")),
        ("ben", User(1001, 1001, (1001, 50), "/home/ben")),
        ("again", User(1000, 7, (7,), "/home/again")),
        ("short", User(1002, 0, (0,), "/")),
        # A number is a number, whoever may be called so.
        ("1234", User(1234, 0, (0,), "/")),
        ("4321", User(4321, 0, (0,), "/")),
        ("noone", User(0, 0, (0,), "/odd")),
        ("far", User(4, 5, (5,), "relative")),
        # With a group, there are no others.
        ("ann:staff", User(1000, 50, (50,), "/home/ann")),
        ("ann:sailors", User(1000, 60, (60,), "/home/ann")),
        ("ann:0", User(1000, 0, (0,), "/home/ann")),
        ("ann:99", User(1000, 99, (99,), "/home/ann")),
        ("1:2", User(1, 2, (2,), "/")),
        (":staff", User(0, 50, (50,), "/root")),
        ("ann:", User(1000, 100, (100, 50, 60), "/home/ann")),
        ("ann:staff:more", User(1000, 50, (50,), "/home/ann")),
        ("2147483647", User(2**31 - 1, 0, (0,), "/")),
    ],
)
def test_users(root: Path, wanted: str, user: User) -> None:
    assert find(str(root), wanted) == user


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("carl", "unable to find user carl: no matching entries in passwd file"),
        ("carl:staff", "unable to find user carl: no matching entries in passwd file"),
        ("ann:crew", "unable to find group crew: no matching entries in group file"),
        ("-1", "uids and gids must be in range 0-2147483647"),
        ("2147483648", "uids and gids must be in range 0-2147483647"),
        ("ann:2147483648", "uids and gids must be in range 0-2147483647"),
        ("9" * 5000, "unable to find user 9+: no matching entries in passwd file"),
    ],
)
def test_nobody(root: Path, wanted: str, words: str) -> None:
    with pytest.raises(InvalidSettings, match=words):
        find(str(root), wanted)


def test_more_groups(root: Path) -> None:
    user = find(str(root), "ann", ["root", "sailors", "4000", "root"])
    assert user == User(1000, 100, (100, 50, 60, 0, 4000), "/home/ann")
    words = re.escape("Unable to find group crew: no matching entries in group file")
    with pytest.raises(InvalidSettings, match=words):
        find(str(root), "", ["crew"])


def test_no_accounts(tmp_path: Path) -> None:
    assert find(str(tmp_path), "") == User(0, 0, (0,), "/")
    assert find(str(tmp_path), "5:6") == User(5, 6, (6,), "/")
    with pytest.raises(InvalidSettings, match="unable to find user ann"):
        find(str(tmp_path), "ann")


def test_links_stay_within(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "passwd").write_text("spy:x:6:6::/:/bin/sh\n")
    passwd = root / "etc/passwd"
    for target in (outside / "passwd", f"../../../../..{outside}/passwd"):
        passwd.unlink()
        passwd.symlink_to(target)
        with pytest.raises(InvalidSettings, match="unable to find user spy"):
            find(str(root), "spy")
    # The same names mean something within, where they lead.
    inside = Path(f"{root}{outside}")
    inside.mkdir(parents=True)
    (inside / "passwd").write_text("insider:x:8:9::/in:/bin/sh\n")
    assert find(str(root), "insider") == User(8, 9, (9,), "/in")


@pytest.mark.parametrize("kind", ["pipe", "folder", "loop", "device"])
def test_what_is_no_file_has_no_accounts(root: Path, kind: str) -> None:
    passwd = root / "etc/passwd"
    passwd.unlink()
    if kind == "pipe":
        os.mkfifo(passwd)
    elif kind == "folder":
        passwd.mkdir()
    elif kind == "loop":
        passwd.symlink_to("passwd")
    else:
        passwd.symlink_to("/dev/zero")
    assert find(str(root), "3") == User(3, 0, (0,), "/")


def test_accounts_in_any_bytes(root: Path) -> None:
    (root / "etc/passwd").write_bytes(b"\xff\xfe:x:1:2::/:/bin/sh\r\nann:x:3:4::/home/\xff:/bin/sh")
    assert find(str(root), "ann").uid == 3
