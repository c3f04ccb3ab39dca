"""Network namespaces (network_namespaces(7)): new ones, and being in one for a while."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ferryman.rootfs import syscalls


@contextmanager
def new(first: Callable[[], object] = lambda: None) -> Iterator[str]:
    """Give the path of a new network namespace, in which `first` has been called.

    A thread that ends makes it: nobody else can return to where the machine's network is, unless
    they are its root.
    """
    made: list[int] = []
    failed: list[BaseException] = []

    def make() -> None:
        try:
            syscalls.unshare(syscalls.CLONE_NEWNET)
            made.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
            first()
        except BaseException as e:
            failed.append(e)

    thread = threading.Thread(target=make, name="namespace")
    thread.start()
    thread.join()
    try:
        if failed:
            raise failed[0]
        yield f"/proc/{os.getpid()}/fd/{made[0]}"
    finally:
        for fd in made:
            os.close(fd)


@contextmanager
def inside(path: str) -> Iterator[None]:
    """Be in a network namespace, with this thread and what it starts, for the block."""
    other = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with _back_afterwards():
            syscalls.setns(other, syscalls.CLONE_NEWNET)
            yield
    finally:
        os.close(other)


@contextmanager
def _back_afterwards() -> Iterator[None]:
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            yield
        finally:
            syscalls.setns(own, syscalls.CLONE_NEWNET)
    finally:
        os.close(own)
