import os
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.archive import volumes
from ferryman.archive.piped import piped
from ferryman.archive.volumes import JoinedStream, Volume, Volumes, VolumeSink
from ferryman.errors import InvalidArchive, UsageError

pieces = st.lists(st.tuples(st.booleans(), st.binary(max_size=40)), max_size=12)


def written(
    folder: str, size: int, parts: list[tuple[bool, bytes]], wanted: set[int] | None = None
) -> dict[int, str]:
    """Write the parts, by themselves or from a file; return the digests of the volumes."""
    done: dict[int, str] = {}

    def finished(number: int, digest: str, give_name: Callable[[], None]) -> None:
        give_name()
        done[number] = digest

    sink = VolumeSink(
        f"{folder}/v", size, 3, lambda number: wanted is None or number in wanted, finished
    )
    for copied, content in parts:
        if not copied:
            sink.write(content)
            continue
        fd = os.memfd_create("part")
        os.write(fd, b"before" + content)
        sink.copy(fd, len(content), lambda _: None, len(b"before"))
        os.close(fd)
    sink.close()
    return done


@settings(deadline=None)
@given(pieces, st.integers(1, 50), st.sets(st.integers(1, 5)))
def test_cut_and_joined(parts: list[tuple[bool, bytes]], size: int, wanted: set[int]) -> None:
    content = b"".join(part for _, part in parts)
    with TemporaryDirectory() as folder, TemporaryDirectory() as other:
        done = written(folder, size, parts)
        names = sorted(os.listdir(folder))
        assert names == [f"v.{n:03}" for n in range(1, -(-len(content) // size) + 1)]
        found = [Path(folder, name).read_bytes() for name in names]
        assert b"".join(found) == content
        assert [done[n] for n in sorted(done)] == [sha256(each).hexdigest() for each in found]
        # Some of them alone are the same, and nothing else is written.
        written(other, size, parts, wanted)
        some = {name: Path(folder, name).read_bytes() for name in names if int(name[2:]) in wanted}
        assert {name: Path(other, name).read_bytes() for name in os.listdir(other)} == some

        stream = JoinedStream(_set(folder, done))
        assert stream.length == len(content)
        assert stream.read(len(content) + 1) == content
        stream.settle()


def _set(folder: str, done: dict[int, str]) -> Volumes:
    return Volumes(
        "v", tuple(Volume(n, f"{folder}/v.{n:03}", done[n]) for n in sorted(done)), b"", "v.sha256"
    )


@settings(deadline=None)
@given(st.binary(min_size=20, max_size=200), st.sets(st.integers(1, 4), min_size=1))
def test_damage_is_named_however_it_is_read(content: bytes, bad: set[int]) -> None:
    with TemporaryDirectory() as folder:
        done = written(folder, -(-len(content) // 4), [(False, content)])
        bad &= done.keys()
        for number in bad:
            path = Path(folder, f"v.{number:03}")
            path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
        for way in ("read", "skip", "settle"):
            stream = JoinedStream(_set(folder, done))
            read = partial(getattr(stream, way), *(() if way == "settle" else (1000,)))
            if not bad:
                read()
                continue
            with pytest.raises(InvalidArchive, match="damaged: not what the list says") as e:
                read()
            for number in bad:
                assert str(number) in str(e.value)


def test_a_volume_that_cannot_be_read_is_damaged(tmp_path: Path) -> None:
    done = written(str(tmp_path), 4, [(False, b"0123456789")])
    joined = _set(str(tmp_path), done)
    (tmp_path / "v.002").unlink()
    with pytest.raises(InvalidArchive, match="volume 2 is damaged"):
        JoinedStream(joined).settle()


@given(st.binary(max_size=300))
def test_any_list_is_one_or_is_refused(content: bytes) -> None:
    try:
        found = volumes.parsed(content, "it")
    except InvalidArchive:
        return
    assert sorted(found) == list(range(1, len(found) + 1))


def test_too_many() -> None:
    assert volumes.digits_for(1 << 30, 1 << 30) == 3
    assert volumes.digits_for(1 << 30, 1 << 19) == 4
    with pytest.raises(UsageError, match="at most 9999"):
        volumes.digits_for(1 << 40, 1 << 20)


def test_what_a_pipe_leads_to_may_fail() -> None:
    class Full:
        def write(self, content: memoryview) -> None:
            raise OSError(28, "No space left on device")

    def write() -> None:
        with piped(Full()) as fd:
            for _ in range(100):
                os.write(fd, bytes(100_000))

    with pytest.raises(OSError, match="No space left"):
        write()


@pytest.mark.parametrize(
    ("paths", "want"),
    [
        (["a.tar", "b.tar", "a.tar"], [["a.tar"], ["b.tar"]]),
        (
            ["m/x.001", "n/x.002", "o/x.sha256", "y.tar"],
            [["m/x.001", "n/x.002", "o/x.sha256"], ["y.tar"]],
        ),
        (["m/x.001", "n/x.001", "n/x.002"], [["m/x.001"], ["n/x.001", "n/x.002"]]),
        (["x", "x.001"], [["x"], ["x.001"]]),
    ],
)
def test_which_belong_together(paths: list[str], want: list[list[str]]) -> None:
    assert volumes.grouped(paths) == want


def test_an_interrupt_just_when_a_volume_has_its_name(tmp_path: Path) -> None:
    def finished(number: int, digest: str, give_name: Callable[[], None]) -> None:
        give_name()
        raise KeyboardInterrupt

    sink = VolumeSink(f"{tmp_path}/v", 4, 3, lambda number: True, finished)
    with pytest.raises(KeyboardInterrupt):
        sink.write(b"0123456789")
    sink.give_up()
    assert os.listdir(tmp_path) == ["v.001"]


def test_ctrl_c_just_when_a_volume_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = os.open

    def opened(path: str, *how: int) -> int:
        os.close(made(path, *how))
        raise KeyboardInterrupt

    sink = VolumeSink(f"{tmp_path}/v", 4, 3, lambda number: True, lambda *told: None)
    monkeypatch.setattr(os, "open", opened)
    with pytest.raises(KeyboardInterrupt):
        sink.write(b"1234")
    monkeypatch.undo()
    assert os.listdir(tmp_path)
    sink.give_up()
    assert not os.listdir(tmp_path)
