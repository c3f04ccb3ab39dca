"""Move: images to other machines, of which each is sent only what it lacks."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from ferryman.archive.write import Saved
from ferryman.errors import FerryError
from ferryman.image import manifest as manifests
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor
from ferryman.image.platform import Platform
from ferryman.operations import save
from ferryman.store import blobs, layers
from ferryman.store.images import of_target, read_document, walk
from ferryman.store.layout import Store
from ferryman.transfer import by_agent, by_archive, by_pull, engines
from ferryman.transfer.channel import Channel, opened
from ferryman.transfer.differences import Differences
from ferryman.transfer.line import Pace
from ferryman.transfer.place import Place
from ferryman.transfer.plan import Plan, Wanted, plan
from ferryman.transfer.pressed import Pressed
from ferryman.transfer.probe import Engine, Far, probe
from ferryman.transfer.serve import Content
from ferryman.transfer.verify import verify

Tell = Callable[[str, str, int, int], None]
"""Called with a host, what is being done there, the bytes done so far and in all.  Several threads
may call it at once."""


class Options(NamedTuple):
    """How images are to be moved."""

    via: str = ""
    """The engine that is to take them; empty for the first that is there."""
    limit: int | None = None
    """Bytes a second, for all hosts together."""
    at_once: int = 8
    """To how many hosts at once."""
    dry_run: bool = False
    delta: bool = True
    """Whether layers may be sent as differences."""


class Moved(NamedTuple):
    """What has become of one host."""

    host: str
    plans: tuple[Plan, ...] = ()
    sent: int = 0
    """Bytes that went over the line, compressed as they went."""
    seconds: float = 0.0
    error: str = ""


class _Image(NamedTuple):
    wanted: Wanted
    saved: Saved
    content: Content
    unpacked: dict[Digest, int]
    """The bytes that each layer's tar has."""


_Press = Callable[[str, Digest, int, int], Pressed]
"""Gives a blob, by codec, digest, size and the byte where it begins: one for all hosts."""

_PYTHON = (3, 6)
_SPARE = 64 << 20
_DEFAULT = Options()


def _untold(host: str, action: str, done: int, total: int) -> None:
    pass


def move(
    store: Store,
    names: Sequence[str],
    places: Sequence[Place],
    options: Options = _DEFAULT,
    *,
    platform: Platform | None = None,
    tell: Tell = _untold,
) -> list[Moved]:
    """Bring images to hosts, some at once, and return what has become of each, in order.

    A host on which something fails does not stop the others: its error is in what is returned.
    Raises ImageNotFound, InvalidReference, StoreError before anything is sent.
    """
    with save.chosen(store, names, platform) as chosen:
        return bring(store, chosen, places, options, platform=platform, tell=tell)


def bring(
    store: Store,
    chosen: Sequence[Saved],
    places: Sequence[Place],
    options: Options = _DEFAULT,
    *,
    platform: Platform | None = None,
    tell: Tell = _untold,
) -> list[Moved]:
    """Do what `move` does with images that have been looked up, under the names they have now."""
    pace = Pace(options.limit)
    with (
        _shared(store) as press,
        Differences(partial(_open_plain, store)) as differences,
    ):
        images = [_image(store, saved, platform, press) for saved in chosen]

        def one(place: Place) -> Moved:
            means = _Means(options, pace, press, differences)
            return _bring(place, images, means, tell, alone=len(places) == 1)

        if len(places) == 1:
            return [one(places[0])]
        with ThreadPoolExecutor(max(1, options.at_once)) as pool:
            return list(pool.map(one, places))


def _bring(
    place: Place, images: Sequence[_Image], means: "_Means", tell: Tell, *, alone: bool
) -> Moved:
    begun = time.monotonic()
    moved = Moved(place.name)
    try:
        tell(place.name, "Connecting", 0, 0)
        with opened(place, ask_nothing=not alone) as channel:
            tell(place.name, "Looking", 0, 0)
            host = _Host(channel, means, partial(tell, place.name))
            for image in images:
                done, sent = host.bring(image)
                moved = moved._replace(plans=(*moved.plans, done), sent=moved.sent + sent)
    except FerryError as e:
        moved = moved._replace(error=str(e))
    except OSError as e:
        moved = moved._replace(error=f"{place.name}: {e.strerror or e}")
    return moved._replace(seconds=time.monotonic() - begun)


class _Means(NamedTuple):
    """What all hosts share."""

    options: Options
    pace: Pace
    press: _Press
    differences: Differences


