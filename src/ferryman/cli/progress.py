"""Progress on a terminal, a bar for each layer as docker draws them; otherwise nothing."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from ferryman.cli.units import human_size
from ferryman.operations.progress import Progress, silent

if TYPE_CHECKING:
    from rich.progress import Task

_BAR = 50
_NARROW = 110


@contextmanager
def shown(*, quiet: bool = False, on: TextIO | None = None) -> Iterator[Progress]:
    """Give the callback that draws bars on a terminal, or one that does nothing."""
    stream = on or sys.stdout
    if quiet or not stream.isatty():
        yield silent
        return
    # Only now: rich takes longer to import than most commands take to run.
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import ProgressColumn, TaskID
    from rich.text import Text

    class Column(ProgressColumn):
        def render(self, task: "Task") -> Text:
            done, total = int(task.completed), int(task.total or 0)
            line = _line(task.description, done, total, console.width)
            return Text(line, no_wrap=True, overflow="crop")

    tasks: dict[str, TaskID] = {}
    console = Console(file=stream)
    with Bars(Column(), console=console, refresh_per_second=10) as bars:

        def draw(subject: str, action: str, done: int, total: int) -> None:
            label = f"{subject}: {action}"
            task = tasks.get(label)
            if task is None:
                task = tasks[label] = bars.add_task(label, total=total or None)
            bars.update(task, completed=done, total=total or None)

        yield draw


def _line(label: str, done: int, total: int, width: int) -> str:
    """Write one line as docker's: ``178f558940e6: Loading layer [==>  ]   1.2MB/2.5MB``.

    `width` is the terminal's in columns; a narrow one gets the numbers alone.
    """
    numbers = f"{human_size(done, 4):>8}"
    if not total:
        return f"{label} {numbers}"
    numbers += f"/{human_size(total, 4)}"
    if width <= _NARROW:
        return f"{label} {numbers}"
    filled = min(_BAR, done * _BAR // total)
    return f"{label} [{'=' * filled}>{' ' * (_BAR - filled)}] {numbers}"
