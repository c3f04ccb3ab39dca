"""A container's config: what its user says, and what the image says where the user is silent."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from ferryman.errors import InvalidImage
from ferryman.runtime.settings import Config, Healthcheck, InvalidSettings

T = TypeVar("T")


class _OfImage(msgspec.Struct, frozen=True, rename="pascal"):
    """The fields of an image's config that a container takes over."""

    user: str = ""
    exposed_ports: dict[str, dict[str, str]] = {}
    env: list[str] = []
    cmd: list[str] | None = None
    healthcheck: Healthcheck | None = None
    volumes: dict[str, dict[str, str]] = {}
    working_dir: str = ""
    entrypoint: list[str] | None = None
    labels: dict[str, str] = {}
    stop_signal: str | None = None


def merged(document: Mapping[str, Any], asked: Config) -> Config:
    """Return the config of a container of an image.

    `document` is the image's whole config, `asked` what the user wants.  As with docker: an entry
    point of the user's takes the image's command away, ``[""]`` is no entry point at all, and of
    variables, labels, ports and volumes there are the user's and the image's others.  Raises
    InvalidImage when the image's config is none, InvalidSettings when nothing is left to be run.
    """
    try:
        image = msgspec.convert(_filled(document.get("config") or {}), _OfImage)
    except msgspec.ValidationError as e:
        raise InvalidImage(f"the image's config is invalid: {e}") from None
    entrypoint, cmd = asked.entrypoint, asked.cmd
    if not entrypoint:
        cmd = cmd or image.cmd
        entrypoint = image.entrypoint if entrypoint is None else entrypoint
    if entrypoint == [""]:
        entrypoint = None
    if not entrypoint and not cmd:
        raise InvalidSettings("no command specified")
    return msgspec.structs.replace(
        asked,
        user=asked.user or image.user,
        exposed_ports=_union(asked.exposed_ports, image.exposed_ports),
        env=_env(asked.env or [], image.env),
        cmd=cmd,
        healthcheck=_healthcheck(asked.healthcheck, image.healthcheck),
        volumes=_union(asked.volumes, image.volumes),
        working_dir=asked.working_dir or image.working_dir,
        entrypoint=entrypoint,
        labels={**image.labels, **asked.labels},
        stop_signal=asked.stop_signal or image.stop_signal,
    )


def _filled(value: Any) -> Any:
    """Return JSON without its nulls, which are the same as nothing."""
    if isinstance(value, dict):
        return {key: _filled(each) for key, each in value.items() if each is not None}
    return value


def _union(ours: dict[str, T] | None, theirs: dict[str, T]) -> dict[str, T] | None:
    return {**theirs, **(ours or {})} or None


def _env(ours: list[str], theirs: list[str]) -> list[str] | None:
    """Return the user's variables, and those of the image that have other names.

    A name alone is kept: it says that the variable is not to be.
    """
    names = {entry.partition("=")[0] for entry in ours}
    others = [entry for entry in theirs if entry.partition("=")[0] not in names]
    return [*ours, *others] or None


def _healthcheck(ours: Healthcheck | None, theirs: Healthcheck | None) -> Healthcheck | None:
    if ours is None or theirs is None:
        return ours or theirs
    silent = {
        name: getattr(theirs, name)
        for name in Healthcheck.__struct_fields__
        if not getattr(ours, name)
    }
    return msgspec.structs.replace(ours, **silent)
