"""What plain layers become when they are compressed to be sent away: nothing but digests.

::

    meta/compressed/<algorithm>/<encoded>    by how it is compressed: digest and size

So a registry can be asked whether it has such a layer before anything is compressed again.
"""

import os
from collections.abc import Mapping

import msgspec

from ferryman.errors import InvalidImage
from ferryman.image import digest as digests
from ferryman.image.decode import decode, encode
from ferryman.image.digest import Digest
from ferryman.store import durable
from ferryman.store.layout import Store
from ferryman.store.lease import Lease

_MOST = 64 << 10


class Form(msgspec.Struct, frozen=True):
    """A layer, compressed in one way: its digest, and its size in bytes."""

    digest: str
    size: int

    @property
    def id(self) -> Digest:
        """The digest, checked by its grammar; raises InvalidImage."""
        return digests.parse(self.digest)


def record(lease: Lease, layer: Digest, how: str, form: Form) -> None:
    """Remember what a plain layer has become; raises OSError."""
    path = lease.store.compressed_record(layer)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    forms = {**_read(lease.store, layer), how: form}
    durable.replace(path, encode(forms), aside=lease.path(), at_once=False)


def lookup(store: Store, layer: Digest, how: str) -> Form | None:
    """Return what a plain layer has become the last time; None too when that is damaged."""
    form = _read(store, layer).get(how)
    try:
        return form if form and form.id else None
    except InvalidImage:
        return None


def _read(store: Store, layer: Digest) -> Mapping[str, Form]:
    try:
        with open(store.compressed_record(layer), "rb") as f:
            return decode(f.read(_MOST), dict[str, Form], "record of a layer")
    except (FileNotFoundError, InvalidImage):
        return {}
