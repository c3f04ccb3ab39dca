"""``containers-storage:[[DRIVER@ROOT+RUNROOT]]NAME``: what podman, buildah and CRI-O share.

podman is what reads and writes it here: its locks and drivers are its own.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgspec

from ferryman.errors import ImageNotFound, InvalidReference
from ferryman.image import manifest as kinds
from ferryman.image import reference as references
from ferryman.image.decode import decode
from ferryman.image.manifest import Descriptor
from ferryman.image.reference import Reference
from ferryman.transfer import scratch
from ferryman.transfer.channel import last_line
from ferryman.transfer.ends import programs
from ferryman.transfer.ends.archives import ArchiveDestination
from ferryman.transfer.ends.contract import Content, CopyError, Image
from ferryman.transfer.ends.directory import DirectorySource

_SPECIFIER = re.compile(r"\[(?:([\w-]+)@)?(/[^+\]:]*)?(?:\+(/[^\]:]*))?(?::[^\]]*)?\]")
_ID = re.compile(r"@(?:sha256:)?([a-f0-9]{3,64})|(?:sha256:)?([a-f0-9]{64})")
_MAX_SAID = 16 << 20


class Place(NamedTuple):
    """An image of a storage, and how podman is called for it."""

    what: str
    argv: tuple[str, ...]
    name: str
    """The name or ID of the image, as podman is to be told."""


def place(reference: str) -> Place:
    """Return what a reference of the transport's stands for; raises CopyError."""
    what = f"containers-storage:{reference}"
    argv = ["podman"]
    match = _SPECIFIER.match(reference)
    if match is None and reference.startswith("["):
        raise CopyError(f"{what}: expected [DRIVER@ROOT+RUNROOT] in front of the name")
    if match:
        driver, root, run = match.groups()
        argv += ["--root", root] if root else []
        argv += ["--runroot", run] if run else []
        argv += ["--storage-driver", driver] if driver else []
        reference = reference[match.end() :]
    if shutil.which(argv[0]) is None:
        raise CopyError(f"{what}: the program podman is not installed")
    return Place(what, tuple(argv), reference)


@contextmanager
def source(found: Place) -> Iterator[DirectorySource]:
    """Have podman write an image aside, as skopeo reads it; raises ImageNotFound, CopyError."""
    if by_id := _ID.fullmatch(found.name):
        name = by_id.group(1) or by_id.group(2)
    else:
        name = _named(found).canonical
    with tempfile.TemporaryDirectory(prefix="ferry-", dir=scratch.folder()) as folder:
        if _run(found, "image", "exists", name).returncode:
            raise ImageNotFound(f"{found.what}: no such image")
        done = _run(found, "push", "--quiet", "--", name, f"dir:{folder}")
        if done.returncode:
            raise CopyError(f"{found.what}: {last_line(done.stderr)}")
        source = DirectorySource(folder)
        source.what = found.what
        yield source


def _named(found: Place) -> Reference:
    try:
        return references.parse(found.name).tagged()
    except InvalidReference as e:
        raise CopyError(f"{found.what}: {e}") from None


def _run(found: Place, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [*found.argv, *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )


class _Inspected(msgspec.Struct, frozen=True):
    digest: str = msgspec.field(name="Digest", default="")
    repo_digests: list[str] | None = msgspec.field(name="RepoDigests", default=None)


class PodmanDestination:
    """A name of a storage, to which an archive is loaded."""

    manifests = frozenset((kinds.OCI_MANIFEST,))
    keeps = True
    at_once = 1

    def __init__(self, found: Place, name: Reference, archive: ArchiveDestination) -> None:
        """Write to the archive, which podman reads."""
        self.what = found.what
        self._found = found
        self._name = name
        self._archive = archive
        self.image: Image | None = None

    def has(self, blob: Descriptor) -> bool:
        """Tell that nothing is there."""
        return False

    def put(self, blob: Descriptor, content: Content) -> None:
        """Take a blob; raises OSError."""
        self._archive.put(blob, content)

    def finish(self, image: Image) -> None:
        """End the archive; raises OSError."""
        self._archive.finish(image)
        self.image = image

    def verify(self) -> None:
        """See that the image is there; raises CopyError."""
        assert self.image
        done = _run(self._found, "image", "inspect", self._name.canonical)
        if done.returncode or len(done.stdout) > _MAX_SAID:
            raise CopyError(f"{self.what} is not there after it was sent")
        said = decode(done.stdout, list[_Inspected], f"{self.what}: its description")
        # What was there before, with the same config, has kept its own digest beside ours.
        known = [x.partition("@")[2] for each in said for x in each.repo_digests or ()]
        known += [each.digest for each in said]
        if self.image.target.digest not in known:
            raise CopyError(
                f"{self.what} has the digest {known[-1][:100] if known else 'of nothing'} after it "
                f"was sent, not {self.image.target.digest}"
            )


@contextmanager
def destination(found: Place) -> Iterator[PodmanDestination]:
    """Open a place in a storage; raises CopyError."""
    name = _named(found)
    if name.digest:
        raise CopyError(f"{found.what}: an image cannot be named by a digest")
    with programs.taking([*found.argv, "load", "--quiet"], found.what) as (fd, finish):
        archive = ArchiveDestination(fd, found.what, "oci", name.canonical)
        made = PodmanDestination(found, name, archive)
        yield made
        finish()
    made.verify()
