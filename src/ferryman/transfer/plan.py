"""What a host lacks of an image.  Pure: what is here and what is there go in, a plan comes out."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from ferryman.image.config import chain_ids
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor


class Held(NamedTuple):
    """An image that a host has: its ID there, its names, and the diff IDs of its layers."""

    id: str
    names: tuple[str, ...]
    diff_ids: tuple[Digest, ...]


class Wanted(NamedTuple):
    """An image that a host is to have."""

    id: Digest
    names: tuple[str, ...]
    layers: tuple[Descriptor, ...]
    diff_ids: tuple[Digest, ...]
    rest: int
    """The bytes of its config and manifests."""


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
    lacks; "nothing": it is there, by all its names."""
    steps: tuple[Step, ...]

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


def plan(image: Wanted, engine: str, way: str, held: Iterable[Held]) -> Plan:
    """Return what is to be done, given all images that an engine has.

    A layer is there where another image stands on the same layers below it, that one included:
    engines know layers by their chain ID (config.md, "Layer ChainID").
    """
    held = list(held)
    there = chains(each.diff_ids for each in held)
    own = chain_ids(image.diff_ids)
    steps = tuple(
        Step(layer, diff_id, chain in there)
        for layer, diff_id, chain in zip(image.layers, image.diff_ids, own, strict=True)
    )
    complete = any(each.id == image.id and set(image.names) <= set(each.names) for each in held)
    return Plan(image, engine, "nothing" if complete else way, steps)


def chains(images: Iterable[Sequence[Digest]]) -> Collection[Digest]:
    """Return the chain IDs of all layers of images, each given by its diff IDs."""
    return {chain for diff_ids in images for chain in chain_ids(diff_ids)}
