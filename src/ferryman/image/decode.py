"""JSON that comes from strangers, into typed values.

Everything that is parsed here was bounded in size before; what is bounded here is its nesting
(msgspec stops with a RecursionError long before the stack is at risk) and its types.
"""

from threading import Lock
from typing import Any, TypeVar

import msgspec

from ferryman.errors import InvalidImage

T = TypeVar("T")

# Manifests, indexes and configs larger than this are refused unread.  Registries stop at 4 MiB for
# manifests; a config with hundreds of layers of history stays below 1 MiB.
MAX_JSON = 16 << 20

# The first time that it meets a type, msgspec finds out about it, and cannot do so in two threads.
_DECODING = Lock()


def decode(content: bytes, type: type[T], what: str, limit: int = MAX_JSON) -> T:
    """Return the JSON text as a value of the type.

    Raises InvalidImage, with `what` as the subject of the sentence, when it has more bytes than
    `limit`, is no JSON, is nested too deeply or has a field of another type.
    """
    if len(content) > limit:
        raise InvalidImage(f"{what} is too large: {len(content)} bytes, at most {limit}")
    try:
        with _DECODING:
            return msgspec.json.decode(content, type=type)
    except RecursionError:
        raise InvalidImage(f"{what} is nested too deeply") from None
    except msgspec.ValidationError as e:
        raise InvalidImage(f"{what} is invalid: {e}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise InvalidImage(f"{what} is not valid JSON: {e}") from None


def encode(value: Any) -> bytes:
    """Return the value as compact JSON, keys in the order in which they are defined.

    Bytes of the command line that are no text (a file's name in a comment) become U+FFFD.
    """
    # A digest is a str that knows its grammar; msgspec wants to be told.
    try:
        return msgspec.json.encode(value, enc_hook=str)
    except UnicodeEncodeError:
        return msgspec.json.encode(_as_text(msgspec.to_builtins(value, enc_hook=str)))


def _as_text(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if isinstance(value, dict):
        return {_as_text(key): _as_text(each) for key, each in value.items()}
    return [_as_text(each) for each in value] if isinstance(value, list) else value
