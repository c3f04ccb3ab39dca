"""Move: images to other machines, of which each is sent only what it lacks."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from ferryman.archive.write import Saved
from ferryman.errors import FerryError
from ferryman.image.platform import Platform
from ferryman.operations import save, through
from ferryman.operations.cargo import Cargo, cargo, pressing
from ferryman.operations.delivery import Delivery, Means
from ferryman.operations.through import Through
from ferryman.store.layout import Store
from ferryman.transfer.channel import SILENCE, Channel, opened
from ferryman.transfer.differences import Differences
from ferryman.transfer.line import Pace
from ferryman.transfer.place import Place
from ferryman.transfer.plan import Plan
from ferryman.transfer.tars import Tars

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
    silence: int = SILENCE
    """After how many seconds without a sign a host is given up."""
    through: Through | None = None
    """From where the hosts are to have them; None to send from here."""


class Moved(NamedTuple):
    """What has become of one host."""

    host: str
    plans: tuple[Plan, ...] = ()
    sent: int = 0
    """Bytes that went over the line, compressed as they went."""
    seconds: float = 0.0
    error: str = ""


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
    way, pace = options.through, Pace(options.limit)
    uploading = partial(tell, way.text if way else "", "Uploading")
    with (
        Tars(store) as tars,
        pressing(store, tars) as press,
        Differences(tars) as differences,
        through.depot(way, press, pace, uploading) as depot,
    ):
        images = [cargo(store, saved, platform, press, tars) for saved in chosen]
        if way and way.registry and not options.dry_run:
            told = partial(tell, way.text, "Pushing")
            stops = through.bring(store, chosen, way.registry, told)
            images = [image.at(stop) for image, stop in zip(images, stops, strict=True)]
        means = Means(
            pace,
            press,
            differences if options.delta else None,
            options.via,
            bool(way and way.registry),
            options.dry_run,
            depot,
        )
        fleet = _Fleet(images, means, options.silence, tell)
        if len(places) == 1:
            return [fleet.bring(places[0])]
        with ThreadPoolExecutor(max(1, options.at_once)) as pool:
            begun = [pool.submit(fleet.bring, place, ask_nothing=True) for place in places]
            try:
                return [each.result() for each in begun]
            except BaseException:
                # Ctrl-C: nobody is to be waited for.
                for each in begun:
                    each.cancel()
                fleet.cut()
                raise


class _Fleet:
    """All hosts of one move."""

    def __init__(self, images: Sequence[Cargo], means: Means, silence: int, tell: Tell) -> None:
        self._images = images
        self._means = means
        self._silence = silence
        self._tell = tell
        self._connected: set[Channel] = set()

    def bring(self, place: Place, *, ask_nothing: bool = False) -> Moved:
        """Bring the images to one host; what goes wrong is in what is returned."""
        begun = time.monotonic()
        moved = Moved(place.name)
        tell = partial(self._tell, place.name)
        try:
            tell("Connecting", 0, 0)
            with opened(place, ask_nothing=ask_nothing, silence=self._silence) as channel:
                self._connected.add(channel)
                delivery = Delivery(channel, self._means, tell)
                for image in self._images:
                    done, sent = delivery.bring(image)
                    moved = moved._replace(plans=(*moved.plans, done), sent=moved.sent + sent)
        except FerryError as e:
            moved = moved._replace(error=str(e))
        except OSError as e:
            moved = moved._replace(error=f"{place.name}: {e.strerror or e}")
        return moved._replace(seconds=time.monotonic() - begun)

    def cut(self) -> None:
        """End all connections, and what goes to a bucket."""
        if self._means.depot:
            self._means.depot.cut()
        for channel in list(self._connected):
            channel.cut()
