"""What a host lacks of an image.  Pure: what is here and what is there go in, a plan comes out."""

from collections.abc import Sequence
from typing import NamedTuple

from ferryman.archive.write import Saved
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor
from ferryman.transfer.inventory import Inventory, lacking


class Wanted(NamedTuple):
    """An image that a host is to have."""

    id: Digest
    names: tuple[str, ...]
    layers: tuple[Descriptor, ...]
    diff_ids: tuple[Digest, ...]
    rest: int
    """The bytes of its config and manifests."""
    ids: frozenset[Digest]
    """The digests by which an engine may call it: of its config, or of a manifest or index."""


class Step(NamedTuple):
    """One layer: whether it is there, and what sends it."""

    layer: Descriptor
    diff_id: Digest
    there: bool


class Plan(NamedTuple):
    """What is done to bring an image to a host."""

    image: Wanted
    engine: str
    way: str
    """"archive": an archive without the layers that are there; "pull": the host asks for what it
    lacks; "bucket": one of these, with the layers from there; "nothing": it is there, by all its
    names."""
    steps: tuple[Step, ...]

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """The diff IDs of all layers, lowest first."""
        return tuple(step.diff_id for step in self.steps)

    @property
    def missing(self) -> tuple[Step, ...]:
        """The layers that are to be sent."""
        return tuple(step for step in self.steps if not step.there)

    @property
    def bytes(self) -> int:
        """The bytes of what is to be sent, as it is stored here."""
        if self.way == "nothing":
            return 0
        return self.image.rest + sum(step.layer.size for step in self.missing)


def carried(saved: Saved, steps: Sequence[Step]) -> Saved:
    """Return an image with no other of its layers than the missing ones among these."""
    layers = {layer.id for layer in saved.layers}
    missing = {step.layer.id for step in steps if not step.there}
    blobs = (blob for blob in saved.blobs if blob.id not in layers or blob.id in missing)
    return saved._replace(blobs=tuple(blobs))


def plan(image: Wanted, engine: str, way: str, site: Inventory) -> Plan:
    """Return what is to be done, given what an engine has."""
    missing = lacking([layer.id for layer in image.layers], image.diff_ids, [site])
    steps = tuple(
        Step(layer, diff_id, layer.id not in missing)
        for layer, diff_id in zip(image.layers, image.diff_ids, strict=True)
    )
    complete = any(
        each.id in image.ids and set(image.names) <= set(each.names) for each in site.images
    )
    return Plan(image, engine, "nothing" if complete else way, steps)
