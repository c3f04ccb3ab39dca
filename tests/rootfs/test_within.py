import os
from pathlib import Path

import pytest

from ferryman.rootfs.within import read


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "a/b").mkdir(parents=True)
    (root / "a/file").write_text("inside")
    (root / "file").write_text("at the top")
    (tmp_path / "file").write_text("outside")
    return root


@pytest.mark.parametrize(
    ("target", "want"),
    [
        ("/a/file", b"inside"),
        ("a/file", b"inside"),
        ("../../../file", b"at the top"),
        ("/../file", b"at the top"),
        ("a/b/../file", b"inside"),
    ],
)
def test_links(root: Path, target: str, want: bytes) -> None:
    (root / "link").symlink_to(target)
    (root / "again").symlink_to("link")
    assert read(str(root), "/link", 100) == want
    assert read(str(root), "again", 100) == want


def test_limit(root: Path) -> None:
    assert read(str(root), "/a/file", 3) == b"ins"


def test_what_is_no_file(root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "loop").symlink_to("loop")
    (root / "broken").symlink_to("nowhere")
    for name in ("pipe", "loop", "broken", "nowhere", "a", "file/below"):
        with pytest.raises(OSError):
            read(str(root), name, 100)
