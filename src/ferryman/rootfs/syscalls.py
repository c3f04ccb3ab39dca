"""The system calls that Python has no function for; nothing else uses ctypes.

Each raises OSError with the file's name where there is one.  ctypes and libc are loaded by the
first call.
"""

import os
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ctypes

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_NEWCGROUP = 0x02000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_NOATIME = 1024
MS_BIND = 4096
MS_MOVE = 8192
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MNT_DETACH = 2

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4

# Calls that are younger than 2019 have one number on every architecture.
_OPEN_TREE = 428
_MOVE_MOUNT = 429
_FSOPEN = 430
_FSCONFIG = 431
_FSMOUNT = 432
_OPENAT2 = 437

_OPEN_TREE_CLONE = 1
_FSOPEN_CLOEXEC = 1
_FSMOUNT_CLOEXEC = 1
_MOVE_MOUNT_F_EMPTY_PATH = 0x4
_MOVE_MOUNT_T_EMPTY_PATH = 0x40
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9

Path = str | bytes


def mount(
    source: Path, target: Path, fstype: str = "", flags: int = 0, data: Path | None = None
) -> None:
    """Mount (mount(2)); raises OSError with the target as its file."""
    _checked(
        _libc().mount(
            os.fsencode(source),
            os.fsencode(target),
            fstype.encode() or None,
            _unsigned(flags),
            None if data is None else os.fsencode(data),
        ),
        target,
    )


def umount(target: Path, flags: int = 0) -> None:
    """Unmount (umount2(2)); raises OSError."""
    _checked(_libc().umount2(os.fsencode(target), flags), target)


def unshare(flags: int) -> None:
    """Leave namespaces for new ones of one's own (unshare(2)); raises OSError."""
    _checked(_libc().unshare(flags))


def setns(fd: int, flags: int) -> None:
    """Enter the namespaces of an open file (setns(2)); raises OSError."""
    _checked(_libc().setns(fd, flags))


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that forked it ends (prctl(2))."""
    _checked(_libc().prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0))


def syncfs(fd: int) -> None:
    """Bring the filesystem of an open file to the disk (syncfs(2)); raises OSError."""
    _checked(_libc().syncfs(fd))


def openat2(dir_fd: int, path: Path, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """Open with a say in how the path is followed (openat2(2)); raises OSError."""
    how = (flags | os.O_CLOEXEC).to_bytes(8, "little") + mode.to_bytes(8, "little")
    how += resolve.to_bytes(8, "little")
    return _syscall(_OPENAT2, dir_fd, os.fsencode(path), how, len(how), path=path)


def fsopen(fstype: str) -> int:
    """Begin to set up a filesystem (fsopen(2)) and return its descriptor; raises OSError."""
    return _syscall(_FSOPEN, fstype.encode(), _FSOPEN_CLOEXEC)


def fsconfig(fd: int, command: int, key: str | None = None, value: Path | None = None) -> None:
    """Set an option of a filesystem, or make it (fsconfig(2)).

    Raises OSError, with what the kernel has to say where it does.
    """
    name = None if key is None else key.encode()
    text = None if value is None else os.fsencode(value)
    try:
        _syscall(_FSCONFIG, fd, command, name, text, 0, path=value)
    except OSError as e:
        if said := _log(fd):
            raise OSError(e.errno, said, value) from None
        raise


def fsmount(fd: int, attributes: int = 0) -> int:
    """Return the descriptor of a mount, nowhere as yet, of a filesystem (fsmount(2))."""
    return _syscall(_FSMOUNT, fd, _FSMOUNT_CLOEXEC, attributes)


def open_tree(path: Path, *, recursive: bool = False) -> int:
    """Return the descriptor of a copy of a mount, nowhere as yet (open_tree(2))."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    return _syscall(_OPEN_TREE, _AT_FDCWD, os.fsencode(path), flags, path=path)


def move_mount(fd: int, target: Path | int) -> None:
    """Put a mount that is nowhere as yet to a path or an open place (move_mount(2)).

    Raises OSError.
    """
    if isinstance(target, int):
        flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
        _syscall(_MOVE_MOUNT, fd, b"", target, b"", flags)
    else:
        where, flags = os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH
        _syscall(_MOVE_MOUNT, fd, b"", _AT_FDCWD, where, flags, path=target)


def _log(fd: int) -> str:
    """Return the errors that the kernel has noted at a descriptor of `fsopen`."""
    lines = []
    try:
        while line := os.read(fd, 4096):
            text = line.decode(errors="replace").strip()
            if text.startswith("e "):
                lines.append(text[2:])
    except OSError:
        pass  # there is no more
    return "; ".join(lines)


def _syscall(number: int, *args: Any, path: Path | None = None) -> int:
    result = int(_libc().syscall(_unsigned(number), *map(_argument, args)))
    _checked(result, path)
    return result


def _argument(value: Any) -> Any:
    # syscall(2) is variadic: without this, an int would go as 32 bits.
    return _unsigned(value & (1 << 64) - 1) if isinstance(value, int) else value


def _checked(result: int, path: Path | None = None) -> None:
    if result < 0:
        import ctypes

        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)


def _unsigned(value: int) -> Any:
    return _unsigned_type()(value)


@cache
def _unsigned_type() -> Callable[[int], Any]:
    import ctypes

    return ctypes.c_ulong


@cache
def _libc() -> "ctypes.CDLL":
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc
