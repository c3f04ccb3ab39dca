"""``save --split``: an archive in volumes, begun again where it was broken off.

What has been written stands in a record beside the volumes, ``app.tar.sha256.part``: a line that
tells of what archive they are, then the list as far as it goes.  A volume that is there is believed
when its content has the digest of its line.
"""

import fcntl
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from ferryman import __version__
from ferryman.archive import compression, volumes, write
from ferryman.archive.piped import piped
from ferryman.archive.stream import CHUNK
from ferryman.archive.volumes import VolumeSink, line, volume_name
from ferryman.archive.write import Saved
from ferryman.errors import InvalidArchive, UsageError
from ferryman.image import digest as digests
from ferryman.operations import save
from ferryman.operations.output import OutputError
from ferryman.operations.progress import Progress, counter, silent
from ferryman.store import durable
from ferryman.store.layout import Store

_MAX_RECORD = 4 << 20
_DOING = "failed to save image"


def split(
    store: Store,
    images: Sequence[Saved],
    path: str,
    size: int,
    *,
    form: str = "docker",
    compress: str = "none",
    recipients: Sequence[str] = (),
    only: Collection[int] = (),
    progress: Progress = silent,
) -> None:
    """Write an archive of the images in volumes of `size` bytes, and the list of them.

    What an earlier run of the same has written is kept.  With `only` those volumes alone are
    written; they must become what the list says, if there is one.  The rest is as for `save.save`.
    Raises StoreError, OutputError, CannotWriteVolume, UsageError.
    """
    path = os.path.realpath(path)
    _check_place(path)
    if only and recipients:
        raise UsageError("--only cannot be used with --encrypt: each time its bytes are others")
    total = write.length(images, form)
    digits = volumes.digits_for(total, size)
    plain = compress == "none" and not recipients
    if plain and only and max(only) > (count := -(-total // size)):
        raise UsageError(f"there is no volume {max(only)}: the archive has {count}")

    def out(sink: VolumeSink) -> None:
        try:
            if plain:
                save.to_sink(store, images, sink, form=form, progress=progress)
            else:
                with piped(sink) as fd:
                    save.save(
                        store,
                        images,
                        fd,
                        form=form,
                        compress=compress,
                        recipients=recipients,
                        progress=progress,
                    )
            sink.close()
        except BaseException:
            sink.give_up()
            raise

    if only:
        _some(path, size, digits, only, out)
        return
    with _record(path) as fd:
        # Encrypted, it is another archive each time, of which nothing can be kept.
        key = os.urandom(32).hex() if recipients else _key(images, form, compress, size)
        done = _kept(fd, path, key, digits, progress)
        _begin(fd, path, key, digits, done)

        def finished(number: int, digest: str, give_name: Callable[[], None]) -> None:
            give_name()
            name = os.path.basename(volume_name(path, number, digits))
            durable.write_all(fd, line(digest, name))
            os.fsync(fd)
            done[number] = digest

        sink = VolumeSink(path, size, digits, lambda number: number not in done, finished)
        out(sink)
        _list(path, digits, done, sink.count)


def _check_place(path: str) -> None:
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        raise OutputError(f'{_DOING}: invalid output path: directory "{folder}" does not exist')
    if os.path.exists(path) and not os.path.isfile(path):
        raise OutputError(f"{_DOING}: --split needs the name of a file: {path}")
    if any(character in name for character in "\\\n\r"):
        raise OutputError(f"{_DOING}: sha256sum has no plain way to write the name {name!a}")


def _some(
    path: str, size: int, digits: int, only: Collection[int], out: Callable[[VolumeSink], None]
) -> None:
    try:
        with open(path + volumes.LIST, "rb") as f:
            listed = volumes.parsed(f.read(_MAX_RECORD), path + volumes.LIST)
    except FileNotFoundError:
        listed = {}
    except InvalidArchive as e:
        raise OutputError(f"{_DOING}: {e}") from None

    def finished(number: int, digest: str, give_name: Callable[[], None]) -> None:
        if listed and listed.get(number, ("", ""))[1] != digest:
            raise OutputError(
                f"{_DOING}: volume {number} does not become what the list "
                f"{path}{volumes.LIST} says: the images, or the flags, are not the same"
            )
        give_name()

    sink = VolumeSink(path, size, digits, lambda number: number in only, finished)
    out(sink)
    if max(only) > sink.count:
        raise UsageError(f"there is no volume {max(only)}: the archive has {sink.count}")


@contextmanager
def _record(path: str) -> Iterator[int]:
    """Open the record, which one run alone may have."""
    name = f"{path}{volumes.LIST}.part"
    try:
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as e:
        raise OutputError(f"{_DOING}: cannot write {name}: {e.strerror}") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise OutputError(f"{_DOING}: another command is writing {path} right now") from None
    except OSError:
        pass  # a filesystem without locks
    try:
        yield fd
    except OSError as e:
        raise OutputError(f"{_DOING}: cannot write {path}: {e.strerror}") from None
    finally:
        os.close(fd)


def _key(images: Sequence[Saved], form: str, compress: str, size: int) -> str:
    """Return what two archives have in common only if they are the same, volume by volume."""
    running = digests.hasher()
    by = compression.version(compression.parse_choice(compress)[0])
    running.update(f"{__version__} {compress} {by} {size}\n".encode())
    for part in write.parts(images, form):
        running.update(f"{len(part.content)} {part.blob} {part.size}\n".encode())
        running.update(part.content)
    return running.hexdigest()


def _kept(fd: int, path: str, key: str, digits: int, progress: Progress) -> dict[int, str]:
    """Return the digests of the volumes that need not be written again."""
    first, _, rest = os.pread(fd, _MAX_RECORD, 0).partition(b"\n")
    if first != b"# " + key.encode():
        return {}
    kept: dict[int, str] = {}
    # The last line of a run that was broken off may be half of one.
    for text in rest.split(b"\n")[:-1]:
        digest, _, name = text.decode("utf-8", "replace").partition("  ")
        number = name.rpartition(".")[2]
        if number.isdecimal() and len(number) <= 5:
            place = volume_name(path, int(number), digits)
            if _digest_of(place, progress) == digest:
                kept[int(number)] = digest
    return kept


def _digest_of(path: str, progress: Progress) -> str | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        advance = counter(progress, os.path.basename(path), "Checking", os.fstat(fd).st_size)
        running, view = digests.hasher(), memoryview(bytearray(CHUNK))
        while n := os.readv(fd, [view]):
            running.update(view[:n])
            advance(n)
        return running.hexdigest()
    except OSError:
        return None
    finally:
        os.close(fd)


def _begin(fd: int, path: str, key: str, digits: int, done: dict[int, str]) -> None:
    content = b"# " + key.encode() + b"\n" + _lines(path, digits, done)
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    durable.write_all(fd, content)
    os.fsync(fd)


def _lines(path: str, digits: int, done: dict[int, str]) -> bytes:
    name = os.path.basename(path)
    return b"".join(line(done[n], volume_name(name, n, digits)) for n in sorted(done))


def _list(path: str, digits: int, done: dict[int, str], count: int) -> None:
    """Put the list in its place, and take away what a larger archive had of volumes before."""
    listed = path + volumes.LIST
    before: Collection[tuple[str, str]] = ()
    try:
        with open(listed, "rb") as f:
            before = volumes.parsed(f.read(_MAX_RECORD), listed).values()
    except (FileNotFoundError, InvalidArchive):
        pass
    done = {number: digest for number, digest in done.items() if number <= count}
    content = _lines(path, digits, done)
    durable.replace(listed, content, aside=f"{listed}.new", mode=0o600)
    os.unlink(f"{listed}.part")
    names = {volume_name(os.path.basename(path), n, digits) for n in done}
    for name, _ in before:
        if name not in names and name.startswith(os.path.basename(path) + "."):
            durable.remove(os.path.join(os.path.dirname(path), name))
