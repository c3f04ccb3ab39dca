"""What is measured of containers: runs, what comes out of them, and many at once."""

import subprocess
from collections.abc import Callable, Sequence
from functools import partial

from tests.command import Command

from benchmarks.cases import Case, Goal
from benchmarks.images import NAME, Images
from benchmarks.measure import Contender, Pipeline
from benchmarks.peers import Peers
from benchmarks.stores import Ready, Stores, empty, loaded

FIFTY, PUBLISHED = 50, 20
_COMMITTED = "ferry-bench/committed:1"

# Starts the engine's command ("$@") for all containers at once, then stops them at once.
_START_AND_STOP = f"""
image=$1; shift
for i in $(seq {FIFTY}); do
    publish=; [ $i -gt {PUBLISHED} ] || publish="-p 127.0.0.1::80"
    "$@" run -d --rm --stop-signal KILL --name many-$i $publish "$image" sleep 1000 &
    processes="$processes $!"
done
for process in $processes; do wait $process || exit 1; done
"$@" stop $(seq -f many-%g {FIFTY})
"""

_EXPORT_FINDING = (
    "Contents come from the layers' tars as fast as the disk gives them; Python takes some 40 µs a "
    "file to read headers and to write others."
)

Step = Callable[[Command], Pipeline]


def container_cases(peers: Peers, images: Images) -> Sequence[Case]:
    """Return the cases; none without a base system, whose programs the containers run."""
    if images.base is None:
        return []
    return [
        _run(peers, images),
        _first_run(peers, images),
        _export(peers, images),
        _commit(peers, images),
        _pipe(peers, images),
        _fifty(peers, images),
    ]


def _run(peers: Peers, images: Images) -> Case:
    return Case(
        "run",
        "Run a program in a container (run --rm IMAGE true)",
        images.archive,
        _engines(peers, _warm(peers, images), _true),
        Goal(1.0, "docker"),
    )


def _first_run(peers: Peers, images: Images) -> Case:
    def load(engine: Command) -> Pipeline:
        return (engine.with_flags("load", "--input", str(images.archive)),)

    return Case(
        "first-run",
        "Load from a file, and run a program for the first time",
        images.archive,
        _engines(peers, empty(peers), load, _true),
        Goal(0.25, "docker"),
    )


def _export(peers: Peers, images: Images) -> Case:
    stores = _warm(peers, images)
    out = peers.folder / "out.tar"
    tree = peers.folder / "tree"

    def export(engine: Command) -> Pipeline:
        return (engine.with_flags("export", "--output", str(out), "to-export"),)

    def prepare(engine: Command, ready: Ready) -> None:
        out.unlink(missing_ok=True)
        ready()
        _unless_there(engine, "to-export", "create", "--name", "to-export", NAME)

    def unpack() -> None:
        out.unlink(missing_ok=True)
        if not tree.exists():
            tree.mkdir()
            subprocess.run(["tar", "-C", tree, "-xpf", images.rootfs], check=True)

    tar = Command(("tar", "-C", str(tree), "-cf", str(out), "."))
    return Case(
        "export",
        "Export the files of a container",
        images.rootfs,
        (
            *_engines(peers, _preparing(peers, stores, prepare), export),
            Contender("tar -c", ((tar,),), unpack, reference=True),
        ),
        Goal(1.0, "tar -c", _EXPORT_FINDING),
    )


def _commit(peers: Peers, images: Images) -> Case:
    stores = _warm(peers, images)

    def commit(engine: Command) -> Pipeline:
        return (engine.with_flags("commit", "to-commit", _COMMITTED),)

    def prepare(engine: Command, ready: Ready) -> None:
        ready()
        engine.run("rmi", "--force", _COMMITTED, check=False)
        copy = ("cp", "-a", "/usr/lib", "/srv/copy")
        _unless_there(engine, "to-commit", "run", "--name", "to-commit", NAME, *copy)

    return Case(
        "commit",
        "Commit a container that has written a copy of its /usr/lib",
        images.archive,
        _engines(peers, _preparing(peers, stores, prepare), commit),
    )


def _pipe(peers: Peers, images: Images) -> Case:
    def through(engine: Command) -> Pipeline:
        source = Command(("cat", str(images.gzipped)))
        return source, engine.with_flags("run", "--rm", "--interactive", NAME, "cat")

    return Case(
        "run-pipe",
        "Send a file through a container (run --rm -i IMAGE cat)",
        images.gzipped,
        _engines(peers, _warm(peers, images), through),
    )


def _fifty(peers: Peers, images: Images) -> Case:
    def start_and_stop(engine: Command) -> Pipeline:
        script = ("sh", "-c", _START_AND_STOP, "sh", NAME)
        return (Command((*script, *engine.argv), engine.env),)

    return Case(
        "fifty",
        f"Start {FIFTY} containers at once, {PUBLISHED} with published ports, and stop them",
        images.archive,
        _engines(peers, _warm(peers, images), start_and_stop),
    )


def _true(engine: Command) -> Pipeline:
    return (engine.with_flags("run", "--rm", NAME, "true"),)


def _engines(peers: Peers, stores: Stores, *steps: Step) -> tuple[Contender, ...]:
    engines = {"ferry": stores.ferry, "docker": peers.docker, "podman": peers.podman}
    return tuple(
        Contender(name, tuple(step(engine) for step in steps), stores.ready[name])
        for name, engine in engines.items()
    )


def _warm(peers: Peers, images: Images) -> Stores:
    """Return stores with the image, from which it has been run."""
    done: set[tuple[str, ...]] = set()

    def prepare(engine: Command, ready: Ready) -> None:
        ready()
        if engine.argv not in done:
            engine.run("run", "--rm", NAME, "true")
            done.add(engine.argv)

    return _preparing(peers, loaded(peers, images.archive, NAME), prepare)


def _preparing(peers: Peers, stores: Stores, prepare: Callable[[Command, Ready], object]) -> Stores:
    """Return the stores, with `prepare` called for what their engines had to be ready before."""
    engines = {"ferry": stores.ferry, "docker": peers.docker, "podman": peers.podman}
    return stores._replace(
        ready={
            name: partial(prepare, engine, stores.ready[name]) for name, engine in engines.items()
        }
    )


def _unless_there(engine: Command, container: str, *command: str) -> None:
    if engine.run("container", "inspect", container, check=False).returncode:
        engine.run(*command)
