"""Memory does not grow with the image: 5 GB go in and out in less than 150 MB.

The archives are one large hole; what the store has of them is not, so this needs room.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.command import Stream
from tests.ferry import Ferry
from tests.images import sha256
from tests.peers import registry
from tests.peers.conftest import need

pytestmark = pytest.mark.slow

LIMIT = 150 << 20
SIZE = 5_000_000_000
NAME = "large:1"

# What a process has had in memory at most counts from before it became what it is: it is begun by
# a small one.
MEASURE = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss, file=sys.stderr)
"""


class Large(NamedTuple):
    """A tar with one file of SIZE zeros, and an archive of the image that it is the layer of."""

    tree: Path
    archive: Path
    diff_id: str
    image_id: str


def header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf()


def padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Large]:
    folder = tmp_path_factory.mktemp("large")
    if shutil.disk_usage(folder).free < 4 * SIZE:
        pytest.skip(f"{folder} has no room for {4 * SIZE} bytes")
    first = header("zeros", SIZE)
    size = len(first) + SIZE + len(padding(SIZE)) + 2 * tarfile.BLOCKSIZE
    running = hashlib.sha256(first)
    zeros = memoryview(bytes(1 << 20))
    for at in range(len(first), size, len(zeros)):
        running.update(zeros[: size - at])
    diff_id = f"sha256:{running.hexdigest()}"
    with (folder / "tree.tar").open("wb") as tree:
        tree.write(first)
        tree.truncate(size)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        }
    ).encode()
    manifest = [{"Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"]}]
    with (folder / "archive.tar").open("wb") as archive:
        parts = {"config.json": config, "manifest.json": json.dumps(manifest).encode()}
        for name, content in parts.items():
            archive.write(header(name, len(content)) + content + padding(len(content)))
        archive.write(header("layer.tar", size) + first)
        end = archive.tell() - len(first) + size + len(padding(size)) + 2 * tarfile.BLOCKSIZE
        archive.truncate(end)
    yield Large(folder / "tree.tar", folder / "archive.tar", diff_id, sha256(config))
    shutil.rmtree(folder)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "store"
    shutil.rmtree(tmp_path)  # at once, whatever pytest keeps


def begun(
    ferry: Ferry,
    *arguments: str | Path,
    stdin: Stream = subprocess.DEVNULL,
    stdout: Stream = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    argv = [*ferry.at(None).argv, *map(str, arguments)]
    return subprocess.Popen(
        [sys.executable, "-c", MEASURE, *argv], stdin=stdin, stdout=stdout, stderr=subprocess.PIPE
    )


def check_peak(process: subprocess.Popen[bytes]) -> str:
    """Wait for a good end, with less memory than the limit at any time; return what it said."""
    said, peak = ended(process)
    assert peak < LIMIT
    return said


def ended(process: subprocess.Popen[bytes]) -> tuple[str, int]:
    """Wait for a good end; return what it said, and the bytes of memory that it had at most."""
    said, errors = process.communicate(timeout=300)
    code, kilobytes = errors.split()[-2:]
    assert code == b"0"
    return (said or b"").decode().strip(), int(kilobytes) << 10


def test_import_from_a_file(large: Large, ferry: Ferry) -> None:
    check_peak(begun(ferry, "import", large.tree, NAME))
    described = json.loads(ferry.text("inspect", NAME))
    assert described[0]["RootFS"]["Layers"] == [large.diff_id]


def test_import_from_a_pipe(large: Large, ferry: Ferry) -> None:
    with subprocess.Popen(["cat", large.tree], stdout=subprocess.PIPE) as cat:
        check_peak(begun(ferry, "import", "-", NAME, stdin=cat.stdout))
    described = json.loads(ferry.text("inspect", NAME))
    assert described[0]["RootFS"]["Layers"] == [large.diff_id]


@pytest.mark.peer
def test_push_and_pull(large: Large, ferry: Ferry, tmp_path: Path) -> None:
    need("docker-registry", "setpriv")
    with registry.running(tmp_path / "registry") as at:
        name = f"{at.address}/{NAME}"
        check_peak(begun(ferry, "load", "-i", large.archive, "-t", name))
        for compression in ("gzip", "zstd", "none"):
            check_peak(begun(ferry, "push", "-q", "--compress", compression, name))
        shutil.rmtree(ferry.root)
        check_peak(begun(ferry, "pull", "-q", name))
    assert ferry.text("images", "-q", "--no-trunc") == large.image_id


def test_load_and_save(large: Large, ferry: Ferry, tmp_path: Path) -> None:
    assert check_peak(begun(ferry, "load", "-i", large.archive)) == f"Loaded image: {NAME}"
    assert ferry.text("images", "-q", "--no-trunc") == large.image_id
    check_peak(begun(ferry, "save", "-o", tmp_path / "saved.tar", NAME))
    assert os.stat(tmp_path / "saved.tar").st_size > SIZE
    os.unlink(tmp_path / "saved.tar")

    second = Ferry(tmp_path / "second")
    for compression in ("none", "zstd", "gzip"):
        saving = begun(ferry, "save", "--compress", compression, NAME)
        loading = begun(second, "load", stdin=saving.stdout)
        assert saving.stdout
        saving.stdout.close()
        assert check_peak(loading) == f"Loaded image: {NAME}"
        saving.stdout = None
        check_peak(saving)
    assert second.text("images", "-q", "--no-trunc") == large.image_id


def test_a_build_with_a_large_context(ferry: Ferry, tmp_path: Path) -> None:
    context = tmp_path / "context"
    for file in range(10):
        (context / f"app/{file}").mkdir(parents=True)
        (context / f"app/{file}/a.py").write_text(str(file))
    (context / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    # All has to be walked through: nothing can be told of a whole folder.
    (context / ".dockerignore").write_text("**\n!**/*.py\n")
    build = ("build", "--quiet", "--no-cache", str(context))
    image, small = ended(begun(ferry, *build))
    for folder in range(100):
        (context / f"data/{folder}").mkdir(parents=True)
        for file in range(1000):
            with (context / f"data/{folder}/{file}.bin").open("wb") as f:
                f.truncate(20 << 10)
    large, peak = ended(begun(ferry, *build))
    assert peak < small + (8 << 20)
    files = subprocess.run(
        ["tar", "-t"], input=ferry("image", "export", large).stdout, stdout=subprocess.PIPE
    ).stdout.decode()
    assert [name for name in files.split() if not name.endswith("/")] == [
        f"app/{file}/a.py" for file in range(10)
    ]
    assert (
        files
        == subprocess.run(
            ["tar", "-t"], input=ferry("image", "export", image).stdout, stdout=subprocess.PIPE
        ).stdout.decode()
    )


def test_volumes_there_and_back(large: Large, ferry: Ferry, tmp_path: Path) -> None:
    ferry("load", "-i", large.archive)
    check_peak(begun(ferry, "save", "--split", "1g", "-o", tmp_path / "saved.tar", NAME))
    shutil.rmtree(ferry.root)
    given = tmp_path / "saved.tar.sha256"
    assert check_peak(begun(ferry, "verify", given)).endswith(f"Verified {tmp_path}/saved.tar")
    assert check_peak(begun(ferry, "load", "-i", given)) == f"Loaded image: {NAME}"
