"""Layers to make deltas of, and deltas of them."""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess

from hypothesis import strategies as st

from ferryman.image.digest import Digest
from ferryman.transfer.delta import undo
from ferryman.transfer.delta.encode import Layer, encode
from tests.command import Command

UNDO = Path(undo.__file__)


def digest(content: bytes) -> Digest:
    return Digest("sha256:" + hashlib.sha256(content).hexdigest())


def tarred(files: Mapping[str, bytes], mtime: int = 0) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), mtime
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


@contextmanager
def opened(*contents: bytes) -> Iterator[list[int]]:
    fds = []
    try:
        for content in contents:
            fds.append(os.memfd_create("layer"))
            with open(fds[-1], "wb", closefd=False) as file:
                file.write(content)
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


def delta_of(bases: Sequence[bytes], target: bytes, compression: str = "zlib") -> bytes:
    out = io.BytesIO()
    with opened(*bases, target) as fds:
        layers = [
            Layer(digest(content), fd, "a layer")
            for content, fd in zip([*bases, target], fds, strict=True)
        ]
        written = encode(layers[:-1], layers[-1], out, compression)
    assert written.size == len(out.getvalue())
    assert written.result_size == len(target)
    return out.getvalue()


def undone(delta: bytes, bases: Sequence[bytes]) -> bytes:
    """Undo a delta in this process, with bases that lie in the middle of other files."""
    out: list[bytes] = []
    with opened(*(b"before" + base + b"behind" for base in bases)) as fds:
        regions = {
            digest(base): undo.Region(fd, len(b"before"), len(base))
            for base, fd in zip(bases, fds, strict=True)
        }
        rest = io.BytesIO(delta + b"rest")
        undo.undo(rest, lambda diff_id: regions.get(Digest(diff_id)), out.append)
        assert rest.read() == b"rest"
    return b"".join(out)


def undone_alone(
    python: str, delta: bytes, bases: Sequence[bytes], folder: Path
) -> CompletedProcess[bytes]:
    """Undo a delta in a process that has the one file and the standard library; to `out`."""
    arguments = []
    for i, base in enumerate(bases):
        (folder / f"base{i}").write_bytes(base)
        arguments.append(f"{digest(base)}={folder}/base{i}")
    command = Command((python, "-I", "-S", str(UNDO), str(folder / "out"), *arguments))
    return command.run(input=delta, check=False)


def built(
    header: Mapping[str, object] | bytes, *blocks: bytes, version: int = 1, end: bytes = undo.END
) -> bytes:
    """Return a delta with a right checksum, whatever is in it."""
    said = header if isinstance(header, bytes) else json.dumps(header).encode()
    content = undo.START.pack(undo.MAGIC, version, len(said)) + said + b"".join(blocks) + end
    return content + hashlib.sha256(content).digest()


words = st.sampled_from([b"one\n", b"two ", b"three\n", b"\0" * 40, b"HeH\xe8", bytes(range(256))])
texts = st.lists(words | st.binary(max_size=9), max_size=60).map(b"".join)
trees = st.dictionaries(st.sampled_from(["a", "b-1", "b-2", "c/d", "e"]), texts, max_size=5)
tars = st.builds(tarred, trees, st.integers(0, 10**9))
# What ends within a member, or goes on behind its end.
odd = st.builds(lambda tar, n, more: tar[: len(tar) - n] + more, tars, st.integers(0, 3000), texts)
layers = tars | texts | odd
