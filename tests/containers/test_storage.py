"""How a container has its image's layers: mounted where they lie, or unpacked."""

import hashlib
import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from ferryman.rootfs import erofs_mount, posix_acl
from tests.containers.test_life import RUN, said, state, until
from tests.ferry import Ferry
from tests.images import layout, made, member, packed, tar_of
from tests.rootfs.layers import acl, item, write
from tests.rootfs.test_loop import devices, gone

pytestmark = pytest.mark.skipif(
    not erofs_mount.possible(), reason="to mount layers takes root and Linux 6.4"
)
STORAGES = ("erofs", "extract")


@pytest.fixture
def two(box: Ferry) -> Ferry:
    """A store with ``two:1`` too, whose second layer hides some of the first."""
    script = (
        "rm /etc/notes; rm -r /home; mkdir /home; echo new > /home/x; ln /home/x /etc/x; "
        "chmod 4711 /home/x; chown 7:8 /tmp; sync"
    )
    box(*RUN, "--name", "first", "box:1", "sh", "-c", script)
    box("commit", "first", "two:1")
    box("rm", "first")
    return box


def blobs(box: Ferry) -> list[Path]:
    """Return the layers that the store has."""
    return [box.root / "image/blobs/sha256" / name for name in os.listdir(box.root / "layers")]


def exported(box: Ferry, name: str) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    with tarfile.open(fileobj=io.BytesIO(box("export", name).stdout)) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isreg() else None
            content = hashlib.sha256(file.read()).hexdigest() if file else ""
            kind = (member.type, member.mode, member.uid, member.gid, member.linkname)
            found[member.name] = (*kind, content)
    return found


def test_the_same_files(two: Ferry) -> None:
    """Mounted or unpacked: to programs in it, to export and to diff it is one filesystem."""
    # What every container finds has the time of its making.
    script = (
        "find / -xdev ! -path '/dev*' ! -path /proc ! -path /sys | sort | "
        "xargs stat -c '%n %F %a %u %g %h %t %T'; "
        "find /bin /home -xdev ! -type d | sort | xargs stat -c '%n %s %Y'; "
        "stat -c %Y /bin /home /tmp; cat /etc/x"
    )
    outputs, exports = [], []
    for storage in STORAGES:
        flags = ("--storage", storage, "--name", storage)
        outputs.append(two.text(*RUN, *flags, "two:1", "sh", "-c", script))
        assert two.text("inspect", "-f", "{{.GraphDriver.Name}}", storage) == storage
        exports.append(exported(two, storage))
        assert two.text("diff", storage) == ""
    assert outputs[0] == outputs[1]
    assert "/home/x" in outputs[0]
    assert "/etc/notes" not in outputs[0]
    assert "/bin/busybox" in outputs[0]  # -xdev: it is on one device with the root
    assert exports[0] == exports[1]
    for name in os.listdir(two.root / "layers"):
        made = set(os.listdir(two.root / "layers" / name))
        assert made > {"lock", "index.erofs", "mounted", "tree"}


@pytest.mark.parametrize("storage", STORAGES)
def test_what_is_written_over_layers(two: Ferry, storage: str) -> None:
    """What a container changes is seen by diff and cp, and committed, wherever its layers are."""
    script = "echo more >> /home/x; rm /bin/awk; mkdir /new; chown 5 /etc/passwd; sleep 100"
    two(*RUN, "-d", "--storage", storage, "--name", "one", "two:1", "sh", "-c", script)
    changed = ["C /bin", "D /bin/awk", "C /etc", "C /etc/passwd", "C /home", "C /home/x", "A /new"]
    until(lambda: two.text("diff", "one").splitlines() == changed)
    assert b"new\nmore\n" in two("cp", "one:/home/x", "-").stdout
    two("stop", "-t", "0", "one")
    assert two.text("diff", "one").splitlines() == changed
    assert b"new\nmore\n" in two("cp", "one:/home/x", "-").stdout
    two("commit", "one", "three:1")
    words = "cat /home/x /etc/x; ls -d /new /bin/awk; stat -c %u /etc/passwd"
    done = two(*RUN, "--rm", "--storage", storage, "three:1", "sh", "-c", words, check=False)
    assert done.stdout == b"new\nmore\nnew\n/new\n5\n"


