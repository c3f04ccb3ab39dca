"""What a host lacks."""

from ferryman.image import digest as digests
from ferryman.image.digest import Digest
from ferryman.image.manifest import OCI_LAYER, Descriptor
from ferryman.transfer.inventory import Held, Inventory
from ferryman.transfer.plan import Plan, Wanted, plan

ONE, TWO, THREE, ID, MANIFEST = (digests.of(bytes([n])) for n in range(5))


def wanted(*layers: Digest) -> Wanted:
    descriptors = tuple(Descriptor(OCI_LAYER, layer, 10) for layer in layers)
    return Wanted(ID, ("x:1",), descriptors, layers, 5, frozenset((ID, MANIFEST)))


def planned(*images: Held, engine: str = "docker") -> Plan:
    return plan(wanted(ONE, TWO), engine, "archive", Inventory(engine, images))


def test_layers_are_known_by_what_is_below_them() -> None:
    found = planned(Held(THREE, (ONE, THREE, TWO)))
    assert [step.there for step in found.steps] == [True, False]
    assert [step.diff_id for step in found.missing] == [TWO]
    assert (found.way, found.bytes) == ("archive", 15)


def test_nothing_there() -> None:
    assert planned().bytes == 25


def test_all_layers_there_and_no_image() -> None:
    found = planned(Held(THREE, (ONE, TWO, THREE)))
    assert (found.way, found.bytes) == ("archive", 5)


def test_it_is_there() -> None:
    assert planned(Held(ID, (ONE, TWO), ("x:1", "y:1"))).way == "nothing"
    assert planned(Held(MANIFEST, (ONE, TWO), ("x:1",))).bytes == 0
    # Under another name: a small archive brings the name.
    assert planned(Held(ID, (ONE, TWO), ("y:1",))).way == "archive"
