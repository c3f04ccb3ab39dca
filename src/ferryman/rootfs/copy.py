"""The content of one folder copied into another, as exactly as the filesystems allow.

Modes, owners, times, extended attributes, hard links, devices and holes come along.
"""

import errno
import os
import stat

_BUFFER = 1 << 20


def copy_content(source: str, target: str) -> None:
    """Copy all that is in a folder into an empty one, and give that the attributes of the first.

    Nobody else may change either meanwhile.  Raises OSError.
    """
    first: dict[tuple[int, int], str] = {}
    folders: list[str] = []
    pending = [""]
    while pending:
        folder = pending.pop()
        folders.append(folder)
        with os.scandir(source + folder + "/") as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}"
                info = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(info.st_mode):
                    os.mkdir(target + path, 0o700)
                    pending.append(path)
                    continue
                same = (info.st_dev, info.st_ino)
                if info.st_nlink > 1 and same in first:
                    os.link(target + first[same], target + path, follow_symlinks=False)
                    continue
                first[same] = path
                _copy(source + path, target + path, info)
    # The inner ones first: what is made in a folder changes its time.
    for folder in reversed(folders):
        _attributes(source + folder, target + folder, os.stat(source + folder))


def _copy(source: str, target: str, info: os.stat_result) -> None:
    if stat.S_ISLNK(info.st_mode):
        os.symlink(os.readlink(source), target)
    elif stat.S_ISREG(info.st_mode):
        _copy_file(source, target, info.st_size)
    else:
        os.mknod(target, info.st_mode, info.st_rdev)
    _attributes(source, target, info)


def _copy_file(source: str, target: str, size: int) -> None:
    reader = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(writer, size)
            at = 0
            while at < size:
                try:
                    at = os.lseek(reader, at, os.SEEK_DATA)
                    end = os.lseek(reader, at, os.SEEK_HOLE)
                except OSError as e:
                    if e.errno == errno.ENXIO:
                        break  # nothing but a hole up to the end
                    raise
                os.lseek(writer, at, os.SEEK_SET)
                while at < end:
                    at += os.sendfile(writer, reader, at, min(end - at, _BUFFER))
        finally:
            os.close(writer)
    finally:
        os.close(reader)


def _attributes(source: str, target: str, info: os.stat_result) -> None:
    """Give a file the owner, mode, extended attributes and times of another, in this order."""
    link = stat.S_ISLNK(info.st_mode)
    os.chown(target, info.st_uid, info.st_gid, follow_symlinks=False)
    if not link:
        # A change of owner takes the set-ID bits away, and capabilities.
        os.chmod(target, stat.S_IMODE(info.st_mode))
    for name in os.listxattr(source, follow_symlinks=not link):
        try:
            value = os.getxattr(source, name, follow_symlinks=not link)
            os.setxattr(target, name, value, follow_symlinks=not link)
        except OSError as e:
            if e.errno != errno.ENOTSUP:
                raise
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns), follow_symlinks=not link)
