"""Real archives with bytes, names and numbers changed at random: refused in words, or loaded whole.

A case that fails is told by its number; `FERRY_FUZZ_SEED` and `FERRY_FUZZ_CASES` choose others.
"""

import json
import os
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ferryman.errors import FerryError
from ferryman.operations.load import load, offered
from ferryman.store import check, collect
from ferryman.store.index import entries
from ferryman.store.layout import Store, open_store
from tests.archives import FORMS, Members, packed
from tests.images import Made, made, member, small, tar_of

SEED = int(os.environ.get("FERRY_FUZZ_SEED", "20240229"))
CASES = int(os.environ.get("FERRY_FUZZ_CASES", "6000"))
WORKERS = 4

IMAGES = (small("one", "one:1", "deep/er/one:2"), small("two", "two:1"))
COMPRESSIONS = ("none", "none", "none", "gzip", "zstd", "bzip2", "xz")
# What a number, a name or a text in JSON may be replaced by.
STRANGE: tuple[object, ...] = (
    *(None, True, 0, -1, 2**31, 2**62, 2**64, 1e300, "", "..", "../../etc/passwd", "/etc/passwd"),
    *("a\0b", "\x1b[31m", "é" * 300, "sha256:", "sha256:" + "0" * 64, "md5:" + "0" * 32, [], {}),
    *([[]], [None], {"": None}, "blobs/sha256", "x" * 70_000),
)


def flip(content: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 2, 8))):
        content[chance.randrange(len(content))] = chance.randrange(256)


def cut(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content)) :]


def drop(content: bytearray, chance: random.Random) -> None:
    """Take out some blocks, as a disk might."""
    start = chance.randrange(len(content)) // 512 * 512
    del content[start : start + 512 * chance.randrange(1, 4)]


def double(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(content)) // 512 * 512
    piece = content[start : start + 512 * chance.randrange(1, 8)]
    content[start:start] = piece


def fields(content: bytearray, chance: random.Random) -> None:
    """Change a field of some tar header, and make its checksum right again."""
    headers = [
        at for at in range(0, len(content) - 511, 512) if content[at + 257 : at + 262] == b"ustar"
    ]
    if not headers:
        flip(content, chance)
        return
    at = chance.choice(headers)
    start, size = chance.choice(
        ((0, 100), (100, 8), (108, 8), (124, 12), (136, 12), (156, 1), (157, 100), (345, 155))
    )
    content[at + start : at + start + size] = chance.choice(
        (
            bytes(chance.randrange(256) for _ in range(size)),
            b"7" * size,
            b"\xff" * size,
            b"../../../../../../tmp/evil".ljust(size, b"\0")[:size],
            b"/tmp/evil".ljust(size, b"\0")[:size],
            chance.choice(b"0123456789xgLKS").to_bytes(1, "big") * size,
        )
    )
    block = content[at : at + 512]
    block[148:156] = b" " * 8
    content[at + 148 : at + 156] = b"%06o\0 " % sum(block)


SPOIL: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flip, flip, cut, drop, double, fields, fields, fields,
)  # fmt: skip


def spoilt_json(parts: Members, chance: random.Random) -> Members:
    """Replace something within one of the JSON documents."""
    documents = [n for n, p in parts.items() if isinstance(p, bytes) and p[:1] in (b"{", b"[")]
    name = chance.choice(documents)
    content = parts[name]
    assert isinstance(content, bytes)
    value = json.loads(content)
    _replace(value, chance)
    return parts | {name: json.dumps(value).encode()}


def _replace(value: Any, chance: random.Random) -> None:
    while True:
        keys: list[object]
        if isinstance(value, dict) and value:
            keys = list(value)
        elif isinstance(value, list) and value:
            keys = list(range(len(value)))
        else:
            return
        key = chance.choice(keys)
        inner = value[key]
        if not isinstance(inner, dict | list) or not inner or chance.random() < 0.2:
            value[key] = chance.choice(STRANGE)
            return
        value = inner


