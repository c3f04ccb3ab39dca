"""Images where there is no engine: an OCI image layout.

The standard library alone, as of Python 3.6: this file is sent to hosts.
"""

import fcntl
import json
import os
import shutil
from typing import Any, Dict, List


class Layout:
    """Images where there is no engine: an OCI image layout, where a ferry would look for it."""

    def __init__(self) -> None:
        """Find the place; nothing is made before something is to be kept."""
        data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
        place = "/var/lib/ferry" if os.getuid() == 0 else os.path.join(data, "ferry")
        self._top = os.path.join(os.environ.get("FERRY_ROOT") or place, "image")
        self._blobs = os.path.join(self._top, "blobs", "sha256")

    def path(self, digest: str) -> str:
        """Return the file of a blob."""
        return os.path.join(self._blobs, digest)

    def have(self) -> List[str]:
        """Return the blobs that are there."""
        return os.listdir(self._blobs) if os.path.isdir(self._blobs) else []

    def images(self) -> List[Dict[str, Any]]:
        """Return the descriptors of its index."""
        try:
            with open(os.path.join(self._top, "index.json"), "rb") as file:
                found = json.loads(file.read().decode()).get("manifests")
        except (FileNotFoundError, ValueError):
            return []
        return found if isinstance(found, list) else []

    def take(self, digest: str, path: str) -> None:
        """Take a blob from a file, which it is by then."""
        os.makedirs(self._blobs, exist_ok=True)
        aside = os.path.join(self._top, ".ferry-" + digest)
        try:
            os.rename(path, aside)
        except OSError:  # another file system
            shutil.copyfile(path, aside)
            os.unlink(path)
        _sync(aside)
        os.rename(aside, self.path(digest))
        _sync(self._blobs)

    def add(self, images: List[Dict[str, Any]]) -> None:
        """Let descriptors stand for their names, in place of what did before."""
        lock = os.open(self._top, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            index = {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "manifests": added(self.images(), images),
            }
            self._write("oci-layout", {"imageLayoutVersion": "1.0.0"})
            self._write("index.json", index)
        finally:
            os.close(lock)

    def _write(self, name: str, content: Dict[str, Any]) -> None:
        aside = os.path.join(self._top, "." + name)
        with open(aside, "wb") as file:
            file.write(json.dumps(content).encode())
        _sync(aside)
        os.rename(aside, os.path.join(self._top, name))
        _sync(self._top)


def added(listed: List[Dict[str, Any]], images: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Return what an index lists with descriptors added, in place of those of their names."""
    names = {_name(image) for image in images}
    return [each for each in listed if _name(each) not in names] + images


def _name(image: Dict[str, Any]) -> str:
    """Return what an image is known by: its name, or its digest where it has none."""
    annotations = image.get("annotations")
    named = None
    if isinstance(annotations, dict):
        named = annotations.get("io.containerd.image.name")
    return str(named or image.get("digest"))


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
