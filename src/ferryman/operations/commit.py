"""Commit: what a container has written becomes a layer, and with its image's an image."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from ferryman.build.change import apply_changes
from ferryman.image import config as configs
from ferryman.image.digest import Digest
from ferryman.image.reference import Reference
from ferryman.operations import new_image
from ferryman.operations.stop import engine_of
from ferryman.rootfs import namespace
from ferryman.rootfs.layer import layer_of
from ferryman.runtime import record
from ferryman.runtime.finish import now, settled
from ferryman.runtime.record import Container, State
from ferryman.store.collect import working
from ferryman.store.images import of_target, read_document
from ferryman.store.layout import Store
from ferryman.store.lease import reading


def commit(
    store: Store,
    text: str,
    *,
    name: Reference | None = None,
    author: str = "",
    message: str = "",
    changes: Sequence[str] = (),
    pause: bool = True,
) -> Digest:
    """Make an image of a container, running or not, and return its ID.

    With `pause` one that runs stands still meanwhile, unless it is an ordinary user's.  `changes`
    are instructions as ``docker commit --change`` takes them.  Raises ContainerNotFound,
    ChangeError, StoreError.
    """
    container = record.find(store, text)
    state = settled(store, container)
    with working(store) as lease:
        with reading(store):
            image = of_target(store, container.manifest)
            lease.protect([image.digest, image.id, *(layer.id for layer in image.layers)])
            content = read_document(store, image.manifest.config)
        parent = configs.as_mapping(content, f"config of {container.image}")
        settings = apply_changes(_settings(container), changes)
        with _still(store, container, state, pause=pause):
            layer = layer_of(f"{record.folder(store, container.id)}/upper", lease)
        if layer:
            lease.protect([layer.digest])
        diff_id = layer.digest if layer else None
        document = _document(parent, settings, container, diff_id, now(), author, message)
        return new_image.keep(lease, document, image.layers, layer, name)


# What is said of the image below alone.
_OF_THE_PARENT = frozenset(("id", "parent", "author", "comment"))


@contextmanager
def _still(store: Store, container: Container, state: State, *, pause: bool) -> Iterator[None]:
    """Freeze a container that runs for the block; an ordinary user's cannot be frozen."""
    if not pause or state.status != "running" or namespace.ordinary():
        yield
        return
    with engine_of(store, container, state).paused(container.id):
        yield


def _settings(container: Container) -> dict[str, Any]:
    settings: dict[str, Any] = msgspec.to_builtins(container.config)
    return {key: value for key, value in settings.items() if value or key not in _OPTIONAL}


# What docker leaves out of a config where it is not set (moby: Config, omitempty).
_OPTIONAL = frozenset("ExposedPorts Healthcheck StopSignal StopTimeout Shell".split())


def _document(
    parent: Mapping[str, Any],
    settings: Mapping[str, Any],
    container: Container,
    diff_id: Digest | None,
    created: str,
    author: str,
    message: str,
) -> dict[str, Any]:
    """Return the config of the image: its parent's, with one step more (config.md).

    `diff_id` is None when the container has changed nothing.
    """
    rootfs = parent.get("rootfs") or {}
    diff_ids = [*(rootfs.get("diff_ids") or []), *([diff_id] if diff_id else [])]
    step: dict[str, Any] = {
        "created": created,
        "created_by": " ".join(container.config.cmd or []),
    }
    if author:
        step["author"] = author
    if message:
        step["comment"] = message
    if diff_id is None:
        step["empty_layer"] = True
    document = {key: value for key, value in parent.items() if key not in _OF_THE_PARENT}
    document |= {
        "config": dict(settings),
        "container": container.id,
        "created": created,
        "history": [*(parent.get("history") or []), step],
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    if author:
        document["author"] = author
    if message:
        document["comment"] = message
    return document
