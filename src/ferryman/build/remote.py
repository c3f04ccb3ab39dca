"""Which sources of ADD, and which contexts, are to be fetched, and how: as a file or with git."""

import re

_FILE = re.compile(r"https?://")
# As BuildKit tells them (Dockerfile reference, "Adding files from a Git repository").
_REPOSITORY = re.compile(r"(?:git|ssh)://|https?://[^#?]*\.git/?(?:#|$)|git@[^/:]+:")


def is_repository(source: str) -> bool:
    """Tell whether a source is a git repository: ``https://host/name.git#ref:folder`` and so on."""
    return bool(_REPOSITORY.match(source))


def is_file(source: str) -> bool:
    """Tell whether a source is the URL of a file."""
    return bool(_FILE.match(source)) and not is_repository(source)


def is_remote(source: str) -> bool:
    """Tell whether a source comes from elsewhere."""
    return is_file(source) or is_repository(source)
