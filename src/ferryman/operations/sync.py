"""Sync: many images, one after the other, of which each blob goes once; a list says which.

The list is YAML: what skopeo's sync reads, a list of ``SRC DST`` or of images, or a compose file.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ferryman.errors import FerryError, Interrupted, InvalidReference, UsageError
from ferryman.image import reference as references
from ferryman.image.reference import Reference
from ferryman.operations import compose, yaml_file
from ferryman.operations import copy as copies
from ferryman.operations.copy import TRANSPORTS, Copied, End, Means, Options
from ferryman.registry import repository

_IN_LAYOUTS = frozenset(("oci", "s3"))


class Job(NamedTuple):
    """One image to be copied, or what is wrong with a line of the list."""

    source: str
    destination: str = ""
    error: str = ""


class Synced(NamedTuple):
    """What has become of one image."""

    job: Job
    copied: Copied | None = None
    error: str = ""


def jobs(path: str, prefix: str, *, scoped: bool = False) -> Iterator[Job]:
    """Yield what a list says; registries are asked for their tags on the way.

    `prefix` is where what has no destination of its own goes: ``docker://host/path`` and
    ``dir:path`` get the last part of its name behind them (with `scoped`, all of it), ``oci:path``
    and ``s3://bucket/prefix`` keep all images in one layout, other ends know whole names.  Raises
    UsageError.
    """
    said = yaml_file.read(path, "a list of images", UsageError)
    if isinstance(said, dict) and "services" in said:
        for name in compose.image_names(path):
            yield _job(name, "", prefix, scoped=scoped)
    elif isinstance(said, dict):
        for registry, what in said.items():
            yield from _of_registry(path, str(registry), what, prefix, scoped=scoped)
    elif isinstance(said, list):
        for line in said:
            words = line.split() if isinstance(line, str) else []
            if not 1 <= len(words) <= 2:
                raise UsageError(f"{path}: {str(line)[:200]!r} is neither an image nor SRC DST")
            yield _job(words[0], words[1] if len(words) == 2 else "", prefix, scoped=scoped)
    else:
        raise UsageError(f"{path} is no list of images: see ferry sync --help")


def sync(how: Means, listed: Iterator[Job], options: Options | None = None) -> Iterator[Synced]:
    """Copy each image and yield what has become of it; what fails does not stop the others.

    Raises Interrupted.
    """
    for job in listed:
        if job.error:
            yield Synced(job, None, job.error)
            continue
        # One that failed has stopped its own threads, and no others.
        how.stop.clear()
        try:
            done = copies.copy(
                how, copies.parse(job.source), copies.parse(job.destination), options
            )
        except Interrupted:
            raise
        except FerryError as e:
            yield Synced(job, None, str(e))
        else:
            yield Synced(job, done)


def _job(source: str, destination: str, prefix: str, *, scoped: bool) -> Job:
    transport, _, rest = source.partition(":")
    # docker:27 is an image of that name.
    if transport not in TRANSPORTS or (
        transport in ("docker", "s3", "ssh") and not rest.startswith("//")
    ):
        source = f"docker://{source}"
    if destination:
        return Job(source, destination)
    if not prefix:
        return Job(source, error=f"{source}: no destination, here or behind the list")
    try:
        return Job(source, str(placed(copies.parse(source), prefix, scoped=scoped)))
    except FerryError as e:
        return Job(source, error=str(e))


def placed(source: End, prefix: str, *, scoped: bool = False) -> End:
    """Return where an image goes below a prefix; raises UsageError."""
    transport, _, place = prefix.partition(":")
    place = place.removeprefix("//") if transport in ("docker", "s3", "ssh") else place
    if transport not in TRANSPORTS or transport in ("docker-archive", "oci-archive"):
        raise UsageError(f'"{prefix}" is no place for many images')
    name = _name(source)
    tag = f"@{name.digest}" if name.digest else f":{name.tag}"
    short = (name.name if scoped else name.path.rpartition("/")[2]) + tag
    place = place.rstrip("/")
    if transport in ("docker", "dir"):
        return End(transport, f"{place}/{short}")
    if transport in _IN_LAYOUTS:
        return End(transport, f"{place}:{short if not scoped else name.name + tag}")
    if transport == "ssh":
        return End(transport, f"{place}/{name.familiar}")
    return End(transport, f"{place}{name.familiar}")


def _name(source: End) -> Reference:
    """Return the name of an image at whatever end it is; raises UsageError."""
    text = source.reference
    if source.transport in ("docker-archive", "oci-archive", "oci", "s3"):
        text = text.partition(":")[2]
    elif source.transport == "ssh":
        text = text.partition("/")[2]
    elif source.transport == "dir":
        text = os.path.basename(text.rstrip("/"))
    elif source.transport == "containers-storage":
        text = text.rpartition("]")[2]
    try:
        name = references.parse(text)
    except InvalidReference:
        raise UsageError(f"{source}: no name to call it by at its destination") from None
    return name if name.digest else name.tagged()


def _of_registry(
    path: str, registry: str, what: Any, prefix: str, *, scoped: bool
) -> Iterator[Job]:
    """Yield what skopeo's form says of one registry (skopeo-sync(1), "YAML file content")."""
    if not isinstance(what, Mapping):
        raise UsageError(f"{path}: {registry} must be a mapping")
    known = {"images", "images-by-tag-regex", "tls-verify"}
    if unknown := sorted(str(key) for key in what if key not in known):
        advice = {
            "credentials": ": see ferry login",
            "cert-dir": ": see the registries' settings",
        }.get(unknown[0], "")
        raise UsageError(f"{path}: {registry}.{unknown[0]} is not supported{advice}")
    if what.get("tls-verify") is False:
        raise UsageError(
            f"{path}: {registry}.tls-verify: say so in the registries' settings, for all commands"
        )
    for name, tags in _mapping(path, what, "images").items():
        repo = f"{registry}/{name}"
        if not tags:
            yield from _tags(repo, "", prefix, scoped=scoped)
            continue
        for tag in _texts(path, name, tags):
            separator = "@" if tag.startswith(("sha256:", "sha512:")) else ":"
            yield _job(f"docker://{repo}{separator}{tag}", "", prefix, scoped=scoped)
    for name, pattern in _mapping(path, what, "images-by-tag-regex").items():
        yield from _tags(f"{registry}/{name}", str(pattern), prefix, scoped=scoped)


def _mapping(path: str, what: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = what.get(key) or {}
    if not isinstance(found, Mapping):
        raise UsageError(f"{path}: {key} must be a mapping of repositories")
    return found


def _texts(path: str, name: str, tags: Any) -> Sequence[str]:
    if not isinstance(tags, list):
        raise UsageError(f"{path}: the tags of {name} must be a list")
    return [str(tag) for tag in tags]


def _tags(repo: str, pattern: str, prefix: str, *, scoped: bool) -> Iterator[Job]:
    """Yield all tags of a repository that a pattern finds something in."""
    try:
        name = references.parse(repo)
        wanted = re.compile(pattern)
        with repository.opened(name) as found:
            tags = [tag for tag in repository.tags(found) if references.is_tag(tag)]
    except re.error as e:
        yield Job(f"docker://{repo}", error=f"{repo}: {pattern!r} is no pattern: {e}")
        return
    except FerryError as e:
        yield Job(f"docker://{repo}", error=f"{repo}: {e}")
        return
    for tag in tags:
        if wanted.search(tag):
            yield _job(f"docker://{repo}:{tag}", "", prefix, scoped=scoped)
