"""Archives that hold only what is missing at a place: they say what has to be there already.

It stands in an annotation of the layout's ``index.json``, which engines take no notice of.
"""

from collections.abc import Sequence
from contextlib import suppress

import msgspec

from ferryman.archive import oci
from ferryman.archive.source import Source
from ferryman.errors import InvalidImage, InvalidReference
from ferryman.image import digest as digests
from ferryman.image import reference
from ferryman.image.decode import decode, encode

ANNOTATION = "ferryman.bases"
_MAX_SHOWN = 3


class Base(msgspec.Struct, frozen=True, order=True):
    """An image that an archive builds upon: its ID, and its names where it was seen."""

    id: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.names[0]} ({self.id})" if self.names else self.id


class _Index(msgspec.Struct, frozen=True):
    annotations: dict[str, str] | None = None


def annotations(bases: Sequence[Base]) -> dict[str, str] | None:
    """Return the annotations of an ``index.json`` that name these; None when there are none."""
    listed = sorted(set(bases))
    return {ANNOTATION: encode(listed).decode()} if listed else None


def of(source: Source) -> list[Base]:
    """Return what an archive says that it builds upon, nothing where it cannot be read."""
    content = source.document(oci.INDEX)
    try:
        said = decode(content or b"{}", _Index, oci.INDEX).annotations or {}
        found = decode(said.get(ANNOTATION, "[]").encode(), list[Base], ANNOTATION)
        return [Base(digests.parse(base.id), _names(base)) for base in found]
    except InvalidImage:
        return []


def _names(base: Base) -> tuple[str, ...]:
    """Return what may be shown to somebody: names, and not whatever a stranger calls one."""
    names = []
    for name in base.names:
        with suppress(InvalidReference):
            names.append(reference.parse(name).familiar)
    return tuple(names)


def listed(bases: Sequence[Base]) -> str:
    """Return the bases in words, the first few of many."""
    more = f" and {len(bases) - _MAX_SHOWN} more" if len(bases) > _MAX_SHOWN else ""
    return ", ".join(str(base)[:200] for base in bases[:_MAX_SHOWN]) + more
