"""Independent jobs in a few threads, for work that the kernel or a C library does."""

import os
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def run(
    jobs: Sequence[Callable[[], T]], stop: threading.Event, at_once: int | None = None
) -> list[T]:
    """Run the jobs, as many at once as there are processors, and return their results in order.

    Jobs that wait, for a network, may be more than that: `at_once`.

    The first error ends it: `stop` is set, which running jobs are to look at, no other job is
    begun, and the error is raised once all threads are done.  Ctrl-C does the same.
    """
    at_once = at_once or cores()
    if len(jobs) <= 1 or at_once == 1:
        return [job() for job in jobs]
    results: list[T | None] = [None] * len(jobs)
    errors: list[BaseException] = []
    begun = running = 0
    changed = threading.Condition()

    def work() -> None:
        nonlocal begun, running
        while True:
            with changed:
                if stop.is_set() or begun == len(jobs):
                    return
                i = begun
                begun += 1
                running += 1
            try:
                results[i] = jobs[i]()
            except BaseException as e:
                errors.append(e)
                stop.set()
            with changed:
                running -= 1
                changed.notify_all()

    # Jobs are waited for, not threads: Ctrl-C may come while one is being started.
    try:
        for n in range(min(at_once, len(jobs))):
            threading.Thread(target=work, name=f"job-{n}", daemon=True).start()
        with changed:
            changed.wait_for(lambda: not running and (stop.is_set() or begun == len(jobs)))
    except BaseException:
        with changed:
            stop.set()
            changed.wait_for(lambda: not running)
        raise
    if errors:
        raise errors[0]
    return [result for result in results if result is not None]
