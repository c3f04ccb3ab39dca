"""What is measured, against what, and what it may take."""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.command import Command

from benchmarks.images import MANY, NAME, Images
from benchmarks.measure import Contender
from benchmarks.peers import Peers
from benchmarks.stores import Ready, Stores, empty, loaded, skopeo_load

_SHA = "openssl dgst -sha256"


class Goal(NamedTuple):
    """What ferry may take at most: so many times a reference's time, or so many seconds."""

    limit: float
    of: str | None = None
    """The name of the reference; None when the limit is in seconds."""
    finding: str = ""
    """Why it is missed, should it be: what the profile shows, in words."""

    def ratio(self, best: Mapping[str, float]) -> float:
        """Return what is held against the limit, given the best seconds of each contender."""
        return best["ferry"] / best[self.of] if self.of else best["ferry"]

    def met(self, best: Mapping[str, float]) -> bool:
        """Tell whether ferry was fast enough."""
        return self.ratio(best) <= self.limit


class Case(NamedTuple):
    """One job: ferry first, its peers, and references, all on the same input."""

    key: str
    title: str
    input: Path
    contenders: tuple[Contender, ...]
    goal: Goal | None = None

    @property
    def ferry(self) -> Contender:
        """The contender that is ours."""
        return self.contenders[0]

    def only_goal(self) -> "Case":
        """Return the case with nothing but ferry and what its goal is measured by."""
        kept = ("ferry", self.goal and self.goal.of)
        return self._replace(contenders=tuple(c for c in self.contenders if c.name in kept))


def cases(peers: Peers, images: Images) -> Sequence[Case]:
    """Return all cases; each makes its own ground ready, in whatever order they run."""
    found = [
        _load(peers, images),
        _load_stdin(peers, images),
        _load_gzip(peers, images),
        _load_gzip_stdin(peers, images),
        _load_again(peers, images),
        _save(peers, images),
        _save_pipe(peers, images),
        _import(peers, "import", "Import all files of the image", images.rootfs),
        _list(peers, "ls", "List one image", images.archive, NAME),
        _list(peers, "ls-many", f"List {MANY} images", images.many, "ferry-bench/small:0"),
    ]
    if images.base:
        found.insert(-2, _import(peers, "import-base", "Import the base system", images.base))
    return found


def _load(peers: Peers, images: Images) -> Case:
    file = images.archive
    return Case(
        "load",
        "Load from a file",
        file,
        (*_from_file(peers, file, empty(peers)), *_hashes(file), _copy(peers, file)),
        Goal(1.5, _SHA),
    )


def _load_stdin(peers: Peers, images: Images) -> Case:
    file = images.archive
    return Case(
        "load-stdin",
        "Load from a pipe",
        file,
        (*_from_pipe(peers, file, empty(peers)), *_hashes(file), _cat(file)),
        Goal(2.0, _SHA),
    )


def _load_gzip(peers: Peers, images: Images) -> Case:
    return Case(
        "load-gzip",
        "Load a gzipped archive from a file",
        images.gzipped,
        (*_from_file(peers, images.gzipped, empty(peers)), *_inflaters(images.gzipped)),
    )


def _load_gzip_stdin(peers: Peers, images: Images) -> Case:
    return Case(
        "load-gzip-stdin",
        "Load a gzipped archive from a pipe",
        images.gzipped,
        (*_from_pipe(peers, images.gzipped, empty(peers)), *_inflaters(images.gzipped)),
    )


def _load_again(peers: Peers, images: Images) -> Case:
    file = images.archive
    return Case(
        "load-again",
        "Load from a file what is there already",
        file,
        (*_from_file(peers, file, loaded(peers, file, NAME)), *_hashes(file)),
    )


def _save(peers: Peers, images: Images) -> Case:
    stores = loaded(peers, images.archive, NAME)
    out = peers.folder / "out.tar"

    def contender(name: str, command: Command) -> Contender:
        return Contender(name, ((command,),), _without(out, stores.ready[name]))

    option = ("save", "--output", str(out), NAME)
    return Case(
        "save",
        "Save to a file",
        images.archive,
        (
            contender("ferry", stores.ferry.with_flags(*option)),
            contender("docker", peers.docker.with_flags(*option)),
            contender("podman", peers.podman.with_flags(*option)),
            contender("skopeo", _skopeo_save(peers, stores, out)),
            _copy(peers, images.archive),
        ),
        Goal(1.5, "cp"),
    )


