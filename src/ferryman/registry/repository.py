"""A repository of a registry, opened: what everything else here works on."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import NamedTuple

import msgspec

from ferryman.errors import InvalidImage, RegistryError
from ferryman.image.decode import decode
from ferryman.image.reference import Reference
from ferryman.registry import credentials as known
from ferryman.registry import hosts as settings
from ferryman.registry import url as urls
from ferryman.registry import wire
from ferryman.registry.broken import Broken
from ferryman.registry.credentials import Credentials
from ferryman.registry.failure import Unreachable
from ferryman.registry.hosts import Endpoint, Hosts
from ferryman.registry.limits import Limits
from ferryman.registry.session import Session
from ferryman.registry.url import Url

_LIMITS = Limits()
_MAX_TAGS = 4 << 20
_MAX_PAGES = 1000


class Repository(NamedTuple):
    """A repository at a registry that answers."""

    session: Session
    path: str
    """Its name there: ``library/debian``."""
    writes: bool = False

    def url(self, path: str) -> Url:
        """Return the URL of something in the repository."""
        return self.session.url(f"/v2/{self.path}/{path}")

    @property
    def scopes(self) -> tuple[str, ...]:
        """What has to be allowed here (the token specification's "scope")."""
        return (f"repository:{self.path}:{'pull,push' if self.writes else 'pull'}",)


@contextmanager
def opened(
    name: Reference,
    *,
    push: bool = False,
    hosts: Hosts | None = None,
    stop: Event | None = None,
    limits: Limits = _LIMITS,
) -> Iterator[Repository]:
    """Open the repository of a name at the registry itself, with what the user has said of it.

    Raises Unreachable, Denied, RegistryError, and what is wrong with the user's files.
    """
    hosts = hosts or settings.load()
    error: Unreachable | None = None
    for endpoint in hosts.endpoints(name.domain, pull=False):
        with session(endpoint, name.domain, hosts, stop, limits) as found:
            try:
                found.ping()
            except Unreachable as e:
                error = e
                continue
            yield Repository(found, name.path, push)
            return
    assert error is not None
    raise error


@contextmanager
def session(
    endpoint: Endpoint,
    domain: str,
    hosts: Hosts,
    stop: Event | None = None,
    limits: Limits = _LIMITS,
    user: Credentials | None = None,
) -> Iterator[Session]:
    """Give a session with an endpoint of a registry, as `user` or as whom the user is there.

    Raises CredentialError.
    """
    user = user or known.of(endpoint.host if endpoint.mirror else domain)
    found = Session(endpoint, user, limits=limits, rate=hosts.rate, chunk=hosts.chunk, stop=stop)
    try:
        yield found
    finally:
        found.close()


class _Tags(msgspec.Struct, frozen=True):
    tags: list[str] | None = None


def tags(repository: Repository) -> list[str]:
    """Return all tags of a repository, in the registry's order; raises NotFound, Denied, ….

    See the specification's "Listing Tags".
    """
    found: list[str] = []
    url: Url | None = repository.url("tags/list")
    for _ in range(_MAX_PAGES):
        if url is None:
            return found
        answer = repository.session.request("GET", url, ok=(200,), scopes=repository.scopes)
        link = answer.header("Link")
        content = read(answer, _MAX_TAGS)
        try:
            found += decode(content, _Tags, "list of tags").tags or []
        except InvalidImage as e:
            raise RegistryError(f'Get "{url.shown}": {e}') from None
        url = next_page(link, url)
    raise RegistryError(f"{repository.path}: the list of its tags has no end")


def next_page(link: str, url: Url) -> Url | None:
    """Return where a list goes on (RFC 8288, as the specification uses it)."""
    target, _, parameters = link.partition(">")
    if not target.startswith("<") or 'rel="next"' not in parameters.replace(
        "rel=next", 'rel="next"'
    ):
        return None
    return urls.parse(target[1:], url)


def read(answer: wire.Answer, limit: int) -> bytes:
    """Return the body of an answer; raises RegistryError."""
    try:
        return answer.content(limit)
    except Broken as e:
        raise Unreachable(f'Get "{answer.url.shown}": {e}') from None
