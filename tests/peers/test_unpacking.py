"""Layers unpacked by docker, umoci and ferry: the same files, one by one, but for what is said."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from ferryman.archive import tar
from ferryman.rootfs import erofs_mount, lower, overlay, posix_acl
from ferryman.store.images import find
from ferryman.store.layout import open_store
from ferryman.store.lease import hold
from tests.command import Command
from tests.ferry import Ferry
from tests.images import docker_archive, made, packed
from tests.peers.conftest import LAYERED
from tests.rootfs import layers
from tests.rootfs.layers import CAPABILITY, acl, folder, hardlink, item, sparse, symlink
from tests.rootfs.seen import Entry, apart, seen
from tests.rootfs.test_extract import BROKEN, LIES, REFUSED, placed

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not erofs_mount.possible(), reason="takes root and Linux 6.4"),
]

Tree = dict[bytes, Entry]


def one_of_each() -> list[bytes]:
    """Return layers with all that an honest one may hold, each changing what is below it."""
    ns = 1_700_000_000_123_456_789
    pieces = [(n << 16, b"%4096d" % n) for n in range(20)]
    first = [
        folder(b"etc", mtime_ns=ns),
        item(b"etc/plain", content=b"plain\n" * 1000, mtime_ns=ns + 1),
        item(b"etc/modes", mode=0o6711, owner=(1000, 2000), mtime_ns=ns),
        item(b"etc/none", mode=0),
        folder(b"tmp", mode=0o1777),
        folder(b"mail", mode=0o2775, owner=(8, 12)),
        hardlink(b"mail/hard", b"etc/plain", mtime_ns=ns + 1),
        hardlink(b"tmp/hard", b"mail/hard", mtime_ns=ns + 1),
        symlink(b"etc/soft", b"../mail/hard"),
        symlink(b"dangling", b"/no/where"),
        symlink(b"long-link", b"l" * 4000),
        folder(b"dev"),
        item(b"dev/null", tar.CHARACTER, device=(1, 3), mode=0o666),
        item(b"dev/disk", tar.BLOCK_DEVICE, device=(259, 70_000), mode=0o660, owner=(0, 6)),
        hardlink(b"dev/null2", b"dev/null", mode=0o666),
        item(b"dev/pipe", tar.FIFO, mode=0o622, mtime_ns=ns),
        item(b"attributes", xattrs={b"user.u": b"\0\xff", b"security.capability": CAPABILITY}),
        item(b"acl", mode=0o640, xattrs={posix_acl.ACCESS: acl(0o640, 1000)}),
        folder(b"acls", xattrs={posix_acl.DEFAULT: acl(0o755, 7), b"user.u": b"d"}),
        item(b"n" * 255),
        item(b"/".join([b"deep" * 2] * 2) + b"/f", content=b"deep"),
        item(b"not-utf8-\xff\xfe", content=b"x"),
        item("näme \n\t\\".encode(), content=b"x"),
        item(b"owners", owner=(1 << 31, (1 << 32) - 2)),
        item(b"y2106", mtime_ns=(1 << 32) * 10**9 + 7),
        sparse("1.0", b"sparse-1.0", 3 << 20, pieces, mtime_ns=ns),
        sparse("0.1", b"sparse-0.1", 3 << 20, pieces, mode=0o600),
        sparse("0.0", b"sparse-0.0", 3 << 20, pieces, owner=(5, 6)),
        sparse("1.0", b"hole", 1 << 20, []),
        *(folder(name) for name in (b"gone", b"opaque", b"opaque/below", b"kept", b"swap")),
        *(item(b"%b/file" % name) for name in (b"gone", b"opaque", b"kept", b"swap")),
        item(b"opaque/below/file"),
        item(b"gone-file"),
        item(b"to-folder"),
    ]
    second = [
        item(b".wh.gone"),
        item(b".wh.gone-file"),
        folder(b"opaque", mode=0o700, mtime_ns=ns),
        item(b"opaque/.wh..wh..opq"),
        item(b"opaque/new", content=b"new"),
        folder(b"kept", mode=0o711),
        item(b"kept/new"),
        item(b"swap", content=b"no folder any more"),
        folder(b"to-folder"),
        item(b"to-folder/file"),
        folder(b"mail", mode=0o755, mtime_ns=ns),
        item(b"mail/.wh.hard"),
        folder(b"implied/above"),
    ]
    third = [
        folder(b"gone", mtime_ns=ns),
        item(b"gone/back", content=b"back"),
        symlink(b"swap", b"etc"),
        folder(b"to-folder"),
        item(b"to-folder/.wh.file"),
        folder(b"etc", mtime_ns=ns + 2),
        item(b"etc/plain", content=b"changed"),
    ]
    return [layers.packed(*items) for items in (first, second, third)]


IMPLIED = {b"implied", b"deepdeep", b"deepdeep/deepdeep"}
"""Folders without a member: the year is 1970 in ferry, so that it is always the same."""


@pytest.fixture(params=["of each", "layered"])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    """An archive, and the name of its image: one of all there is, and a system of docker's."""
    if request.param == "layered":
        return request.getfixturevalue("layered_tar"), LAYERED
    path = tmp_path / "image.tar"
    path.write_bytes(packed(docker_archive(made(*one_of_each(), names=["it:1"]))))
    return path, "it:1"


