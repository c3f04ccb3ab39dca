"""What engines on a host are asked: by their command lines, which are all like docker's."""

import re
import shlex

import msgspec

from ferryman.errors import FerryError
from ferryman.image import digest as digests
from ferryman.image import reference
from ferryman.image.decode import decode
from ferryman.image.digest import Digest
from ferryman.transfer import inventory as inventories
from ferryman.transfer.channel import Channel
from ferryman.transfer.inventory import Held, Inventory
from ferryman.transfer.probe import ENGINES, KEEPERS, PYTHON, SHELL, Engine, Far, refused

# What is needed of an image, and no more: a host may have thousands.
_FIELDS = '{"Id":{{json .Id}},"RepoTags":{{json .RepoTags}},"RootFS":{{json .RootFS}}},'
_MAX_IMAGES = 100_000
_DIGEST = re.compile("sha256:[0-9a-f]{64}")


class _RootFS(msgspec.Struct, frozen=True, rename="pascal"):
    layers: list[str] | None = None


class _Inspected(msgspec.Struct, frozen=True):
    id: str = msgspec.field(name="Id")
    repo_tags: list[str] | None = msgspec.field(name="RepoTags", default=None)
    rootfs: _RootFS = msgspec.field(name="RootFS", default=_RootFS())


LAYOUT = """
if [ -n "$FERRY_ROOT" ]; then layout=$FERRY_ROOT
elif [ "$(id -u)" = 0 ]; then layout=/var/lib/ferry
else layout=${XDG_DATA_HOME:-$HOME/.local/share}/ferry
fi
layout=$layout/image
"""
"""Lets a script know where images are kept without an engine: where a ferry would look for them."""


def chosen(channel: Channel, far: Far, via: str = "", *, or_layout: bool = True) -> Engine:
    """Return the engine there that is meant by `via`, or the first that may be used.

    Without any, Python or the shell stands for one with `or_layout`.  Raises HostError.
    """
    keepers = [name for name, has in ((PYTHON, far.has_python), (SHELL, far.keeps)) if has]
    if via:
        if via in keepers:
            return Engine(via, False, "")
        engine = far.engine(via)
        if via in far.silent:
            raise refused(channel, via)
        if engine is None:
            raise channel.error(f"there is no {via} that may be used")
        return engine
    if far.engines:
        return far.engines[0]
    if far.silent:
        # A layout is for where there is none, not for where it is another user's.
        raise refused(channel, far.silent[0])
    if or_layout and keepers:
        return Engine(keepers[0], False, "")
    names = [*ENGINES, *(["python3", "sha256sum"] if or_layout else [])]
    raise channel.error(f"there is no {', '.join(names[:-1])} or {names[-1]} to be used")


def inventory(channel: Channel, engine: Engine) -> Inventory:
    """Return what an engine has; of ctr the blobs alone are known.  Raises HostError."""
    if engine.name == "ctr":
        said = channel.ask(f"{engine.command} -n default content ls --quiet")
        lines = said.decode(errors="replace").split()
        return Inventory("containerd", (), frozenset(map(Digest, filter(_DIGEST.fullmatch, lines))))
    if engine.name == "ferry":
        said = channel.ask(f"{engine.command} inventory")
        try:
            site = inventories.read(said, "its inventory")
        except FerryError as e:
            raise channel.error(str(e)) from None
        images = (each._replace(names=tuple(map(_canonical, each.names))) for each in site.images)
        return site._replace(images=tuple(images))
    said = channel.ask(
        f"ids=$({engine.command} image ls --all --quiet --no-trunc) || exit 1\n"
        '[ -z "$ids" ] || printf "%s\\n" "$ids" | sort -u | '
        # One that is removed meanwhile is no reason to fail.
        f"xargs {_inspect(engine)} 2>/dev/null || :"
    )
    return Inventory("docker", tuple(_held(channel, engine, said)))


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
    if engine.root:
        place = f"layout={shlex.quote(engine.root)}"
    elif engine.name in KEEPERS:
        place = LAYOUT
    else:
        return None
    nearest = 'while [ ! -d "$layout" ] && [ -n "$layout" ]; do layout=${layout%/*}; done'
    script = f'{place}\n{nearest}\nLC_ALL=C df -Pk "${{layout:-/}}" 2>/dev/null || :'
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
    diff_ids = tuple(map(digests.parse, found.rootfs.layers or ()))
    return Held(digests.parse(identity), diff_ids, tuple(map(_canonical, found.repo_tags or ())))


def _canonical(name: str) -> str:
    """Return the whole name: docker says it short, podman with its registry."""
    try:
        return reference.parse(name).tagged().canonical
    except FerryError:
        return name
