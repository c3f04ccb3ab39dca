"""The steps of a build, each on top of others, and the keys by which the cache knows them.

A key says all that a step's result depends on: what it does, what it stands on, and the content
of the files that it takes; not their times.  Steps of the same key give the same result.
"""

import hashlib
import posixpath
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from ferryman.build.heredoc import Heredoc
from ferryman.build.mounts import Mount


class Scratch(NamedTuple):
    """Nothing: where ``FROM scratch`` begins."""


class Image(NamedTuple):
    """The files of an image that is in the store."""

    id: str
    name: str


class Context(NamedTuple):
    """The files of the build's context."""


class Execute(NamedTuple):
    """A command to be run."""

    arguments: tuple[str, ...]
    environment: tuple[str, ...]
    folder: str
    user: str
    network: str
    security: str
    mounts: tuple[Mount, ...]
    script: Heredoc | None
    """A file that is to be run: what it begins with says by what."""


class Files(NamedTuple):
    """Files to be copied to a place; `sources` are paths, patterns among them, or URLs."""

    sources: tuple[str, ...]
    inline: tuple[Heredoc, ...]
    destination: str
    """A whole path; one that ends with a slash is a folder."""
    chown: str
    chmod: str
    link: bool
    parents: bool
    exclude: tuple[str, ...]
    add: bool
    checksum: str
    keep_git_dir: bool
    unpack: bool


class Folder(NamedTuple):
    """A folder to be made, with those above it."""

    path: str
    user: str


class Vertex(NamedTuple):
    """One step: what it does to the files below it, and where it takes others from."""

    operation: Scratch | Image | Context | Execute | Files | Folder
    below: "Vertex | None" = None
    others: "tuple[Vertex, ...]" = ()
    """For files, the one they come from; for a command, one for each of its bind mounts."""
    title: str = ""
    """What is shown of it: ``[stage-0 2/3] RUN make``."""
    line: int = 0
    cached: bool = True
    """Whether a result from the cache will do."""


def order(target: Vertex) -> list[Vertex]:
    """Return a vertex with all that it needs, each behind what it stands on itself."""
    found: dict[int, Vertex] = {}
    stack = [(target, False)]
    while stack:
        vertex, ready = stack.pop()
        if ready:
            found.setdefault(id(vertex), vertex)
        elif id(vertex) not in found:
            stack.append((vertex, True))
            stack.extend((each, False) for each in reversed(list(needs(vertex))))
    return list(found.values())


def needs(vertex: Vertex) -> Iterator[Vertex]:
    """Yield what a vertex stands on, and takes from."""
    if vertex.below:
        yield vertex.below
    yield from vertex.others


def key(vertex: Vertex, below: str, contents: Sequence[str]) -> str:
    """Return the key of a step: `below` is the key of what it stands on.

    `contents` are digests of the files that it takes from elsewhere, one for each.
    """
    operation = vertex.operation
    if isinstance(operation, Files):
        # Where files came from says nothing that their content and names do not.
        names = tuple(posixpath.basename(each.rstrip("/")) for each in operation.sources)
        operation = operation._replace(sources=names)
    recipe = [type(operation).__name__, operation, below, list(contents)]
    return hashlib.sha256(msgspec.json.encode(recipe)).hexdigest()