def test_containers_share_loop_devices(two: Ferry) -> None:
    """One for each file of a layer, whoever uses it, and none when the last container ends."""
    two(*RUN, "-d", "--name", "first", "box:1", "sleep", "100")
    two(*RUN, "-d", "--name", "second", "two:1", "sleep", "100")
    files = [two.root / "layers" / name / "index.erofs" for name in os.listdir(two.root / "layers")]
    files += blobs(two)
    assert [len(devices(file)) for file in files] == [1] * 4
    two("rm", "-f", "second")
    until(lambda: sorted(len(devices(file)) for file in files) == [0, 0, 1, 1])
    assert two.text("exec", "first", "echo", "on") == "on"
    two("rm", "-f", "first")
    assert all(gone(file) for file in files)


def test_started_again_by_its_monitor(two: Ferry) -> None:
    """The next mount namespace is made of one that has the layers mounted already."""
    script = "echo x >> /count; test $(wc -l < /count) = 3"
    flags = ("--storage", "erofs", "--restart", "on-failure:5", "--name", "one")
    two(*RUN, "-d", *flags, "two:1", "sh", "-c", script)
    until(lambda: (found := state(two, "one"))["Status"] == "exited" and found["ExitCode"] == 0)
    assert two.text("diff", "one") == "A /count"
    assert all(gone(file) for file in blobs(two))


def test_the_environment_says_how(box: Ferry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FERRY_STORAGE", "extract")
    box(*RUN, "--name", "one", "box:1", "true")
    assert box.text("inspect", "-f", "{{.GraphDriver.Name}}", "one") == "extract"
    box(*RUN, "--name", "other", "--storage", "erofs", "box:1", "true")
    assert box.text("inspect", "-f", "{{.GraphDriver.Name}}", "other") == "erofs"
    monkeypatch.setenv("FERRY_STORAGE", "zfs")
    line = said(box, "create", "box:1", code=125)
    assert "--storage zfs is not supported by ferry: erofs or extract" in line


def test_a_layer_that_has_to_be_unpacked(box: Ferry, tmp_path: Path) -> None:
    """One line for whoever wants it mounted; unpacked for everybody else."""
    odd = item(b"f", mode=0o600, xattrs={posix_acl.ACCESS: acl(0o644, 1000)})
    box("import", write(tmp_path / "odd.tar", odd), "odd:1")
    line = said(box, *RUN, "--rm", "--storage", "erofs", "odd:1", "/f", code=125)
    assert "cannot be mounted where it lies: access control list that does not fit" in line
    assert box.text("ps", "-aq") == ""
    container = box.text("create", "--network", "none", "odd:1", "/f")
    assert exported(box, container)["f"][:2] == (tarfile.REGTYPE, 0o644)


@pytest.mark.parametrize("storage", STORAGES)
def test_layers_go_with_the_last_that_needs_them(two: Ferry, storage: str) -> None:
    """With an image goes what was made of its layers, but for what others need."""
    two("create", "--storage", storage, "--network", "none", "--name", "kept", "box:1", "true")
    two(*RUN, "--rm", "--storage", storage, "two:1", "true")
    layers = two.root / "layers"
    assert len(os.listdir(layers)) == 2
    two("rmi", "two:1")
    assert len(os.listdir(layers)) == 1
    two("rmi", "--force", "box:1")
    assert len(os.listdir(layers)) == 1
    two("start", "--attach", "kept")
    two("rm", "kept")
    two("image", "prune", "--force")
    assert os.listdir(layers) == os.listdir(two.root / "tmp") == []


def test_check_of_what_was_made_of_layers(box: Ferry) -> None:
    """Damage to an index or to a tar is found, and goes: both are made anew."""
    busybox = Path(shutil.which("busybox") or "").read_bytes()
    image = made(tar_of(member("bin/true", busybox, mode=0o755)), names=("gz:1",))
    box("load", input=packed(layout(image, compression="gzip")))
    run = (*RUN, "--rm", "--storage", "erofs")
    for name in ("box:1", "gz:1"):
        box(*run, name, "/bin/true")
    assert box.text("system", "check", "--verify").endswith("The store is clean")
    layers = box.root / "layers"
    (tar,) = layers.glob("*/layer.tar")
    (index,) = (each for each in layers.glob("*/index.erofs") if each.parent != tar.parent)
    for path in (tar, index):
        content = path.read_bytes()
        path.write_bytes(content[:2000] + bytes([content[2000] ^ 1]) + content[2001:])
    found = box("system", "check", "--verify", check=False)
    assert found.returncode == 1
    said_so = {f"{path} is damaged: it is made anew when it is gone" for path in (tar, index)}
    assert said_so <= set(found.stdout.decode().splitlines())
    box("system", "check", "--repair", "--force")
    assert not tar.exists()
    assert not index.exists()
    for name in ("box:1", "gz:1"):
        box(*run, name, "/bin/true")
    assert box.text("system", "check", "--verify").endswith("The store is clean")
