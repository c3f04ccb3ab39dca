"""What hides files of the layers below: in a layer's tar by names, in overlay by marks.

==============================  =========================  ==================================
                                a layer (OCI, layer.md)    overlay (the kernel's overlayfs)
==============================  =========================  ==================================
``x`` is gone                   a file ``.wh.x``           ``x``, a character device 0:0
nothing of the folder is left   ``.wh..wh..opq`` in it     its attribute ``overlay.opaque``
==============================  =========================  ==================================

Where no other layer has the folder of an ``x`` that is gone, overlay would list the mark's name,
though there is nothing of that name.  It looks closer at folders with the attribute
``overlay.origin``, which upper folders have; an empty one says no more than that.
"""

import os
import stat
from collections.abc import Callable

PREFIX = b".wh."
OPAQUE = b".wh..wh..opq"
META_PREFIX = b".wh..wh."
"""Names that AUFS kept for itself; they say nothing about files."""

TRUSTED_OPAQUE = b"trusted.overlay.opaque"
USER_OPAQUE = b"user.overlay.opaque"
OVERLAY_XATTRS = (b"trusted.overlay.", b"user.overlay.")
"""How the names of the attributes begin by which overlay speaks to itself."""


def hidden(name: bytes) -> bytes | None:
    """Return the name that a whiteout hides; None when it is none, or one that stands for more."""
    if name.startswith(PREFIX) and not name.startswith(META_PREFIX):
        return name.removeprefix(PREFIX)
    return None


def is_whiteout(status: os.stat_result) -> bool:
    """Tell whether a file is overlay's mark for one that is gone."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def opaque(value: Callable[[str], bytes | None]) -> bool:
    """Tell whether a folder is marked as opaque; `value` gives an attribute of it by its name."""
    return any(value(os.fsdecode(name)) == b"y" for name in (TRUSTED_OPAQUE, USER_OPAQUE))


def opaque_xattr(*, user: bool) -> bytes:
    """Return the name of the attribute of an opaque folder; its value is ``y``."""
    return USER_OPAQUE if user else TRUSTED_OPAQUE


def origin_xattr(*, user: bool) -> bytes:
    """Return the name of the attribute of a folder with marks in it; its value is empty."""
    return b"user.overlay.origin" if user else b"trusted.overlay.origin"
