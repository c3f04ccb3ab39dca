import json
from collections.abc import Mapping
from typing import Any

import pytest
from tests import archives, images
from tests.archives import IMAGE_NAME, REF_NAME, source
from tests.images import Made, Parts, layout, made, put, put_image, put_index, small, tar_of

from ferryman.archive import documents, oci
from ferryman.archive.candidate import Candidate
from ferryman.archive.documents import Documents
from ferryman.errors import InvalidArchive
from ferryman.image import platform

ONE = small("one", "one:1", "quay.io/one:2")
TWO = small("two")
DIGEST = "sha256:" + "0" * 64


def read(parts: Parts, wanted: str = "") -> list[Candidate]:
    chosen = platform.parse(wanted) if wanted else None
    found = oci.candidates(Documents(source(parts)), chosen)
    assert found is not None
    return found


def indexed(parts: Parts, *descriptors: Mapping[str, Any]) -> Parts:
    """Return the parts with an index of these."""
    return {**parts, "index.json": images.index(*descriptors)}


def annotated(descriptor: Mapping[str, Any], **annotations: str) -> dict[str, Any]:
    keys = {"image": IMAGE_NAME, "ref": REF_NAME, "other": "other"}
    said = {keys[key]: value for key, value in annotations.items()}
    return {**descriptor, "annotations": said}


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_what_is_in_it(compression: str) -> None:
    parts = layout(ONE, TWO, compression=compression)
    for candidate, image in zip(read(parts), (ONE, TWO), strict=True):
        assert [name.familiar for name in candidate.names] == list(image.names)
        assert candidate.image_id == image.id
        assert candidate.target is not None
        assert set(candidate.documents) == {image.id, candidate.target.digest}
        (part,) = candidate.parts
        assert [layer.diff_id for layer in part.layers] == image.diff_ids
        assert [layer.descriptor and layer.descriptor.size for layer in part.layers] == [
            len(images.compressed(layer, compression)) for layer in image.layers
        ]
        assert all(layer.part in parts for layer in part.layers)


def test_no_layout() -> None:
    assert oci.candidates(Documents(source({"manifest.json": b"[]"}))) is None


@pytest.mark.parametrize(
    ("annotations", "names", "label"),
    [
        ({}, [], None),
        ({"other": "x"}, [], None),
        ({"image": "docker.io/library/a:1", "ref": "1"}, ["a:1"], None),
        ({"image": "quay.io/a"}, ["quay.io/a:latest"], None),
        ({"ref": "quay.io/a:1"}, ["quay.io/a:1"], None),
        ({"ref": "a:1"}, ["a:1"], None),
        ({"ref": "a/b"}, ["a/b:latest"], None),
        ({"ref": "latest"}, [], "latest"),
        ({"ref": "1.0"}, [], "1.0"),
        ({"ref": "No Name: this is free text"}, [], "No Name: this is free text"),
        ({"image": f"a@{DIGEST}"}, [], None),
        ({"image": f"a:1@{DIGEST}"}, ["a:1"], None),
        ({"image": "", "ref": ""}, [], ""),
    ],
)
def test_names(annotations: dict[str, str], names: list[str], label: str | None) -> None:
    parts: Parts = {}
    target = put_image(parts, TWO)
    (candidate,) = read(indexed(parts, annotated(target, **annotations)))
    assert [name.familiar for name in candidate.names] == names
    assert candidate.label == label
    assert candidate.target is not None
    # A name is the place's; whatever else is said is the image's.
    assert candidate.target.annotations == ({"other": "x"} if "other" in annotations else None)


def test_a_whole_name_that_is_none() -> None:
    parts: Parts = {}
    target = put_image(parts, TWO)
    with pytest.raises(InvalidArchive, match=r"it: index.json: invalid reference format"):
        read(indexed(parts, annotated(target, image="No Name")))


def test_many_names_for_one_target() -> None:
    parts: Parts = {}
    target = put_image(parts, TWO)
    named = [annotated(target, image=f"a:{n}") for n in range(10)]
    (candidate,) = read(indexed(parts, *named, *named))
    assert [name.familiar for name in candidate.names] == [f"a:{n}" for n in range(10)]


PLATFORMS = {
    "linux/amd64": made(tar_of(), architecture="amd64"),
    "linux/arm64": made(tar_of(), architecture="arm64", variant="v8"),
    "linux/arm/v7": made(tar_of(), architecture="arm", variant="v7"),
    "windows/amd64": made(tar_of(), architecture="amd64", os="windows"),
}


