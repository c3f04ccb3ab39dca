"""Save: images out of the store into an archive, nothing staged, every byte written once."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from ferryman import parallel
from ferryman.archive import compression, write
from ferryman.archive.write import CompressedSink, FileSink, PipeSink, Saved, Sink
from ferryman.errors import ImageNotFound, InvalidReference, StoreError
from ferryman.image import reference
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor
from ferryman.image.platform import Platform
from ferryman.image.reference import Reference
from ferryman.operations.output import OutputError
from ferryman.operations.progress import Progress, silent
from ferryman.store import blobs
from ferryman.store.images import Image, of_target, referenced, resolve
from ferryman.store.index import Entry, came_with, entries, unmarked
from ferryman.store.layout import Store
from ferryman.store.lease import hold_if_writable, reading


@contextmanager
def chosen(
    store: Store,
    names: Sequence[str],
    platform: Platform | None = None,
    *,
    with_referrers: bool = False,
) -> Iterator[list[Saved]]:
    """Look up what is to be saved, and keep it from being removed while the block runs.

    A repository without a tag stands for all its tags; an ID or a digest for an image without a
    name.  `with_referrers` chooses the signatures and SBOMs, too, that came with the images.
    Raises ImageNotFound, InvalidReference, StoreError.
    """
    with hold_if_writable(store) as lease:
        with reading(store):
            images = _look_up(store, names, platform, with_referrers=with_referrers)
            if lease:
                lease.protect(blob.id for image in images for blob in image.blobs)
        for image in images:
            _check(store, image)
        yield images


def save(
    store: Store,
    images: Sequence[Saved],
    fd: int,
    *,
    form: str = "docker",
    compress: str = "none",
    recipients: Sequence[str] = (),
    progress: Progress = silent,
) -> None:
    """Write an archive of the images to a file or pipe, from where `fd` stands.

    `form` is "docker" (as docker 25 and later write it) or "oci"; `compress` is "none", "gzip" or
    "zstd", with a level as in "zstd:19"; for `recipients` it is encrypted by age.  Raises
    StoreError, OutputError, UsageError, MissingProgram.
    """
    algorithm, level = compression.parse_choice(compress)
    with _told(), ExitStack() as stack:
        sink: Sink
        out = fd
        if recipients:
            from ferryman.operations import sealed  # others need not wait for its imports

            out = stack.enter_context(sealed.encrypting(fd, recipients))
        if algorithm != "none":
            compressor = compression.compressor(out, algorithm, level, parallel.cores())
            stack.callback(compressor.close)
            sink = CompressedSink(compressor)
        elif stat.S_ISREG(os.fstat(out).st_mode):
            sink = FileSink(out)
        else:
            sink = PipeSink(out)
        _write(store, images, sink, form, progress)


def to_sink(
    store: Store,
    images: Sequence[Saved],
    sink: Sink,
    *,
    form: str = "docker",
    progress: Progress = silent,
) -> None:
    """Write a plain archive of the images to where a sink brings it; see `save`."""
    with _told():
        _write(store, images, sink, form, progress)


def _write(
    store: Store, images: Sequence[Saved], sink: Sink, form: str, progress: Progress
) -> None:
    sizes = {blob.id: blob.size for image in images for blob in image.blobs}
    sizes |= {d.delta.blob.id: d.delta.blob.size for image in images for d in image.deltas}
    done = dict.fromkeys(sizes, 0)

    def advance(digest: Digest, n: int) -> None:
        done[digest] += n
        progress(digest.short, "Saving", done[digest], sizes[digest])

    write.write(store, images, form, sink, advance)


@contextmanager
def _told() -> Iterator[None]:
    """Turn what an output can do wrong into docker's words."""
    try:
        yield
    except BrokenPipeError:
        raise OutputError("failed to save image: nobody reads the output any more") from None
    except OSError as e:
        raise OutputError(f"failed to save image: cannot write the output: {e.strerror}") from None


def _look_up(
    store: Store, names: Sequence[str], platform: Platform | None, *, with_referrers: bool
) -> list[Saved]:
    found: dict[Digest, tuple[Image, list[Reference]]] = {}
    for text in names:
        for image, name in _meant(store, text, platform):
            target = image.manifest_descriptor if platform else image.target
            _, with_names = found.setdefault(target.id, (image, []))
            if name and name not in with_names:
                with_names.append(name)
    listed = entries(store) if with_referrers else []
    return [_saved(store, image, tuple(names), platform, listed) for image, names in found.values()]


def _meant(
    store: Store, text: str, platform: Platform | None
) -> Iterator[tuple[Image, Reference | None]]:
    if (repository := _repository(text)) is not None:
        tags = [e for e in entries(store) if e.name and e.name.name == repository.name]
        if tags:
            for entry in tags:
                yield _for_platform(store, entry.target, text, platform), entry.name
            return
    image, name = resolve(store, text)
    if "@" in text:
        name = None
    if platform:
        image = _for_platform(store, image.target, text, platform)
    yield image, name


def _for_platform(store: Store, target: Descriptor, text: str, platform: Platform | None) -> Image:
    try:
        return of_target(store, target, platform=platform)
    except ImageNotFound:
        raise ImageNotFound(
            f"{text}: no suitable export target found for platform {platform}"
        ) from None


def _repository(text: str) -> Reference | None:
    """Return the name when it is a repository's, without a tag or digest."""
    try:
        name = reference.parse(text)
    except InvalidReference:
        return None
    return None if name.tag or name.digest else name


def _saved(
    store: Store,
    image: Image,
    names: tuple[Reference, ...],
    platform: Platform | None,
    listed: Sequence[Entry],
) -> Saved:
    """Return what is saved of an image, with what belongs to it of all that is `listed`."""
    target = image.manifest_descriptor if platform else image.target
    companions = [each.target for each in listed if came_with(each) == image.target.digest]
    needed = {
        blob.digest: blob for each in (target, *companions) for blob in referenced(store, each)
    }
    return Saved(
        target,
        names,
        tuple(needed.values()),
        image.manifest.config,
        tuple(image.layers),
        companions=tuple(unmarked(each) for each in companions),
    )


def _check(store: Store, image: Saved) -> None:
    """Find out that something is missing before the first byte goes out."""
    for blob in image.blobs:
        if blobs.size(store, blob.id) != blob.size:
            raise StoreError(
                f"blob {blob.digest} of the store {store.root} is missing or damaged: "
                "run `ferry system check --repair`"
            )
