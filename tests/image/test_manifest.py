import json
from typing import Any

import pytest

from ferryman.errors import InvalidImage
from ferryman.image import manifest
from ferryman.image.manifest import Descriptor, Index, Manifest

DIGEST = "sha256:" + "a" * 64
CONFIG = {"mediaType": manifest.OCI_CONFIG, "digest": DIGEST, "size": 2}
LAYER = {"mediaType": manifest.OCI_LAYER_GZIP, "digest": DIGEST, "size": 0}
IMAGE: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": manifest.OCI_MANIFEST,
    "config": CONFIG,
    "layers": [LAYER],
}
INDEX: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": manifest.OCI_INDEX,
    "manifests": [
        {
            "mediaType": manifest.OCI_MANIFEST,
            "digest": DIGEST,
            "size": 7,
            "platform": {"architecture": "arm", "os": "linux", "variant": "v7", "os.version": "1"},
            "annotations": {"a": "b"},
        }
    ],
}


def parsed(document: dict[str, Any]) -> Manifest | Index:
    return manifest.parse(json.dumps(document).encode(), "manifest x")


def test_a_manifest() -> None:
    read = parsed(IMAGE)
    assert isinstance(read, Manifest)
    assert manifest.is_image(read)
    assert read.config.id == DIGEST
    assert read.layers == [Descriptor(manifest.OCI_LAYER_GZIP, DIGEST, 0)]


def test_an_index() -> None:
    read = parsed(INDEX)
    assert isinstance(read, Index)
    (child,) = read.manifests or []
    assert str(child.platform) == "linux/arm/v7"
    assert child.annotations == {"a": "b"}


@pytest.mark.parametrize("left_out", [{"mediaType": ""}, {"mediaType": None}])
def test_the_media_type_may_be_left_out(left_out: dict[str, Any]) -> None:
    kept = {key: value for key, value in left_out.items() if value is not None}
    for document, type in ((IMAGE, Manifest), (INDEX, Index)):
        without = {k: v for k, v in document.items() if k != "mediaType"}
        assert isinstance(parsed(without | kept), type)


def test_lists_may_be_empty_or_null() -> None:
    empties: list[list[Any] | None] = [[], None]
    for empty in empties:
        image = parsed(IMAGE | {"layers": empty})
        assert isinstance(image, Manifest)
        assert not image.layers
    assert parsed(INDEX | {"manifests": []}) == Index(
        schema_version=2, media_type=manifest.OCI_INDEX, manifests=[]
    )
    # What docker itself has written of both kinds in one document.
    assert isinstance(parsed(IMAGE | {"manifests": None}), Manifest)
    assert isinstance(parsed(INDEX | {"layers": None, "config": None}), Index)


def test_an_artifact_is_no_image() -> None:
    config = CONFIG | {"mediaType": "application/vnd.oci.empty.v1+json"}
    read = parsed(IMAGE | {"config": config, "artifactType": "application/spdx+json"})
    assert isinstance(read, Manifest)
    assert not manifest.is_image(read)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "has schema version 0; only 2 is known"),
        ({"schemaVersion": 2}, "is neither a manifest nor an index"),
        (IMAGE | {"schemaVersion": 1}, "has schema version 1"),
        (IMAGE | {"schemaVersion": "2"}, "Expected `int`, got `str`"),
        (IMAGE | {"config": None}, "is neither a manifest nor an index"),
        (IMAGE | INDEX, "is ambiguous: it has both manifests and layers"),
        (INDEX | {"layers": []}, "is ambiguous"),
        (INDEX | {"config": {}}, "is ambiguous"),
        (IMAGE | {"mediaType": manifest.OCI_INDEX}, "has the unknown media type"),
        (INDEX | {"mediaType": manifest.OCI_MANIFEST}, "has the unknown media type"),
        (IMAGE | {"mediaType": "text/html"}, "has the unknown media type 'text/html'"),
        (IMAGE | {"config": []}, "Expected `object`, got `array` - at `$.config`"),
        (IMAGE | {"layers": {}}, "Expected `array | null`, got `object`"),
        (IMAGE | {"layers": [None]}, "Expected `object`, got `null`"),
        (IMAGE | {"config": {"mediaType": "a", "size": 1}}, "missing required field `digest`"),
        (IMAGE | {"config": CONFIG | {"digest": ""}}, "manifest x: invalid digest ''"),
        (IMAGE | {"config": CONFIG | {"digest": "../../x"}}, "invalid digest '../../x'"),
        (IMAGE | {"config": CONFIG | {"digest": "md5:" + "a" * 32}}, "unknown digest algorithm"),
        (IMAGE | {"config": CONFIG | {"size": -1}}, "impossible size -1"),
        (IMAGE | {"config": CONFIG | {"size": 2**62}}, "impossible size 4611686018427387904"),
        (IMAGE | {"config": CONFIG | {"size": 2**64}}, "impossible size"),
        (IMAGE | {"config": CONFIG | {"size": 2**65}}, "impossible size"),
        (IMAGE | {"config": CONFIG | {"size": 1.5}}, "Expected `int`, got `float`"),
        (IMAGE | {"layers": [LAYER | {"size": None}]}, "Expected `int`, got `null`"),
        (IMAGE | {"layers": [LAYER | {"annotations": {"a": 1}}]}, "Expected `str`, got `int`"),
        (INDEX | {"manifests": {}}, "Expected `array | null`, got `object`"),
        (INDEX | {"manifests": [LAYER | {"digest": "x"}]}, "manifest x: invalid digest 'x'"),
        (INDEX | {"manifests": [LAYER | {"platform": "linux"}]}, "Expected `object | null`"),
    ],
    ids=lambda value: repr(value)[-60:],
)
def test_refused(document: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidImage) as raised:
        parsed(document)
    assert str(raised.value).startswith("manifest x")
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("media_type", "compression"),
    [
        (manifest.OCI_LAYER, "none"),
        (manifest.OCI_LAYER_GZIP, "gzip"),
        (manifest.OCI_LAYER_ZSTD, "zstd"),
        ("application/vnd.docker.image.rootfs.diff.tar", "none"),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", "gzip"),
        ("application/vnd.docker.image.rootfs.diff.tar.zstd", "zstd"),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "gzip"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "gzip"),
        ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", None),
        ("application/vnd.in-toto+json", None),
        ("", None),
    ],
)
def test_compression_of(media_type: str, compression: str | None) -> None:
    assert manifest.compression_of(media_type) == compression