def cases(worker: int) -> Iterator[tuple[int, bytes]]:
    """Yield the numbers and the archives of this worker's cases."""
    forms = list(FORMS.values())
    for number in range(worker, CASES, WORKERS):
        chance = random.Random(f"{SEED}-{number}")
        parts: Members = chance.choice(forms)(*IMAGES)
        if chance.random() < 0.4:
            yield number, packed(spoilt_json(parts, chance), chance.choice(COMPRESSIONS))
            continue
        content = bytearray(packed(parts, chance.choice(COMPRESSIONS)))
        for _ in range(chance.choice((1, 1, 1, 3))):
            if content:
                chance.choice(SPOIL)(content, chance)
        yield number, bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("worker", range(WORKERS))
def test_spoilt_archives(tmp_path: Path, worker: int) -> None:
    store = open_store(str(tmp_path / "store"))
    path = tmp_path / "archive"
    good = bad = 0
    for number, content in cases(worker):
        path.write_bytes(content)
        before = entries(store)
        refusal = ""
        try:
            good += bool(attempt(store, path, by_pipe=number % 2 == 0))
        except FerryError as e:
            refusal = str(e)
            bad += 1
        except BaseException as e:
            e.add_note(f"seed {SEED}, case {number}")
            raise
        assert "\n" not in refusal, f"seed {SEED}, case {number}: more than one line: {refusal}"
        if refusal:
            assert entries(store) == before, f"seed {SEED}, case {number}: names have changed"
        assert not os.listdir(store.tmp), f"seed {SEED}, case {number}: left in tmp"
        if number % 50 < WORKERS:
            report = check.check(store, verify=True)
            assert not report.faults, f"seed {SEED}, case {number}: {report.faults}"
            assert not report.garbage, f"seed {SEED}, case {number}: {report.garbage}"
    # Some changes are in places that say nothing; most are not.
    assert good + bad == len(range(worker, CASES, WORKERS))
    assert bad > good > 0
    report = check.check(store, verify=True)
    assert not report.faults
    assert not collect.garbage(store)
    assert not (tmp_path.parent / "evil").exists()


def attempt(store: Store, path: Path, *, by_pipe: bool) -> list[object]:
    """Load an archive, from its file or as from a pipe, after a look at what it offers."""
    fd = os.open(path, os.O_RDONLY)
    try:
        if by_pipe:
            reader, writer = os.pipe()
            pid = os.fork()
            if not pid:
                os.close(reader)
                try:
                    os.sendfile(writer, fd, 0, path.stat().st_size)
                finally:
                    os._exit(0)
            os.close(writer)
            try:
                return [*load(store, reader, "archive")]
            finally:
                os.close(reader)
                os.waitpid(pid, 0)
        with suppress(FerryError):
            offered(store, fd, "archive")
        os.lseek(fd, 0, os.SEEK_SET)
        return [*load(store, fd, "archive")]
    finally:
        os.close(fd)


def test_what_is_spoilt_is_good_before(tmp_path: Path) -> None:
    """The cases begin with archives that load, or they would find nothing out."""
    for name, form in FORMS.items():
        store = open_store(str(tmp_path / name.replace(" ", "-")))
        path = tmp_path / "archive"
        path.write_bytes(packed(form(*IMAGES)))
        assert attempt(store, path, by_pipe=False)


def test_hostile_layers_are_only_bytes(tmp_path: Path) -> None:
    """A layer's own tar is not looked into by a load: it may say what it likes."""
    evil = tar_of(member("../../../evil", b"x"), member("/evil", b"y"))
    config = json.loads(IMAGES[0].config)
    layers = (evil,)
    image: Made = made(*layers, names=("evil:1",), config=config["config"])
    store = open_store(str(tmp_path / "store"))
    path = tmp_path / "archive"
    path.write_bytes(packed(FORMS["docker before 25"](image)))
    assert attempt(store, path, by_pipe=False)
    assert not list(tmp_path.rglob("evil"))
