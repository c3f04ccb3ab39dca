"""The JSON documents of an archive: each is read once, and all together are bounded."""

from ferryman.archive.source import Source
from ferryman.errors import InvalidArchive

# An archive of a thousand images has some 15 MiB of manifests and configs.
_MAX_TOTAL = 64 << 20


class Documents:
    """What is known of an archive before any layer is read."""

    def __init__(self, source: Source) -> None:
        """Read from `source`, whose parts do not change."""
        self.what = source.what
        self._source = source
        self._read: dict[str, bytes] = {}
        self._total = 0

    def find(self, name: str) -> str | None:
        """Return the name under which a part really lies; see `Source`."""
        return self._source.find(name)

    def size(self, found: str) -> int:
        """Return the size in bytes of a part that `find` found."""
        return self._source.size(found)

    def document(self, name: str) -> bytes | None:
        """Return a part that is JSON, None when it is not there; raises InvalidArchive."""
        found = self.find(name)
        if found is None:
            return None
        if found not in self._read:
            content = self._source.document(found)
            if content is None:
                return None
            self._total += len(content)
            if self._total > _MAX_TOTAL:
                raise InvalidArchive(
                    f"{self.what} has more than {_MAX_TOTAL} bytes of JSON documents"
                )
            self._read[found] = content
        return self._read[found]
