"""What engines on a host are asked: by their command lines, which are all like docker's."""

import shlex

import msgspec

from ferryman.errors import FerryError
from ferryman.image import digest as digests
from ferryman.image import reference
from ferryman.image.decode import decode
from ferryman.transfer.channel import Channel
from ferryman.transfer.plan import Held
from ferryman.transfer.probe import Engine

# What is needed of an image, and no more: a host may have thousands.
_FIELDS = '{"Id":{{json .Id}},"RepoTags":{{json .RepoTags}},"RootFS":{{json .RootFS}}},'
_MAX_IMAGES = 100_000


class _RootFS(msgspec.Struct, frozen=True, rename="pascal"):
    layers: list[str] | None = None


class _Inspected(msgspec.Struct, frozen=True):
    id: str = msgspec.field(name="Id")
    repo_tags: list[str] | None = msgspec.field(name="RepoTags", default=None)
    rootfs: _RootFS = msgspec.field(name="RootFS", default=_RootFS())


def images(channel: Channel, engine: Engine) -> list[Held]:
    """Return the images that an engine has; none for ctr, which cannot say; raises HostError."""
    if engine.name == "ctr":
        return []
    said = channel.ask(
        f"ids=$({engine.command} image ls --all --quiet --no-trunc) || exit 1\n"
        '[ -z "$ids" ] || printf "%s\\n" "$ids" | sort -u | '
        # One that is removed meanwhile is no reason to fail.
        f"xargs {_inspect(engine)} 2>/dev/null || :"
    )
    return _held(channel, engine, said)


def image(channel: Channel, engine: Engine, name: str) -> Held | None:
    """Return what a name stands for there; None when it has no such image; raises HostError."""
    script = f"{_inspect(engine)} {shlex.quote(name)} 2>/dev/null || :"
    found = _held(channel, engine, channel.ask(script, limit=1 << 20))
    return found[0] if found else None


def _inspect(engine: Engine) -> str:
    """Return the beginning of the command that describes images as JSON."""
    # podman's templates know no fields in JSON.
    chosen = "" if engine.name == "podman" else f"--format {shlex.quote(_FIELDS)}"
    return f"{engine.command} image inspect {chosen}"


def free(channel: Channel, engine: Engine) -> int | None:
    """Return how many bytes more an engine may keep; None where that is not known."""
    if not engine.root:
        return None
    script = f"LC_ALL=C df -Pk {shlex.quote(engine.root)} 2>/dev/null || :"
    lines = channel.ask(script, limit=1 << 16).decode(errors="replace").splitlines()
    fields = lines[1].split() if len(lines) > 1 else []
    return int(fields[3]) << 10 if len(fields) > 3 and fields[3].isdecimal() else None


def _held(channel: Channel, engine: Engine, said: bytes) -> list[Held]:
    # Of very many images podman makes several lists.
    podman = engine.name == "podman"
    content = said.replace(b"]\n[", b",") if podman else b"[" + said.strip().rstrip(b",") + b"]"
    try:
        found = decode(content.strip() or b"[]", list[_Inspected], "what it says of its images")
        return [_image(each) for each in found[:_MAX_IMAGES]]
    except FerryError as e:
        raise channel.error(str(e)) from None


def _image(found: _Inspected) -> Held:
    identity = found.id if found.id.startswith("sha256:") else f"sha256:{found.id}"
    digests.parse(identity)
    names = tuple(map(_canonical, found.repo_tags or ()))
    return Held(identity, names, tuple(map(digests.parse, found.rootfs.layers or ())))


def _canonical(name: str) -> str:
    """Return the whole name: docker says it short, podman with its registry."""
    try:
        return reference.parse(name).tagged().canonical
    except FerryError:
        return name
