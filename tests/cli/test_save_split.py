"""``ferry save --split``: volumes that plain tools check and join, lost, damaged and made again."""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.archives import docker_25, packed
from tests.disks import small_disk
from tests.ferry import Ferry
from tests.images import made, member, tar_of

RANDOM = random.Random(7).randbytes
IMAGE = made(tar_of(member("a", RANDOM(150_000))), tar_of(member("b", RANDOM(90_000))), names=["x"])


@pytest.fixture
def full(ferry: Ferry, tmp_path: Path) -> Ferry:
    (tmp_path / "in").write_bytes(packed(docker_25(IMAGE._replace(names=("x:1",)))))
    ferry("load", "-i", tmp_path / "in")
    (tmp_path / "out").mkdir()
    return ferry


@pytest.fixture
def out(full: Ferry, tmp_path: Path) -> Path:
    """The name of an archive in six volumes or so, all written."""
    out = tmp_path / "out/x.tar"
    full("save", "--split", "50k", "-o", out, "x:1")
    return out


def volumes(out: Path) -> list[Path]:
    return sorted(out.parent.glob(f"{out.name}.[0-9]*"))


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.parent.iterdir()}


def _each(paths: list[Path]) -> list[str | Path]:
    return [word for path in paths for word in ("-i", path)]


def loads(ferry: Ferry, root: Path, *args: str | Path) -> bool:
    done = ferry.run("load", *args, root=root, check=False)
    if done.returncode:
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert not ferry.text("images", "-aq", root=root)
        return False
    return ferry.text("images", "-q", "--no-trunc", root=root) == IMAGE.id


def refusal(ferry: Ferry, root: Path, *args: str | Path) -> str:
    done = ferry.run("load", *args, root=root, check=False)
    assert done.returncode == 1
    assert not ferry.text("images", "-aq", root=root)
    assert not list((root / "image/blobs/sha256").iterdir())
    (line,) = done.stderr.decode().splitlines()
    return line.removeprefix("Error: ")


def test_plain_tools_check_and_join_them(full: Ferry, out: Path) -> None:
    found = volumes(out)
    assert len(found) == 5
    assert {path.stat().st_size for path in found[:-1]} == {50 << 10}
    assert sorted(path.name for path in out.parent.iterdir()) == [
        *(path.name for path in found),
        "x.tar.sha256",
    ]
    subprocess.run(["sha256sum", "--check", "--strict", "x.tar.sha256"], cwd=out.parent, check=True)
    joined = subprocess.run(["cat", *found], stdout=subprocess.PIPE, check=True).stdout
    assert joined == full("save", "x:1").stdout


def test_loaded_by_any_of_their_names(full: Ferry, out: Path, tmp_path: Path) -> None:
    found = volumes(out)
    backwards = _each(found[::-1])
    ways: list[list[str | Path]] = [["-i", f"{out}.sha256"], ["-i", found[0]], ["-i", found[3]]]
    ways.append(backwards)
    for n, way in enumerate(ways):
        assert loads(full, tmp_path / f"store-{n}", *way)
    os.unlink(f"{out}.sha256")
    assert loads(full, tmp_path / "store-no-list", *backwards)
    said = refusal(full, tmp_path / "one-alone", "-i", found[1])
    assert said == f"{found[1]} is not a tar archive"


def test_volumes_on_several_media(full: Ferry, out: Path, tmp_path: Path) -> None:
    places = list[Path]()
    for n, path in enumerate(volumes(out)):
        (tmp_path / f"medium-{n}").mkdir()
        places.append(path.rename(tmp_path / f"medium-{n}/{path.name}"))
    shutil.move(f"{out}.sha256", tmp_path / "medium-3")
    assert loads(full, tmp_path / "new", *_each(places))


def test_lost_ones_are_named(full: Ferry, out: Path, tmp_path: Path) -> None:
    second, fourth = volumes(out)[1], volumes(out)[3]
    second.unlink()
    said = refusal(full, tmp_path / "new", "-i", f"{out}.sha256")
    assert said == f"{out}: volume 2 is missing (x.tar.002)"
    fourth.unlink()
    said = refusal(full, tmp_path / "new", "-i", volumes(out)[0])
    assert said == f"{out}: volumes 2, 4 are missing (x.tar.002, …)"
    os.unlink(f"{out}.sha256")
    said = refusal(full, tmp_path / "new", *_each(volumes(out)))
    assert said == f"{out}: volumes 2, 4 are missing (x.tar.002, …)"


