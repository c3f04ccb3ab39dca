"""What engines on a host are asked: by their command lines, which are all like docker's."""

import re
import shlex

import msgspec

from ferryman.errors import FerryError
from ferryman.image import digest as digests
from ferryman.image import reference
from ferryman.image.decode import decode
from ferryman.transfer.channel import Channel
from ferryman.transfer.plan import Held
from ferryman.transfer.probe import Engine

_FIELDS = '{"Id":{{json .Id}},"RepoTags":{{json .RepoTags}},"Layers":{{json .RootFS.Layers}}}'
_MAX_IMAGES = 100_000


class _Inspected(msgspec.Struct, frozen=True, rename="pascal"):
    id: str
    repo_tags: list[str] | None = None
    layers: list[str] | None = None


def images(channel: Channel, engine: Engine) -> list[Held]:
    """Return the images that an engine has; none for ctr, which cannot say; raises HostError."""
    if engine.name == "ctr":
        return []
    command, fields = engine.command, shlex.quote(_FIELDS)
    said = channel.ask(
        f"ids=$({command} image ls --all --quiet --no-trunc) || exit 1\n"
        '[ -z "$ids" ] || printf "%s\\n" "$ids" | sort -u | '
        # One that is removed meanwhile is no reason to fail.
        f"xargs {command} image inspect --format {fields} 2>/dev/null || :"
    )
    return [_held(channel, line) for line in said.splitlines()[:_MAX_IMAGES] if line.strip()]


def image(channel: Channel, engine: Engine, name: str) -> Held | None:
    """Return what a name stands for there; None when it has no such image; raises HostError."""
    inspect = f"{engine.command} image inspect --format {shlex.quote(_FIELDS)}"
    said = channel.ask(f"{inspect} {shlex.quote(name)} 2>/dev/null || :", limit=1 << 20).strip()
    return _held(channel, said.splitlines()[0]) if said else None


def free(channel: Channel, engine: Engine) -> int | None:
    """Return how many bytes more an engine may keep; None where that is not known."""
    if not engine.root:
        return None
    script = f"LC_ALL=C df -Pk {shlex.quote(engine.root)} 2>/dev/null || :"
    lines = channel.ask(script, limit=1 << 16).decode(errors="replace").splitlines()
    fields = lines[1].split() if len(lines) > 1 else []
    return int(fields[3]) << 10 if len(fields) > 3 and fields[3].isdecimal() else None


def _held(channel: Channel, line: bytes) -> Held:
    try:
        found = decode(line, _Inspected, "what it says of an image")
        diff_ids = tuple(map(digests.parse, found.layers or ()))
    except FerryError as e:
        raise channel.error(str(e)) from None
    identity = found.id if found.id.startswith("sha256:") else f"sha256:{found.id}"
    if not re.fullmatch("sha256:[0-9a-f]{64}", identity):
        raise channel.error("what it says of an image has no ID")
    return Held(identity, tuple(map(_canonical, found.repo_tags or ())), diff_ids)


def _canonical(name: str) -> str:
    """Return the whole name: docker says it short, podman with its registry."""
    try:
        return reference.parse(name).tagged().canonical
    except FerryError:
        return name
