"""The steps of a graph, done: each becomes a layer, from the cache where that has it.

Steps that do not need each other are done at once.
"""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from ferryman import parallel
from ferryman.archive.intake import Taken
from ferryman.build import copying, graph, ignore, remote, selection
from ferryman.build.events import Began, Ended, Said, Tell
from ferryman.build.execute import Means, execute
from ferryman.build.graph import Execute, Files, Folder, Image, Scratch, Vertex
from ferryman.build.lines import DockerfileError
from ferryman.build.trees import Context, Layers, Mountable, Tree
from ferryman.errors import FerryError
from ferryman.image import manifest as manifests
from ferryman.image.manifest import Descriptor
from ferryman.rootfs import layer
from ferryman.rootfs.apart import apart, ended
from ferryman.rootfs.lower import Layer
from ferryman.runtime.finish import now
from ferryman.store import blobs, build_cache
from ferryman.store.durable import remove
from ferryman.store.layout import Store
from ferryman.store.lease import Lease

_CREATED = "org.opencontainers.image.created"
_KEY = "ferryman.build.key"


class Made(NamedTuple):
    """The layer of one step, when it was made, and the step's key."""

    layer: Layer
    created: str
    key: str


class Result(NamedTuple):
    """What a vertex has come to."""

    key: str
    tree: Tree
    made: tuple[Made, ...]
    """The layers of its steps, from the base on."""


class Sources(NamedTuple):
    """What a build takes its files from."""

    context: Context
    images: Callable[[str], Sequence[Layer]]
    """Returns the layers of the image with an ID."""
    fetch: Callable[[str, str], None]
    """Downloads a URL to a path."""
    clone: Callable[[str, str, bool, str], str]
    """Fetches a git repository, with what git has of its own or without, at a commit, to a folder;
    returns the path of what was meant in it."""


class Job(NamedTuple):
    """What all steps of a build need."""

    store: Store
    lease: Lease
    sources: Sources
    means: Means
    tell: Tell
    latest: int | None = None
    """The time that no file is newer than, in nanoseconds since 1970."""