@pytest.mark.parametrize("damage", ["bit", "head", "short", "long", "folder"])
def test_damaged_ones_are_named(full: Ferry, out: Path, tmp_path: Path, damage: str) -> None:
    for path in (volumes(out)[0], volumes(out)[2]):
        content = path.read_bytes()
        match damage:
            case "bit":
                content = content[:30_000] + bytes([content[30_000] ^ 1]) + content[30_001:]
            case "head":
                content = b"\xff" * 300 + content[300:]
            case "short":
                content = content[:-1]
            case "long":
                content += b"\0"
        path.unlink()
        if damage == "folder":
            path.mkdir()
        else:
            path.write_bytes(content)
    said = refusal(full, tmp_path / "new", "-i", f"{out}.sha256")
    if damage == "folder":
        assert said == f"{out}: volumes 1, 3 are missing (x.tar.001, …)"
    else:
        assert said == f"{out}: volumes 1, 3 are damaged: not what the list says"


def test_one_alone_is_written_again_byte_for_byte(full: Ferry, out: Path) -> None:
    before = contents(out)
    lost, damaged = volumes(out)[1], volumes(out)[3]
    lost.unlink()
    damaged.write_bytes(b"damaged")
    full("save", "--split", "50k", "--only", "2,4", "-o", out, "x:1")
    assert contents(out) == before
    lost.unlink()
    full("save", "--split", "50k", "--only", "5", "-o", out, "x:1")
    assert not lost.exists()


def test_compressed_ones_too(full: Ferry, out: Path, tmp_path: Path) -> None:
    for compress in ("gzip", "zstd"):
        packed_out = tmp_path / compress / "x.tar.z"
        packed_out.parent.mkdir()
        how = ("save", "--split", "50k", "--compress", compress, "-o", packed_out, "x:1")
        full(*how)
        before = contents(packed_out)
        assert len(before) == 6
        volumes(packed_out)[2].unlink()
        full(*how, "--only", "3")
        assert contents(packed_out) == before
        assert loads(full, tmp_path / f"new-{compress}", "-i", f"{packed_out}.sha256")


def test_only_what_was_in_the_list(full: Ferry, out: Path, tmp_path: Path) -> None:
    before = contents(out)
    other = made(tar_of(member("c", RANDOM(200_000))), names=["y:1"])
    (tmp_path / "in").write_bytes(packed(docker_25(other)))
    full("load", "-i", tmp_path / "in")
    done = full.run("save", "--split", "50k", "--only", "2", "-o", out, "y:1", check=False)
    assert done.returncode == 1
    assert b"volume 2 does not become what the list" in done.stderr
    assert contents(out) == before


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--split", "50k", "--only", "6"], "no volume 6: the archive has 5"),
        (["--split", "50k", "--compress", "gzip", "--only", "9"], "no volume 9"),
        (["--split", "50k", "--only", "0"], "expected numbers"),
        (["--split", "50k", "--only", "a"], "expected numbers"),
        (["--only", "1"], "--split"),
        (["--split", "10"], "at least 1024"),
        (["--split", "much"], "--split"),
        (["--split", "50k", "--only", "1", "--encrypt", "age1x"], "--encrypt"),
    ],
)
def test_what_makes_no_sense(full: Ferry, tmp_path: Path, flags: list[str], says: str) -> None:
    done = full.run("save", "-o", tmp_path / "out/x.tar", *flags, "x:1", check=False)
    assert done.returncode in (1, 125)
    assert says in done.stderr.decode()
    assert not list((tmp_path / "out").iterdir())


def test_it_goes_on_where_it_was_broken_off(full: Ferry, out: Path) -> None:
    """A record and some volumes, one of them damaged since: the others are not touched."""
    whole = contents(out)
    again = out.parent / "again.tar"
    process = full.popen("save", "--split", "50k", "-o", again, "x:1")
    process.communicate()
    record = _broken_off(full, again, keep=3)
    kept = [path.stat().st_ino for path in volumes(again)[:2]]
    volumes(again)[2].write_bytes(b"since then damaged")
    full("save", "--split", "50k", "-o", again, "x:1")
    assert not record.exists()
    assert [path.stat().st_ino for path in volumes(again)[:2]] == kept
    assert [path.read_bytes() for path in volumes(again)] == [
        whole[path.name] for path in volumes(out)
    ]
    # Another size is another archive, of which nothing can be kept; what is too much goes.
    full("save", "--split", "100k", "-o", again, "x:1")
    assert len(volumes(again)) == 3


def _broken_off(ferry: Ferry, out: Path, keep: int) -> Path:
    """Bring the files to how they are when a run is killed after some volumes."""
    from ferryman.operations.save import chosen
    from ferryman.operations.split import _key
    from ferryman.store.layout import open_store

    with chosen(open_store(str(ferry.root)), ["x:1"]) as images:
        key = _key(images, "docker", "none", 50 << 10)
    lines = Path(f"{out}.sha256").read_text().splitlines(keepends=True)
    record = Path(f"{out}.sha256.part")
    record.write_text(f"# {key}\n" + "".join(lines[:keep]) + lines[keep][:20])
    os.unlink(f"{out}.sha256")
    for path in volumes(out)[keep:]:
        path.unlink()
    return record


