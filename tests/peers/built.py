"""Images that docker and ferry have built of the same: a context, a base, and what is compared."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

from tests.command import Command
from tests.ferry import Ferry


def make_context(folder: Path) -> None:
    """Make files of all kinds."""
    for name, text in {
        "a": "a", "b.txt": "b", "c.txt": "c", "d/x": "x", "d/e/y": "y", "s p": "s",
        "modes/600": "", "modes/755": "", "modes/f/x": "", "no.tar": "no tar",
        "links/to": "", "odd/\udcff\n": "", "odd/" + "n" * 200: "", "linked/one": "1",
    }.items():  # fmt: skip
        path = os.fsencode(folder) + b"/" + os.fsencode(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    (folder / "modes/600").chmod(0o600)
    (folder / "modes/755").chmod(0o755)
    (folder / "modes/f").chmod(0o1700)
    (folder / "link").symlink_to("a")
    (folder / "links/abs").symlink_to("/etc/notes")
    (folder / "links/rel").symlink_to("to")
    (folder / "linked/two").hardlink_to(folder / "linked/one")
    (folder / "empty").mkdir()
    for suffix in ("", ".gz", ".xz", ".bz2"):
        with tarfile.open(folder / f"t.tar{suffix}", f"w:{suffix[1:]}") as tar:  # type: ignore[call-overload]
            for name, owner in (("in", 3), ("dir/in", 4)):
                member = tarfile.TarInfo(name)
                member.size, member.uid, member.gid, member.mode = 2, owner, owner, 0o640
                tar.addfile(member, io.BytesIO(b"in"))


def make_base(docker: Command, busybox_tar: Path, folder: Path) -> Ferry:
    """Return a store with an image ``base``, which docker has too."""
    ferry = Ferry(folder / "store")
    tree = folder / "tree"
    tree.mkdir()
    subprocess.run(["tar", "-xf", busybox_tar, "-C", tree], check=True)
    (tree / "etc/more").mkdir()
    (tree / "etc/more/file").write_text("more")
    (tree / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (tree / "etc/group").write_text("root:x:0:\n")
    packed = subprocess.run(["tar", "-C", tree, "-c", "."], check=True, stdout=subprocess.PIPE)
    ferry("import", "-c", "ENV PATH=/bin LANG=C", "-c", "CMD sh", "-", "base", input=packed.stdout)
    saved = ferry("save", "base").stdout
    docker.run("load", "-q", input=saved)
    return ferry


Seen = dict[str, tuple[Any, ...]]


def tree_of(ferry: Ferry, image: str, root: Path | None = None) -> Seen:
    """Return all files of an image, each with what of it must be the same."""
    found: Seen = {}
    inodes: dict[str, str] = {}
    exported = ferry("image", "export", image, root=root).stdout
    with tarfile.open(fileobj=io.BytesIO(exported)) as tar:
        for member in tar:
            name = member.name
            content = ""
            if member.isfile():
                file = tar.extractfile(member)
                assert file
                content = hashlib.sha256(file.read()).hexdigest()
                inodes[name] = content
            elif member.islnk():
                content = inodes[member.linkname]
            kind = tarfile.REGTYPE if member.islnk() else member.type
            link = member.linkname if member.issym() else ""
            found[name] = (kind, oct(member.mode), member.uid, member.gid, link, content)
    return found


# Of the classic builder's own making, and of no meaning to whoever runs the image.
_ITS_OWN = ("Hostname", "Domainname", "Image", "AttachStdin", "AttachStdout", "AttachStderr", "Tty",
            "OpenStdin", "StdinOnce", "ArgsEscaped")  # fmt: skip


def config_of(ferry: Ferry, image: str, root: Path | None = None) -> dict[str, Any]:
    inspected = json.loads(ferry("inspect", image, root=root).stdout)[0]
    config = {key: value for key, value in inspected["Config"].items() if value}
    for key in _ITS_OWN:
        config.pop(key, None)
    return {**config, "Author": inspected.get("Author", "")}


class Built(NamedTuple):
    """What is to be the same of an image."""

    tree: Seen
    config: dict[str, Any]
    history: list[str]


def both(
    docker: Command, ferry: Ferry, context: Path, folder: Path, dockerfile: str, ignored: str = ""
) -> tuple[Built, Built]:
    """Build a Dockerfile on a copy of a context; return ferry's image and docker's."""
    copy = folder / "context"
    shutil.copytree(context, copy, symlinks=True)
    # copytree makes two files of a link.
    (copy / "linked/two").unlink()
    (copy / "linked/two").hardlink_to(copy / "linked/one")
    (copy / "Dockerfile").write_text(dockerfile)
    (copy / ".dockerignore").write_text(ignored)
    flags = ("--network", "none", "--build-arg", "one=1", "--label", "given=1", copy)
    theirs = docker.text("build", "-q", *flags)
    ours = ferry.text("build", "-q", *flags)
    # In a store of its own, where its ID is the name that it has.
    other = folder / "other"
    ferry("load", "-q", root=other, input=docker.run("save", theirs).stdout)
    # Other tests have the same daemon.
    docker.run("image", "prune", "--force")
    return _built(ferry, ours, None), _built(ferry, theirs, other)


def _built(ferry: Ferry, image: str, root: Path | None) -> Built:
    said = ferry("history", "--no-trunc", "--format", "{{.CreatedBy}}", image, root=root).stdout
    return Built(
        tree_of(ferry, image, root), config_of(ferry, image, root), said.decode().split("\n")
    )
