"""What is moved, and how its bytes are had, in whatever form they are stored."""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.archive import tar, write
from ferryman.image.digest import Digest
from ferryman.operations import save
from ferryman.operations.cargo import Cargo, cargo, pressing
from ferryman.store.layout import Store, open_store
from ferryman.transfer.inventory import Held, Inventory
from ferryman.transfer.plan import Plan, plan
from ferryman.transfer.pressed import FRAME, Press, Pressed
from ferryman.transfer.tars import Tars
from tests import images
from tests.images import Made, load_into, made, member, tar_of

LAYERS = [tar_of(member(f"layer{i}", os.urandom(1000) + bytes(100_000))) for i in range(3)]


class Sink:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.content = b""

    def copy(self, fd: int, start: int, size: int) -> None:
        self.content += os.pread(fd, size, start)


@contextmanager
def loaded(root: Path, image: Made, form: str) -> Iterator[tuple[Store, Cargo, Press]]:
    store = open_store(str(root))
    load_into(store, images.layout(image, compression=form))
    with save.chosen(store, [image.names[0]]) as (saved,), Tars(store) as tars:
        with pressing(store, tars) as press:
            yield store, cargo(store, saved, None, press, tars), press


def planned(of: Cargo, *there: bytes) -> Plan:
    """Return what docker is sent where it has some layers."""
    held = Held(Digest(images.sha256(b"other")), tuple(Digest(images.sha256(x)) for x in there))
    wanted = of.for_engine(by_diff_ids=True)
    return plan(wanted, "docker", "archive", Inventory("docker", (held,)))


def undone(content: bytes, codec: str) -> bytes:
    if codec == "gzip":
        return gzip.decompress(content)
    return zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True).read()


def sent(pressed: Pressed) -> bytes:
    sink = Sink()
    pressed.send(sink)
    return sink.content


@pytest.mark.parametrize("form", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_an_archive_of_tars(tmp_path: Path, form: str, codec: str) -> None:
    """What docker gets is the same however the layers are kept here."""
    image = made(*LAYERS, names=["docker.io/library/app:1"])
    with loaded(tmp_path / "store", image, form) as (_, found, press):
        saved, by = found.plain(planned(found, LAYERS[0]))
        assert [step.there for step in by.steps] == [True, False, False]
        assert [step.layer.id for step in by.steps] == image.diff_ids
        archive = b""
        for part in write.parts([saved], "docker-archive"):
            archive += part.content
            if part.blob:
                content = undone(sent(press(codec, part.blob, part.size, 0)), codec)
                assert len(content) == part.size
                archive += content + bytes(-part.size % tar.BLOCK)
    with tarfile.open(fileobj=io.BytesIO(archive)) as file:
        parts = {m.name: file.extractfile(m).read() for m in file if m.isfile()}  # type: ignore[union-attr]
    (entry,) = json.loads(parts.pop("manifest.json"))
    parts.pop("repositories")
    assert entry["RepoTags"] == ["app:1"]
    assert parts.pop(entry["Config"]) == image.config
    # Nothing is in there that is not asked for, and nothing says that more would be.
    assert [parts.pop(name, None) for name in entry["Layers"]] == [None, *LAYERS[1:]]
    assert parts == {}


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_what_is_kept_as_the_line_takes_it(tmp_path: Path, form: str) -> None:
    """It goes as it is, and is neither unpacked nor pressed."""
    image = made(*LAYERS, names=["app:1"])
    diff_id, size = Digest(image.diff_ids[0]), len(LAYERS[0])
    with loaded(tmp_path / "store", image, form) as (_, found, press):
        pressed = press(form, diff_id, size, 0)
        assert (pressed.codec, pressed.start) == (form, 0)
        assert sent(pressed) == images.compressed(LAYERS[0], form)
        assert press(form, diff_id, size, 0) is pressed
        # By its own digest it is what it was.
        stored = found.saved.layers[0]
        assert undone(sent(press("gzip", stored.id, stored.size, 0)), "gzip") == sent(pressed)


@pytest.mark.parametrize("form", ["none", "gzip", "zstd"])
def test_the_rest_of_what_has_begun(tmp_path: Path, form: str) -> None:
    layer = tar_of(member("large", os.urandom(1 << 20) * 20))
    image = made(layer, names=["app:1"])
    with loaded(tmp_path / "store", image, form) as (_, _, press):
        pressed = press("gzip", Digest(image.diff_ids[0]), len(layer), FRAME)
        assert (pressed.codec, pressed.start) == ("gzip", FRAME)
        assert undone(sent(pressed), "gzip") == layer[FRAME:]


@pytest.mark.parametrize("form", ["none", "gzip"])
def test_said_beforehand(tmp_path: Path, form: str) -> None:
    """What is to be sent is told as it is stored, without the manifest, which does not go."""
    image = made(*LAYERS, names=["app:1"])
    with loaded(tmp_path / "store", image, form) as (_, found, _):
        by = planned(found, LAYERS[0])
        stored = [len(images.compressed(layer, form)) for layer in LAYERS[1:]]
        assert by.bytes == len(image.config) + sum(stored)
        assert found.for_engine(by_diff_ids=False) == found.wanted


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_same_layer_again(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """All that is missing is there, once; what is there by its chain is not sent."""
    chosen = data.draw(st.lists(st.sampled_from(LAYERS), min_size=1, max_size=5))
    there = data.draw(st.lists(st.sampled_from(LAYERS), max_size=4))
    form = data.draw(st.sampled_from(["none", "gzip"]))
    image = made(*chosen, names=["app:1"])
    with loaded(tmp_path_factory.mktemp("again") / "store", image, form) as (_, found, _):
        saved, by = found.plain(planned(found, *there))
    own = [Digest(each) for each in image.diff_ids]
    shared = 0
    while shared < min(len(chosen), len(there)) and chosen[shared] == there[shared]:
        shared += 1
    assert {b.id for b in saved.blobs} == {Digest(image.id), *own[shared:]}
    assert [layer.id for layer in saved.layers] == own
    sizes = {Digest(images.sha256(layer)): len(layer) for layer in LAYERS}
    assert all(b.size == sizes[b.id] for b in saved.blobs[1:])
    assert {step.diff_id for step in by.missing} == set(own[shared:])
