"""Access control lists; what the kernel makes of them says what is right."""

import os
import stat
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.rootfs.posix_acl import ACCESS, DEFAULT, plain

NOBODY = (1 << 32) - 1
SOUND = [
    (1, 6, NOBODY),
    (2, 4, 5),
    (2, 4, 7),
    (4, 4, NOBODY),
    (8, 7, 9),
    (16, 4, NOBODY),
    (32, 0, NOBODY),
]


def packed(entries: list[tuple[int, int, int]]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def kept(path: Path, name: bytes, value: bytes, mode: int) -> bool:
    """Tell whether a file or folder that is given a list has it, and its mode, afterwards."""
    path.chmod(mode)
    try:
        os.setxattr(path, name, value)
    except OSError:
        return False
    there = os.getxattr(path, name) if name.decode() in os.listxattr(path) else None
    same = there == value and stat.S_IMODE(path.stat().st_mode) == mode
    if there is not None:
        os.removexattr(path, name)
    return same


ENTRIES = st.one_of(
    # Mostly nearly right, else hardly any would be.
    st.lists(st.sampled_from(SOUND), unique=True, min_size=2).map(sorted),
    st.lists(
        st.tuples(
            st.sampled_from([1, 2, 4, 8, 16, 32, 3]),
            st.sampled_from([0, 4, 6, 7, 8]),
            st.sampled_from([NOBODY, 0, 5]),
        ),
        max_size=6,
    ),
)


@settings(max_examples=500, deadline=None)
@given(
    entries=ENTRIES,
    name=st.sampled_from([ACCESS, DEFAULT]),
    folder=st.booleans(),
    mode=st.sampled_from([0o640, 0o640, 0o640, 0o644, 0o700]),
)
def test_as_the_kernel(
    tmp_path_factory: pytest.TempPathFactory,
    entries: list[tuple[int, int, int]],
    name: bytes,
    folder: bool,
    mode: int,
) -> None:
    path = tmp_path_factory.mktemp("acl") / "it"
    path.mkdir() if folder else path.touch()
    value = packed(entries)
    assert plain(name, value, mode, folder=folder) == kept(path, name, value, mode)


@pytest.mark.parametrize("value", [b"", b"\2\0\0", packed(SOUND)[:-1], b"\1" + packed(SOUND)[1:]])
def test_rubbish(tmp_path: Path, value: bytes) -> None:
    (tmp_path / "f").touch()
    assert not kept(tmp_path / "f", ACCESS, value, 0o640)
    assert not plain(ACCESS, value, 0o640, folder=False)


def test_sound(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    assert kept(tmp_path / "f", ACCESS, packed(SOUND), 0o640)
    assert plain(ACCESS, packed(SOUND), 0o640, folder=False)
    assert kept(tmp_path, DEFAULT, packed(SOUND), 0o755)
    assert plain(DEFAULT, packed(SOUND), 0o755, folder=True)
