"""Image names: ``[domain/]path[:tag][@digest]``, by the grammar that docker uses.

``debian`` means ``docker.io/library/debian:latest``: the long form is the canonical one, the short
one is the familiar one, in which names are shown.
"""

import re
from typing import NamedTuple

from ferryman.errors import InvalidImage, InvalidReference
from ferryman.image import digest as digests
from ferryman.image.digest import Digest

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
_OFFICIAL = "library/"
_MAX_NAME = 255

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_LABEL = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_HEX_ID = re.compile(r"[a-f0-9]{64}")


class Reference(NamedTuple):
    """A parsed name.  `tag` and `digest` are None where the text had none."""

    domain: str
    path: str
    tag: str | None = None
    digest: Digest | None = None

    @property
    def name(self) -> str:
        """The canonical repository: ``docker.io/library/debian``."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The repository as docker shows it: ``debian``."""
        short = self.path.removeprefix(_OFFICIAL) if self.path.count("/") == 1 else self.path
        # Short is shown only what means the same again: docker.io/quay.io/app is no quay.io/app.
        return short if _split_domain(short) == (self.domain, self.path) else self.name

    @property
    def canonical(self) -> str:
        """The whole name, in full."""
        return self.name + self._suffix

    @property
    def familiar(self) -> str:
        """The whole name, as docker shows it."""
        return self.familiar_name + self._suffix

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def tagged(self) -> "Reference":
        """The same name with the tag ``latest`` where it has neither tag nor digest."""
        if self.tag or self.digest:
            return self
        return self._replace(tag=DEFAULT_TAG)


def parse(text: str) -> Reference:
    """Return the text, short or long, as a reference.

    Raises InvalidReference with docker's words when it does not follow the grammar.
    """
    if _HEX_ID.fullmatch(text):
        raise InvalidReference(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
        )
    name, at, digest_text = text.partition("@")
    digest: Digest | None = None
    if at:
        try:
            digest = digests.parse(digest_text)
        except InvalidImage:
            raise InvalidReference(_invalid(text)) from None
    tag: str | None = None
    slash, colon = name.rfind("/"), name.rfind(":")
    if colon > slash:
        name, tag = name[:colon], name[colon + 1 :]
        if not _TAG.fullmatch(tag):
            raise InvalidReference(_invalid(text))
    domain, path = _split_domain(name)
    if path != path.lower():
        raise InvalidReference(
            f"invalid reference format: repository name ({path[:_MAX_NAME]}) must be lowercase"
        )
    if not _PATH.fullmatch(path) or not _DOMAIN.fullmatch(domain):
        raise InvalidReference(_invalid(text))
    if len(domain) + 1 + len(path) > _MAX_NAME:
        raise InvalidReference(f"repository name must not be more than {_MAX_NAME} characters")
    return Reference(domain, path, tag, digest)


def is_tag(text: str) -> bool:
    """Tell whether a text has the form of a tag."""
    return _TAG.fullmatch(text) is not None


def _invalid(text: str) -> str:
    shown = text if len(text) <= _MAX_NAME else text[:_MAX_NAME] + "…"
    return f"invalid reference format: {shown!r} is not an image name"


def _split_domain(name: str) -> tuple[str, str]:
    """Tell the registry's domain from the first component of a path, as docker does."""
    first, slash, rest = name.partition("/")
    if not slash or not (
        "." in first or ":" in first or first == "localhost" or first != first.lower()
    ):
        domain, path = DEFAULT_DOMAIN, name
    else:
        domain, path = first, rest
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = _OFFICIAL + path
    return domain, path
