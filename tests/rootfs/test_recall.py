"""A layer's tree that is recalled gives the same export as one that is read."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ferryman.archive.write import FileSink
from ferryman.rootfs import tree, unmounted
from ferryman.rootfs.members import Layer
from ferryman.rootfs.merged import laid
from ferryman.rootfs.pack import kept_xattr
from ferryman.rootfs.recall import Recalled, recalled
from tests.rootfs.layers import Item, hardlink, item, opened, write
from tests.rootfs.made_up import items
from tests.rootfs.test_stacks import made


def exported(layers: list[Layer], tops: list[tree.Node], out: Path) -> bytes:
    with out.open("wb") as f:
        unmounted.write(laid(tops), layers, FileSink(f.fileno()), keep=kept_xattr)
    return out.read_bytes()


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(stack=st.lists(st.lists(items(), max_size=20), min_size=1, max_size=3))
def test_any_stack(tmp_path_factory: pytest.TempPathFactory, stack: list[list[Item]]) -> None:
    folder = tmp_path_factory.mktemp("stack")
    paths = [made(folder / f"{n}.tar", possible) for n, possible in enumerate(stack)]
    kept = [folder / f"{n}" for n in range(len(paths))]
    out = folder / "out.tar"
    with ExitStack() as files:
        layers = [files.enter_context(opened(path)) for path in paths]
        want = exported(layers, [tree.tree(layer) for layer in layers], out)
        for _ in range(2):
            tops = [recalled(str(k), layer) for k, layer in zip(kept, layers, strict=True)]
            assert exported(layers, tops, out) == want
        assert all(isinstance(top, Recalled) for top in tops)


def test_a_first_name_that_is_hidden(tmp_path: Path) -> None:
    """The header of a file is that of another name then."""
    below = write(tmp_path / "0.tar", item(b"a", content=b"in"), hardlink(b"b", b"a"))
    above = write(tmp_path / "1.tar", item(b".wh.a"))
    with opened(below) as one, opened(above) as two:
        want = exported([one, two], [tree.tree(one), tree.tree(two)], tmp_path / "out")
        recalled(str(tmp_path / "kept"), one)
        tops = [recalled(str(tmp_path / "kept"), one), tree.tree(two)]
        assert exported([one, two], tops, tmp_path / "out") == want


@pytest.mark.parametrize("damage", [b"", b"x", b"\0" * 40])
def test_damage_is_not_believed(tmp_path: Path, damage: bytes) -> None:
    path = write(tmp_path / "0.tar", item(b"a", content=b"in"))
    with opened(path) as layer:
        recalled(str(tmp_path / "kept"), layer)
        kept = tmp_path / "kept/headers"
        whole = kept.read_bytes()
        kept.write_bytes(damage or whole[:-1] + bytes([whole[-1] ^ 1]))
        assert not isinstance(recalled(str(tmp_path / "kept"), layer), Recalled)
        assert kept.read_bytes() == whole
        assert isinstance(recalled(str(tmp_path / "kept"), layer), Recalled)


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file")
    with opened(write(tmp_path / "0.tar", item(b"a"))) as layer:
        top = recalled(str(tmp_path / "kept"), layer)
        assert top.children is not None
        assert list(top.children) == [b"a"]
