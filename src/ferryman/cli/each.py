"""The same for each of several names, as docker's commands do it."""

from collections.abc import Callable, Sequence
from functools import partial

import click

from ferryman.errors import FerryError

_AT_ONCE = 50
"""As docker's client."""


def for_each(
    names: Sequence[str], action: Callable[[str], object], *, at_once: bool = False
) -> int:
    """Do something to each name and print those with which it worked; return the exit code.

    What does not work is told, and the next one is tried.  An action that returns False has had
    nothing to do, and its name is not printed.  With `at_once` threads do it to many at a time;
    what is printed stays in order.
    """
    results: list[Callable[[], object]] = [partial(action, name) for name in names]
    if at_once and len(names) > 1:
        results = _begun(results)
    code = 0
    for name, result in zip(names, results, strict=True):
        try:
            done = result()
        except FerryError as e:
            click.echo(f"Error: {e}", err=True)
            code = 1
        else:
            if done is not False:
                click.echo(name)
    return code


def _begun(jobs: Sequence[Callable[[], object]]) -> list[Callable[[], object]]:
    """Begin with all jobs, and return what waits for each one's result."""
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(_AT_ONCE)
    return [pool.submit(job).result for job in jobs]
