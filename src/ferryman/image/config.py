"""The image config: what a container starts with, and the layers it stands on (config.md)."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from ferryman.errors import InvalidImage
from ferryman.image import digest
from ferryman.image.decode import decode
from ferryman.image.digest import Digest
from ferryman.image.platform import Platform


class RootFS(msgspec.Struct, frozen=True):
    """The diff IDs of the layers, lowest first."""

    type: str = ""
    diff_ids: list[str] | None = None


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of how the image was made; `empty_layer` is a step that left no layer."""

    created: str | None = None
    created_by: str | None = None
    author: str | None = None
    comment: str | None = None
    empty_layer: bool = False


class Execution(msgspec.Struct, frozen=True, rename="pascal"):
    """The part of the config that ferryman itself reads of how a container is run."""

    labels: dict[str, str] | None = None


class Config(msgspec.Struct, frozen=True):
    """The fields of an image config that ferryman reads; its bytes hold the others."""

    architecture: str = ""
    os: str = ""
    variant: str | None = None
    rootfs: RootFS = RootFS()
    history: list[History] | None = None
    created: str | None = None
    author: str | None = None
    config: Execution | None = None

    @property
    def diff_ids(self) -> list[Digest]:
        """The digests of the uncompressed layers, lowest first; raises InvalidImage."""
        return [digest.parse(diff_id) for diff_id in self.rootfs.diff_ids or []]

    @property
    def created_at(self) -> float:
        """When it was made, in seconds since 1970; 0 when it does not say."""
        return seconds(self.created)

    @property
    def labels(self) -> dict[str, str]:
        """The image's labels."""
        return (self.config and self.config.labels) or {}

    @property
    def platform(self) -> Platform:
        """What the image runs on."""
        return Platform(self.architecture, self.os, self.variant)


def parse(content: bytes, what: str) -> Config:
    """Return the bytes of a config as a value.

    Raises InvalidImage, with `what` as its subject, when they are no config or name impossible
    diff IDs.
    """
    config = decode(content, Config, what)
    if config.rootfs.type not in ("", "layers"):
        raise InvalidImage(f"{what} has the unknown rootfs type {config.rootfs.type[:40]!r}")
    try:
        _ = config.diff_ids
    except InvalidImage as e:
        raise InvalidImage(f"{what}: {e}") from None
    return config


def as_mapping(content: bytes, what: str) -> dict[str, Any]:
    """Return the whole config as plain JSON values, unknown fields included."""
    return decode(content, dict[str, Any], what)


_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def seconds(text: str | None) -> float:
    """Return an RFC 3339 time in seconds since 1970; 0 when there is none, or none to be read."""
    return max(0.0, moment(text))


# Go's zero time, which docker has where there is no time: the beginning of the year 1.
NEVER = -62135596800.0


def moment(text: str | None) -> float:
    """Return an RFC 3339 time in seconds since 1970; NEVER when there is none to be read."""
    match = _TIME.fullmatch(text or "")
    if match is None:
        return NEVER
    whole, fraction, zone = match.groups()
    try:
        found = datetime.fromisoformat(whole.upper() + ("+00:00" if zone in "Zz" else zone))
    except ValueError:
        return NEVER
    return max(NEVER, found.timestamp() + float(f"0.{fraction or 0}"))


def chain_ids(diff_ids: Sequence[Digest]) -> list[Digest]:
    """Return the chain ID of each layer on top of those below it (config.md, "Layer ChainID")."""
    chain: list[Digest] = []
    for diff_id in diff_ids:
        if not chain:
            chain.append(diff_id)
        else:
            chain.append(digest.of(f"{chain[-1]} {diff_id}".encode()))
    return chain
