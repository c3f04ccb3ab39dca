"""A docker-archive without the layers that are there, into ``docker load``.

docker looks for each layer by its chain ID, and reads it from the archive only where it has none.
"""

import subprocess
from collections.abc import Callable

from ferryman.archive import tar, write
from ferryman.archive.write import Saved
from ferryman.image.digest import Digest
from ferryman.transfer.channel import Channel, end
from ferryman.transfer.line import Line, Pace
from ferryman.transfer.plan import Plan
from ferryman.transfer.pressed import Pressed, frame
from ferryman.transfer.probe import Engine, Far
from ferryman.transfer.program import Program


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
    there = {step.layer.id for step in plan.steps if step.there}
    partial = saved._replace(blobs=tuple(b for b in saved.blobs if b.id not in there))
    undo = "zstd -dcq | " if way == "zstd" else ""
    process = channel.start(
        f"{undo}{engine.command} load",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    program = Program(process, "stdout", "stderr")
    assert process.stdin
    line = Line(process.stdin.fileno(), pace, heard)
    broken: OSError | None = None
    try:
        try:
            _send(partial, form, way, line, pressed)
            process.stdin.close()
        except OSError as e:
            broken = e
        said = program.said()
        code = process.wait()
    finally:
        end(process)
    if code or broken:
        said = said or (broken and broken.strerror) or "it failed"
        raise channel.error(f"{engine.name} load: {said}")
    return line.sent


def _send(
    saved: Saved, form: str, way: str, line: Line, pressed: Callable[[Digest, int], Pressed]
) -> None:
    pending = b""
    for part in write.parts([saved], form):
        pending += part.content
        if part.blob is None:
            continue
        line.write(frame(pending, way))
        pressed(part.blob, part.size).send(line)
        pending = bytes(-part.size % tar.BLOCK)
    line.write(frame(pending, way))
