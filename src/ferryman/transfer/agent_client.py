"""The agent on a host, as this side has it: started, told what to do, and sent parts of images."""

import io
import json
import os
import shlex
import struct
import subprocess
import zipfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from ferryman.image.digest import Digest
from ferryman.transfer.channel import Channel, end, last_line
from ferryman.transfer.line import Line, Pace
from ferryman.transfer.pressed import Pressed

_BOOT = (
    "import sys,tempfile;"
    "b=sys.stdin.buffer;f=tempfile.TemporaryFile();f.write(b.read(int(b.read(8))));f.flush();"
    'sys.path.insert(0,"/proc/self/fd/%d"%f.fileno());'
    "from ferryman.transfer.agent.main import run;run()"
)
_PACKAGES = ("ferryman", "ferryman.transfer", "ferryman.transfer.agent", "ferryman.transfer.delta")
_AGENT = ("arrivals", "engine", "incoming", "inflate", "kept", "layout", "main", "registry")
MODULES = (
    *(("ferryman.transfer.agent", f"{name}.py") for name in _AGENT),
    ("ferryman.transfer.delta", "undo.py"),
)
"""What is sent, by packages."""
_CODECS = ("zstd", "gzip")
_MAX_ANSWER = 16 << 20
_LENGTH = struct.Struct(">I")
_PIECE = 32 << 20


@cache
def program() -> bytes:
    """Return what is sent: a zip of the modules that run there."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in _PACKAGES:
            archive.writestr(package.replace(".", "/") + "/__init__.py", "")
        for package, name in MODULES:
            source = resources.files(package).joinpath(name).read_bytes()
            archive.writestr(f"{package.replace('.', '/')}/{name}", source)
    return content.getvalue()


class Agent:
    """The agent on a host, as long as the block lasts."""

    def __init__(self, channel: Channel, pace: Pace, heard: Callable[[int], None]) -> None:
        """Start it; raises HostError."""
        self._channel = channel
        self._process = channel.start(
            f"exec python3 -I -c {shlex.quote(_BOOT)}",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._process.stdin
        self.line = Line(self._process.stdin.fileno(), pace, heard)
        zipped = program()
        self._write(b"%8d" % len(zipped) + zipped)

    def __enter__(self) -> "Agent":
        return self

    def __exit__(self, *_: object) -> None:
        # The end of its input is what it waits for to clear up.
        if self._process.stdin:
            with suppress(OSError):
                self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        end(self._process)

    def say(self, request: dict[str, Any]) -> None:
        """Send a request; raises HostError."""
        self._write(json.dumps(request).encode() + b"\n")

    def answer(self) -> dict[str, Any]:
        """Return what it answers; raises HostError."""
        assert self._process.stdout
        line = self._process.stdout.readline(_MAX_ANSWER)
        if not line.endswith(b"\n"):
            raise self._broken()
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise self._channel.error("its Python answers what makes no sense")
        if "failed" in answer:
            raise self._channel.error(shown(answer["failed"]))
        return answer

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and return the answer; raises HostError."""
        self.say(request)
        return self.answer()

    def send(self, pressed: Pressed) -> None:
        """Send the bytes of a part; raises HostError, StoreError."""
        try:
            pressed.send(_Framed(self.line))
            self.line.write(_LENGTH.pack(0))
        except OSError:
            raise self._broken() from None

    def send_file(self, fd: int, start: int, size: int) -> None:
        """Send the bytes of a part that lies in a file, as they are; raises HostError."""
        try:
            framed = _Framed(self.line)
            for at in range(start, size, _PIECE):
                framed.copy(fd, at, min(_PIECE, size - at))
            self.line.write(_LENGTH.pack(0))
        except OSError:
            raise self._broken() from None

    def _write(self, content: bytes) -> None:
        try:
            self.line.write(content)
        except OSError:
            raise self._broken() from None

    def _broken(self) -> Exception:
        """Return why it is gone: what it said last, or that the line broke."""
        assert self._process.stdout
        assert self._process.stderr
        os.set_blocking(self._process.stdout.fileno(), False)
        with suppress(OSError, ValueError):
            said = self._process.stdout.read(1 << 16) or b""
            answer = json.loads(said.splitlines()[-1]) if said.strip() else {}
            if isinstance(answer, dict) and "failed" in answer:
                return self._channel.error(shown(answer["failed"]))
        os.set_blocking(self._process.stderr.fileno(), False)
        told = b""
        with suppress(OSError, ValueError):
            told = self._process.stderr.read(1 << 16) or b""
        return self._channel.error(last_line(told) or "the connection broke")


def shown(said: object) -> str:
    """Return what a host says, in letters that can be shown."""
    return last_line(str(said).encode(errors="replace"))


class _Framed:
    """Frames, each with its length in front."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def copy(self, fd: int, start: int, size: int) -> None:
        self._line.write(_LENGTH.pack(size))
        self._line.copy(fd, start, size)


class Looked(NamedTuple):
    """Which parts are there, how much of others, and what can be undone."""

    whole: set[Digest]
    begun: dict[Digest, int]
    compressions: list[str]
    """Of deltas."""
    codec: str
    """Of the line."""


def look(agent: Agent, digests: Iterable[Digest]) -> Looked:
    """Ask what is there of some parts; raises HostError."""
    asked = {digest.encoded: digest for digest in digests}
    answer = agent.ask({"ask": "look", "digests": list(asked)})
    begun = answer.get("begun")
    begun = begun if isinstance(begun, dict) else {}
    whole, compressions, codecs = (
        each if isinstance(each := answer.get(key), list) else []
        for key in ("whole", "compressions", "codecs")
    )
    return Looked(
        {asked[each] for each in whole if isinstance(each, str) and each in asked},
        {asked[k]: n for k, n in begun.items() if k in asked and isinstance(n, int) and n > 0},
        [each for each in compressions if isinstance(each, str)],
        next((codec for codec in _CODECS if codec in codecs), "gzip"),
    )
