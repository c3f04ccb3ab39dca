"""Digests: the identity of every blob (OCI image spec 1.1, descriptor.md, "Digests")."""

import re
from typing import Protocol

from ferryman.errors import InvalidImage

# The two algorithms the specification registers; all others are refused.
_ENCODED = {
    "sha256": re.compile(r"[a-f0-9]{64}"),
    "sha512": re.compile(r"[a-f0-9]{128}"),
}
ALGORITHMS = frozenset(_ENCODED)


class Hash(Protocol):
    """A running hash, as hashlib gives it."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Take in more content."""

    def hexdigest(self) -> str:
        """Return the hash of all content so far, in lower-case hexadecimal."""


class Digest(str):
    """A verified-by-grammar ``algorithm:encoded`` string; safe to use as part of a path."""

    __slots__ = ()

    @property
    def algorithm(self) -> str:
        """The part before the colon: ``sha256`` or ``sha512``."""
        return self.partition(":")[0]

    @property
    def encoded(self) -> str:
        """The part after the colon, lower-case hexadecimal."""
        return self.partition(":")[2]

    @property
    def short(self) -> str:
        """The first twelve characters of the encoded part, as docker shows IDs."""
        return self.encoded[:12]

    def hasher(self) -> Hash:
        """Return a fresh hash of this digest's algorithm."""
        return hasher(self.algorithm)


def parse(text: str) -> Digest:
    """Return the text as a digest.

    Raises InvalidImage when it is not ``algorithm:encoded``, when the algorithm is not registered
    or when the encoded part has the wrong form.
    """
    algorithm, colon, encoded = text.partition(":")
    if not colon:
        raise InvalidImage(f"invalid digest {text[:140]!r}: not of the form algorithm:hex")
    pattern = _ENCODED.get(algorithm)
    if pattern is None:
        raise InvalidImage(
            f"unknown digest algorithm {algorithm[:40]!r}: only sha256 and sha512 are known"
        )
    if not pattern.fullmatch(encoded):
        raise InvalidImage(f"invalid digest {text[:140]!r}: not {algorithm} in lower-case hex")
    return Digest(text)


def hasher(algorithm: str = "sha256") -> Hash:
    """Return a fresh hash of a registered algorithm."""
    import hashlib  # takes milliseconds, which commands that hash nothing need not wait for

    return hashlib.new(algorithm, usedforsecurity=True)


def of(content: bytes) -> Digest:
    """Return the sha256 digest of the content."""
    running = hasher()
    running.update(content)
    return finished(running)


def finished(running: Hash, algorithm: str = "sha256") -> Digest:
    """Return the digest that a running hash has arrived at."""
    return Digest(f"{algorithm}:{running.hexdigest()}")
