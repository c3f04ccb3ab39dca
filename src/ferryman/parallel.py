"""Independent jobs in a few threads, for work that the kernel or a C library does."""

import os
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def run(jobs: Sequence[Callable[[], T]], stop: threading.Event) -> list[T]:
    """Run the jobs, as many at once as there are processors, and return their results in order.

    The first error ends it: `stop` is set, which running jobs are to look at, no other job is
    begun, and the error is raised once all threads are done.  Ctrl-C does the same.
    """
    if len(jobs) <= 1 or cores() == 1:
        return [job() for job in jobs]
    results: list[T | None] = [None] * len(jobs)
    errors: list[BaseException] = []
    pending = iter(range(len(jobs)))
    lock = threading.Lock()

    def work() -> None:
        while not stop.is_set():
            with lock:
                i = next(pending, None)
            if i is None:
                return
            try:
                results[i] = jobs[i]()
            except BaseException as e:
                errors.append(e)
                stop.set()

    threads = [
        threading.Thread(target=work, name=f"job-{n}", daemon=True)
        for n in range(min(cores(), len(jobs)))
    ]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException:
        stop.set()
        for thread in threads:
            thread.join()
        raise
    if errors:
        raise errors[0]
    return [result for result in results if result is not None]
