"""What ``copy`` and ``sync`` have in common."""

from collections.abc import Callable
from typing import Any

import click

from ferryman.errors import UsageError


def flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flags that say how images are copied."""
    for flag in (
        click.option("-q", "--quiet", is_flag=True, help="Suppress the output"),
        click.option("--preserve-digests", is_flag=True, help="Fail rather than change a byte"),
        click.option(
            "--compress",
            default="none",
            show_default=True,
            metavar="none|gzip|zstd[:LEVEL]",
            help="Compress layers that are not",
        ),
        click.option(
            "--platform", default="", metavar="OS/ARCH", help="Of an index, copy the image for this"
        ),
        click.option("-a", "--all", "every", is_flag=True, help="Copy a whole index"),
    ):
        command = flag(command)
    return command


def written(path: str, digest: str) -> None:
    """Write a digest to a file, as skopeo does: without a line's end.  Raises UsageError."""
    try:
        with open(path, "w") as f:
            f.write(digest)
    except OSError as e:
        raise UsageError(f"cannot write {path}: {e.strerror}") from None
