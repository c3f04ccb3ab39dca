"""Export: a container's root filesystem as a tar, without its volumes."""

import os
import stat
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from ferryman.archive.write import FileSink, PipeSink, Sink
from ferryman.image import config as configs
from ferryman.operations.output import OutputError
from ferryman.rootfs import lower, unmounted
from ferryman.rootfs.members import Layer
from ferryman.rootfs.merged import laid
from ferryman.rootfs.pack import kept_xattr, pack
from ferryman.rootfs.recall import recalled
from ferryman.rootfs.tree import Node
from ferryman.rootfs.written import written
from ferryman.runtime import record
from ferryman.runtime.filesystem import seen
from ferryman.runtime.finish import settled
from ferryman.runtime.record import Container
from ferryman.runtime.sources import unmounted_sources
from ferryman.store.images import of_target, read_document
from ferryman.store.layout import Store
from ferryman.store.lease import reading

_FAILED = "failed to export container"


def export(store: Store, text: str, fd: int) -> None:
    """Write the files of a container, running or not, to a file or pipe.

    What is mounted in it (volumes, folders of the host) is left out, but for the empty folder.
    Raises ContainerNotFound, StoreError, OutputError.
    """
    container = record.find(store, text)
    state = settled(store, container)
    sink: Sink = FileSink(fd) if stat.S_ISREG(os.fstat(fd).st_mode) else PipeSink(fd)
    try:
        with unmounted_sources(store, container) as sources:
            if sources:
                files = laid(_trees(store, container, sources))
                files.pop(b"", None)
                unmounted.write(files, sources, sink, keep=kept_xattr)
                return
        with seen(store, container, state) as path:
            root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                pack(root, sink)
            finally:
                os.close(root)
    except BrokenPipeError:
        raise OutputError(f"{_FAILED}: nobody reads the output any more") from None
    except OSError as e:
        raise OutputError(f"{_FAILED}: {e.filename or 'output'}: {e.strerror}") from None


def _trees(store: Store, container: Container, sources: Sequence[Layer | int]) -> Iterator[Node]:
    folders = [lower.folder_of(store, each.diff_id) for each in container.layers]
    for source, folder in zip_longest(sources, folders):
        yield recalled(folder, source) if isinstance(source, Layer) else written(source)


def settings(store: Store, text: str) -> bytes:
    """Return what an export loses, as JSON that ``import --config-from`` takes.

    That is the container's config, and what its image says to those who build on it.  Raises
    ContainerNotFound, StoreError.
    """
    container = record.find(store, text)
    config: dict[str, Any] = msgspec.to_builtins(container.config)
    with reading(store):
        image = of_target(store, container.manifest)
        content = read_document(store, image.manifest.config)
    below = configs.as_mapping(content, f"config of {container.image}").get("config")
    if isinstance(below, dict):
        config |= {key: below[key] for key in _FOR_BUILDS if below.get(key)}
    kept = {key: config[key] for key in _KEPT if config.get(key)}
    return msgspec.json.format(msgspec.json.encode({"Config": kept}), indent=2) + b"\n"


# A container has no use for these, so they are not among its settings.
_FOR_BUILDS = ("OnBuild", "Shell")
# What an image's config has: the others are a container's own.
_KEPT = (
    *"User ExposedPorts Env Cmd Healthcheck Volumes WorkingDir Entrypoint Labels".split(),
    *("StopSignal", *_FOR_BUILDS),
)
