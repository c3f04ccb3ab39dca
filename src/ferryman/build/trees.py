"""Where the files are that a step stands on or takes: layers of the store, or the context."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from ferryman.build.ignore import Ignored
from ferryman.errors import StoreError
from ferryman.rootfs import lower, overlay
from ferryman.rootfs.lower import Layer
from ferryman.rootfs.made import Lower
from ferryman.store.layout import Store
from ferryman.store.lease import Lease


class Layers(NamedTuple):
    """The files of layers, the lowest first; of none, no files."""

    layers: tuple[Layer, ...] = ()

    def ready(self, store: Store, lease: Lease) -> "Mountable":
        """Return what can be mounted; raises StoreError, InvalidArchive, InvalidImage."""
        return Mountable(tuple(lower.ready(store, lease, self.layers)))


class Context(NamedTuple):
    """A folder of the machine, but for what is ignored."""

    folder: str
    ignored: Ignored = Ignored()


class Mountable(NamedTuple):
    """Layers that can be mounted, the lowest first."""

    lowers: tuple[Lower, ...]

    def mount(self, at: str, folder: str = "") -> None:
        """Mount them in this process's own namespace, at a folder that is made where it is missing.

        What is written goes to ``upper`` in `folder`; without one they can only be read.  Raises
        StoreError.
        """
        try:
            os.makedirs(at, exist_ok=True)
            below: Sequence[str] = [lower.mount(each) for each in self.lowers[::-1]]
            if not below:
                # Overlay wants something to lie over.
                os.makedirs(empty := f"{at}.none", exist_ok=True)
                below = [empty]
            upper, work = (f"{folder}/upper", f"{folder}/work") if folder else (None, None)
            for path in filter(None, (upper, work)):
                os.makedirs(path, exist_ok=True)
            overlay.mount_overlay(below, upper, work, at)
        except OSError as e:
            raise StoreError(f"cannot mount {e.filename or at}: {e.strerror}") from None


Tree = Layers | Context