def test_several_platforms_under_one_name() -> None:
    parts = archives.platforms("many:1", *PLATFORMS.values())
    found = oci.candidates(Documents(source(parts)))
    assert found is not None
    (candidate,) = found
    assert [str(part.config.platform.normal) for part in candidate.parts] == [
        "linux/amd64",
        "linux/arm64/v8",
        "linux/arm/v7",
        "windows/amd64",
    ]
    # Two indexes, and a manifest and a config for each platform.
    assert len(candidate.documents) == 2 + 2 * 4


@pytest.mark.parametrize("wanted", PLATFORMS)
def test_one_platform_of_several(wanted: str) -> None:
    parts = archives.platforms("many:1", *PLATFORMS.values())
    found = oci.candidates(Documents(source(parts)), platform.parse(wanted))
    assert found is not None
    (candidate,) = found
    assert [part.config_digest for part in candidate.parts] == [PLATFORMS[wanted].id]
    assert candidate.image_id == PLATFORMS[wanted].id
    # The index stays as it is, with the others left out.
    assert len(candidate.documents) == 2 + 2


def test_a_platform_that_is_not_there() -> None:
    assert read(layout(ONE), "linux/s390x") == []


def test_a_platform_may_be_left_out_of_an_index() -> None:
    parts: Parts = {}
    here, there = put_image(parts, ONE), put_image({}, TWO)
    (candidate,) = read(indexed(parts, put_index(parts, here, there)))
    assert [part.config_digest for part in candidate.parts] == [ONE.id]


def test_an_index_that_only_gathers_is_opened() -> None:
    parts: Parts = {}
    inner = put_index(
        parts,
        annotated(put_image(parts, ONE), image="a:1"),
        annotated(put_image(parts, TWO), image="b:1"),
    )
    found = read(indexed(parts, inner, inner))
    assert [[name.familiar for name in c.names] for c in found] == [["a:1"], ["b:1"]]


def put_artifact(parts: Parts) -> dict[str, Any]:
    """Put a signature to the parts of a layout; return its manifest's descriptor."""
    said = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(parts, b"{}", "application/vnd.oci.empty.v1+json"),
        "layers": [put(parts, b"signature", "application/vnd.dev.cosign.simplesigning.v1+json")],
    }
    return put(parts, json.dumps(said).encode(), str(said["mediaType"]))


def test_what_signs_an_image_goes_with_it() -> None:
    parts: Parts = {}
    both = put_index(parts, put_image(parts, ONE), put_artifact(parts))
    (candidate,) = read(indexed(parts, both))
    assert candidate.image_id == ONE.id
    assert [part.is_image for part in candidate.parts] == [True, False]


def test_artifacts_alone_are_no_images() -> None:
    parts: Parts = {}
    artifact = put_artifact(parts)
    (candidate,) = read(indexed(parts, artifact, put_image(parts, ONE)))
    assert candidate.image_id == ONE.id
    with pytest.raises(InvalidArchive, match="it holds no image: nothing but artifacts"):
        read(indexed(parts, artifact))


def test_layers_that_are_not_there_may_be_in_the_store() -> None:
    parts = layout(ONE)
    name = f"blobs/sha256/{ONE.diff_ids[0][7:]}"
    del parts[name]
    (candidate,) = read(parts)
    assert [layer.part is None for layer in candidate.parts[0].layers] == [True, False]


def deep(depth: int) -> Parts:
    """Return an image below that many indexes."""
    parts: Parts = {}
    target = put_image(parts, ONE)
    for _ in range(depth):
        target = put_index(parts, target)
    return indexed(parts, target)


def test_nesting() -> None:
    assert read(deep(7))[0].image_id == ONE.id
    with pytest.raises(InvalidArchive, match=r"it: sha256:.* is nested too deeply"):
        read(deep(8))


def test_an_index_that_is_there_again_and_again_is_read_once() -> None:
    parts: Parts = {}
    inner = put_index(parts, *[annotated(put_image(parts, ONE), image="a:1")] * 2000)
    (candidate,) = read(indexed(parts, *[inner] * 2000))
    assert [name.familiar for name in candidate.names] == ["a:1"]


