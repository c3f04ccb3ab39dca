"""What flows between a user's terminal or pipes and a container: conmon's attach socket.

The socket lies in the folder of the container (or of a command executed in one) and keeps
packets apart.  Towards conmon a packet is input as it is, 32 KiB at most, and the end of writing is
the end of input.  From conmon the first byte of a packet says which stream the rest belongs to.
Beside it ``winsz`` takes lines: ``ROWS COLUMNS`` gives the terminal another size.
(``ctl``, which is for that, passes them on to it; of two lines at once conmon takes the first
twice, so each must have been read before the next is written, which shows in ``winsz`` alone.)
"""

import fcntl
import os
import select
import signal
import socket
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NamedTuple

from ferryman.errors import FerryError
from ferryman.runtime import terminal
from ferryman.store.durable import write_all

_MAX_INPUT = 32768
_MAX_PACKET = 1 << 16
_STDERR = 3
_LARGEST_SIDE = 1000
"""Of a terminal, to conmon."""
_PATIENCE, _PAUSE = 1.0, 0.001  # seconds

# What is about this process itself, and cannot be meant for the container.
_OWN_SIGNALS = frozenset(
    {
        *(signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG, signal.SIGWINCH, signal.SIGKILL),
        *(signal.SIGSTOP, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL),
    }
)


class Streams(NamedTuple):
    """The file descriptors of ours that are attached; None for what is not."""

    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None


class OutputFailed(FerryError):
    """What a container says cannot be written where it is to go."""


class Connection(NamedTuple):
    """An attach socket that is connected, and the folder that it lies in."""

    socket: socket.socket
    folder: str


def connect(folder: str) -> Connection:
    """Connect to the attach socket in a folder: from now on no output is lost.

    Raises OSError: nobody listens when the container has ended.
    """
    # The path of a socket is 107 bytes at most; that of a folder is not.
    at = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connected.connect(f"/proc/self/fd/{at}/attach")
        except OSError:
            connected.close()
            raise
    finally:
        os.close(at)
    return Connection(connected, folder)


def follow(
    connection: Connection,
    streams: Streams,
    *,
    tty: bool,
    size: tuple[int, int] | None = None,
    detach_keys: bytes = terminal.DETACH_KEYS,
    forward: Callable[[int], None] | None = None,
    redraw: bool = False,
) -> bool:
    """Pass everything on, both ways, until the container ends; return False if the user detached.

    With `tty` a terminal on stdin is raw meanwhile, and `detach_keys` in the input detach.  `size`
    is what the container's has already, in rows and columns.
    `forward` is called with the number of each signal that this process gets, unless it concerns
    only this one; a new size of the terminal is passed on anyway.  With `redraw` a program that
    ran before is made to draw its screen.  Closes the connection.  Raises OutputFailed: the
    container goes on.
    """
    with connection.socket, _signals(connection.folder, streams, tty, forward):
        if tty:
            _pass_size(connection.folder, streams, known=size, redraw=redraw)
        with terminal.raw(streams.stdin if tty else None):
            return _pump(connection.socket, streams, tty, detach_keys)


def resize(folder: str, rows: int, columns: int) -> None:
    """Give a container's terminal a size; nothing happens when it has ended."""
    rows, columns = min(rows, _LARGEST_SIDE), min(columns, _LARGEST_SIDE)
    with suppress(OSError):
        fd = os.open(f"{folder}/winsz", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _await_read(fd)
            os.write(fd, b"%d %d\n" % (rows, columns))
        finally:
            os.close(fd)


def _await_read(pipe: int) -> None:
    """Wait until conmon has read what it was told before."""
    deadline = time.monotonic() + _PATIENCE
    while fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)) != bytes(4):
        if time.monotonic() > deadline:
            return
        time.sleep(_PAUSE)


def _pass_size(
    folder: str,
    streams: Streams,
    *,
    known: tuple[int, int] | None = None,
    redraw: bool = False,
) -> None:
    found = terminal.size(streams.stdout, streams.stdin, streams.stderr)
    # conmon would have the program told of it even if it is the same.
    if found and found != known:
        rows, columns = found
        if redraw:
            resize(folder, rows + 1, columns + 1)
        resize(folder, rows, columns)


@contextmanager
def _signals(
    folder: str, streams: Streams, tty: bool, forward: Callable[[int], None] | None
) -> Iterator[None]:
    """Treat signals as `follow` says for the block; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def resized(number: int, frame: FrameType | None) -> None:
        _pass_size(folder, streams)

    def passed(number: int, frame: FrameType | None) -> None:
        assert forward is not None
        forward(number)

    taken: dict[int, Callable[[int, FrameType | None], None]] = {}
    if forward:
        taken |= {int(each): passed for each in signal.valid_signals() - _OWN_SIGNALS}
    if tty:
        taken[signal.SIGWINCH] = resized
    before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
    try:
        for number, action in taken.items():
            with suppress(OSError):  # the C library's own
                before[number] = signal.signal(number, action)
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, signal.SIG_DFL if earlier is None else earlier)


def _pump(connected: socket.socket, streams: Streams, tty: bool, detach_keys: bytes) -> bool:
    """Move bytes; input has a thread of its own, so that neither way waits for the other."""
    if streams.stdin is None:
        _output(connected, streams)
        return True
    keys = terminal.DetachKeys(detach_keys) if tty else None
    detached = threading.Event()
    done = os.eventfd(0)
    thread = threading.Thread(
        target=_input, args=(connected, streams.stdin, done, keys, detached), name="stdin"
    )
    try:
        # Signals are to interrupt the main thread, which can act on them.
        mask = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
        try:
            thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        try:
            _output(connected, streams)
        finally:
            os.eventfd_write(done, 1)
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
            thread.join()
    finally:
        os.close(done)
    return not detached.is_set()


def _output(connected: socket.socket, streams: Streams) -> None:
    """Write what the container writes, until its end."""
    packet = memoryview(bytearray(_MAX_PACKET))
    while True:
        try:
            length = connected.recv_into(packet)
        except ConnectionResetError:
            # conmon went with input unread; what it had sent before is still to come.
            continue
        if not length:
            return
        to = streams.stderr if packet[0] == _STDERR else streams.stdout
        if to is not None:
            try:
                write_all(to, packet[1:length])
            except OSError as e:
                name = "stderr" if packet[0] == _STDERR else "stdout"
                why = (e.strerror or str(e)).lower()
                raise OutputFailed(f"write /dev/{name}: {why}") from None


def _input(
    connected: socket.socket,
    stdin: int,
    done: int,
    keys: terminal.DetachKeys | None,
    detached: threading.Event,
) -> None:
    """Send our input to its end, or to the keys that detach, or until all is done."""
    poll = select.poll()
    poll.register(done, select.POLLIN)
    poll.register(stdin, select.POLLIN)
    with suppress(OSError):
        while all(fd != done for fd, _ in poll.poll()):
            read = _read(stdin)
            if not read:
                break
            if keys:
                read, leaving = keys.pass_on(read)
                if leaving:
                    detached.set()
            if read:
                connected.sendall(read)
            if detached.is_set():
                connected.shutdown(socket.SHUT_RDWR)
                return
        connected.shutdown(socket.SHUT_WR)


def _read(stdin: int) -> bytes:
    try:
        return os.read(stdin, _MAX_INPUT)
    except OSError:
        return b""  # a terminal that has gone, or is not ours to read
