"""Import: a filesystem's tar becomes an image of one layer."""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ferryman.archive import intake, read, tar
from ferryman.archive.stream import (
    FileStream,
    PipeStream,
    Stream,
)
from ferryman.build.change import apply_changes
from ferryman.errors import InvalidArchive, UsageError
from ferryman.image import platform as platforms
from ferryman.image.digest import Digest
from ferryman.image.platform import Platform
from ferryman.image.reference import Reference
from ferryman.operations import download, new_image
from ferryman.operations.progress import Progress, counter, silent
from ferryman.store.collect import working
from ferryman.store.layout import Store
from ferryman.store.lease import Lease

# A root filesystem has some 100,000 files; a tar of ten million headers is 5 GB of them alone.
_MAX_MEMBERS = 10_000_000


class Source(NamedTuple):
    """A tar to be imported: its bytes, its length (0 when not known), and what it is called."""

    stream: Stream
    size: int
    what: str
    origin: str
    """What the image's comment calls it: ``-`` for standard input, as docker does."""


@contextmanager
def opened(source: str) -> Iterator[Source]:
    """Open a file, an HTTP(S) URL or, for ``-``, standard input; raises InvalidArchive."""
    if source.startswith(("http://", "https://")):
        with download.opened(source) as (stream, size):
            what = download.shown(source)
            yield Source(stream, size, what, what)
        return
    with read.opened(source, 0 if source == "-" else None) as fd:
        what = "stdin" if source == "-" else source
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode):
            start = os.lseek(fd, 0, os.SEEK_CUR)
            size = status.st_size - start
            yield Source(FileStream(fd, start, size, what), size, what, source)
        elif stat.S_ISDIR(status.st_mode):
            raise InvalidArchive(f"{what} is a folder: give a tar of it, as in tar -C {what} -c .")
        else:
            yield Source(PipeStream(fd, what), 0, what, source)


def import_(
    store: Store,
    source: Source,
    *,
    name: Reference | None = None,
    changes: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
    message: str | None = None,
    platform: Platform | None = None,
    progress: Progress = silent,
) -> Digest:
    """Make an image of a tar, plain or compressed, and return its ID.

    `changes` are instructions as
    ``docker import --change`` takes them, made to `config` (the settings to begin with).  Raises
    InvalidArchive, StoreError, ChangeError, UsageError; then the store is as it was.
    """
    container = apply_changes(config or {}, changes)
    platform = platform or platforms.host()
    with working(store) as lease:
        layer = _layer(source, lease, progress)
        lease.protect([layer.digest])
        created = _now()
        document = _config(container, layer.digest, created, message, source.origin, platform)
        return new_image.keep(lease, document, [], layer, name)


def _layer(source: Source, lease: Lease, progress: Progress) -> intake.Taken:
    stream, size, what, _ = source
    count = counter(progress, what, "Importing", size)
    whole, count = intake.plain(lease.store, stream, what, count)
    check = tar.Check(what, _MAX_MEMBERS)
    taken = intake.take(whole, None, lease, what, advance=count, watch=check.see)
    check.finish()
    return taken


def _config(
    container: Mapping[str, Any],
    diff_id: Digest,
    created: str,
    message: str | None,
    origin: str,
    platform: Platform,
) -> dict[str, Any]:
    """Return the config as docker's import writes it (config.md)."""
    comment = message if message is not None else f"Imported from {origin}"
    document: dict[str, Any] = {"architecture": platform.architecture}
    if platform.variant and platform.architecture not in ("amd64", "arm64"):
        document["variant"] = platform.variant
    return document | {
        "comment": comment,
        "config": dict(container),
        "created": created,
        "history": [{"created": created, "comment": comment}],
        "os": platform.os or "linux",
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    }


def _now() -> str:
    """Return the time of creation: now, or what SOURCE_DATE_EPOCH says; raises UsageError."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not epoch:
        return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    try:
        return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        raise UsageError(f'SOURCE_DATE_EPOCH is not a time: "{epoch}"') from None
