"""docker-archives without the layers that are there, into ``docker load``.

docker looks for each layer by its chain ID, and reads it from the archive only where it has none.
"""

import subprocess
from collections.abc import Callable, Iterable
from contextlib import ExitStack

from ferryman.archive import tar
from ferryman.archive.write import Part, Saved
from ferryman.image.digest import Digest
from ferryman.transfer.channel import Channel, HostError, end
from ferryman.transfer.line import Line, Pace
from ferryman.transfer.plan import Plan
from ferryman.transfer.pressed import Pressed, frame
from ferryman.transfer.probe import Engine, Far
from ferryman.transfer.program import Program
from ferryman.transfer.stages import stages


def codec(far: Far) -> str:
    """Return what a host undoes: docker itself has undone gzip since ever, zstd only later."""
    return "zstd" if far.zstd else "gzip"


def move(
    channel: Channel,
    engine: Engine,
    way: str,
    plan: Plan,
    saved: Saved,
    pressed: Callable[[Digest, int], Pressed],
    pace: Pace,
    heard: Callable[[int], None],
    form: str = "docker",
) -> int:
    """Send what the plan says, and have the engine load it; return the bytes that were sent.

    `way` is the codec of the line, `form` that of the archive.  Raises HostError.
    """
    undo = "zstd -dcq | " if way == "zstd" else ""
    loads: list[_Load] = []
    with ExitStack() as stack:
        for stage in stages(plan, saved, form):
            script = undo + stage.script(engine, plan)
            begun = _Load(channel, engine, script, way, pace, heard)
            stack.callback(begun.end)
            begun.send(stage.parts, pressed)
            # Its layers stand on those of the one before.
            if loads:
                loads[-1].wait()
            begun.close()
            loads.append(begun)
        loads[-1].wait()
    return sum(each.line.sent for each in loads)


class _Load:
    """One archive on its way into the engine, which waits for the end of it."""

    def __init__(
        self,
        channel: Channel,
        engine: Engine,
        script: str,
        way: str,
        pace: Pace,
        heard: Callable[[int], None],
    ) -> None:
        self._channel = channel
        self._engine = engine
        self._way = way
        self._process = channel.start(
            script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._program = Program(self._process, "stdout", "stderr")
        assert self._process.stdin
        self._stdin = self._process.stdin
        self.line = Line(self._stdin.fileno(), pace, heard)
        self._tail = b""

    def send(self, parts: Iterable[Part], pressed: Callable[[Digest, int], Pressed]) -> None:
        """Send all but the end; raises HostError."""
        pending = b""
        try:
            for part in parts:
                pending += part.content
                if part.blob is None:
                    continue
                self.line.write(frame(pending, self._way))
                pressed(part.blob, part.size).send(self.line)
                pending = bytes(-part.size % tar.BLOCK)
        except OSError as e:
            raise self._failed(e) from None
        self._tail = frame(pending, self._way)

    def close(self) -> None:
        """Send the end, upon which it is loaded; raises HostError."""
        try:
            self.line.write(self._tail)
            self._stdin.close()
        except OSError as e:
            raise self._failed(e) from None

    def wait(self) -> None:
        """Wait until it is loaded; raises HostError."""
        said = self._program.said()
        if self._process.wait():
            raise self._channel.error(f"{self._engine.name} load: {said or 'it failed'}")

    def _failed(self, error: OSError) -> HostError:
        said = self._program.said() or error.strerror
        return self._channel.error(f"{self._engine.name} load: {said}")

    def end(self) -> None:
        """End it, if it has not ended."""
        end(self._process)