def test_the_documents_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = layout(ONE, TWO)
    monkeypatch.setattr(documents, "_MAX_TOTAL", 2000)
    with pytest.raises(InvalidArchive, match="it has more than 2000 bytes of JSON documents"):
        read(parts)


def blob_of(image: Made, number: int) -> str:
    return f"blobs/sha256/{image.diff_ids[number][7:]}"


def config_of(image: Made) -> str:
    return f"blobs/sha256/{image.id[7:]}"


def without(parts: Parts, name: str) -> Parts:
    return {key: value for key, value in parts.items() if key != name}


def with_manifest(**changes: Any) -> Parts:
    """Return the layout of an image with a manifest that says something else."""
    parts: Parts = {}
    target = put_image(parts, ONE)
    said = json.loads(parts[f"blobs/sha256/{target['digest'][7:]}"]) | changes
    return indexed(parts, put(parts, json.dumps(said).encode(), target["mediaType"]))


def described(**changes: Any) -> Parts:
    """Return a layout whose index describes its image wrongly."""
    parts: Parts = {}
    target = put_image(parts, ONE)
    return indexed(parts, {**target, **changes})


def with_child(media_type: str) -> Parts:
    """Return a layout in which an index leads to something else."""
    parts: Parts = {}
    child = put(parts, b"{}", media_type)
    return indexed(parts, put_index(parts, child))


LAYOUT = layout(ONE)
REFUSED: dict[str, tuple[Parts, str]] = {
    "no JSON": (LAYOUT | {"index.json": b"]"}, "it: index.json is not valid JSON"),
    "an index that is a list": (LAYOUT | {"index.json": b"[]"}, "Expected `object`, got `array`"),
    "an index that is null": (LAYOUT | {"index.json": b"null"}, "Expected `object`, got `null`"),
    "an empty index": (indexed({}), "it: index.json names no image"),
    "an index of version 1": (
        LAYOUT | {"index.json": b'{"schemaVersion":1,"manifests":[]}'},
        "it: index.json has schema version 1; only 2 is known",
    ),
    "a manifest for an index": (
        LAYOUT | {"index.json": LAYOUT[f"blobs/sha256/{put_image({}, ONE)['digest'][7:]}"]},
        "it: index.json is not an index",
    ),
    "another version of the layout": (
        LAYOUT | {"oci-layout": b'{"imageLayoutVersion":"2.0.0"}'},
        "it: unknown layout version '2.0.0', only 1.0.0 is known",
    ),
    "no version of the layout": (LAYOUT | {"oci-layout": b"{}"}, "unknown layout version ''"),
    "a layout that is no JSON": (LAYOUT | {"oci-layout": b""}, "it: oci-layout is not valid JSON"),
    "no manifest": (
        indexed({}, {**put_image({}, ONE)}),
        f"it: blob {put_image({}, ONE)['digest']} is missing",
    ),
    "no config": (without(LAYOUT, config_of(ONE)), f"it: blob {ONE.id} is missing"),
    "a config of another digest": (
        LAYOUT | {config_of(ONE): TWO.config},
        f"it: blob {ONE.id} is damaged: it has",
    ),
    "a layer of another size": (
        LAYOUT | {blob_of(ONE, 0): b"x"},
        f"it: layer {ONE.diff_ids[0]} has 1 bytes, its descriptor says 10240",
    ),
    "a manifest of another size": (described(size=7), "(its descriptor says 7)"),
    "a manifest of an impossible size": (described(size=2**62), "it: index.json: impossible size"),
    "a manifest of an unknown algorithm": (
        described(digest="md5:" + "0" * 32),
        "it: index.json: unknown digest algorithm 'md5'",
    ),
    "a digest that is a path": (described(digest="sha256:../../../x"), "it: index.json: invalid"),
    "a manifest without layers": (
        with_manifest(layers=None),
        "it: invalid manifest, layers length mismatch: expected 2, got 0",
    ),
    "a manifest without a config": (
        with_manifest(config=None),
        "is neither a manifest nor an index",
    ),
    "a manifest that is an index, too": (with_manifest(manifests=[]), "is ambiguous"),
    "an index of web pages": (with_child("text/html"), "has the unknown media type 'text/html'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    parts, words = REFUSED[case]
    with pytest.raises(InvalidArchive) as raised:
        read(parts)
    assert str(raised.value).startswith("it: ")
    assert words in str(raised.value)
