"""``s3://BUCKET[/PREFIX][:REFERENCE]``: an image layout in an object store that speaks S3.

Who one is there, and where it is, come from the environment as for every such client:
``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION``, ``AWS_ENDPOINT_URL``, ….
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ferryman.archive.stream import CHUNK, Pieces, Stream
from ferryman.errors import UsageError
from ferryman.transfer.ends.contract import Content, CopyError
from ferryman.transfer.ends.layout import LayoutDestination, LayoutSource

if TYPE_CHECKING:
    from obstore.store import S3Store

_AT_ONCE = 4
# Parts are held in memory; S3 takes 10,000 of them at most.
_PART, _MAX_PART = 8 << 20, 64 << 20
_MAX_PARTS = 10_000
_TRIES = 6
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


class Found(NamedTuple):
    """What an object is: its size in bytes, and what changes with its content."""

    size: int
    tag: str | None


class Bucket:
    """A prefix of a bucket as a shelf (see `layout.Shelf`)."""

    def __init__(self, name: str, prefix: str) -> None:
        """Keep objects below a prefix; raises CopyError."""
        self.what = f"s3://{name}/{prefix}".rstrip("/")
        self._store = _opened(name, prefix, self.what, _TRIES)
        # What some servers do not know is not worth to be asked for again and again.
        self._asking = _opened(name, prefix, self.what, 0)

    def read(self, name: str, limit: int) -> bytes | None:
        """Return a small object."""
        found = self._read(name, limit)
        return found[0] if found else None

    def _read(self, name: str, limit: int) -> tuple[bytes, str | None] | None:
        import obstore
        from obstore.exceptions import BaseError

        try:
            result = obstore.get(self._store, name)
            if result.meta["size"] > limit:
                raise CopyError(
                    f"{self.what}: {name} has {result.meta['size']} bytes, more than the {limit} "
                    "that are read"
                )
            return bytes(result.bytes()), result.meta["e_tag"]
        except FileNotFoundError as e:
            if "NoSuchBucket" in str(e):
                raise self._failed(e) from None
            return None
        except BaseError as e:
            raise self._failed(e) from None

    def size(self, name: str) -> int | None:
        """Return the size in bytes of an object."""
        found = self.found(name)
        return found.size if found else None

    def found(self, name: str) -> "Found | None":
        """Return what an object is, without its content."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            meta = obstore.head(self._store, name)
        except FileNotFoundError as e:
            if "NoSuchBucket" in str(e):
                raise self._failed(e) from None
            return None
        except BaseError as e:
            raise self._failed(e) from None
        return Found(meta["size"], meta["e_tag"])

    def address(self, name: str, seconds: int) -> str:
        """Return a URL by which anybody gets an object, for so long; nobody is asked for it."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            return obstore.sign(self._store, "GET", name, timedelta(seconds=seconds))
        except (BaseError, OSError) as e:
            raise self._failed(e) from None

    @contextmanager
    def opened(self, name: str) -> Iterator[Stream]:
        """Give the content of an object."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            pieces = iter(obstore.get(self._store, name).stream(CHUNK))
        except FileNotFoundError:
            raise CopyError(f"{self.what}: {name} is missing") from None
        except BaseError as e:
            raise self._failed(e) from None

        def told() -> Iterator[bytes]:
            try:
                yield from pieces
            except (BaseError, OSError) as e:
                raise self._failed(e) from None

        yield Pieces(told())

    def write(self, name: str, size: int, content: Content, *, encoding: str = "") -> None:
        """Write an object; a large one in parts, of which nobody sees anything before the last.

        `encoding` is what clients are told of its content (RFC 9110, section 8.4).
        """
        import obstore
        from obstore.exceptions import BaseError

        part = max(_PART, -(-size // _MAX_PARTS))
        if part > _MAX_PART:
            raise CopyError(f"{self.what}: {name} has {size} bytes, more than can be sent")
        raised: list[BaseException] = []
        attributes: Any = {"Content-Encoding": encoding} if encoding else None
        try:
            with content() as stream:
                if size <= _PART:
                    small = stream.read(size)
                    obstore.put(
                        self._store, name, small, attributes=attributes, use_multipart=False
                    )
                    return
                obstore.put(
                    self._store,
                    name,
                    _pieces(stream, raised),
                    attributes=attributes,
                    use_multipart=True,
                    chunk_size=part,
                    max_concurrency=2,
                )
        except (BaseError, OSError) as e:
            if raised:
                raise raised[0] from None
            raise self._failed(e) from None

    def change(self, name: str, limit: int, change: Callable[[bytes | None], bytes]) -> None:
        """Replace a small object; whoever was faster is read again, and nothing of theirs lost."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        for _ in range(_TRIES):
            found = self._read(name, limit)
            before, tag = found if found else (None, None)
            after = change(before)
            if after == before:
                return
            mode: Any = {"e_tag": tag} if tag else "create"
            try:
                obstore.put(self._asking, name, after, mode=mode)
                return
            except (AlreadyExistsError, PreconditionError):
                continue
            except BaseError as e:
                if "NotImplemented" not in str(e):
                    raise self._failed(e) from None
            # Not every server can tell who was first: there it is the last one who is right.
            try:
                obstore.put(self._store, name, after)
                return
            except BaseError as e:
                raise self._failed(e) from None
        raise CopyError(f"{self.what}: {name} is changed by others all the time")

    def _failed(self, error: Exception) -> CopyError:
        from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

        if "NoSuchBucket" in str(error):
            return CopyError(f"{self.what}: there is no such bucket")
        if isinstance(error, PermissionDeniedError | UnauthenticatedError):
            code = re.search("<Code>([A-Za-z]{1,60})</Code>", str(error))
            return CopyError(
                f"{self.what}: access denied ({code[1] if code else 'no reason is given'}): "
                "see AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they may do there"
            )
        words = " ".join(str(error).split("\n\nDebug source")[0].split())
        return CopyError(f"{self.what}: {words[:500]}")


def _opened(name: str, prefix: str, what: str, tries: int) -> "S3Store":
    try:
        from obstore.exceptions import BaseError
        from obstore.store import S3Store
    except ImportError:
        raise CopyError(
            f"{what}: object stores need one more package: pip install 'ferryman[s3]'"
        ) from None
    plain = any(os.environ.get(key, "").startswith("http://") for key in _ENDPOINTS)
    try:
        return S3Store(
            name,
            prefix=prefix or None,
            client_options={"allow_http": plain, "timeout": "1h"},
            retry_config={"max_retries": tries},
            virtual_hosted_style_request=False,
        )
    except (BaseError, ValueError) as e:
        raise CopyError(f"{what}: {' '.join(str(e).split())[:500]}") from None


def _pieces(stream: Stream, raised: list[BaseException]) -> Iterator[bytes]:
    # The library tells what an iterator raises in words of its own.
    try:
        while piece := stream.read(CHUNK):
            yield piece
    except BaseException as e:
        raised.append(e)
        raise


def opened(place: str) -> Bucket:
    """Return the bucket and prefix that stand behind ``s3://``; raises CopyError."""
    name, _, prefix = place.partition("/")
    return Bucket(name, prefix.strip("/"))


def _parsed(text: str) -> tuple[Bucket, str]:
    """Return bucket and reference of what stands behind ``s3://``; raises UsageError, CopyError."""
    place, _, reference = text.partition(":")
    if not place.partition("/")[0]:
        raise UsageError(
            f"invalid reference s3://{text}: it must be s3://bucket/prefix[:reference]"
        )
    return opened(place), reference


def source(text: str) -> LayoutSource:
    """Return an image of the layout in a bucket."""
    return LayoutSource(*_parsed(text))


def destination(text: str) -> LayoutDestination:
    """Return a place in the layout in a bucket."""
    return LayoutDestination(*_parsed(text), _AT_ONCE)
