"""What is on a host: engines, Python, compressors, room; asked by one script of the shell."""

import re
import secrets
from typing import NamedTuple

from ferryman.transfer.channel import Channel, HostError, last_line

ENGINES = ("docker", "podman", "nerdctl", "ctr", "ferry")
"""The engines that images are moved to, the first that is there before the others."""
_FETCHERS = ("curl", "wget", "busybox")
PYTHON = "python"
"""What takes the place of an engine's name where there is none, and Python keeps the images."""
SHELL = "sh"
"""What does where there is no Python either: the shell keeps the images."""
KEEPERS = (PYTHON, SHELL)
"""What keeps images as a layout, where there is no engine."""
_OLDEST = (3, 6)
_LIMIT = 256 << 10
_SECONDS = 120.0

# Each line is a word and what is known of it.  What asks a user something, or is not there, says
# nothing.  sudo without a password is tried where an engine is there and not to be used otherwise.
_SCRIPT = r"""
PATH="$PATH:/usr/sbin:/sbin:/snap/bin"
export LC_ALL=C
echo MARK
echo "machine $(uname -s) $(uname -m)"
try() {
    command -v "$1" >/dev/null 2>&1 || return 0
    name=$1 && shift
    for as in "" "sudo -n "; do
        [ -z "$as" ] || command -v sudo >/dev/null 2>&1 || continue
        said=$(${as}"$name" "$@" </dev/null 2>/dev/null) || continue
        # docker's client says something, and ends with 0, also where no daemon answers it: of that
        # one no version.
        case $said in "" | " "*) continue ;; esac
        echo "engine $name $as| $(printf '%s' "$said" | tr '\n' ' ')"
        return 0
    done
    echo "silent $name"
}
if docker --version 2>/dev/null | grep -qi podman; then :; else
    try docker info --format '{{.ServerVersion}} {{.DockerRootDir}} {{json .DriverStatus}}'
fi
try podman info --format '{{.Version.Version}} {{.Store.GraphRoot}}'
try nerdctl info --format '{{.ServerVersion}}'
command -v ctr >/dev/null 2>&1 && try ctr version
try ferry version
python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' </dev/null 2>/dev/null) &&
    echo "python $python"
command -v zstd >/dev/null 2>&1 && echo "zstd"
command -v curl >/dev/null 2>&1 && echo "fetcher curl"
command -v wget >/dev/null 2>&1 && case $(wget --version 2>&1 </dev/null) in
    *GNU*) echo "fetcher wget" ;;
    *) echo "fetcher busybox" ;;
esac
keeps=yes
for each in dd gzip mkdir mv rm sha256sum sync wc; do
    command -v $each >/dev/null 2>&1 || keeps=
done
[ -z "$keeps" ] || echo "keeps"
cache=${XDG_CACHE_HOME:-$HOME/.cache}
while [ ! -d "$cache" ] && [ -n "$cache" ]; do cache=${cache%/*}; done
echo "free $(df -Pk "${cache:-/}" 2>/dev/null | awk 'NR == 2 { print $4 }')"
echo MARK
"""


class Engine(NamedTuple):
    """An engine, how it is called, and what it says of itself."""

    name: str
    sudo: bool
    version: str
    root: str = ""
    """The folder of its data, where it says that."""
    containerd: bool = False
    """Whether it is a docker that keeps its images in containerd."""

    @property
    def command(self) -> str:
        """The words that a script begins with."""
        return f"sudo -n {self.name}" if self.sudo else self.name


class Far(NamedTuple):
    """What a host has."""

    system: str
    machine: str
    engines: tuple[Engine, ...]
    python: tuple[int, int] | None
    zstd: bool
    free: int | None
    """Bytes that a user's files may take there."""
    silent: tuple[str, ...] = ()
    """Engines that are installed there, and do not answer this user."""
    fetchers: tuple[str, ...] = ()
    """What gets URLs: "curl", "wget" (GNU's) or "busybox" (its wget)."""
    keeps: bool = False
    """Whether there is what the shell needs to keep images."""

    @property
    def has_python(self) -> bool:
        """Whether there is a Python that runs the agent."""
        return self.python is not None and self.python >= _OLDEST

    def engine(self, name: str) -> Engine | None:
        """Return the engine of a name."""
        return next((engine for engine in self.engines if engine.name == name), None)


def probe(channel: Channel) -> Far:
    """Ask what a host has; raises HostError."""
    # Whatever a login says of its own stands before the mark, or behind it.
    mark = secrets.token_hex(16)
    said = channel.ask(_SCRIPT.replace("MARK", mark), limit=_LIMIT, seconds=_SECONDS)
    parts = said.decode(errors="replace").split(mark + "\n")
    if len(parts) != 3:
        raise channel.error("its shell does not do what it is told")
    return read(parts[1])


def read(said: str) -> Far:
    """Return what the lines of the script say; what makes no sense is passed over."""
    system = machine = ""
    engines: dict[str, Engine] = {}
    python: tuple[int, int] | None = None
    zstd = False
    free: int | None = None
    silent: set[str] = set()
    fetchers: list[str] = []
    keeps = False
    for line in said.splitlines():
        word, _, rest = line.partition(" ")
        if word == "machine":
            system, _, machine = rest.partition(" ")
        elif word == "engine" and (engine := _engine(rest)):
            engines.setdefault(engine.name, engine)
        elif word == "silent":
            silent.add(rest)
        elif word == "python" and (match := re.fullmatch(r"(\d{1,3})\.(\d{1,3})", rest)):
            python = int(match.group(1)), int(match.group(2))
        elif word == "zstd":
            zstd = True
        elif word == "keeps":
            keeps = True
        elif word == "fetcher" and rest in _FETCHERS and rest not in fetchers:
            fetchers.append(rest)
        elif word == "free" and re.fullmatch(r"\d{1,15}", rest):
            free = int(rest) << 10
    known = tuple(engines[name] for name in ENGINES if name in engines)
    mute = tuple(name for name in ENGINES if name in silent)
    return Far(system[:40], machine[:40], known, python, zstd, free, mute, tuple(fetchers), keeps)


def refused(channel: Channel, name: str) -> HostError:
    """Return why an engine that does not answer cannot be used, in its own words."""
    word = "info" if name == "podman" else "version"
    said = last_line(channel.ask(f"{name} {word} 2>&1 >/dev/null </dev/null || :", limit=_LIMIT))
    reason = f"{name} cannot be used there, nor by sudo -n"
    return channel.error(f"{reason}: {said}" if said else reason)


def _engine(text: str) -> Engine | None:
    head, mark, said = text.partition("| ")
    name, _, way = head.strip().partition(" ")
    if not mark or name not in ENGINES or way not in ("", "sudo -n"):
        return None
    words = said.split(" ", 2)
    version = re.search(r"\d[\w.+~-]{0,40}", said)
    named_root = name in ("docker", "podman") and len(words) > 1 and words[1].startswith("/")
    return Engine(
        name,
        way == "sudo -n",
        version.group() if version else "",
        words[1] if named_root else "",
        name == "docker" and "io.containerd.snapshotter" in said,
    )
