"""Where the bytes of parts come from: standard input, or a URL.

The standard library alone, as of Python 3.6: this file is sent to hosts.
"""

import json
import struct
from typing import Any, Dict, Optional

from ferryman.transfer.agent import inflate

_LINE = 64 << 20
_PIECE = 1 << 20
_LENGTH = struct.Struct(">I")
_FETCH_SECONDS = 60
FETCH = "ferry:fetch "
"""What stands before the reason why a URL gave nothing."""


class Failed(Exception):
    """Why a request cannot be done, in one line."""


class Input:
    """Standard input: lines, and frames of bytes."""

    def __init__(self, stream: Any) -> None:
        """Read from a binary stream."""
        self._stream = stream

    def line(self) -> Optional[Dict[str, Any]]:
        """Return the next request, None at the end."""
        line = self._stream.readline(_LINE)
        if not line:
            return None
        if not line.endswith(b"\n"):
            raise Failed("the line broke")
        return json.loads(line.decode())  # type: ignore[no-any-return]

    def body(self, codec: str) -> Any:
        """Yield what the frames hold, up to the one that is empty."""
        return inflate.inflated(self._frames(), codec)

    def _frames(self) -> Any:
        while True:
            (length,) = _LENGTH.unpack(self.exactly(_LENGTH.size))
            if not length:
                return
            while length:
                piece = self.exactly(min(length, _PIECE))
                length -= len(piece)
                yield piece

    def exactly(self, size: int) -> bytes:
        """Return so many bytes; raises Failed when the line breaks."""
        content = self._stream.read(size)
        if len(content) != size:
            raise Failed("the line broke")
        return content  # type: ignore[no-any-return]


class Address:
    """What a URL gives, in the place of frames."""

    def __init__(self, url: str) -> None:
        """Ask for it once it is wanted; the URL is told to nobody."""
        self._url = url

    def body(self, codec: str) -> Any:
        """Yield what it holds; raises Failed, with FETCH in front, where it cannot be had."""
        return inflate.inflated(self._fetched(), codec)

    def _fetched(self) -> Any:
        from http.client import HTTPException
        from urllib.request import Request, urlopen

        try:
            asked = Request(self._url, headers={"Accept-Encoding": "gzip"})
            with urlopen(asked, timeout=_FETCH_SECONDS) as answer:
                left = int(answer.headers["Content-Length"])
                while left:
                    piece = answer.read(min(left, _PIECE))
                    if not piece:
                        raise Failed(FETCH + "the connection ended too early")
                    left -= len(piece)
                    yield piece
        except (OSError, HTTPException, TypeError, ValueError) as e:
            raise Failed(FETCH + str(e)) from None
