"""Layers made ready in a store: mounted where they lie, or unpacked; they need root."""

import hashlib
import os
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from ferryman.errors import InvalidImage, StoreError
from ferryman.image.digest import Digest
from ferryman.rootfs import erofs_mount, lower, overlay, posix_acl, syscalls
from ferryman.rootfs.lower import Layer
from ferryman.rootfs.made import EROFS, TREE, Lower
from ferryman.store import blobs
from ferryman.store.layout import Store, open_store
from ferryman.store.lease import hold
from tests.images import compressed
from tests.rootfs.layers import acl, folder, item, write
from tests.rootfs.seen import Entry, apart, seen
from tests.rootfs.test_loop import devices, gone

pytestmark = [
    pytest.mark.skipif(os.getuid() != 0, reason="to mount takes root"),
    pytest.mark.skipif(not erofs_mount.possible(), reason="to mount layers takes Linux 6.4"),
]


@pytest.fixture
def here(store: Path) -> Store:
    return open_store(str(store))


@pytest.fixture
def tar(tmp_path: Path) -> bytes:
    """A layer with a bit of everything."""
    layer = write(
        tmp_path / "layer.tar",
        folder(b"d"),
        item(b"d/f", content=b"file" * 1000, mode=0o4755, owner=(7, 8), mtime_ns=5),
        item(b"d/h", b"1", link=b"d/f"),
        item(b"l", b"2", link=b"d/f"),
        item(b"d/.wh.gone"),
        item(b"o/.wh..wh..opq"),
        item(b"x", xattrs={b"user.u": b"v"}),
    )
    return layer.read_bytes()


def put(store: Store, tar: bytes, form: str = "none", algorithm: str = "sha256") -> Layer:
    """Keep a layer's blob in the store."""
    content = compressed(tar, form)
    with hold(store) as lease:
        digest = blobs.put(lease, content, algorithm)
    return Layer(digest, len(content), f"sha256:{hashlib.sha256(tar).hexdigest()}")


def ready(store: Store, *layers: Layer, storage: str = "") -> list[Lower]:
    with hold(store) as lease:
        return lower.ready(store, lease, layers, storage)


def one(store: Store, layer: Layer, storage: str = "") -> Lower:
    (made,) = ready(store, layer, storage=storage)
    return made


def files(made: Lower) -> set[str]:
    """Return what there is of a layer, but for notes."""
    return {name for name in os.listdir(made.folder) if not name.endswith(".loop")}


def look(made: Lower) -> dict[bytes, Entry]:
    return apart(lambda: seen(lower.mount(made)))


def clean(store: Store) -> bool:
    return os.listdir(store.tmp) == os.listdir(store.leases) == []


@contextmanager
def in_use(made: Lower) -> Iterator[None]:
    """Have a process that has a layer mounted, for the block."""
    told, tell = os.pipe()
    wait, go = os.pipe()
    child = os.fork()
    if not child:
        os.close(go)

        def use() -> None:
            lower.mount(made)
            os.write(tell, b"x")
            os.read(wait, 1)

        apart(use)
        os._exit(0)
    os.close(wait)
    try:
        assert os.read(told, 1) == b"x"
        yield
    finally:
        os.close(go)
        os.waitpid(child, 0)
        os.close(told)
        os.close(tell)


def test_where_it_lies(here: Store, tar: bytes) -> None:
    """As root the index is all that is made: the blob is the tar."""
    layer = put(here, tar)
    made = one(here, layer)
    assert made == (EROFS, f"{here.layers}/{layer.diff_id[7:]}", here.blob(Digest(layer.digest)))
    assert files(made) == {"lock", "index.erofs", "mounted"}
    assert clean(here)


def test_mounted_as_unpacked(here: Store, tar: bytes) -> None:
    layer = put(here, tar)
    made, unpacked = (one(here, layer, storage) for storage in ("erofs", "extract"))
    assert (made.kind, unpacked.kind) == (EROFS, TREE)
    assert look(made) == look(unpacked) != {}
    # Both are there; what serves best is taken where nothing is said.
    assert files(made) == {"lock", "index.erofs", "mounted", "tree"}
    assert one(here, layer) == made


def test_unpacked_before(here: Store, tar: bytes) -> None:
    """What has been unpacked will do, unless a mount is asked for."""
    layer = put(here, tar)
    assert one(here, layer, "extract") == one(here, layer)
    assert one(here, layer, "erofs").kind == EROFS


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_compressed(here: Store, tar: bytes, form: str) -> None:
    """The tar is written once, beside the index; what is unpacked needs none."""
    layer = put(here, tar, form)
    unpacked = one(here, layer, "extract")
    assert files(unpacked) == {"lock", "tree"}
    made = one(here, layer, "erofs")
    assert files(made) == {"lock", "tree", "index.erofs", "layer.tar", "mounted"}
    assert Path(made.tar).read_bytes() == tar
    assert look(made) == look(unpacked)
    os.unlink(here.blob(Digest(layer.digest)))
    assert one(here, layer, "erofs") == made  # it is not read again
    assert clean(here)


