"""``ssh://[USER@]HOST[:PORT]/NAME``: images of engines on hosts that ssh reaches, to be read.

How they get there is `operations.move`, which sends only what is missing.
"""

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from ferryman.errors import ImageNotFound, UsageError
from ferryman.transfer import engines, place
from ferryman.transfer.channel import opened
from ferryman.transfer.ends import archives, programs
from ferryman.transfer.ends.archives import ArchiveSource
from ferryman.transfer.place import Place
from ferryman.transfer.probe import Engine, probe
from ferryman.transfer.program import FAILED

_REFERENCE = re.compile(r"(ssh://[^/]+)/(.+)")


class There(NamedTuple):
    """An image on a host."""

    host: Place
    name: str


def parse(text: str) -> There:
    """Return what ``ssh://…`` stands for; raises UsageError."""
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise UsageError(f"invalid reference {text}: it must be ssh://[user@]host[:port]/image")
    return There(place.parse(match.group(1)), match.group(2))


@contextmanager
def source(there: There) -> Iterator[ArchiveSource]:
    """Have an engine save an image; raises HostError, ImageNotFound, CopyError."""
    what = f"{there.host.name}/{there.name}"
    with opened(there.host) as channel:
        far = probe(channel)
        engine = engines.chosen(channel, far, or_layout=False)
        if engine.name != "ctr" and engines.image(channel, engine, there.name) is None:
            raise ImageNotFound(f"{what}: {engine.name} there has no such image")
        start = partial(channel.start, _save(engine, there.name, pressed=far.zstd))
        with (
            programs.giving(start, what) as stream,
            archives.spooled(stream, what) as spooled,
        ):
            yield ArchiveSource(spooled, "")


def _save(engine: Engine, name: str, *, pressed: bool) -> str:
    word = "-n default images export -" if engine.name == "ctr" else "save"
    script = f"{engine.command} {word} {shlex.quote(name)}"
    # The shell knows no more of a pipe than how its last command ended.
    return f"{{ {script} || echo {FAILED} >&2; }} | zstd -qc1" if pressed else script
