import signal
import threading
import time
from collections.abc import Callable

import pytest

from ferryman import parallel


@pytest.fixture(params=[1, 2, 4])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run as on a machine with so many processors."""
    number: int = request.param
    monkeypatch.setattr(parallel, "cores", lambda: number)
    return number


@pytest.mark.parametrize("number", [0, 1, 2, 3, 50])
def test_results_in_order(number: int, threads: int) -> None:
    def job(i: int) -> Callable[[], int]:
        def work() -> int:
            time.sleep((i * 7 % 5) / 1000)
            return i

        return work

    done = parallel.run([job(i) for i in range(number)], threading.Event())
    assert done == list(range(number))


def test_the_first_error_ends_it(threads: int) -> None:
    begun: list[int] = []
    stop = threading.Event()

    def job(i: int) -> Callable[[], int]:
        def work() -> int:
            begun.append(i)
            if i == 3:
                raise ValueError("three")
            time.sleep(0.01)
            return i

        return work

    with pytest.raises(ValueError, match="three"):
        parallel.run([job(i) for i in range(50)], stop)
    assert 3 in begun
    assert len(begun) <= 3 + threads
    assert threads == 1 or stop.is_set()


def test_interrupted_it_waits_for_what_runs() -> None:
    """Whatever jobs write to is cleared away afterwards: none may still be at it."""
    running = [0]

    def interrupted(delay: float) -> None:
        # One each time: a thread that is late must not take the next one's for its own.
        stop = threading.Event()

        def work() -> int:
            running[0] += 1
            stop.wait(10)
            time.sleep(0.05)
            running[0] -= 1
            return 0

        main = threading.get_ident()
        threading.Timer(delay, signal.pthread_kill, (main, signal.SIGINT)).start()
        parallel.run([work] * 20, stop)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    for delay in (0, 0.00005, 0.0001, 0.0002, 0.05):
        with pytest.raises(KeyboardInterrupt):
            interrupted(delay)
        assert running == [0]
    signal.signal(signal.SIGINT, before)
