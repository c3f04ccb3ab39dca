"""An image in stages: every layer once, each archive on top of those before."""

import io
import json
import tarfile

from ferryman.archive import tar
from ferryman.archive.write import Saved
from ferryman.image import digest as digests
from ferryman.image.digest import Digest
from ferryman.image.manifest import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor
from ferryman.transfer.inventory import Held, Inventory
from ferryman.transfer.plan import Plan, Wanted, plan
from ferryman.transfer.stages import LABEL, Stage, stages

MB = 1 << 20
CONFIG, MANIFEST = (digests.of(name) for name in (b"config", b"manifest"))


def layer(number: int) -> Digest:
    return digests.of(bytes([number]))


def wanted(*sizes: int) -> Plan:
    """Plan an image of layers, each as many MB as is given; all of them are missing."""
    return planned([(layer(i), size) for i, size in enumerate(sizes)])


def planned(layers: list[tuple[Digest, int]], there: int = 0) -> Plan:
    descriptors = tuple(Descriptor(OCI_LAYER, digest, size * MB) for digest, size in layers)
    diff_ids = tuple(digest for digest, _ in layers)
    image = Wanted(CONFIG, ("x:1",), descriptors, diff_ids, 5, frozenset((CONFIG,)))
    site = Inventory("docker", (Held(MANIFEST, diff_ids[:there], ()),))
    return plan(image, "docker", "archive", site)


def staged(made: Plan, form: str = "docker-archive") -> list[Stage]:
    layers = made.image.layers
    target = Descriptor(OCI_MANIFEST, MANIFEST, 2)
    config = Descriptor(OCI_CONFIG, CONFIG, 2)
    unlike = {each.digest: each for each in layers}.values()
    return stages(made, Saved(target, (), (target, config, *unlike), config, layers), form)


def sent(stage: Stage) -> list[Digest]:
    return [part.blob for part in stage.parts if part.blob not in (None, CONFIG, MANIFEST)]


def documents(stage: Stage) -> dict[str, bytes]:
    """Return the small files of an archive."""
    head = b"".join(part.content for part in stage.parts[:2])
    with tarfile.open(fileobj=io.BytesIO(head + tar.END)) as archive:
        return {each.name: archive.extractfile(each).read() for each in archive}  # type: ignore[union-attr]


def test_what_is_small_goes_at_once() -> None:
    (only,) = staged(wanted(1, 2, 3))
    assert only.last
    assert set(sent(only)) == {layer(0), layer(1), layer(2)}


def test_the_large_ones_go_by_themselves() -> None:
    first, second, last = staged(wanted(100, 1, 1, 20, 1))
    assert sent(first) == [layer(0)]
    assert sent(second) == [layer(1), layer(2), layer(3)]
    assert sent(last) == [layer(4)]
    assert [each.last for each in (first, second, last)] == [False, False, True]


def test_what_is_unpacked_while_it_arrives_goes_at_once() -> None:
    (only,) = staged(wanted(100, 100), "docker")
    assert set(sent(only)) == {layer(0), layer(1)}


def test_a_large_one_at_the_top_is_the_last() -> None:
    first, last = staged(wanted(100, 100))
    assert (sent(first), sent(last)) == ([layer(0)], [layer(1)])


def test_what_docker_is_told_of_a_stage() -> None:
    made = wanted(100, 100)
    files = documents(staged(made)[0])
    (entry,) = json.loads(files["manifest.json"])
    assert entry["Layers"] == [f"blobs/sha256/{layer(0).encoded}"]
    assert not entry.get("RepoTags")
    config = files[entry["Config"]]
    assert entry["Config"].endswith(digests.of(config).encoded)
    said = json.loads(config)
    assert said["rootfs"] == {"type": "layers", "diff_ids": [layer(0)]}
    assert said["config"]["Labels"] == {LABEL: CONFIG}


def test_what_is_there_makes_no_stage() -> None:
    (only,) = staged(planned([(layer(0), 100), (layer(1), 100)], there=1))
    assert sent(only) == [layer(1)]
    (only,) = staged(planned([(layer(0), 100), (layer(1), 100)], there=2))
    assert sent(only) == []


def test_one_that_stands_twice_goes_with_each() -> None:
    first, last = staged(planned([(layer(0), 100), (layer(1), 1), (layer(0), 100)]))
    assert sent(first) == [layer(0)]
    assert set(sent(last)) == {layer(0), layer(1)}
