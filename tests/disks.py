"""Small disks, which fill up, and disks that cannot be written to."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def mounted(*command: str | os.PathLike[str]) -> None:
    """Mount something; skip the test where that is not allowed."""
    done = subprocess.run(["mount", *command], stderr=subprocess.PIPE, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.decode().strip()}")


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Make the folder a disk of so many bytes."""
    folder.mkdir(exist_ok=True)
    mounted("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody, not even root, write to the folder."""
    mounted("--bind", folder, folder)
    try:
        mounted("-o", "remount,bind,ro", folder)
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(folder: Path, left: int) -> None:
    """Leave so many bytes on a small disk."""
    room = os.statvfs(folder)
    with (folder / "filler").open("wb") as filler:
        filler.write(bytes(room.f_bavail * room.f_frsize - left))
