"""``build --output``: the result as a folder, a tar or an archive, not as an image of the store."""

import os
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

from ferryman.errors import UsageError
from ferryman.image.digest import Digest
from ferryman.image.reference import Reference
from ferryman.operations.image_export import image_export
from ferryman.operations.output import replacing
from ferryman.operations.save import chosen, save
from ferryman.rootfs import extract, graft, members
from ferryman.rootfs.namespace import ordinary
from ferryman.store.layout import Store

_TYPES = ("local", "tar", "oci", "docker", "image")


class Output(NamedTuple):
    """Where a build's result goes: ``local`` to a folder, the others to a file."""

    type: str
    dest: str
    """A path; ``-`` is standard output."""


def parse(text: str) -> Output:
    """Return what ``type=tar,dest=out.tar`` means, or a path alone; raises UsageError."""
    if "=" not in text and "," not in text:
        return Output("tar" if text == "-" else "local", text)
    said: dict[str, str] = {}
    for field in text.split(","):
        key, equals, value = field.partition("=")
        if not equals:
            raise UsageError(f"invalid value {field}: must be of the form key=value")
        said[{"dest": "dest", "destination": "dest", "output": "dest"}.get(key, key)] = value
    kind = said.pop("type", "")
    if kind not in _TYPES:
        raise UsageError(f"type is required for output, one of {', '.join(_TYPES)}: {text}")
    dest = said.pop("dest", "-" if kind in ("tar", "oci", "docker") else "")
    if kind == "local" and not dest:
        raise UsageError("dest is required for local output")
    if kind == "docker" and dest == "-" and "dest" not in text:
        return Output("image", "")
    return Output(kind, dest)


def write(store: Store, image_id: Digest, names: Sequence[Reference], to: Output) -> None:
    """Write an image of the store to where it is to go; raises OutputError, StoreError."""
    if to.type == "local":
        _local(store, image_id, to.dest)
        return
    if to.dest == "-":
        _stream(store, image_id, names, to.type, 1)
        return
    with replacing(to.dest, "failed to write the result") as fd:
        _stream(store, image_id, names, to.type, fd)


def _stream(store: Store, image_id: Digest, names: Sequence[Reference], kind: str, fd: int) -> None:
    if kind == "tar":
        image_export(store, image_id, fd)
        return
    with chosen(store, [image_id]) as images:
        # It has its names in the archive only.
        save(store, [image._replace(names=tuple(names)) for image in images], fd, form=kind)


def _local(store: Store, image_id: Digest, dest: str) -> None:
    """Put the files into a folder, over what is there."""
    os.makedirs(dest, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".ferry-build-", dir=dest) as scratch:
        with open(f"{scratch}/files.tar", "w+b") as f:
            image_export(store, image_id, f.fileno())
            os.mkdir(f"{scratch}/files")
            layer = members.Layer(f.fileno(), os.fstat(f.fileno()).st_size, "the result")
            extract.extract(layer, f"{scratch}/files", user=ordinary())
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        below, target = os.open(f"{scratch}/files", flags), os.open(dest, flags)
        try:
            graft.graft_content(below, target)
        finally:
            os.close(below)
            os.close(target)