class _Host:
    """One host while images are brought to it."""

    def __init__(
        self, channel: Channel, means: _Means, tell: Callable[[str, int, int], None]
    ) -> None:
        self._channel = channel
        self._options, self._pace, self._press, self._differences = means
        self._tell = tell
        self._far = probe(channel)
        self._engine = _engine(channel, self._far, self._options.via)
        self._site = engines.inventory(channel, self._engine)

    def bring(self, image: _Image) -> tuple[Plan, int]:
        """Bring one image; return what was to be done, and the bytes that were sent."""
        engine = self._engine
        by_pulling = engine.containerd or engine.name in ("podman", "nerdctl", "ctr")
        way = "pull" if by_pulling else "archive"
        planned = plan(image.wanted, engine.name, way, self._site)
        if self._options.dry_run or planned.way == "nothing":
            return planned, 0
        self._check_room(image, planned)
        heard = self._heard(planned.bytes)
        if by_pulling:
            if not image.wanted.names and engine.name != "podman":
                raise self._channel.error(f"{image.wanted.id} needs a name there: see ferry tag")
            sent = by_pull.move(
                *(self._channel, engine, image.content, image.wanted.names, self._pace, heard)
            )
        else:
            sent = self._by_archive(image, planned, heard)
        self._check(image)
        return planned, sent

    def _by_archive(self, image: _Image, planned: Plan, heard: Callable[[int], None]) -> int:
        if self._has_agent(image, planned):
            press = partial(self._press, "gzip")
            differences = self._differences if self._options.delta else None
            job = by_agent.Job(
                *(self._engine, self._site, planned, image.saved, press, differences)
            )
            check = partial(self._check, image)
            return by_agent.move(self._channel, job, self._pace, heard, check)
        codec = by_archive.codec(self._far)

        def press_all(digest: Digest, size: int) -> Pressed:
            return self._press(codec, digest, size, 0)

        return by_archive.move(
            *(self._channel, self._engine, codec, planned, image.saved),
            *(press_all, self._pace, heard),
        )

    def _has_agent(self, image: _Image, planned: Plan) -> bool:
        """Tell whether Python there can keep what arrives."""
        python, free = self._far.python, self._far.free
        needed = sum(step.layer.size for step in planned.missing)
        known = all(step.layer.id.algorithm == "sha256" for step in planned.missing)
        return bool(known and python and python >= _PYTHON and (free or 0) > 2 * needed + _SPARE)

    def _check(self, image: _Image) -> None:
        self._tell("Verifying", 0, 0)
        verify(self._channel, self._engine, image.wanted)

    def _heard(self, total: int) -> Callable[[int], None]:
        done = 0
        lock = threading.Lock()

        def heard(n: int) -> None:
            nonlocal done
            with lock:
                done += n
            self._tell("Sending", done, total)

        return heard

    def _check_room(self, image: _Image, planned: Plan) -> None:
        free = engines.free(self._channel, self._engine)
        needed = sum({s.layer.id: image.unpacked[s.layer.id] for s in planned.missing}.values())
        if free is not None and needed > free:
            raise self._channel.error(
                f"no room for {image.wanted.names[0] if image.wanted.names else image.wanted.id}: "
                f"it needs {needed} bytes, and {free} are free"
            )


def _engine(channel: Channel, far: Far, via: str) -> Engine:
    if via:
        engine = far.engine(via)
        if engine is None:
            raise channel.error(f"there is no {via} that may be used")
        return engine
    if not far.engines:
        raise channel.error("there is no docker, podman, nerdctl, ctr or ferry that may be used")
    return far.engines[0]


def _ids(saved: Saved) -> frozenset[Digest]:
    kinds = manifests.MANIFEST_TYPES | manifests.INDEX_TYPES
    documents = {blob.id for blob in saved.blobs if blob.media_type in kinds}
    return frozenset(documents | {saved.config.id})


@contextmanager
def _shared(store: Store) -> Iterator[_Press]:
    """Give what presses blobs, once each; all that it took is given back after the block."""
    made: dict[tuple[str, Digest, int], Pressed] = {}
    lock = threading.Lock()

    def press(codec: str, digest: Digest, size: int, start: int) -> Pressed:
        with lock:
            found = made.get((codec, digest, start))
            if found is None:
                opens = partial(blobs.open_blob, store, digest)
                found = made[codec, digest, start] = Pressed(opens, size, codec, start)
            return found

    try:
        yield press
    finally:
        for each in made.values():
            each.close()


def _image(store: Store, saved: Saved, platform: Platform | None, press: _Press) -> _Image:
    image = of_target(store, saved.target, saved.names, platform)
    kinds = manifests.MANIFEST_TYPES | manifests.INDEX_TYPES
    layer_ids = {layer.id for layer in saved.layers}
    wanted = Wanted(
        image.id,
        tuple(name.canonical for name in saved.names if name.tag),
        tuple(saved.layers),
        tuple(image.config.diff_ids),
        sum(blob.size for blob in saved.blobs if blob.id not in layer_ids),
        _ids(saved),
    )
    documents = {
        descriptor.id: (descriptor.media_type, read_document(store, descriptor))
        for descriptor, _ in walk(store, saved.target)
    }
    content = Content(
        saved.target,
        documents,
        {blob.id: blob.size for blob in saved.blobs if blob.media_type not in kinds},
        partial(blobs.open_blob, store),
        lambda digest, size: press("gzip", digest, size, 0),
        frozenset(blob.id for blob in saved.blobs if _plain(blob)),
    )
    unpacked = {
        layer.id: layers.uncompressed_size(store, layer.id, layer.size) for layer in saved.layers
    }
    return _Image(wanted, saved, content, unpacked)


def _open_plain(store: Store, digest: Digest) -> int | None:
    """Open the tar of a layer, where the store has it as it is."""
    if blobs.size(store, digest) is None:
        return None
    return blobs.open_blob(store, digest)


def _plain(blob: Descriptor) -> bool:
    """Tell whether a blob is worth being compressed."""
    return manifests.compression_of(blob.media_type) in (None, "none")
