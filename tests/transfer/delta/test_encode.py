"""What is made of a delta is the layer that it was made of, whatever that is."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ferryman.errors import InvalidArchive
from ferryman.transfer.delta import undo
from ferryman.transfer.delta.encode import COMPRESSIONS, Layer, choose, encode
from tests.transfer.delta.pairs import (
    delta_of,
    digest,
    layers,
    opened,
    tarred,
    undone,
    undone_alone,
)

SOURCES = Path(undo.__file__).parents[3]


@given(
    bases=st.lists(layers, max_size=3, unique=True),
    target=layers,
    compression=st.sampled_from(COMPRESSIONS),
)
@settings(max_examples=300, deadline=None)
def test_any_layer_comes_back(bases: list[bytes], target: bytes, compression: str) -> None:
    assert undone(delta_of(bases, target, compression), bases) == target


@given(base=layers, target=layers, compression=st.sampled_from(["xz", "zlib", "zstd"]))
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_layer_comes_back_with_the_standard_library_alone(
    tmp_path: Path, base: bytes, target: bytes, compression: str
) -> None:
    done = undone_alone(sys.executable, delta_of([base], target, compression), [base], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().strip() == digest(target)
    assert (tmp_path / "out").read_bytes() == target
    assert {path.name for path in tmp_path.iterdir()} <= {"out", "base0"}


@given(base=layers, edits=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 300), layers)))
@settings(deadline=None)
def test_what_was_edited_comes_back(base: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    target = base
    for at, size, content in edits:
        target = target[:at] + content[:size] + target[at + size :]
    assert undone(delta_of([base], target), [base]) == target


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


LARGE = noise(0, 3_000_000)
TEXT = b"".join(b"line %d of a text\n" % (n * n) for n in range(40_000))


@pytest.mark.parametrize(
    ("old", "new", "most"),
    [
        ({"a": LARGE}, {"a": LARGE}, 500),
        ({"a": LARGE}, {"other/place": LARGE}, 900),
        ({"lib-1.2.so": LARGE + b"1"}, {"lib-1.3.so": b"2" + LARGE}, 1_200),
        ({"a": LARGE}, {"a": LARGE[:1_500_000] + noise(1, 100) + LARGE[1_500_000:]}, 2_500),
        ({"a": LARGE}, {"a": LARGE[2_000_000:] + LARGE[:2_000_000]}, 2_500),
        ({"a": TEXT}, {"a": TEXT[:300_000] + b"another\nline\n" + TEXT[400_000:]}, 800),
        ({"a": tarred({"b": LARGE})}, {"a": tarred({"0": b"0" * 700, "b": LARGE}, 9)}, 1_500),
        ({f"f{n}": b"%d" % n for n in range(500)}, {f"f{n}": b"%d" % n for n in range(500)}, 4_000),
    ],
    ids=["times", "moved", "version", "inserted", "turned", "text", "tar in a tar", "small"],
)
@pytest.mark.parametrize("whole", [True, False], ids=["tar", "no tar"])
def test_what_is_there_is_not_sent(
    old: dict[str, bytes], new: dict[str, bytes], most: int, whole: bool
) -> None:
    base, target = tarred(old, 1_600_000_000), tarred(new, 1_700_000_123)
    if not whole:
        base, target = base[100:], target[100:]
    delta = delta_of([base], target, "xz")
    assert len(delta) < most + (0 if whole else 20_000)
    assert undone(delta, [base]) == target


def test_code_that_was_compiled_anew_is_mostly_copied() -> None:
    """Every 30 bytes an address has changed; code was inserted, too."""
    old = bytearray(noise(2, 600_000))
    old[::29] = b"\xe8" * len(old[::29])
    new = bytearray(old)
    for at in range(7, len(new), 30):
        new[at] = (new[at] + 3) % 256
    new[300_000:300_000] = noise(3, 200)
    base, target = tarred({"a.so": bytes(old)}), tarred({"a.so": bytes(new)})
    delta = delta_of([base], target, "xz")
    # 20,000 changed bytes, each of whose place and difference takes about one.
    assert len(delta) < 40_000
    assert undone(delta, [base]) == target


def test_several_bases_are_used() -> None:
    one, two = noise(4, 50_000), noise(5, 50_000)
    bases = [tarred({"one": one}), tarred({"two": two})]
    target = tarred({"one": one + b"!", "elsewhere": two})
    delta = delta_of(bases, target, "xz")
    assert len(delta) < 1_200
    assert undone(delta, bases) == target


def test_the_sources_of_this_program_are_smaller_than_zstd_makes_them(tmp_path: Path) -> None:
    files = {
        str(path.relative_to(SOURCES)): path.read_bytes() for path in sorted(SOURCES.rglob("*.py"))
    }
    changed = {
        name: content.replace(b"import", b"import  ") if i % 20 == 0 else content
        for i, (name, content) in enumerate(files.items())
    }
    base, target = tarred(files, 1_600_000_000), tarred(changed, 1_700_000_123)
    (tmp_path / "old").write_bytes(base)
    (tmp_path / "new").write_bytes(target)
    argv = ["zstd", "-q3", "--long=27", "--patch-from=old", "new", "-o", "patch"]
    subprocess.run(argv, cwd=tmp_path, check=True)
    patch = (tmp_path / "patch").stat().st_size
    for compression in COMPRESSIONS:
        delta = delta_of([base], target, compression)
        assert len(delta) < patch
        assert undone(delta, [base]) == target


def test_the_same_layers_give_the_same_delta() -> None:
    base, target = tarred({"a": TEXT}), tarred({"a": TEXT[1000:] + LARGE[:9000], "b": TEXT[::-1]})
    assert delta_of([base], target) == delta_of([base], target)


def test_time_does_not_explode_where_everything_looks_alike() -> None:
    old = tarred({"a": b"\nHHHH\xe8" * 200_000 + b"x"})
    new = tarred({"a": b"y" + b"\nHHH\xe8H" * 200_000})
    began = time.process_time()
    delta = delta_of([old], new)
    assert time.process_time() - began < 20
    assert undone(delta, [old]) == new


def test_progress_adds_up_and_can_stop_it() -> None:
    told: list[int] = []
    with opened(tarred({"a": LARGE})) as (fd,):
        layer = Layer(digest(b""), fd, "a layer")
        with open(os.devnull, "wb") as out:
            encode([], layer, out, "zlib", told.append)
            assert sum(told) == os.fstat(fd).st_size
            with pytest.raises(KeyboardInterrupt):
                encode([], layer, out, "zlib", interrupt)


def interrupt(_: int) -> None:
    raise KeyboardInterrupt


def test_a_layer_that_is_no_file_is_named(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with open(os.devnull, "wb") as out, pytest.raises(InvalidArchive, match="cannot read it"):
            encode([], Layer(digest(b""), fd, "it"), out)
    finally:
        os.close(fd)


def test_the_smallest_that_can_be_undone_is_chosen() -> None:
    assert choose(["zlib", "zstd", "xz"]) == "xz"
    assert choose(["zlib", "zstd"]) == "zstd"
    assert choose([]) == "zlib"
