import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.image import digest as digests
from ferryman.image.config import chain_ids
from ferryman.image.digest import Digest
from ferryman.store.layout import open_store
from ferryman.transfer import inventory
from ferryman.transfer.inventory import Held, InvalidInventory, Inventory
from tests.archives import docker_25
from tests.images import Made, load_into, made, member, small, tar_of

A, B, C, D = (digests.of(letter.encode()) for letter in "abcd")

_digests = st.sampled_from([A, B, C, D])
_held = st.builds(
    Held, _digests, st.lists(_digests).map(tuple), st.lists(st.text(max_size=9)).map(tuple)
)
_inventories = st.builds(
    Inventory,
    st.sampled_from(["ferry", "docker", "containerd", "any"]),
    st.lists(_held).map(lambda images: tuple(sorted(images))),
    st.frozensets(_digests),
)


@given(_inventories)
def test_what_is_written_is_read(made_up: Inventory) -> None:
    content = inventory.write(made_up)
    assert inventory.is_one(content)
    assert inventory.read(content, "it") == made_up


def test_of_a_store(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    one = small("one", "one:1", "one:2")
    load_into(store, docker_25(one, small("two")))  # type: ignore[arg-type]
    found = inventory.from_store(store)
    assert found.engine == "ferry"
    assert {(i.id, i.names) for i in found.images} == {
        (one.id, ("one:1", "one:2")),
        (small("two").id, ()),
    }
    assert set(one.diff_ids) <= found.blobs
    assert one.id in found.blobs


def inspected(image: Made, **more: object) -> dict[str, object]:
    return {
        "Id": image.id,
        "RepoTags": list(image.names),
        "RepoDigests": [],
        "RootFS": {"Type": "layers", "Layers": image.diff_ids},
        **more,
    }


def test_of_dockers_own_words() -> None:
    one = small("one", "one:1")
    listing = json.dumps([inspected(one, GraphDriver={"Name": "overlay2", "Data": {}})])
    found = inventory.read(listing.encode(), "it")
    assert found.engine == "docker"
    assert found.images == (Held(Digest(one.id), tuple(map(Digest, one.diff_ids)), ("one:1",)),)
    assert inventory.chains(found) == set(chain_ids(found.images[0].diff_ids))


@pytest.mark.parametrize(
    "more",
    [
        {"GraphDriver": {"Name": "overlayfs"}},
        {"Descriptor": {"mediaType": "x", "digest": D, "size": 1}},
    ],
)
def test_of_a_docker_that_keeps_images_in_containerd(more: dict[str, object]) -> None:
    listing = [inspected(small("one"), RepoDigests=[f"one@{C}"], **more)]
    found = inventory.read(json.dumps(listing).encode(), "it")
    assert found.engine == "containerd"
    assert C in found.blobs


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{}", "ferryInventory"),
        (b'{"ferryInventory": 2}', "version 2"),
        (b'{"ferryInventory": 1, "layers": ["sha256:../x"]}', "digest"),
        (
            b'{"ferryInventory": 1, "images": [{"id": "sha256:%s", "layers": [0]}]}' % (b"0" * 64),
            "does not list",
        ),
        (b'{"ferryInventory": 1, "images": [{"id": 3}]}', "invalid"),
        (b'{"ferryInventory"', "not valid JSON"),
        (b"[" * 100_000, "docker image inspect"),
        (b'{"ferryInventory": ' + b"[" * 100_000, "invalid"),
        (b'[{"Id": "x"}]', "docker image inspect"),
        (b'[{"Id": "%s"}]' % (b"0" * 64), "podman takes no archive"),
        (b'[{"Names": []}]', "docker image inspect"),
    ],
)
def test_what_is_none(content: bytes, says: str) -> None:
    with pytest.raises(InvalidInventory, match=says) as e:
        inventory.read(content, "it")
    assert "\n" not in str(e.value)


def test_a_small_file_does_not_become_large() -> None:
    image = {"id": A, "layers": [0] * 1_000}
    file = {"ferryInventory": 1, "layers": [A], "images": [image] * 501}
    with pytest.raises(InvalidInventory, match="more than 500000 layers"):
        inventory.read(json.dumps(file).encode(), "it")


def site(engine: str, *diff_ids: Digest, blobs: str = "") -> Inventory:
    there = {"a": A, "b": B, "c": C, "d": D}
    return Inventory(engine, (Held(D, diff_ids),), frozenset(there[each] for each in blobs))


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        (site("docker", A, B), {C}),
        (site("docker", B, A), {A, B, C}),  # the same layers, but on top of others
        (site("docker", A, B, blobs="abc"), {C}),
        (site("ferry", A, B, C), {A, B, C}),  # in another form
        (site("ferry", blobs="bc"), {A}),
        (site("containerd", A, blobs="c"), {A, B}),
        (site("any", A, B, blobs="bc"), {A, C}),
    ],
)
def test_what_is_missing(there: Inventory, missing: set[Digest]) -> None:
    assert inventory.lacking([A, B, C], [A, B, C], [there]) == missing


def test_the_same_layer_twice_is_sent_for_the_place_where_it_is_missing() -> None:
    assert inventory.lacking([A, B, A], [A, B, A], [site("docker", A, B)]) == {A}


def test_what_one_of_several_lists_says_is_there() -> None:
    assert inventory.lacking([A, B], [A, B], [site("docker", A), site("ferry", blobs="b")]) == set()


def test_nearest() -> None:
    near = Held(A, (A, B, D), ("near",))
    sites = [Inventory("any", (Held(B, (A, B)), Held(C, (A,)))), Inventory("any", (near,))]
    assert inventory.nearest([A, B, C], sites) == near
    assert inventory.nearest([C], sites) is None


def test_one_image_of_two_forms(tmp_path: Path) -> None:
    """A config that is kept with plain and with compressed layers is one image."""
    store = open_store(str(tmp_path / "store"))
    image = made(tar_of(member("x", b"x")), names=["x:1"])
    load_into(store, docker_25(image, compression="gzip"))  # type: ignore[arg-type]
    load_into(store, docker_25(image))  # type: ignore[arg-type]
    found = inventory.from_store(store)
    assert [held.id for held in found.images] == [image.id]
    assert found.blobs > set(image.diff_ids)


def test_alike() -> None:
    """Layers of the same repository come first, what the image has itself last."""
    site = Inventory(
        "docker",
        (
            Held(A, (A, D), ("docker.io/library/other:1",)),
            Held(B, (B, A), ("docker.io/library/app:1",)),
        ),
    )
    assert inventory.alike(["docker.io/library/app:2"], [A, C], site) == [B, D, A]
    assert inventory.alike(["docker.io/library/new:2"], [A, D], site) == [B, A, D]
    assert inventory.alike([], [B, C], site)[0] == A


@given(_inventories, st.lists(_digests), st.lists(st.text(max_size=9)))
def test_all_are_alike(site: Inventory, own: list[Digest], names: list[str]) -> None:
    found = inventory.alike(names, own, site)
    assert len(found) == len(set(found))
    assert set(found) == {diff_id for held in site.images for diff_id in held.diff_ids}
