"""Login and logout: who the user is at a registry, tried there and remembered as docker does it."""

from typing import NamedTuple

from ferryman.errors import RegistryError
from ferryman.registry import credentials as known
from ferryman.registry import hosts as settings
from ferryman.registry import repository
from ferryman.registry.credentials import HUB, Credentials
from ferryman.registry.failure import Denied, Unreachable


class LoggedIn(NamedTuple):
    """Where the user's password or token is now."""

    path: str
    """The ``config.json``."""
    readable: bool
    """Whether it is in there, and not with a helper."""


def server(text: str | None) -> str:
    """Return the registry that a server's name on the command line means."""
    bare = (text or HUB).partition("://")[2] or text or HUB
    bare = bare.partition("/")[0]
    return HUB if known.key_of(bare) == known.HUB_KEY else bare


def stored(host: str) -> Credentials | None:
    """Return what is remembered of the user at a registry; raises CredentialError."""
    return known.of(host)


def login(host: str, user: Credentials) -> LoggedIn:
    """Try a user at a registry, and remember it; raises Denied, RegistryError, CredentialError."""
    hosts = settings.load()
    config = known.load()
    error: RegistryError | None = None
    for endpoint in hosts.endpoints(host, pull=False):
        with repository.session(endpoint, host, hosts, user=user) as session:
            try:
                session.ping()
                token = session.login()
            except (Denied, Unreachable) as e:
                error = e
                if isinstance(e, Denied):
                    break
                continue
        proven = Credentials(user.username, "", token) if token else user
        return LoggedIn(config.path, known.keep(host, proven, config))
    assert error is not None
    raise error


def logout(host: str) -> bool:
    """Forget the user at a registry; tell whether there was one.  Raises CredentialError."""
    return known.forget(host)
