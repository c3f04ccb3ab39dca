"""What a container's files lie in: the tars of its layers, and folders over them."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ferryman.rootfs import lower, namespace
from ferryman.rootfs.members import Layer
from ferryman.runtime import filesystem, record
from ferryman.runtime.record import Container, State
from ferryman.store.layout import Store


@contextmanager
def unmounted_sources(store: Store, container: Container) -> Iterator[list[Layer | int]]:
    """Give them, open, lowest first: layers, and then folders in overlay form.

    Nothing is given where they are to be had by mounting them only: for an ordinary user, who sees
    owners differently, and when a layer is one that has to be unpacked.  Raises OSError,
    StoreError.
    """
    folder = record.folder(store, container.id)
    with ExitStack() as stack:
        sources: list[Layer | int] = []
        if not namespace.ordinary():
            if not os.path.isdir(f"{folder}/init"):
                # It has never been started: what every container finds is made now.
                with filesystem.seen(store, container, State()):
                    pass
            for each in container.layers:
                if (path := lower.tar_of(store, each.digest, each.diff_id)) is None:
                    break
                fd = _opened(stack, path, os.O_RDONLY)
                sources.append(Layer(fd, os.fstat(fd).st_size, f"layer {each.digest}"))
            else:
                for name in ("init", "upper"):
                    path = f"{folder}/{name}"
                    sources.append(_opened(stack, path, os.O_RDONLY | os.O_DIRECTORY))
        whole = len(sources) == len(container.layers) + 2
        yield sources if whole else []


def _opened(stack: ExitStack, path: str, flags: int) -> int:
    fd = os.open(path, flags | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return fd
