"""What has a name here: the layout's ``index.json`` (OCI image spec 1.1, image-layout.md).

Each descriptor is one name for one manifest or index, or a manifest or index without a name.  Many
may read at any time; one at a time changes it, and what is read is always some whole version.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from ferryman.errors import InvalidImage, InvalidReference, StoreError
from ferryman.image import digest as digests
from ferryman.image import reference
from ferryman.image.decode import decode, encode
from ferryman.image.digest import Digest
from ferryman.image.manifest import (
    CAME_WITH,
    IMAGE_NAME,
    OCI_INDEX,
    PUSHED_AS,
    REF_NAME,
    TAGGED,
    Descriptor,
    Index,
    check,
)
from ferryman.image.reference import Reference
from ferryman.store import durable
from ferryman.store.layout import Store
from ferryman.store.lock import locked

# An index.json larger than this is not ours: 100,000 names take some 40 MB.
_MAX_INDEX = 64 << 20


class Entry(NamedTuple):
    """One line of the index: what is pointed to, and its name if it has one."""

    target: Descriptor
    name: Reference | None

    @property
    def digest(self) -> Digest:
        """The digest of the manifest or index that is pointed to."""
        return Digest(self.target.digest)

    @property
    def pushed_as(self) -> Digest | None:
        """The digest by which the registry of the name knows it, if that is another one."""
        text = (self.target.annotations or {}).get(PUSHED_AS, "") if self.name else ""
        try:
            return digests.parse(text) if text else None
        except InvalidImage:
            return None


def entries(store: Store) -> list[Entry]:
    """Return all that the store holds, in the order of its index; raises StoreError."""
    try:
        with open(store.index_file, "rb") as f:
            content = f.read(_MAX_INDEX + 1)
        index = decode(content, Index, store.index_file, _MAX_INDEX)
        return [_entry(descriptor, store) for descriptor in index.manifests or []]
    except OSError as e:
        raise StoreError(f"cannot read {store.index_file}: {e.strerror}") from None
    except InvalidImage as e:
        raise StoreError(f"the store's index is damaged: {e}") from None


def update(store: Store, change: Callable[[list[Entry]], Sequence[Entry]]) -> None:
    """Replace the index by what `change` makes of it, while nobody else can.

    Everything that the new index points to must be on disk.  When `change` raises, nothing has
    changed.  Signatures and SBOMs go with what they came with.  Raises StoreError when the store
    cannot be written.
    """
    try:
        with locked(f"{store.meta}/index.lock"):
            before = entries(store)
            after = _without_orphans(change(list(before)))
            if after != before:
                index = Index(
                    schema_version=2,
                    media_type=OCI_INDEX,
                    manifests=[_descriptor(entry) for entry in after],
                )
                durable.replace(
                    store.index_file, encode(index), aside=f"{store.meta}/index.json.new"
                )
    except OSError as e:
        raise StoreError(f"cannot write {store.index_file}: {e.strerror}") from None


def named(before: Sequence[Entry], name: Reference, target: Descriptor) -> list[Entry]:
    """Return the entries with the name standing for the target; see `all_named`."""
    return all_named(before, {name: target})


def all_named(before: Sequence[Entry], targets: Mapping[Reference, Descriptor]) -> list[Entry]:
    """Return the entries with each name standing for its target.

    What a name stood for until now stays without a name if it has no other one; a target's
    nameless entry, if there is one, becomes the named one.  Raises InvalidReference for a name
    that would be taken for an ID.
    """
    for name in targets:
        if name.familiar_name in digests.ALGORITHMS:
            raise InvalidReference(
                f"{name.familiar}: refusing to create an ambiguous tag using digest algorithm "
                "as name"
            )
    standing = {e.name: e.target.digest for e in before}
    new = {name: t for name, t in targets.items() if standing.get(name) != t.digest}
    newly_named = {target.digest for target in new.values()}
    after = [
        e for e in before if e.name not in new and (e.name or e.target.digest not in newly_named)
    ]
    after += [Entry(_unpushed(target), name) for name, target in new.items()]
    return all_kept(after, [e.target for e in before if e.name in new])


def pushed(
    before: Sequence[Entry], name: Reference, target: Descriptor, digest: Digest
) -> list[Entry]:
    """Return the entries with the digest that a name's target has at the registry by now."""
    changed = {**(_unpushed(target).annotations or {})}
    if digest != target.digest:
        changed[PUSHED_AS] = digest
    new = msgspec.structs.replace(target, annotations=changed or None)
    return [
        Entry(new, name) if e.name == name and e.target.digest == target.digest else e
        for e in before
    ]


def _unpushed(target: Descriptor) -> Descriptor:
    annotations = {k: v for k, v in (target.annotations or {}).items() if k != PUSHED_AS}
    return msgspec.structs.replace(target, annotations=annotations or None)


def nameless(before: Sequence[Entry], target: Descriptor) -> list[Entry]:
    """Return the entries with the target among them, under whatever names it has."""
    return all_kept(before, [target])


def all_kept(before: Sequence[Entry], targets: Iterable[Descriptor]) -> list[Entry]:
    """Return the entries with each target among them, under whatever names it has."""
    there = {e.target.digest for e in before}
    missing = {t.digest: t for t in targets if t.digest not in there}
    return [*before, *(Entry(target, None) for target in missing.values())]


def belonging(companion: Descriptor, target: Descriptor) -> Descriptor:
    """Return the descriptor of a signature or SBOM as it is kept with what it has come with."""
    annotations = {**(companion.annotations or {}), CAME_WITH: target.digest}
    return msgspec.structs.replace(companion, annotations=annotations)


def unmarked(companion: Descriptor) -> Descriptor:
    """Return the descriptor of a signature or SBOM as it is known elsewhere."""
    annotations = dict(companion.annotations or {})
    annotations.pop(CAME_WITH, None)
    if tag := annotations.pop(TAGGED, None):
        annotations[REF_NAME] = tag
    return msgspec.structs.replace(companion, annotations=annotations or None)


def came_with(entry: Entry) -> str:
    """Return the digest of what a signature or SBOM has come with; empty for everything else."""
    return "" if entry.name else (entry.target.annotations or {}).get(CAME_WITH, "")


def _without_orphans(entries: Sequence[Entry]) -> list[Entry]:
    """Leave out what belongs to nothing any more."""
    there = {e.target.digest for e in entries if not came_with(e)}
    return [e for e in entries if not came_with(e) or came_with(e) in there]


def _entry(descriptor: Descriptor, store: Store) -> Entry:
    check(descriptor, store.index_file)
    annotations = descriptor.annotations or {}
    name: Reference | None = None
    if text := annotations.get(IMAGE_NAME) or annotations.get(REF_NAME):
        try:
            name = reference.parse(text).tagged()
        except InvalidReference as e:
            raise InvalidImage(f"{store.index_file}: {e}") from None
    return Entry(descriptor, name)


def _descriptor(entry: Entry) -> Descriptor:
    annotations = {
        key: value
        for key, value in (entry.target.annotations or {}).items()
        if key not in (IMAGE_NAME, REF_NAME)
    }
    if entry.name:
        # The OCI name is the one to be typed after `oci:FOLDER:` for skopeo and umoci.
        annotations[IMAGE_NAME] = entry.name.canonical
        annotations[REF_NAME] = entry.name.familiar
    return msgspec.structs.replace(entry.target, annotations=annotations or None)