def in_ferry(root: Path, name: str, storage: str) -> Tree:
    """Return the files of an image as a container has them."""

    def look() -> Tree:
        store = open_store(str(root))
        image = find(store, name)
        pairs = zip(image.layers, image.config.diff_ids, strict=True)
        wanted = [lower.Layer(each.digest, each.size, diff_id) for each, diff_id in pairs]
        with hold(store) as lease:
            lowers = lower.ready(store, lease, wanted, storage)
        return over([lower.mount(each) for each in lowers[::-1]], root.parent)

    return apart(look)


def over(lowers: list[str], folder: Path) -> Tree:
    """Return what overlay shows of layers, the topmost first."""
    at, nothing = folder / "at", folder / "nothing"
    at.mkdir(exist_ok=True)
    nothing.mkdir(exist_ok=True)
    overlay.mount_overlay([*lowers, str(nothing)], None, None, str(at), read_only=True)
    return seen(at)


def in_docker(docker: Command, name: str, folder: Path) -> Tree:
    """Return the files of an image as docker's storage has them unpacked."""
    container = docker.text("create", name, "true")
    try:
        form = "{{.GraphDriver.Name}} {{.GraphDriver.Data.LowerDir}}"
        driver, _, lowers = docker.text("inspect", "--format", form, container).partition(" ")
        if driver != "overlay2":
            pytest.skip("docker's layers cannot be looked at")
        # Without what every container finds.
        of_image = [each for each in lowers.split(":") if not each.endswith("-init/diff")]
        return apart(lambda: over(of_image, folder))
    finally:
        docker.run("rm", container)


def in_umoci(umoci: Command, skopeo: Command, archive: Path, folder: Path) -> Tree:
    layout = folder / "layout"
    quick = ("--dest-compress-format", "gzip", "--dest-compress-level", "1")
    skopeo.run("copy", *quick, f"docker-archive:{archive}", f"oci:{layout}:it")
    umoci.run("unpack", "--image", f"{layout}:it", folder / "bundle")
    return seen(folder / "bundle/rootfs")


def differences(mine: Tree, theirs: Tree) -> dict[bytes, list[str]]:
    """Return which fields of which paths differ; of the root, and of links of folders, none."""
    found = {}
    for path in sorted(mine.keys() | theirs.keys()):
        one, other = mine.get(path), theirs.get(path)
        if one is None or other is None:
            found[path] = ["missing"]
        elif path:
            is_folder = stat.S_ISDIR(one.mode) and stat.S_ISDIR(other.mode)
            fields = [
                field
                for field, left, right in zip(Entry._fields, one, other, strict=True)
                if left != right and not (is_folder and field == "what")
            ]
            if fields:
                found[path] = fields
    return found


def check_same(mine: Tree, theirs: Tree) -> None:
    differ = differences(mine, theirs)
    implied = {path: fields for path, fields in differ.items() if path in IMPLIED}
    assert all(fields == ["mtime_ns"] for fields in implied.values())
    assert {path: fields for path, fields in differ.items() if path not in IMPLIED} == {}


def test_docker(image: tuple[Path, str], dockerd: Command, ferry: Ferry, tmp_path: Path) -> None:
    archive, name = image
    dockerd.run("load", "-i", archive)
    theirs = in_docker(dockerd, name, tmp_path)
    ferry("load", "-i", archive)
    # umoci's is what the large one is unpacked against.
    for storage in ("erofs",) if name == LAYERED else ("erofs", "extract"):
        check_same(in_ferry(ferry.root, name, storage), theirs)


