"""A damaged or hostile delta is one clear error, and nothing is where its result would be."""

import glob
import io
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.errors import InvalidArchive
from ferryman.transfer.delta import undo
from ferryman.transfer.delta.apply import apply
from ferryman.transfer.delta.encode import COMPRESSIONS
from tests.transfer.delta.pairs import built, delta_of, digest, tarred, undone, undone_alone

OLD = tarred({"a": b"content\n" * 300, "b": bytes(range(256)) * 8}, 7)
NEW = tarred({"a": b"content\n" * 200 + b"more", "b": bytes(range(255)) * 8, "c": b"new"}, 9)
DELTAS = {name: delta_of([OLD], NEW, name) for name in COMPRESSIONS}
BASE = {"diff_id": digest(OLD), "size": len(OLD)}


@given(compression=st.sampled_from(COMPRESSIONS), data=st.data())
@settings(max_examples=400, deadline=None)
def test_any_changed_byte_is_noticed(compression: str, data: st.DataObject) -> None:
    delta = bytearray(DELTAS[compression])
    at = data.draw(st.integers(0, len(delta) - 1))
    delta[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(undo.DeltaError):
        undone(bytes(delta), [OLD])


@given(compression=st.sampled_from(COMPRESSIONS), data=st.data())
@settings(deadline=None)
def test_any_truncation_is_noticed(compression: str, data: st.DataObject) -> None:
    delta = DELTAS[compression]
    cut = delta[: data.draw(st.integers(0, len(delta) - 1))]
    with pytest.raises(undo.DeltaError):
        undo.undo(io.BytesIO(cut), lambda _: None, lambda _: None)
    with pytest.raises(undo.DeltaError):
        # Some more follows, by `undone`: it is not taken for the rest.
        undone(cut[:-4], [OLD])


def packed(
    instructions: bytes,
    differences: bytes = b"",
    literals: bytes = b"",
    said: tuple[int, int, int] | None = None,
    compressed_size: int | None = None,
) -> bytes:
    """Return a block, which may say other sizes than it has."""
    deflater = zlib.compressobj(wbits=-15)
    compressed = deflater.compress(instructions + differences + literals) + deflater.flush()
    sizes = said or (len(instructions), len(differences), len(literals))
    size = len(compressed) if compressed_size is None else compressed_size
    return undo.BLOCK.pack(*sizes, size) + compressed


def number(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def instruction(kind: int, length: int, *distance: int) -> bytes:
    return number(length << 2 | kind) + b"".join(map(number, distance))


COPY, CHANGE, LITERAL = undo.COPY, undo.CHANGE, undo.LITERAL
HUGE = 1 << 61
BLOCKS = {
    "an unknown instruction": [
        packed(instruction(3, 5), literals=b"12345"),
        packed(instruction(LITERAL, 0) + instruction(LITERAL, 5), literals=b"12345"),
        packed(instruction(COPY, 0, 0)),
    ],
    "an instruction beyond its bases": [
        packed(instruction(COPY, 5, 2 * (len(OLD) - 4))),
        packed(instruction(COPY, 5, 1)),
        packed(instruction(COPY, 5, 2 * HUGE)),
        packed(instruction(COPY, 5, 2 * HUGE + 1)),
        packed(instruction(CHANGE, 5, 2 * (len(OLD) - 4)), b"12345"),
    ],
    "an instruction beyond its block": [
        packed(instruction(LITERAL, 5), literals=b"1234"),
        packed(instruction(CHANGE, 5, 0), b"1234"),
        packed(instruction(CHANGE, 5, 0), b"1234", b"1"),
        packed(instruction(LITERAL, 5), b"1", b"1234"),
    ],
    "a block with more than its instructions need": [
        packed(instruction(LITERAL, 5), literals=b"123456"),
        packed(instruction(CHANGE, 5, 0), b"123456"),
    ],
    "a number without an end": [
        packed(b"\xff" * 11),
        packed(b"\x80" * 10 + b"\x01"),
        packed(instruction(COPY, 5)),
        packed(instruction(COPY, 5) + b"\x80", literals=b"\x01"),
        packed(b"\x94", literals=b"\x01"),
    ],
    "more than the 5 bytes it says": [
        packed(instruction(LITERAL, 6), literals=b"123456"),
        packed(instruction(COPY, len(OLD), 0)),
        packed(instruction(COPY, HUGE, 0)),
        packed(instruction(LITERAL, 5), literals=b"12345") * 2,
    ],
    "fewer than the 5 bytes it says": [b"", packed(instruction(LITERAL, 4), literals=b"1234")],
    "a block of an impossible size": [
        packed(b"", literals=b"12345"),
        packed(instruction(LITERAL, 5), literals=b"12345", compressed_size=1 << 31),
        packed(instruction(LITERAL, 5), literals=(1 << 23) * b"0"),
    ],
    "a block is not as long as it says": [
        packed(instruction(LITERAL, 5), literals=b"12345", said=(1, 0, 6)),
        packed(instruction(LITERAL, 5) + bytes(9 << 20), said=(6, 0, 0)),
    ],
    "what it makes of the bases here is not": [
        packed(instruction(LITERAL, 5), literals=b"12354"),
        packed(instruction(COPY, 5, 0)),
    ],
}


@pytest.mark.parametrize(
    ("reason", "block"),
    [
        pytest.param(reason, block, id=f"{reason} {n}")
        for reason, all in BLOCKS.items()
        for n, block in enumerate(all)
    ],
)
def test_what_a_block_may_not_say(reason: str, block: bytes) -> None:
    result = {"diff_id": digest(b"12345"), "size": 5}
    delta = built({"bases": [BASE], "result": result, "compression": "zlib"}, block)
    written: list[bytes] = []
    with pytest.raises(undo.DeltaError, match=reason):
        undo.undo(io.BytesIO(delta), region_of(OLD), written.append)
    assert sum(map(len, written)) <= 5


def region_of(content: bytes) -> Callable[[str], undo.Region | None]:
    fd = os.memfd_create("base")
    os.write(fd, content)

    def find(diff_id: str) -> undo.Region | None:
        return undo.Region(fd, 0, len(content)) if diff_id == digest(content) else None

    return find


def test_a_hostile_delta_is_right_in_all_else() -> None:
    """What the tests above refuse would be accepted without what they are about."""
    result = {"diff_id": digest(b"12345"), "size": 5}
    block = packed(instruction(LITERAL, 5), literals=b"12345")
    header = {"bases": [BASE], "result": result, "compression": "zlib", "other": [1]}
    assert undone(built(header, block), [OLD]) == b"12345"


RESULT = {"diff_id": digest(b""), "size": 0}
GOOD = {"bases": [], "result": RESULT, "compression": "zlib"}


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 60_000,
        b"[]",
        b"null",
        GOOD | {"bases": None},
        GOOD | {"bases": [1]},
        GOOD | {"bases": "x"},
        GOOD | {"result": None},
        GOOD | {"result": RESULT | {"size": -1}},
        GOOD | {"result": RESULT | {"size": 1 << 62}},
        GOOD | {"result": RESULT | {"size": 1.0}},
        GOOD | {"result": RESULT | {"size": True}},
        GOOD | {"result": RESULT | {"size": "0"}},
        GOOD | {"result": RESULT | {"diff_id": "sha256:../../x"}},
        GOOD | {"result": RESULT | {"diff_id": digest(b"") + "\n"}},
        GOOD | {"result": RESULT | {"diff_id": "md5:" + "0" * 32}},
        GOOD | {"result": RESULT | {"diff_id": 5}},
        {key: value for key, value in GOOD.items() if key != "compression"},
    ],
)
def test_an_invalid_header(header: dict[str, object] | bytes) -> None:
    with pytest.raises(undo.DeltaError, match="its header is invalid"):
        undone(built(header), [])