def test_blob_of_another_algorithm(here: Store, tar: bytes) -> None:
    """A diff ID is sha256 where the blob goes by sha512: the tar cannot be told by its name."""
    layer = put(here, tar, algorithm="sha512")
    made = one(here, layer)
    assert look(made) == look(one(here, layer, "extract"))
    assert made.tar == f"{made.folder}/layer.tar"


@pytest.mark.parametrize("form", ["none", "gzip"])
@pytest.mark.parametrize("storage", ["erofs", "extract"])
def test_another_diff_id(here: Store, tar: bytes, form: str, storage: str) -> None:
    layer = put(here, tar, form)._replace(diff_id="sha256:" + "0" * 64)
    with pytest.raises(InvalidImage, match=r"unpacks to sha256:[0-9a-f]{64}, not to sha256:000"):
        ready(here, layer, storage=storage)
    assert os.listdir(f"{here.layers}/{'0' * 64}") == ["lock"]
    assert clean(here)


def test_a_blob_that_is_not_there(here: Store, tar: bytes) -> None:
    layer = put(here, tar)
    os.unlink(here.blob(Digest(layer.digest)))
    with pytest.raises(StoreError, match="No such file or directory"):
        ready(here, layer)


def test_order_and_repetition(here: Store, tmp_path: Path) -> None:
    """A layer that is there twice is where it comes last."""
    tars = [
        write(tmp_path / name, item(b"f", content=name.encode())).read_bytes()
        for name in ("a", "b", "c")
    ]
    a, b, c = (put(here, each) for each in tars)
    made = ready(here, a, b, a, c, b)
    assert [os.path.basename(each.folder) for each in made] == [
        layer.diff_id[7:] for layer in (a, c, b)
    ]


def test_one_that_cannot_be_mounted(here: Store, tmp_path: Path) -> None:
    """What has to be unpacked is, without a word, unless a mount is asked for."""
    attributes = {posix_acl.ACCESS: acl(0o644, 1000)}
    tar = write(tmp_path / "tar", item(b"f", mode=0o600, xattrs=attributes)).read_bytes()
    layer = put(here, tar, "gzip")
    with pytest.raises(StoreError, match=r"cannot be mounted where it lies: access control list"):
        one(here, layer, "erofs")
    made = one(here, layer)
    assert (made.kind, files(made)) == (TREE, {"lock", "tree"})
    assert clean(here)


def without_loop_devices() -> None:
    """Let no device be opened by this process, whose mounts are its own."""
    syscalls.mount("none", "/dev", "tmpfs", syscalls.MS_NODEV)


def in_a_user_namespace() -> None:
    """Let this process be root of nothing but files."""
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    for name, content in (("setgroups", "deny"), ("uid_map", "0 0 1"), ("gid_map", "0 0 1")):
        Path("/proc/self", name).write_text(content)
    erofs_mount.possible.cache_clear()
    overlay.user_xattrs.cache_clear()


@pytest.mark.parametrize(
    ("lose", "words"),
    [
        (without_loop_devices, "cannot be mounted where it lies: Permission denied"),
        (in_a_user_namespace, "needs root"),
    ],
)
def test_where_nothing_can_be_mounted(
    here: Store, tmp_path: Path, lose: Callable[[], None], words: str
) -> None:
    """It is unpacked without a word, and whoever wants a mount is told that there is none."""
    layer = put(here, write(tmp_path / "tar", item(b"f"), item(b"d/.wh.f")).read_bytes())

    def made() -> str:
        lose()
        with pytest.raises(StoreError, match=words):
            ready(here, layer, storage="erofs")
        return one(here, layer).kind

    assert apart(made) == TREE
    assert clean(here)


def test_an_old_kernel(here: Store, tar: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erofs_mount, "possible", lambda: False)
    layer = put(here, tar)
    assert one(here, layer).kind == TREE
    with pytest.raises(StoreError, match=r"--storage erofs needs root and Linux 6\.4"):
        one(here, layer, "erofs")


def test_loop_devices_are_shared_and_given_back(here: Store, tar: bytes) -> None:
    made = one(here, put(here, tar, "gzip"))
    both = [Path(made.folder, "index.erofs"), Path(made.tar)]
    assert all(gone(file) for file in both)
    with in_use(made):
        first = [devices(file) for file in both]
        assert [len(each) for each in first] == [1, 1]
        with in_use(made):
            assert [devices(file) for file in both] == first
        assert [devices(file) for file in both] == first
    assert all(gone(file) for file in both)


def test_mounted_twice_in_one_namespace(here: Store, tar: bytes) -> None:
    """A container that is started again has what was mounted for it before."""
    made = one(here, put(here, tar))

    def twice() -> bool:
        return lower.mount(made) == lower.mount(made)

    assert apart(twice)