def test_umoci(
    image: tuple[Path, str], umoci: Command, skopeo: Command, ferry: Ferry, tmp_path: Path
) -> None:
    archive, name = image
    theirs = in_umoci(umoci, skopeo, archive, tmp_path)
    ferry("load", "-i", archive)
    check_same(in_ferry(ferry.root, name, "extract"), theirs)


def test_image_export(ferry: Ferry, tmp_path: Path) -> None:
    """What GNU tar unpacks of an export is what a container has."""
    archive = packed(docker_archive(made(*one_of_each(), names=["it:1"])))
    ferry("load", input=archive)
    into = tmp_path / "into"
    into.mkdir()
    exported = ferry("image", "export", "it:1").stdout
    flags = ("--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf", "-")
    subprocess.run(["tar", "-C", into, *flags], input=exported, check=True)
    assert differences(seen(into), in_ferry(ferry.root, "it:1", "erofs")) == {}


def test_old_sparse_files(dockerd: Command, ferry: Ferry, tmp_path: Path) -> None:
    """Docker does not take old GNU tar's; ferry makes of them what GNU tar does."""
    layer = layers.packed(sparse("gnu", b"f", 1 << 20, [(4096, b"x" * 512)]))
    archive = tmp_path / "image.tar"
    archive.write_bytes(packed(docker_archive(made(layer, names=["old:1"]))))
    refused = dockerd.run("load", "-i", archive, check=False)
    assert b"unhandled tar header type 83" in refused.stderr
    ferry("load", "-i", archive)
    for storage in ("erofs", "extract"):
        assert in_ferry(ferry.root, "old:1", storage)[b"f"].size == 1 << 20


TAKEN_BY_DOCKER = {
    # It cuts numbers off, to whatever is left of them.
    *("an owner that cannot be", "an owner that is none", "an owner without end"),
    "an owner below zero",
    "a device that cannot be",
    # It passes over them.
    *("a file for the root", "a hard link for the root"),
}


def test_what_is_refused(dockerd: Command, tmp_path: Path) -> None:
    """What ferry refuses to unpack, docker does not load, but for what is known."""
    here = os.fsencode(tmp_path)
    taken = set()
    cases = {case: items for case, (items, _) in REFUSED.items()}
    cases |= {lie: [sparse("0.1", b"f", 100, [(0, b"abcd")], said=LIES[lie])] for lie in LIES}
    cases |= {case: [each] for case, each in BROKEN.items()}
    for case, items in cases.items():
        layer = layers.packed(*(placed(each, here) for each in items))
        archive = docker_archive(made(layer, names=["hostile:1"]))
        done = dockerd.run("load", input=packed(archive), check=False)
        if not done.returncode:
            dockerd.run("rmi", "hostile:1")
            taken.add(case)
    assert taken == TAKEN_BY_DOCKER


def test_names_and_links(dockerd: Command, ferry: Ferry, tmp_path: Path) -> None:
    """Odd names, and links in paths, mean the same to both."""
    items = [
        *(item(b"/a"), item(b"//b"), item(b"/../c"), item(b"none/../d"), item(b"./e/./f")),
        *(folder(b"x"), folder(b"x/y"), symlink(b"l", b"/x/y"), item(b"l/one")),
        *(symlink(b"x/m", b"../../../../x"), item(b"x/m/y/two"), hardlink(b"h", b"l/one")),
        *(folder(b".wh..wh.plnk"), item(b".wh..wh.plnk/1.2")),
        *(hardlink(b"linked", b".wh..wh.plnk/1.2"), item(b".wh..wh.aufs")),
        folder(b"o", xattrs={b"trusted.overlay.opaque": b"y", b"trusted.t": b"t"}),
        item(b"odd", xattrs={b"odd.name": b"v"}),
        item(b".wh.later"),
        item(b"later"),
    ]
    layer = layers.packed(folder(b"o"), item(b"o/below")), layers.packed(*items)
    archive = tmp_path / "image.tar"
    archive.write_bytes(packed(docker_archive(made(*layer, names=["names:1"]))))
    dockerd.run("load", "-i", archive)
    theirs = in_docker(dockerd, "names:1", tmp_path)
    ferry("load", "-i", archive)
    differ = differences(in_ferry(ferry.root, "names:1", "erofs"), theirs)
    assert differ == {
        b"e": ["mtime_ns"],
        # A layer cannot speak for overlay in ferry.
        b"o/below": ["missing"],
        # What AUFS left is no file of the image; docker keeps it where it has overlay2.
        b".wh..wh.plnk": ["missing"],
        b".wh..wh.plnk/1.2": ["missing"],
        b"linked": ["names"],
    }