def test_killed_at_any_moment(full: Ferry, tmp_path: Path) -> None:
    seed = int(os.environ.get("FERRY_TEST_SEED", random.randrange(1 << 30)))
    print(f"FERRY_TEST_SEED={seed}")
    moments = random.Random(seed)
    reference = tmp_path / "out/x.tar"
    full("save", "--split", "4k", "-o", reference, "x:1")
    want = contents(reference)
    again = tmp_path / "again/x.tar"
    again.parent.mkdir()
    for _ in range(8):
        process = full.popen("save", "--split", "4k", "-o", again, "x:1")
        time.sleep(moments.uniform(0.15, 0.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for path in volumes(again):
            # What has its name is whole, and what is not has another one.
            assert path.suffix == ".part" or path.read_bytes() == want[path.name]
    full("save", "--split", "4k", "-o", again, "x:1")
    assert contents(again) == want


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no list\n",
        b"a" * 64 + b"  ../../etc/passwd.001\n",
        b"a" * 64 + b"  x.tar.002\n",
        b"a" * 64 + b"  x.tar.001\n" + b"a" * 64 + b"  y.tar.002\n",
        b"a" * 64 + b"  x.tar.001\n" + b"b" * 64 + b"  x.tar.0001\n",
        b"a" * (5 << 20),
    ],
)
def test_a_list_that_is_none(full: Ferry, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tar.sha256").write_bytes(content)
    assert "no list" in refusal(full, tmp_path / "new", "-i", tmp_path / "x.tar.sha256")


def test_what_does_not_belong_together(full: Ferry, out: Path, tmp_path: Path) -> None:
    (tmp_path / "y.tar.001").write_bytes(b"other")
    first = volumes(out)[0]
    said = refusal(full, tmp_path / "new", "-i", first, "-i", tmp_path / "y.tar.001")
    assert "not volumes of one archive" in said
    said = refusal(full, tmp_path / "new", "-i", first, "-i", tmp_path / "in")
    assert f"{tmp_path}/in is no volume" in said
    extra = out.with_name("x.tar.009")
    extra.write_bytes(b"")
    assert "not in the list" in refusal(full, tmp_path / "new", "-i", extra)


def test_an_archive_that_only_has_such_a_name(full: Ferry, tmp_path: Path) -> None:
    full("save", "-o", tmp_path / "image.2024", "x:1")
    (tmp_path / "image.2023").write_bytes(b"another")
    assert loads(full, tmp_path / "new", "-i", tmp_path / "image.2024")


def test_a_disk_that_fills_up(full: Ferry, tmp_path: Path) -> None:
    """What is whole stays, and the next run goes on from there."""
    reference = tmp_path / "out/x.tar"
    full("save", "--split", "50k", "-o", reference, "x:1")
    with small_disk(tmp_path / "disk", 192 << 10) as disk:
        save = ("save", "--split", "50k", "-o", disk / "x.tar", "x:1")
        done = full.run(*save, check=False)
        assert done.returncode == 1
        (line,) = done.stderr.decode().splitlines()
        assert line.startswith(f"Error: cannot write {disk}/x.tar.00")
        assert line.endswith("No space left on device")
        written = {path.name: path.stat().st_ino for path in volumes(disk / "x.tar")}
        assert 1 <= len(written) < 5
        assert sorted(contents(disk / "x.tar")) == [*sorted(written), "x.tar.sha256.part"]
        subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)
        full(*save)
        assert contents(disk / "x.tar") == contents(reference)
        for name, inode in written.items():
            assert (disk / name).stat().st_ino == inode


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("how", [[], ["--compress", "zstd:19"]])
def test_ctrl_c_leaves_whole_volumes(ferry: Ferry, tmp_path: Path, how: list[str]) -> None:
    big = made(tar_of(member("a", RANDOM(96 << 20))), names=["big:1"])
    (tmp_path / "in").write_bytes(packed(docker_25(big)))
    ferry("load", "-i", tmp_path / "in")
    (tmp_path / "out").mkdir()
    out = tmp_path / "out/x.tar"
    process = ferry.popen("save", *how, "--split", "1m", "-o", out, "big:1")
    deadline = time.monotonic() + 30
    while len(volumes(out)) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    left = contents(out)
    assert {len(content) for name, content in left.items() if name[-3:].isdigit()} == {1 << 20}
    assert [name for name in left if not name[-3:].isdigit()] == ["x.tar.sha256.part"]
    assert not os.listdir(ferry.root / "meta/leases")


def test_two_at_once_do_not_mix(full: Ferry, tmp_path: Path) -> None:
    import fcntl

    record = tmp_path / "out/x.tar.sha256.part"
    with record.open("w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        done = full.run("save", "--split", "50k", "-o", tmp_path / "out/x.tar", "x:1", check=False)
        assert done.returncode == 1
        assert b"another command is writing" in done.stderr
