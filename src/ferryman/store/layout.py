"""Where everything in a store lies, and how one is opened or made.

::

    image/          an OCI image layout: oci-layout, index.json, blobs/<algorithm>/<encoded>
    meta/version    the form of this store; a newer one than ours is refused
    meta/layers/    one record a compressed layer: its diff ID and uncompressed size
    meta/compressed/  what plain layers become when they are sent away compressed
    meta/leases/    one locked file a running operation: the blobs it relies on
    meta/*.lock     see `lock`
    tmp/<lease>/    everything that a running operation has not finished
    partial/        blobs that are not whole yet, see `partial`
    layers/<id>/    one folder a layer (the hex of its diff ID) that has been made mountable
    containers/     one folder a container, see runtime.record
    volumes/        one folder a volume, see runtime.volumes
    networks/       one file a network, see runtime.networks
"""

import os
from typing import NamedTuple

from ferryman.errors import StoreError
from ferryman.image.digest import Digest
from ferryman.store import durable
from ferryman.store.lock import locked

VERSION = 1
_OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_EMPTY_INDEX = b'{"schemaVersion":2,"manifests":[]}'


class Store(NamedTuple):
    """An opened store: nothing but its root folder."""

    root: str

    @property
    def layout(self) -> str:
        """The OCI image layout, which other tools read as it stands."""
        return f"{self.root}/image"

    @property
    def index_file(self) -> str:
        """The layout's ``index.json``."""
        return f"{self.root}/image/index.json"

    @property
    def meta(self) -> str:
        """The folder of what the image layout has no place for."""
        return f"{self.root}/meta"

    @property
    def containers(self) -> str:
        """The folder with one folder for each container."""
        return f"{self.root}/containers"

    @property
    def layers(self) -> str:
        """The folder with one folder for each layer that containers stand on."""
        return f"{self.root}/layers"

    @property
    def volumes(self) -> str:
        """The folder with one folder for each volume."""
        return f"{self.root}/volumes"

    @property
    def networks(self) -> str:
        """The folder with one file for each network."""
        return f"{self.root}/networks"

    @property
    def leases(self) -> str:
        """The folder with one locked file for each running operation."""
        return f"{self.root}/meta/leases"

    @property
    def tmp(self) -> str:
        """The folder of what is unfinished."""
        return f"{self.root}/tmp"

    @property
    def partial(self) -> str:
        """The folder of blobs of which the beginning is here."""
        return f"{self.root}/partial"

    def blobs(self, algorithm: str = "sha256") -> str:
        """Return the folder of the blobs with digests of one algorithm."""
        return f"{self.root}/image/blobs/{algorithm}"

    def blob(self, digest: Digest) -> str:
        """Return the path of a blob."""
        return f"{self.root}/image/blobs/{digest.algorithm}/{digest.encoded}"

    def layer_record(self, digest: Digest) -> str:
        """Return the path of what is known of a compressed layer."""
        return f"{self.root}/meta/layers/{digest.algorithm}/{digest.encoded}"

    def compressed_record(self, digest: Digest) -> str:
        """Return the path of what a plain layer becomes when it is compressed."""
        return f"{self.root}/meta/compressed/{digest.algorithm}/{digest.encoded}"


def default_root() -> str:
    """Return the store of this user: ``FERRY_ROOT``, or the system's or the user's data folder."""
    if root := os.environ.get("FERRY_ROOT"):
        return root
    if os.geteuid() == 0:
        return "/var/lib/ferry"
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return f"{data}/ferry"


def open_store(root: str) -> Store:
    """Open the store in a folder; make it when there is none.

    A store that cannot be written opens too: whatever only reads will work.  Raises StoreError
    when it can neither be read nor made, or was made by a newer version.
    """
    store = Store(os.path.abspath(root))
    try:
        with open(f"{store.meta}/version", "rb") as f:
            _check_version(store, f.read(64))
    except FileNotFoundError:
        _make(store)
    except OSError as e:
        raise StoreError(f"cannot read the store {store.root}: {e.strerror}") from None
    return store


def _check_version(store: Store, content: bytes) -> None:
    text = content.decode("ascii", "replace").strip()
    if not text.isdigit():
        raise StoreError(f"{store.meta}/version is damaged: {text!r} is not a version")
    if int(text) > VERSION:
        raise StoreError(
            f"the store {store.root} was made by a newer version of ferry (store version {text}, "
            f"this one knows {VERSION}): upgrade ferry, or choose another store with --root"
        )


def _make(store: Store) -> None:
    """Make the folders and files of an empty store; two processes may do it at once."""
    try:
        # Images hold secrets often enough: the store is its owner's alone.
        os.makedirs(store.root, mode=0o700, exist_ok=True)
        if any(name not in _PARTS for name in os.listdir(store.root)):
            raise StoreError(
                f"{store.root} is not empty and not a store of ferry: choose another with --root"
            )
        for folder in (store.blobs(), f"{store.meta}/layers", store.leases, store.tmp):
            os.makedirs(folder, mode=0o755, exist_ok=True)
        for folder in (os.path.dirname(store.blobs()), store.layout, store.meta, store.root):
            durable.sync_folder(folder)
        with locked(f"{store.meta}/collect.lock"), locked(f"{store.meta}/index.lock"):
            for path, content in (
                (f"{store.layout}/oci-layout", _OCI_LAYOUT),
                (store.index_file, _EMPTY_INDEX),
                (f"{store.meta}/version", b"%d\n" % VERSION),
            ):
                if not os.path.exists(path):
                    durable.replace(path, content, aside=f"{store.meta}/index.json.new")
    except OSError as e:
        raise StoreError(f"cannot make a store in {store.root}: {e.strerror}") from None


_PARTS = frozenset(
    (
        *(
            "image",
            "meta",
            "tmp",
            "partial",
            "build",
            "layers",
            "containers",
            "volumes",
            "networks",
        ),
        "lost+found",
    )
)
