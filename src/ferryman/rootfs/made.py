"""What has been made of a layer so that it can be mounted, and where that is.

::

    layers/<id>/lock         held by whoever makes something here
    layers/<id>/tree/        the layer unpacked, in overlay form
    layers/<id>/index.erofs  an EROFS image of its metadata, with the data left in the layer's tar:
    layers/<id>/layer.tar    that tar, where the blob in the store is not that already
    layers/<id>/*.loop       which loop devices those two have, if any
    layers/<id>/headers      what an export writes in front of its files (`recall`)
    layers/<id>/mounted/     where the EROFS image is mounted, in private mount namespaces only

Each appears whole, by a rename, once it is on the disk (`prepare`).
"""

import os
from typing import NamedTuple

from ferryman.image.digest import Digest
from ferryman.rootfs import erofs_head, erofs_mount

EROFS, TREE = "erofs", "tree"


class Lower(NamedTuple):
    """A layer that is ready to be mounted."""

    kind: str
    """``erofs``: to be mounted where its tar lies; ``tree``: unpacked."""
    folder: str
    """Of the layer, with all that was made of it."""
    tar: str
    """The path of the layer's tar, for EROFS."""


class Wanted(NamedTuple):
    """A layer, where what is made of it has its place, and how it is to be had."""

    digest: Digest
    diff_id: Digest
    folder: str
    tar: str
    storage: str
    """``erofs``, ``extract``, or empty for what serves best here."""


def there(wanted: Wanted) -> Lower | None:
    """Return a layer if it is ready, without more than a look at each file."""
    folder, tar = wanted.folder, wanted.tar
    if (
        wanted.storage != "extract"
        and erofs_mount.possible()
        and erofs_head.is_index_of(f"{folder}/index.erofs", tar)
    ):
        return Lower(EROFS, folder, tar)
    if wanted.storage != "erofs" and os.path.isdir(f"{folder}/tree"):
        return Lower(TREE, folder, tar)
    return None
