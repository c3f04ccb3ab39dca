"""Work done in a process of its own, with mounts of its own, that ends with the one that asked.

However that one dies, the kernel ends this one too, and takes its mounts back with it.
"""

import os
import pickle
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from ferryman.errors import FerryError
from ferryman.rootfs import namespace, syscalls

T = TypeVar("T")

_CHUNK = 1 << 16
_running: set[int] = set()


def apart(work: Callable[[], T]) -> T:
    """Return what `work` returns, or raise the FerryError that it raises.

    It may be called by several threads at once; the result must be of plain values.  Raises
    FerryError too when the process ends without a word.
    """
    reader, writer = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if not pid:
        os.close(reader)
        _work(work, writer, parent)
    os.close(writer)
    _running.add(pid)
    try:
        said = b""
        while more := os.read(reader, _CHUNK):
            said += more
    finally:
        os.close(reader)
        _, status = os.waitpid(pid, 0)
        _running.discard(pid)
    if not said:
        raise FerryError(f"a process of ferry's ended early (status {status})")
    fine, value = pickle.loads(said)
    if not fine:
        raise value
    result: T = value
    return result


@contextmanager
def ended() -> Iterator[None]:
    """End all such processes that still run when the block is left by an error."""
    try:
        yield
    except BaseException:
        for pid in list(_running):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        raise


def _work(work: Callable[[], object], writer: int, parent: int) -> None:
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        # Ctrl-C is for the one that asked: it ends this one.
        os.setpgid(0, 0)
        syscalls.die_with_parent()
        if os.getppid() != parent:
            os._exit(1)  # it was faster
        namespace.private_mounts()
        said: tuple[bool, object] = (True, work())
    except FerryError as e:
        said = (False, e)
    except OSError as e:
        place = f"{e.filename}: " if e.filename else ""
        said = (False, FerryError(f"{place}{e.strerror or e}"))
    except BaseException as e:
        said = (False, FerryError(f"{type(e).__name__}: {e}"))
    content = memoryview(pickle.dumps(said))
    while content:
        content = content[os.write(writer, content) :]
    os._exit(0)


def fenced(command: list[str], *, output: int) -> int:
    """Run a command in a process namespace of its own and return its exit code.

    It and all its processes end with this one.  What they write goes to `output`.  Raises OSError.
    """
    syscalls.unshare(syscalls.CLONE_NEWPID)
    parent = os.getpid()
    pid = os.fork()
    if not pid:
        try:
            # In there, this process has the number 1, and its parent has none.
            syscalls.die_with_parent()
            if not os.path.exists(f"/proc/{parent}"):
                os._exit(1)
            syscalls.mount("proc", "/proc", "proc", 0)
            null = os.open(os.devnull, os.O_RDONLY)
            for fd, target in ((null, 0), (output, 1), (output, 2)):
                os.dup2(fd, target)
            os.execvp(command[0], command)
        finally:
            os._exit(127)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)