def test_a_blob_removed_while_mounted(here: Store, tar: bytes) -> None:
    """What is mounted stays, and the layer is ready again when the blob has come back."""
    layer = put(here, tar)
    made = one(here, layer)
    with in_use(made):
        blob = Path(here.blob(Digest(layer.digest)))
        blob.unlink()
        with pytest.raises(StoreError, match="No such file"):
            ready(here, layer)
        assert put(here, tar) == layer
        assert one(here, layer) == made
        assert look(made)[b"x"].xattrs == {"user.u": b"v"}
    assert gone(blob)


def make_ready(root: str, layers: list[Layer], storage: str) -> list[Lower]:
    return ready(open_store(root), *layers, storage=storage)


@pytest.mark.parametrize("storage", ["erofs", "extract"])
def test_at_once(here: Store, tmp_path: Path, storage: str) -> None:
    """Many make the same layers at the same time: each is made once."""
    layers = []
    for n in range(3):
        names = [b"%d/%d" % (n, i) for i in range(500)]
        tar = write(tmp_path / "tar", *(item(name, content=name) for name in names)).read_bytes()
        layers.append(put(here, tar, "gzip" if n else "none"))
    with ProcessPoolExecutor(8) as pool:
        jobs = [pool.submit(make_ready, here.root, layers, storage) for _ in range(16)]
        first, *others = [job.result() for job in jobs]
    assert all(other == first for other in others)
    assert [len(look(made)) for made in first] == [502] * 3
    assert clean(here)


@pytest.mark.parametrize("spoilt", ["empty", "short", "zeros", "other form", "other tar"])
def test_a_damaged_index_is_made_anew(here: Store, tar: bytes, tmp_path: Path, spoilt: str) -> None:
    layer = put(here, tar)
    made = one(here, layer)
    index = Path(made.folder, "index.erofs")
    good = index.read_bytes()
    index.write_bytes(
        {
            "empty": b"",
            "short": good[:-4096],
            "zeros": bytes(len(good)),
            "other form": good.replace(b"ferry 1", b"ferry 0"),
            "other tar": good[:1216] + b"ww" + good[1218:],
        }[spoilt]
    )
    assert index.read_bytes() != good
    assert one(here, layer) == made
    assert index.read_bytes() == good


def test_an_index_that_the_kernel_refuses(here: Store, tar: bytes) -> None:
    """It goes, so that the next start has another."""
    made = one(here, put(here, tar))
    index = Path(made.folder, "index.erofs")
    good = index.read_bytes()
    index.write_bytes(good[:1536] + b"\xff" * 64 + good[1600:])
    with pytest.raises(OSError, match=r"index\.erofs"):
        look(made)
    assert not index.exists()
    assert one(here, put(here, tar)) == made
    assert index.read_bytes() == good
    assert look(made)[b"x"].xattrs == {"user.u": b"v"}


def test_needed_layers_stay(here: Store, tmp_path: Path) -> None:
    layers = [put(here, write(tmp_path / "tar", item(b"f%d" % n)).read_bytes()) for n in range(4)]
    ready(here, layers[0], storage="extract")
    ready(here, *layers[1:])
    asked: list[bool] = []

    def needed() -> Collection[str]:
        asked.append(True)
        return [layers[1].diff_id]

    with hold(here) as lease:
        lease.protect([Digest(layers[2].diff_id)])
        gone_now = {layers[0].diff_id, layers[3].diff_id}
        assert set(lower.unused(here, needed())) == gone_now
        assert set(lower.remove_unused(here, needed)) == gone_now
    assert set(os.listdir(here.layers)) == {layer.diff_id[7:] for layer in layers[1:3]}
    assert lower.remove_unused(here, list) == [
        f"sha256:{name}" for name in sorted(layer.diff_id[7:] for layer in layers[1:3])
    ]
    assert os.listdir(here.layers) == []
    assert clean(here)
    assert [each.kind for each in ready(here, *layers)] == [EROFS] * 4


def test_removing_where_a_process_died(here: Store, tar: bytes) -> None:
    """What one had begun to remove is no hindrance to the next."""
    layer = put(here, tar)
    one(here, layer, "extract")
    left = Path(here.tmp, f"layer-{layer.diff_id[7:]}", "tree")
    left.mkdir(parents=True)
    assert lower.remove_unused(here, list) == [layer.diff_id]
    assert clean(here)


def test_removing_what_is_mounted(here: Store, tar: bytes, tmp_path: Path) -> None:
    """Whoever has it under an overlay keeps it, and gives all back at the end."""
    layer = put(here, tar)
    made = one(here, layer)
    at = tmp_path / "at"
    for name in ("at", "upper", "work"):
        (tmp_path / name).mkdir()

    def use() -> int:
        overlay.mount_overlay(
            [lower.mount(made)], str(tmp_path / "upper"), str(tmp_path / "work"), str(at)
        )
        child = os.fork()
        if not child:
            os._exit(0 if lower.remove_unused(here, list) == [layer.diff_id] else 1)
        _, status = os.waitpid(child, 0)
        assert status == 0
        return len((at / "d/f").read_bytes())

    assert apart(use) == 4000
    assert os.listdir(here.layers) == []
    assert gone(Path(made.tar))