def test_what_the_start_may_not_say() -> None:
    assert undone(built(GOOD), []) == b""
    with pytest.raises(undo.DeltaError, match="version 2 of the format is newer"):
        undone(built(GOOD, version=2), [])
    with pytest.raises(undo.DeltaError, match="not a delta"):
        undone(b"x" + built(GOOD), [])
    with pytest.raises(undo.DeltaError, match="a header of 70002 bytes"):
        undone(built(b"{}" + b" " * 70_000), [])
    with pytest.raises(undo.DeltaError, match="compressed in an unknown way: 'br'"):
        undone(built(GOOD | {"compression": "br"}), [])


def test_bases_must_be_here_and_be_what_they_were() -> None:
    with pytest.raises(undo.DeltaError, match=f"its base {digest(OLD)} is not here"):
        undone(DELTAS["zlib"], [])
    short = {"bases": [BASE | {"size": 5}], "result": RESULT, "compression": "zlib"}
    with pytest.raises(undo.DeltaError, match=f"has {len(OLD)} bytes here, not 5"):
        undone(built(short), [OLD])


@pytest.mark.parametrize("way", ["zstandard", "zstd"])
def test_a_zstd_frame_is_not_believed(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undo, "_ZSTD", {way: undo._ZSTD[way]})
    assert undone(DELTAS["zstd"], [OLD]) == NEW
    header = GOOD | {"compression": "zstd"}
    bomb = zstandard.compress(bytes(200 << 20), 19)
    wide = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=27)
    ).compressobj()
    for frame in (
        bomb,
        wide.compress(b"x" * 6) + wide.flush(),
        # It says that it has an exabyte.
        b"\x28\xb5\x2f\xfd\xe0" + (1 << 60).to_bytes(8, "little") + b"\x01\x00\x00",
        b"no frame",
    ):
        block = undo.BLOCK.pack(6, 0, 0, len(frame)) + frame
        with pytest.raises(undo.DeltaError, match="damaged"):
            undone(built(header, block), [])


