"""JSON that comes from strangers, into typed values.

Everything that is parsed here was bounded in size before; what is bounded here is its nesting
(msgspec stops with a RecursionError long before the stack is at risk) and its types.
"""

from typing import Any, TypeVar

import msgspec

from ferryman.errors import InvalidImage

T = TypeVar("T")

# Manifests, indexes and configs larger than this are refused unread.  Registries stop at 4 MiB for
# manifests; a config with hundreds of layers of history stays below 1 MiB.
MAX_JSON = 16 << 20


def decode(content: bytes, type: type[T], what: str, limit: int = MAX_JSON) -> T:
    """Return the JSON text as a value of the type.

    Raises InvalidImage, with `what` as the subject of the sentence, when it has more bytes than
    `limit`, is no JSON, is nested too deeply or has a field of another type.
    """
    if len(content) > limit:
        raise InvalidImage(f"{what} is too large: {len(content)} bytes, at most {limit}")
    try:
        return msgspec.json.decode(content, type=type)
    except RecursionError:
        raise InvalidImage(f"{what} is nested too deeply") from None
    except msgspec.ValidationError as e:
        raise InvalidImage(f"{what} is invalid: {e}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise InvalidImage(f"{what} is not valid JSON: {e}") from None


def encode(value: Any) -> bytes:
    """Return the value as compact JSON, keys in the order in which they are defined."""
    # A digest is a str that knows its grammar; msgspec wants to be told.
    return msgspec.json.encode(value, enc_hook=str)