def _save_pipe(peers: Peers, images: Images) -> Case:
    stores = loaded(peers, images.archive, NAME)

    def contender(name: str, command: Command) -> Contender:
        return Contender(name, ((command, _command("cat")),), stores.ready[name])

    return Case(
        "save-pipe",
        "Save to a pipe",
        images.archive,
        (
            contender("ferry", stores.ferry.with_flags("save", NAME)),
            contender("docker", peers.docker.with_flags("save", NAME)),
            contender("podman", peers.podman.with_flags("save", NAME)),
            contender("skopeo", _skopeo_save(peers, stores, Path("/dev/stdout"))),
            _cat(images.archive),
        ),
        Goal(1.5, "cat | cat"),
    )


def _import(peers: Peers, key: str, title: str, tar: Path) -> Case:
    stores = empty(peers)

    def contender(name: str, command: Command) -> Contender:
        arguments = ("import", str(tar), "ferry-bench/imported:1")
        return Contender(name, ((command.with_flags(*arguments),),), stores.ready[name])

    return Case(
        key,
        title,
        tar,
        (
            contender("ferry", stores.ferry),
            contender("docker", peers.docker),
            contender("podman", peers.podman),
            *_hashes(tar),
            _copy(peers, tar),
        ),
        Goal(2.2, _SHA),
    )


def _list(peers: Peers, key: str, title: str, archive: Path, name: str) -> Case:
    stores = loaded(peers, archive, name)

    def contender(name: str, command: Command) -> Contender:
        return Contender(name, ((command.with_flags("image", "ls"),),), stores.ready[name])

    return Case(
        key,
        title,
        archive,
        (
            contender("ferry", stores.ferry),
            contender("docker", peers.docker),
            contender("podman", peers.podman),
            _reference("python -c pass", sys.executable, "-c", "pass"),
        ),
        Goal(0.120),
    )


def _from_file(peers: Peers, file: Path, stores: Stores) -> tuple[Contender, ...]:
    def contender(name: str, command: Command) -> Contender:
        return Contender(name, ((command,),), stores.ready[name])

    option = ("load", "--input", str(file))
    return (
        contender("ferry", stores.ferry.with_flags(*option)),
        contender("docker", peers.docker.with_flags(*option)),
        contender("podman", peers.podman.with_flags(*option)),
        contender("skopeo", skopeo_load(peers, file, NAME, stores.layout)),
    )


def _from_pipe(peers: Peers, file: Path, stores: Stores) -> tuple[Contender, ...]:
    # Without skopeo, which reads an archive from a regular file only.
    def contender(name: str, command: Command) -> Contender:
        pipeline = (_command("cat", file), command.with_flags("load"))
        return Contender(name, (pipeline,), stores.ready[name])

    return (
        contender("ferry", stores.ferry),
        contender("docker", peers.docker),
        contender("podman", peers.podman),
    )


def _skopeo_save(peers: Peers, stores: Stores, out: Path) -> Command:
    return peers.skopeo.with_flags(f"oci:{stores.layout}:{NAME}", f"docker-archive:{out}:{NAME}")


def _hashes(file: Path) -> tuple[Contender, ...]:
    return (_reference(_SHA, *_SHA.split(), file), _reference("sha256sum", "sha256sum", file))


def _inflaters(file: Path) -> tuple[Contender, ...]:
    # Where there is no igzip, its library, by the Python package that ferry uses.
    igzip = ("igzip",) if shutil.which("igzip") else (sys.executable, "-m", "isal.igzip")
    return (
        _reference("gzip -dc", "gzip", "-dc", file),
        _reference("igzip -dc", *igzip, "-dc", file),
    )


def _copy(peers: Peers, file: Path) -> Contender:
    out = peers.folder / "out.tar"
    return Contender("cp", ((_command("cp", file, out),),), _without(out), reference=True)


def _cat(file: Path) -> Contender:
    return Contender("cat | cat", ((_command("cat", file), _command("cat")),), reference=True)


def _reference(name: str, *argv: str | Path) -> Contender:
    return Contender(name, ((_command(*argv),),), reference=True)


def _command(*argv: str | Path) -> Command:
    return Command(tuple(map(str, argv)))


def _without(out: Path, ready: Ready = lambda: None) -> Callable[[], object]:
    def prepare() -> None:
        ready()
        out.unlink(missing_ok=True)

    return prepare
