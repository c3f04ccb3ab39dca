"""What is known of compressed layers: their diff ID and their size when uncompressed.

A plain layer's digest is its diff ID and needs no record.
"""

import os

import msgspec

from ferryman.errors import InvalidImage
from ferryman.image.decode import decode, encode
from ferryman.image.digest import Digest
from ferryman.store import blobs, durable
from ferryman.store.layout import Store
from ferryman.store.lease import Lease


class Record(msgspec.Struct, frozen=True):
    """A compressed layer: the digest of what it unpacks to, and that one's size in bytes."""

    diff_id: str
    size: int


def record(lease: Lease, digest: Digest, diff_id: Digest, size: int) -> None:
    """Remember what a compressed layer unpacks to, once that has been verified."""
    path = lease.store.layer_record(digest)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    durable.replace(path, encode(Record(diff_id, size)), aside=lease.path())


def lookup(store: Store, digest: Digest) -> Record | None:
    """Return what is known of a compressed layer; None too when the record is damaged."""
    try:
        with open(store.layer_record(digest), "rb") as f:
            return decode(f.read(4096), Record, "layer record")
    except (FileNotFoundError, InvalidImage):
        return None


def uncompressed_size(store: Store, digest: Digest, stored: int) -> int:
    """Return the size in bytes of a layer's tar, given the size of the blob."""
    known = lookup(store, digest)
    return known.size if known else stored


def by_diff_id(store: Store) -> dict[Digest, Digest]:
    """Return the blobs here that are compressed layers, by the diff IDs of those."""
    folder = f"{store.meta}/layers"
    found: dict[Digest, Digest] = {}
    for digest in blobs.digests_in(folder) if os.path.isdir(folder) else ():
        known = lookup(store, digest)
        if known and blobs.size(store, digest) is not None:
            found[Digest(known.diff_id)] = digest
    return found


def holding(store: Store, diff_id: Digest) -> Digest | None:
    """Return the digest of a blob here that unpacks to this diff ID, a plain one first."""
    if blobs.size(store, diff_id) is not None:
        return diff_id
    return by_diff_id(store).get(diff_id)
