"""The script that puts an archive together on a host, in the shells that hosts have."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.errors import FerryError
from ferryman.transfer import by_bucket
from ferryman.transfer.by_bucket import hidden
from ferryman.transfer.channel import Channel, HostError
from ferryman.transfer.depot import Kept
from ferryman.transfer.place import parse
from ferryman.transfer.pressed import frame
from ferryman.transfer.probe import Far

SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}


def shell(name: str) -> list[str]:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return SHELLS[name]


class Done(NamedTuple):
    code: int
    archive: bytes
    fetched: int
    said: str


def put_together(
    argv: list[str], folder: Path, told: bytes, get: str = 'cat "$what"', load: str = "cat"
) -> Done:
    archive = folder / "archive"
    (folder / "load").write_text(f"{load} >{archive}\n")
    script = by_bucket._SCRIPT.replace("GET", get).replace("LOAD", f"sh {folder}/load")
    done = subprocess.run([*argv, "-c", script], input=told, capture_output=True, timeout=60)
    return Done(
        done.returncode, archive.read_bytes(), done.stdout.count(b"\n"), done.stderr.decode()
    )


@pytest.mark.parametrize("name", SHELLS)
def test_what_is_told_by_lines(name: str, tmp_path: Path) -> None:
    argv = shell(name)

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(st.binary(max_size=40) | st.sampled_from([b"\0", b"7", b"\\", b"%s", b"\n", b" "]))
        .map(b"".join)
        .filter(bool)
    )
    def same(content: bytes) -> None:
        done = put_together(argv, tmp_path, by_bucket._told(content))
        assert (done.code, done.archive) == (0, content)

    same()
    every = bytes(range(256)) * 64
    assert put_together(argv, tmp_path, by_bucket._told(every)).archive == every


@pytest.mark.parametrize("name", SHELLS)
def test_parts_are_undone(name: str, tmp_path: Path) -> None:
    content = os.urandom(3 << 20) + bytes(3 << 20)
    told, expected = by_bucket._told(b"head"), b"head"
    for codec in ("zstd", "gzip", "none"):
        (tmp_path / codec).write_bytes(frame(content, codec))
        told += f"{codec}\n{tmp_path}/{codec}\n".encode() + by_bucket._told(b"between")
        expected += content + b"between"
    done = put_together(shell(name), tmp_path, told)
    assert done == Done(0, expected, 3, "")


@pytest.mark.parametrize("name", SHELLS)
def test_what_goes_wrong(name: str, tmp_path: Path) -> None:
    argv = shell(name)
    content = frame(os.urandom(4 << 20), "zstd")
    (tmp_path / "whole").write_bytes(content)
    (tmp_path / "short").write_bytes(content[:-100_000])
    (tmp_path / "other").write_bytes(bytes(4 << 20))
    whole = f"zstd\n{tmp_path}/whole\n"

    def said(what: str, **how: str) -> str:
        told = f"{whole}zstd\n{tmp_path}/{what}\n{whole}".encode()
        done = put_together(argv, tmp_path, told, **how)
        assert done.code == 1
        assert done.fetched < 3
        return done.said.splitlines()[-1]

    # Told from what it is that failed: fetching, undoing, or who takes it.
    assert said("nothing").startswith("ferry:fetch get 1 cat: ")
    failing = 'cat "$what"; case $what in *whole) ;; *) echo curl: 22 >&2; exit 22;; esac'
    assert said("short", get=failing).startswith("ferry:fetch get 1 ")
    for what in ("short", "other"):
        assert said(what).startswith("ferry:fetch undo 1 1")
    taken = put_together(argv, tmp_path, whole.encode(), load="echo no room >&2; exec false")
    assert taken.code == 1
    assert taken.said.splitlines()[-1] == "no room"


class _Depot:
    what = "s3://b/p"
    endpoint = "http://store"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("get 1 curl: (22) The requested URL returned error: 404 undo 1 1 load ", "two is gone"),
        ("get 0 HTTP Error 403: Forbidden undo 1 0 load", "does not give out one (403)"),
        ("get 0 curl: (7) Failed to connect", "cannot fetch one of s3://b/p from http://store"),
        ("get 0 ", "which hosts must reach: it failed"),
        ("undo 1 1 load", "two of s3://b/p cannot be decompressed"),
        ("get 99999 x", "cannot fetch a layer"),
        ("what?", "one of s3://b/p cannot"),
    ],
)
def test_words(said: str, words: str) -> None:
    names = [Kept("one", "zstd"), Kept("two", "zstd")]
    assert words in by_bucket._why(said, names, _Depot())  # type: ignore[arg-type]


@given(st.text(max_size=80))
def test_any_words(said: str) -> None:
    assert by_bucket._why(said, [], _Depot())  # type: ignore[arg-type]


def test_addresses_are_hidden() -> None:
    said = 'Get "http://a/b?X-Amz-Signature=12&c": refused; http://a/c?Signature=3'
    assert hidden(said) == 'Get "http://a/b?… refused; http://a/c?…'


def test_fetchers() -> None:
    channel = Channel(parse("docker-daemon:"))
    far = Far("Linux", "x86_64", (), None, False, None)

    def chosen(*fetchers: str, python: tuple[int, int] | None = None) -> str:
        has = far._replace(fetchers=fetchers, python=python)
        return by_bucket.fetcher(channel, has, "s3://b")

    assert chosen("wget", "curl", python=(3, 9)) == "curl"
    assert chosen("busybox", python=(3, 9)) == "python3"
    assert chosen("busybox") == "busybox"
    with pytest.raises(HostError, match="there is no curl, wget or python3 to fetch from s3://b"):
        chosen()
    assert issubclass(HostError, FerryError)
