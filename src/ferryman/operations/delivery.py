"""Images brought to one host: what is there, which way they go, and what has come of it."""

import threading
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor
from ferryman.operations.cargo import Cargo
from ferryman.transfer import by_agent, by_archive, by_bucket, by_pull, by_shell, engines
from ferryman.transfer.channel import Channel
from ferryman.transfer.depot import Depot
from ferryman.transfer.differences import Differences
from ferryman.transfer.inventory import Held
from ferryman.transfer.line import Pace
from ferryman.transfer.plan import Plan, plan
from ferryman.transfer.pressed import Press, Pressed
from ferryman.transfer.probe import KEEPERS, PYTHON, SHELL, probe
from ferryman.transfer.site import site
from ferryman.transfer.verify import verify

_SPARE = 64 << 20
_PULLING = ("podman", "nerdctl", "ctr")


class Means(NamedTuple):
    """How images are brought: the same for all hosts."""

    pace: Pace
    press: Press
    differences: Differences | None
    """What makes deltas; None where whole layers are to go."""
    via: str = ""
    """The engine that is to take them; empty for the first that is there."""
    from_registry: bool = False
    dry_run: bool = False
    depot: Depot | None = None
    """The bucket from which hosts are to fetch, if there is one."""


class Delivery:
    """A host, connected."""

    def __init__(
        self, channel: Channel, means: Means, tell: Callable[[str, int, int], None]
    ) -> None:
        """Look at what is there; raises HostError.

        `tell` hears what is being done, the bytes done so far and in all.
        """
        self._channel = channel
        self._means = means
        self._tell = tell
        tell("Looking", 0, 0)
        self._far = probe(channel)
        self._engine = engines.chosen(channel, self._far, means.via)
        self._site = site(channel, self._engine)
        self._pulls = self._engine.containerd or self._engine.name in _PULLING
        self._fetcher = ""
        if means.depot and self._engine.name == SHELL:
            raise channel.error(f"there is no engine or python3 to fetch from {means.depot.what}")
        if means.depot and not self._pulls and self._engine.name != PYTHON:
            self._fetcher = by_bucket.fetcher(channel, self._far, means.depot.what)

    def bring(self, cargo: Cargo) -> tuple[Plan, int]:
        """Bring one image; return what was to be done, and the bytes that were sent.

        Raises HostError, StoreError.
        """
        wanted = cargo.for_engine(by_diff_ids=self._by_diff_ids())
        planned = plan(wanted, self._engine.name, self._way(), self._site)
        if self._means.dry_run or planned.way == "nothing":
            return planned, 0
        self._check_room(cargo, planned)
        sent = self._send(cargo, planned, self._heard(planned))
        # The next image may stand on the same layers.
        held = Held(cargo.wanted.id, cargo.wanted.diff_ids, cargo.wanted.names)
        there = self._site.blobs | {blob.id for blob in cargo.saved.blobs}
        self._site = self._site._replace(images=(*self._site.images, held), blobs=there)
        return planned, sent

    def _way(self) -> str:
        if self._means.depot:
            return "bucket"
        if self._engine.name in KEEPERS:
            return "layout"
        if self._means.from_registry:
            return "registry"
        return "pull" if self._pulls else "archive"

    def _by_diff_ids(self) -> bool:
        """Tell whether the engine knows layers by the digests of their tars, and nothing else."""
        archive = self._way() in ("archive", "bucket") and not self._pulls
        return archive and self._engine.name == "docker"

    def _send(self, cargo: Cargo, planned: Plan, heard: Callable[[int], None]) -> int:
        channel, pace = self._channel, self._means.pace
        if self._engine.name in KEEPERS:
            return self._keep(cargo, planned, heard)
        if self._by_diff_ids():
            saved, planned = cargo.plain(planned)
            cargo = cargo._replace(saved=saved)
        if planned.way == "archive" and self._has_agent(planned):
            # It forgets what it has kept only once the image is found whole.
            job, check = self._job(cargo, planned), partial(self._check, cargo)
            return by_agent.move(channel, job, pace, heard, check)
        if self._pulls and not cargo.stop:
            self._check_name(cargo)
        if planned.way == "pull" and self._has_agent(planned):
            job, check = self._job(cargo, planned), partial(self._check, cargo)
            return by_agent.pull(channel, job, cargo.content, pace, heard, check)
        sent = self._send_to_engine(cargo, planned, heard)
        self._check(cargo)
        return sent

    def _send_to_engine(self, cargo: Cargo, planned: Plan, heard: Callable[[int], None]) -> int:
        channel, engine, pace = self._channel, self._engine, self._means.pace
        if cargo.stop:
            self._tell("Pulling", 0, 0)
            names, insecure = cargo.wanted.names, cargo.stop.insecure
            by_pull.pull(channel, engine, cargo.stop.name, names, insecure=insecure)
            return 0
        if planned.way == "bucket" and (depot := self._means.depot):
            return self._have_fetched(cargo, planned, depot, heard)
        if planned.way == "pull":
            return by_pull.move(channel, engine, cargo.content, cargo.wanted.names, pace, heard)
        codec = by_archive.codec(self._far)

        def press(digest: Digest, size: int) -> Pressed:
            return self._means.press(codec, digest, size, 0)

        return by_archive.move(
            channel, engine, codec, planned, cargo.saved, press, pace, heard, self._form()
        )

    def _keep(self, cargo: Cargo, planned: Plan, heard: Callable[[int], None]) -> int:
        """Have the image kept as a layout, where there is no engine."""
        channel, pace, plain = self._channel, self._means.pace, cargo.content.plain
        if self._engine.name == PYTHON:
            job = self._job(cargo, planned)
            if depot := self._means.depot:
                return by_bucket.keep(channel, job, depot, pace, heard)
            return by_agent.keep(channel, job, pace, heard)

        def pressed(codec: str, blob: Descriptor, start: int) -> Pressed:
            way = codec if blob.id in plain else "none"
            return self._means.press(way, blob.id, blob.size, start)

        codec = by_archive.codec(self._far)
        return by_shell.keep(channel, codec, cargo.saved, pressed, pace, heard)

    def _form(self) -> str:
        return "docker-archive" if self._by_diff_ids() else "docker"

    def _have_fetched(
        self, cargo: Cargo, planned: Plan, depot: Depot, heard: Callable[[int], None]
    ) -> int:
        channel, engine, pace = self._channel, self._engine, self._means.pace
        if self._pulls:
            return by_bucket.pull(channel, engine, depot, planned, cargo.content, pace, heard)
        return by_bucket.load(
            channel,
            engine,
            self._fetcher,
            depot,
            by_archive.codec(self._far),
            planned,
            cargo.saved,
            self._form(),
            self._means.press,
            pace,
            heard,
        )

    def _job(self, cargo: Cargo, planned: Plan) -> by_agent.Job:
        press, differences = self._means.press, self._means.differences
        return by_agent.Job(
            self._engine, self._site, planned, cargo.saved, press, differences, self._form()
        )

    def _has_agent(self, planned: Plan) -> bool:
        """Tell whether Python there can keep what arrives."""
        free = self._far.free or 0
        needed = sum(step.layer.size for step in planned.missing)
        ids = (planned.image.id, *(step.layer.id for step in planned.steps))
        known = all(digest.algorithm == "sha256" for digest in ids)
        return known and self._far.has_python and free > 2 * needed + _SPARE

    def _check_name(self, cargo: Cargo) -> None:
        # Of what nobody has named, podman alone keeps what it has pulled.
        if not cargo.wanted.names and self._engine.name != "podman":
            raise self._channel.error(f"{cargo.name} needs a name there: see ferry tag")

    def _check(self, cargo: Cargo) -> None:
        self._tell("Verifying", 0, 0)
        verify(self._channel, self._engine, cargo.wanted)

    def _heard(self, planned: Plan) -> Callable[[int], None]:
        action = "Fetching" if planned.way == "bucket" else "Sending"
        done, total = 0, planned.bytes
        lock = threading.Lock()

        def heard(n: int) -> None:
            nonlocal done
            with lock:
                done += n
            self._tell(action, done, total)

        return heard

    def _check_room(self, cargo: Cargo, planned: Plan) -> None:
        free = engines.free(self._channel, self._engine)
        missing = {step.layer.id for step in planned.missing}
        needed = sum(cargo.unpacked[digest] for digest in missing)
        if free is not None and needed > free:
            raise self._channel.error(
                f"no room for {cargo.name}: it needs {needed} bytes, and {free} are free"
            )
