"""What a container is, seen through its first process: its files, and how that process runs."""

import os
import stat
from pathlib import Path
from typing import NamedTuple, Self

from tests.command import Command
from tests.containers.test_life import until
from tests.rootfs.seen import Entry, seen

# What each engine puts in a container by itself, or makes for its mounts.
_OF_THE_ENGINE = frozenset(
    b"dev proc sys run .dockerenv etc/hosts etc/hostname etc/mtab etc/resolv.conf".split()
)
# Likewise in the environment, and what a shell sets.
_ENV_OF_OTHERS = frozenset("HOSTNAME TERM container PWD OLDPWD SHLVL".split())


class Process(NamedTuple):
    """How the first process of a container runs."""

    words: tuple[str, ...]
    env: dict[str, str]
    folder: str
    user: tuple[str, ...]
    groups: frozenset[str]


class Inside(NamedTuple):
    """A container that runs."""

    process: Process
    files: dict[bytes, Entry]
    """Without what is mounted in it."""
    mounts: frozenset[bytes]

    def without(self, places: frozenset[bytes]) -> Self:
        """Return it without the files at and below these places."""
        kept = {
            path: entry
            for path, entry in self.files.items()
            if not any(path == place or path.startswith(place + b"/") for place in places)
        }
        return self._replace(files=kept)


def inside(engine: Command, container: str) -> Inside:
    """Return what a container of any engine is, once it has come to its ``sleep``."""
    proc = Path("/proc") / engine.text("inspect", "--format", "{{.State.Pid}}", container)
    until(lambda: (proc / "cmdline").read_bytes().startswith(b"sleep\0"))
    mounts = frozenset(
        line.split(b" ")[4].lstrip(b"/") for line in (proc / "mountinfo").read_bytes().splitlines()
    ) - {b""}
    return Inside(_process(proc), _files(proc / "root", mounts), mounts)


def _process(proc: Path) -> Process:
    env = [text.partition("=") for text in _texts(proc / "environ")]
    lines = (proc / "status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    gid = status["Gid"].split()
    return Process(
        words=tuple(_texts(proc / "cmdline")),
        env={name: value for name, _, value in env if name not in _ENV_OF_OTHERS},
        folder=os.readlink(proc / "cwd"),
        user=(*status["Uid"].split(), *gid),
        # docker has the first group among the others, too.
        groups=frozenset((*status["Groups"].split(), gid[0])),
    )


def _texts(path: Path) -> list[str]:
    return path.read_bytes().decode().rstrip("\0").split("\0")


def _files(root: Path, mounts: frozenset[bytes]) -> dict[bytes, Entry]:
    found = seen(root, skip=_OF_THE_ENGINE | mounts)
    for path, entry in found.items():
        if stat.S_ISDIR(entry.mode):
            # How many links a folder has is for the filesystem to say.
            found[path] = entry._replace(what=0)
    # The engine has made something in these, and podman has a mode of its own for the first.
    del found[b""]
    found[b"etc"] = found[b"etc"]._replace(mtime_ns=0)
    return found
