"""Loop devices (loop(4)): files that the kernel takes for disks.

One is made for a file when there is none, read-only, and then serves all who ask for that file.
It goes with its last user, be that a mount or an open descriptor: nobody has to remember it.
"""

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_MAJOR = 7
_CONTROL = (10, 237)

_CONFIGURE = 0x4C0A
_GET_STATUS64 = 0x4C05
_GET_FREE = 0x4C82

_FLAGS = 1 | 4  # read-only, and cleared by the kernel after the last use
_SECTOR = 512
_STATUS = struct.Struct("<QQQQQIIII64s64s32s16x")
_CONFIG = struct.Struct(f"<II{_STATUS.size}s64x")

_ATTEMPTS = 100


@contextmanager
def opened(path: str, note: str) -> Iterator[str]:
    """Give the path of the loop device of a file; it is there for the block, and while mounted.

    `note` is a file that all who use this one share, for the number of its device: to look at all
    devices there are would take the longer the more are in use.  Raises OSError.
    """
    fd = os.open(note, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        # Whoever comes at the same time waits, and then finds the device.
        fcntl.flock(fd, fcntl.LOCK_EX)
        backing = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            number, device = _noted(fd, backing) or _made(backing, path)
        finally:
            os.close(backing)
        os.pwrite(fd, b"%-20d" % number, 0)
    finally:
        os.close(fd)
    try:
        yield _node(number)
    finally:
        os.close(device)


def _noted(note: int, backing: int) -> tuple[int, int] | None:
    """Return number and descriptor of the device that was noted, if it is the file's still."""
    text = os.pread(note, 20, 0).strip()
    if not text.isdigit():
        return None
    try:
        device = os.open(_node(int(text)), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    # From here on it stays what it is.
    if _is_of(device, backing):
        return int(text), device
    os.close(device)
    return None


def _is_of(device: int, backing: int) -> bool:
    status = bytearray(_STATUS.size)
    try:
        fcntl.ioctl(device, _GET_STATUS64, status)
    except OSError:
        return False
    its_device, inode, _, offset, limit, _, _, _, flags, *_ = _STATUS.unpack(status)
    file = os.fstat(backing)
    whole = offset == limit == 0 and flags & _FLAGS == _FLAGS
    return whole and (its_device, inode) == (file.st_dev, file.st_ino)


def _made(backing: int, path: str) -> tuple[int, int]:
    name = os.fsencode(path)[-63:]
    status = _STATUS.pack(0, 0, 0, 0, 0, 0, 0, 0, _FLAGS, name, b"", b"")
    config = _CONFIG.pack(backing, _SECTOR, status)
    control = _open_node("/dev/loop-control", stat.S_IFCHR, _CONTROL)
    try:
        for _ in range(_ATTEMPTS):
            number = fcntl.ioctl(control, _GET_FREE)
            try:
                device = _open(number)
            except OSError as e:
                if e.errno in (errno.ENXIO, errno.ENODEV, errno.ENOENT):
                    continue  # it is going just now
                raise
            try:
                fcntl.ioctl(device, _CONFIGURE, config)
            except OSError as e:
                os.close(device)
                if e.errno == errno.EBUSY:
                    continue  # somebody else was faster
                raise OSError(e.errno, e.strerror, path) from None
            return number, device
    finally:
        os.close(control)
    raise OSError(errno.EBUSY, "no loop device is free", path)


def _node(number: int) -> str:
    return f"/dev/loop{number}"


def _open(number: int) -> int:
    return _open_node(_node(number), stat.S_IFBLK, (_MAJOR, number))


def _open_node(path: str, kind: int, device: tuple[int, int]) -> int:
    """Open a device, whose node is made where nobody does so when the kernel has a new one."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        with suppress(FileExistsError):
            os.mknod(path, kind | 0o600, os.makedev(*device))
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
