"""Where images are moved to: hosts that ssh knows, and docker daemons."""

import hashlib
import json
import os
import re
from typing import NamedTuple

from ferryman.errors import UsageError

_SSH = re.compile(r"ssh://(?:([^@/]+)@)?(\[[0-9a-fA-F:.]+\]|[^:/@\[\]]+)(?::(\d{1,5}))?(?:/.*)?")
_HOST = re.compile(r"(?:[^@/:\s]+@)?[^@/:\s]+")
_DAEMON, _CONTEXT = "docker-daemon:", "context:"
_MAX_META = 1 << 16


class Place(NamedTuple):
    """A machine: one that ssh reaches, or this one, and the docker daemon that is meant."""

    name: str
    """As it was given, and as it is shown."""
    destination: str = ""
    """``[user@]host`` for ssh, or empty for this machine."""
    port: int | None = None
    docker_host: str = ""
    """``DOCKER_HOST`` for docker's client, or empty for what it has by itself."""


def parse(text: str) -> Place:
    """Return what ``ssh://[user@]host[:port]``, a name of ssh's, or a daemon stands for.

    ``docker-daemon:`` is the daemon of this machine, ``docker-daemon:unix:///path`` that of a
    socket, ``context:NAME`` one of docker's contexts.  Raises UsageError.
    """
    if text.startswith(_DAEMON):
        return Place(text, docker_host=text.removeprefix(_DAEMON))
    if text.startswith(_CONTEXT):
        return _of_context(text, text.removeprefix(_CONTEXT))
    if "://" in text:
        match = _SSH.fullmatch(text)
        if match is None:
            raise UsageError(f"invalid host {text}: it must be ssh://[user@]host[:port]")
        user, host, port = match.groups()
        destination = f"{user}@{host}" if user else host
        return _checked(Place(text, destination.translate(_BRACKETS), int(port) if port else None))
    if not _HOST.fullmatch(text):
        raise UsageError(f"invalid host {text}: it must be ssh://[user@]host[:port] or [user@]host")
    return _checked(Place(text, text))


_BRACKETS = str.maketrans("", "", "[]")


def _checked(place: Place) -> Place:
    """Refuse what ssh would take for an option."""
    if place.destination.startswith("-") or "@-" in place.destination:
        raise UsageError(f"invalid host {place.name}")
    return place


def _of_context(text: str, name: str) -> Place:
    """Return the place of a context, as docker's client keeps them in its folder."""
    if name == "default":
        return Place(text)
    home = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    path = f"{home}/contexts/meta/{hashlib.sha256(name.encode()).hexdigest()}/meta.json"
    try:
        with open(path, "rb") as f:
            host = json.loads(f.read(_MAX_META))["Endpoints"]["docker"]["Host"]
    except FileNotFoundError:
        raise UsageError(f'context "{name}" does not exist') from None
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f'context "{name}" cannot be read: {path}') from None
    if isinstance(host, str) and host.startswith("ssh://"):
        return parse(host)._replace(name=text)
    return Place(text, docker_host=str(host))
