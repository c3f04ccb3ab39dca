"""Build: an image of a Dockerfile and a context, without a daemon."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from ferryman.archive.intake import free_space
from ferryman.archive.stream import Bounded
from ferryman.build import instructions, syntax
from ferryman.build.events import Began, Ended, Said, Tell
from ferryman.build.execute import Means, clear
from ferryman.build.history import COMMENT
from ferryman.build.lines import DockerfileError
from ferryman.build.plan import BaseImage, Built, Request, plan
from ferryman.build.run import Job, Result, Sources, run
from ferryman.errors import FerryError, ImageNotFound, Interrupted, UsageError
from ferryman.image import config as configs
from ferryman.image import manifest as manifests
from ferryman.image import reference
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor
from ferryman.image.platform import Platform
from ferryman.image.reference import Reference
from ferryman.operations import download, new_image
from ferryman.operations.build_context import Recipe
from ferryman.operations.clone import clone
from ferryman.operations.pull import pull
from ferryman.operations.remove import remove
from ferryman.rootfs.lower import Layer
from ferryman.runtime.finish import now
from ferryman.store.collect import working
from ferryman.store.images import Image, all_images, find, read_document
from ferryman.store.layout import Store
from ferryman.store.lease import Lease, reading

_NO_MEANS = Means()
_EPOCH = "SOURCE_DATE_EPOCH"


class BuildError(FerryError):
    """What is wrong with a Dockerfile, with its name and the number of the line."""


def build(
    store: Store,
    recipe: Recipe,
    request: Request,
    *,
    names: Sequence[Reference] = (),
    means: Means = _NO_MEANS,
    tell: Tell = lambda event: None,
    keep: bool = True,
    newest: bool = False,
    then: Callable[[Digest], None] = lambda image_id: None,
) -> Digest:
    """Build an image, give it its names, and return its ID.

    Base images that are not here are pulled; with `newest`, all are.  Without `keep` the store has
    it only while `then` is called with its ID.  Raises BuildError, and what is wrong with the store
    and this machine.
    """
    if not recipe.text:
        raise BuildError(f"the Dockerfile cannot be empty: {recipe.name}")
    try:
        dockerfile = syntax.parse(recipe.text)
        stages = instructions.stages(dockerfile.instructions)
        clear(store)
        with working(store) as lease:
            bases = _Bases(store, lease, tell, newest=newest)
            built = plan(stages, dockerfile.escape, request, bases.find)
            epoch = _epoch(request.arguments)
            job = Job(
                store,
                lease,
                Sources(recipe.context, bases.layers, partial(_fetch, store), clone),
                means,
                tell,
                None if epoch is None else epoch * 10**9,
            )
            result = run(job, built.vertex)
            with reading(store):
                before = {image.id for image in all_images(store)}
            image_id = _kept(lease, built, result, bases, names if keep else (), epoch)
            if keep:
                return image_id
            try:
                then(image_id)
            finally:
                if image_id not in before:
                    remove(store, image_id)
            return image_id
    except DockerfileError as e:
        place = f"{recipe.name}:{e.line}: " if e.line else f"{recipe.name}: "
        raise BuildError(f"{place}{e}") from None


class _Bases:
    """The images that a build stands on: of the store, or pulled."""

    def __init__(self, store: Store, lease: Lease, tell: Tell, *, newest: bool) -> None:
        self._store = store
        self._lease = lease
        self._tell = tell
        self._newest = newest
        self._images: dict[str, Image] = {}

    def find(self, name: str, platform: Platform) -> BaseImage:
        if self._newest:
            self._pull(name, platform)
        try:
            return self._found(name, platform)
        except ImageNotFound:
            if self._newest:
                raise
        self._pull(name, platform)
        return self._found(name, platform)

    def _pull(self, name: str, platform: Platform) -> None:
        wanted = reference.parse(name).tagged()
        title = f"[internal] pull {wanted.canonical}"
        begun = time.monotonic()

        def tell(subject: str, words: str) -> None:
            self._tell(Said(title, f"{subject}: {words}\n".encode()))

        self._tell(Began(title))
        try:
            pull(self._store, wanted, platform=platform, tell=tell)
        except FerryError as e:
            if isinstance(e, Interrupted):
                raise
            self._tell(Ended(title, time.monotonic() - begun, error=str(e)))
            raise DockerfileError(f"{name}: not found: it cannot be pulled: {e}") from None
        self._tell(Ended(title, time.monotonic() - begun))

    def _found(self, name: str, platform: Platform) -> BaseImage:
        with reading(self._store):
            image = find(self._store, name, platform)
            digests = [image.digest, image.id, *(layer.id for layer in image.layers)]
            self._lease.protect(digests)
            content = read_document(self._store, image.manifest.config)
        self._images[str(image.id)] = image
        return BaseImage(str(image.id), configs.as_mapping(content, f"config of {name}"))

    def layers(self, image_id: str) -> list[Layer]:
        image = self._images[image_id]
        return [
            Layer(layer.digest, layer.size, diff_id)
            for layer, diff_id in zip(image.layers, image.config.diff_ids, strict=True)
        ]

    def descriptors(self, base: BaseImage | None) -> Sequence[Descriptor]:
        return self._images[base.id].layers if base else ()


def _epoch(arguments: Mapping[str, str]) -> int | None:
    text = arguments.get(_EPOCH, "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise UsageError(f"invalid {_EPOCH}: {text}")
    return int(text)


def _fetch(store: Store, url: str, path: str) -> None:
    """Download a file, which is root's alone to read, and of the time that the server says."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as f, download.opened(url) as (stream, _):
        content = Bounded(stream, free_space(store), url)
        while piece := content.read(1 << 20):
            f.write(piece)
    os.utime(path, (0, 0))


def _kept(
    lease: Lease,
    built: Built,
    result: Result,
    bases: _Bases,
    names: Sequence[Reference],
    epoch: int | None,
) -> Digest:
    """Write the image's documents and its names."""
    new = [
        Descriptor(manifests.OCI_LAYER, made.layer.digest, made.layer.size) for made in result.made
    ]
    layers = [*bases.descriptors(built.base), *new]
    return new_image.put(lease, _document(built, result, epoch), layers, names)


def _document(built: Built, result: Result, epoch: int | None) -> dict[str, Any]:
    """Return the image's config (config.md)."""
    base = built.base.config if built.base else {}
    rootfs = base.get("rootfs") or {}
    fixed = None if epoch is None else _rfc3339(epoch)
    created = fixed or base.get("created") or now()
    steps: list[dict[str, Any]] = []
    layers = iter(result.made)
    for moment in built.moments:
        if moment.layer:
            created = fixed or next(layers).created
        step = {"created": created, "created_by": moment.words, "comment": COMMENT}
        steps.append(step if moment.layer else {**step, "empty_layer": True})
    platform = built.platform
    document = {
        key: value for key, value in base.items() if key in ("os.version", "os.features", "variant")
    }
    document |= {
        "architecture": base.get("architecture") or platform.architecture,
        "os": base.get("os") or platform.os,
        "config": dict(built.config),
        "created": created,
        "history": [*(base.get("history") or []), *steps],
        "rootfs": {
            "type": "layers",
            "diff_ids": [
                *(rootfs.get("diff_ids") or []),
                *(made.layer.diff_id for made in result.made),
            ],
        },
    }
    if built.author:
        document["author"] = built.author
    return document


def _rfc3339(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