def run(job: Job, target: Vertex) -> Result:
    """Do all that a vertex needs, and it; return its result.

    Raises DockerfileError, Failed, StoreError and the like; nothing goes on by then.
    """
    results: dict[int, Future[Result]] = {}
    # Steps wait for those before them, which are begun before them: one thread is enough for all.
    workers = max(2, 2 * parallel.cores())
    stop = threading.Event()
    with ThreadPoolExecutor(workers) as pool, ended():
        for vertex in graph.order(target):
            results[id(vertex)] = pool.submit(_done, job, vertex, results, stop)
        try:
            done, _ = wait(results.values(), return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            stop.set()
            for future in results.values():
                future.cancel()
            raise
        return results[id(target)].result()


def _done(
    job: Job, vertex: Vertex, results: dict[int, "Future[Result]"], stop: threading.Event
) -> Result:
    below = results[id(vertex.below)].result() if vertex.below else None
    others = [results[id(each)].result() for each in vertex.others]
    if stop.is_set():
        raise FerryError("another step has failed")
    match vertex.operation:
        case Scratch():
            return Result("", Layers(), ())
        case graph.Context():
            return Result("context", job.sources.context, ())
        case Image(image_id):
            job.tell(Began(vertex.title))
            job.tell(Ended(vertex.title, 0, cached=True))
            return Result(image_id, Layers(tuple(job.sources.images(image_id))), ())
    assert below
    job.tell(Began(vertex.title))
    began = time.monotonic()
    try:
        result, cached = _step(job, vertex, below, others)
    except FerryError as e:
        job.tell(Ended(vertex.title, time.monotonic() - began, error=str(e)))
        if isinstance(e, DockerfileError):
            e.line = e.line or vertex.line
            raise
        raise _located(e, vertex.line) from None
    job.tell(Ended(vertex.title, time.monotonic() - began, cached))
    return result


def _located(error: FerryError, line: int) -> DockerfileError:
    """Return an error of a step as one that knows its line."""
    return DockerfileError(str(error), line)


def _step(job: Job, vertex: Vertex, below: Result, others: Sequence[Result]) -> tuple[Result, bool]:
    """Return the result of a step, and whether the cache had it."""
    scratch = job.lease.path()
    os.mkdir(scratch, 0o700)
    try:
        return _cached(job, vertex, below, others, scratch)
    except OSError as e:
        raise FerryError(f"{e.filename or job.store.root}: {e.strerror}") from None
    finally:
        remove(scratch)


def _cached(
    job: Job, vertex: Vertex, below: Result, others: Sequence[Result], scratch: str
) -> tuple[Result, bool]:
    fetched = _fetched(job, vertex, scratch)
    contents = [_digest(path) for path in fetched]
    selections = _selections(vertex)
    salt = [] if job.latest is None else [str(job.latest)]

    def key(found: Sequence[str]) -> str:
        return graph.key(vertex, below.key, [*salt, *contents, *found])

    taken_from = list(zip(others, selections, strict=True))
    # Layers never change: what is taken from the same ones is the same, unlooked at.
    quick = key([_identity(other, *each) for other, each in taken_from])
    exact = quick
    if vertex.cached and (made := _known(job, quick)):
        return _result(below, made), True
    if any(isinstance(other.tree, Layers) for other in others):
        exact = key([_content(job, other, *each, scratch) for other, each in taken_from])
        if vertex.cached and (made := _known(job, exact)):
            _remember(job, quick, made)
            return _result(below, made), True
    made = _kept(job, _make(job, vertex, below, others, scratch, fetched), exact)
    for each in {quick, exact}:
        _remember(job, each, made)
    return _result(below, made), False


def _result(below: Result, made: Made) -> Result:
    assert isinstance(below.tree, Layers)
    return Result(made.key, Layers((*below.tree.layers, made.layer)), (*below.made, made))


_Selection = tuple[Sequence[str], ignore.Ignored]


def _selections(vertex: Vertex) -> list[_Selection]:
    """Return what a step takes from each of the others."""
    if isinstance(vertex.operation, Files):
        local = [each for each in vertex.operation.sources if not remote.is_remote(each)]
        return [(local, ignore.patterns(vertex.operation.exclude))]
    if isinstance(vertex.operation, Execute):
        binds = [mount for mount in vertex.operation.mounts if mount.type == "bind"]
        return [([mount.source or "/"], ignore.Ignored()) for mount in binds]
    return []


def _identity(other: Result, sources: Sequence[str], exclude: ignore.Ignored) -> str:
    if isinstance(other.tree, Layers):
        return repr([each.diff_id for each in other.tree.layers])
    with selection.opened(other.tree.folder, other.tree.ignored, (0, 0)) as root:
        return selection.digest(root, sources, exclude)


def _content(
    job: Job, other: Result, sources: Sequence[str], exclude: ignore.Ignored, scratch: str
) -> str:
    if isinstance(other.tree, Context):
        return _identity(other, sources, exclude)
    mountable = other.tree.ready(job.store, job.lease)

    def look() -> str:
        mountable.mount(f"{scratch}/source")
        with selection.opened(f"{scratch}/source", ignore.Ignored(), None) as root:
            return selection.digest(root, sources, exclude)

    return apart(look)


def _fetched(job: Job, vertex: Vertex, scratch: str) -> list[str]:
    """Download what a step wants of elsewhere, and return the paths."""
    if not isinstance(vertex.operation, Files):
        return []
    paths = []
    step = vertex.operation
    for number, url in enumerate(each for each in step.sources if remote.is_remote(each)):
        folder = f"{scratch}/fetched-{number}"
        if remote.is_repository(url):
            paths.append(job.sources.clone(url, folder, step.keep_git_dir, step.checksum))
            continue
        name = url.partition("?")[0].rstrip("/").rpartition("/")[2] or "__unnamed__"
        path = f"{folder}/{name}"
        os.mkdir(folder)
        job.sources.fetch(url, path)
        if step.checksum and (found := _digest(path)) != step.checksum:
            raise FerryError(f"digest mismatch {found}: expected {step.checksum}")
        paths.append(path)
    return paths


def _digest(path: str) -> str:
    if os.path.isdir(path):
        with selection.opened(path, ignore.Ignored(), (0, 0)) as root:
            return selection.digest(root, ["."])
    with open(path, "rb") as f:
        return f"sha256:{hashlib.file_digest(f, 'sha256').hexdigest()}"


def _known(job: Job, key: str) -> Made | None:
    found = build_cache.found(job.lease, key)
    if found is None:
        return None
    said = found.annotations or {}
    layer = Layer(found.digest, found.size, found.digest)
    return Made(layer, said.get(_CREATED, ""), said.get(_KEY, key))


def _remember(job: Job, key: str, made: Made) -> None:
    said = {_CREATED: made.created, _KEY: made.key}
    layer = Descriptor(manifests.OCI_LAYER, made.layer.digest, made.layer.size, said)
    build_cache.keep(job.lease, key, layer)


def _kept(job: Job, taken: Taken, key: str) -> Made:
    job.lease.protect([taken.digest])
    if blobs.size(job.store, taken.digest) != taken.size:
        blobs.adopt(job.lease, taken.path, taken.digest)
    return Made(Layer(str(taken.digest), taken.size, str(taken.digest)), now(), key)


def _make(
    job: Job,
    vertex: Vertex,
    below: Result,
    others: Sequence[Result],
    scratch: str,
    fetched: Sequence[str],
) -> Taken:
    """Do a step; return its layer."""
    assert isinstance(below.tree, Layers)
    if isinstance(vertex.operation, Execute):
        trees = [each.tree for each in others]
        with _heard(job, vertex.title) as output:
            return execute(
                job.store,
                job.lease,
                vertex.operation,
                below.tree,
                trees,
                job.means,
                output,
                job.latest,
            )
    assert isinstance(vertex.operation, Files | Folder)
    mountable = below.tree.ready(job.store, job.lease)
    source: Mountable | Context = Mountable(())
    if others:
        tree = others[0].tree
        source = tree.ready(job.store, job.lease) if isinstance(tree, Layers) else tree
    apart(partial(_write, vertex.operation, mountable, source, scratch, fetched))
    return layer.written(f"{scratch}/upper", job.lease, latest=job.latest)


def _write(
    step: Files | Folder,
    below: Mountable,
    source: Mountable | Context,
    scratch: str,
    fetched: Sequence[str],
) -> None:
    """Do what writes files alone, in a process of its own."""
    root = f"{scratch}/root"
    below.mount(root, scratch)
    if isinstance(step, Folder):
        copying.make_folder(root, step.path, step.user)
        return
    os.mkdir(f"{scratch}/work-files")
    if isinstance(source, Context):
        opened = selection.opened(source.folder, source.ignored, (0, 0))
    else:
        source.mount(f"{scratch}/source")
        opened = selection.opened(f"{scratch}/source", ignore.Ignored(), None)
    with opened as files:
        copying.copy(step, files, root, f"{scratch}/work-files", fetched)


@contextmanager
def _heard(job: Job, title: str) -> Iterator[int]:
    """Give a descriptor of which all that is written to it is told."""
    reader, writer = os.pipe()

    def listen() -> None:
        while text := os.read(reader, 1 << 16):
            job.tell(Said(title, text))

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield writer
    finally:
        os.close(writer)
        thread.join()
        os.close(reader)