def test_without_zstd_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert undo.compressions() == ["zlib", "xz", "zstd"]
    monkeypatch.setattr(undo, "_ZSTD", {})
    assert undo.compressions() == ["zlib", "xz"]
    with pytest.raises(undo.DeltaError, match="it needs zstd, which is not here"):
        undone(DELTAS["zstd"], [OLD])


@pytest.mark.parametrize("damage", ["none", "flip", "cut", "follow", "base"])
def test_the_file_alone_writes_all_or_nothing(tmp_path: Path, damage: str) -> None:
    delta, base = DELTAS["xz"], OLD
    if damage == "flip":
        delta = delta[:-50] + bytes([delta[-50] ^ 1]) + delta[-49:]
    elif damage == "cut":
        delta = delta[:-1]
    elif damage == "follow":
        delta += b"x"
    (tmp_path / "out").write_bytes(b"before")
    if damage == "base":
        done = undone_alone(sys.executable, delta, [], tmp_path)
    else:
        done = undone_alone(sys.executable, delta, [base], tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"out", "base0"}
    if damage == "none":
        assert (done.returncode, done.stderr) == (0, b"")
        assert (tmp_path / "out").read_bytes() == NEW
        return
    assert done.returncode == 1
    assert (tmp_path / "out").read_bytes() == b"before"
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("cannot undo the delta: ")


def other_pythons() -> list[str]:
    """Return Pythons of this machine that are older than ferryman's oldest."""
    found = {
        path
        for version in range(6, 11)
        for path in (
            shutil.which(f"python3.{version}"),
            *glob.glob(os.path.expanduser(f"~/.pyenv/versions/3.{version}.*/bin/python")),
        )
        # What pyenv puts into the PATH may stand for a Python that is not to be had.
        if path
        and not subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode
    }
    return sorted(found)


def test_older_pythons_undo_it(tmp_path: Path) -> None:
    for python in other_pythons():
        for delta in DELTAS.values():
            done = undone_alone(python, delta, [OLD], tmp_path)
            assert done.returncode == 0, (python, done.stderr)
            assert (tmp_path / "out").read_bytes() == NEW


def test_the_file_is_python_3_6() -> None:
    """Its syntax, at least, where no such Python is at hand."""
    import ast

    ast.parse(Path(undo.__file__).read_bytes(), feature_version=(3, 6))


def test_applied_with_the_errors_of_ferry() -> None:
    out: list[bytes] = []
    found = region_of(OLD)
    assert apply(io.BytesIO(DELTAS["xz"]), found, out.append) == digest(NEW)
    assert b"".join(out) == NEW
    with pytest.raises(InvalidArchive, match="cannot undo f-1: truncated"):
        apply(io.BytesIO(DELTAS["xz"][:-1]), found, out.append, "f-1")
    read = undo.read_header(io.BytesIO(DELTAS["xz"]))
    assert read.result == undo.Layer(digest(NEW), len(NEW))
