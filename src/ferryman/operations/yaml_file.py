"""A YAML file of the user's, of a bounded size."""

from typing import Any

from ferryman.errors import FerryError

MAX_FILE = 4 << 20
"""The bytes that one may have."""


def read(path: str, what: str, error: type[FerryError]) -> Any:
    """Return what a file says; `what` is what it should be.  Raises `error`."""
    import yaml

    try:
        with open(path, "rb") as f:
            content = f.read(MAX_FILE + 1)
    except OSError as e:
        raise error(f"open {path}: {(e.strerror or '').lower()}") from None
    if len(content) > MAX_FILE:
        raise error(f"{path} is too large for {what}")
    try:
        return yaml.safe_load(content)
    except (yaml.YAMLError, RecursionError, ValueError) as e:
        raise error(f"{path} is not valid YAML: {' '.join(str(e).split())}") from None
