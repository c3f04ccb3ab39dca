"""Who the user is at which registry: docker's ``config.json`` and its credential helpers.

::

    {"auths": {"registry.example": {"auth": "<base64 of user:password>"}},
     "credsStore": "pass", "credHelpers": {"gcr.io": "gcloud"}}

What is in there never comes into an error, an output or a command line: helpers get it by their
standard input.
"""

import base64
import binascii
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from ferryman.errors import FerryError, InvalidImage
from ferryman.image.decode import decode

HUB = "docker.io"
HUB_KEY = "https://index.docker.io/v1/"
"""By this name docker knows its own registry."""

_TOKEN_USER = "<token>"
_MAX_CONFIG = 4 << 20
_MAX_ANSWER = 64 << 10
_HELPER_SECONDS = 120
_NOT_FOUND = "credentials not found in native keychain"


class CredentialError(FerryError):
    """A config file that cannot be read or written, or a credential helper that fails."""


class Credentials(NamedTuple):
    """A user's name and password, or a token in their place."""

    username: str
    password: str
    identity_token: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.username!r}, …)"

    @property
    def basic(self) -> str:
        """The value of an Authorization header."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode('ascii')}"


class Config(NamedTuple):
    """A ``config.json``: where it is, and what is in it, with all that others have put there."""

    path: str
    content: Mapping[str, Any]

    def helper(self, key: str) -> str:
        """Return the name of the helper for a registry, empty where the file itself keeps it."""
        helpers = _table(self.content.get("credHelpers"))
        found = helpers.get(key) or self.content.get("credsStore") or ""
        return found if isinstance(found, str) else ""


def config_path() -> str:
    """Return where docker's ``config.json`` is: in ``DOCKER_CONFIG``, or ``~/.docker``."""
    folder = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    return f"{folder}/config.json"


def load(path: str | None = None) -> Config:
    """Read the file; one that is not there is empty.  Raises CredentialError."""
    path = path or config_path()
    try:
        with open(path, "rb") as f:
            content = f.read(_MAX_CONFIG)
    except FileNotFoundError:
        return Config(path, {})
    except OSError as e:
        raise CredentialError(f"cannot read {path}: {e.strerror}") from None
    try:
        return Config(path, decode(content or b"{}", dict[str, Any], path))
    except InvalidImage as e:
        raise CredentialError(str(e)) from None


def key_of(host: str) -> str:
    """Return the name by which ``config.json`` knows a registry."""
    bare = host.partition("://")[2] or host
    bare = bare.partition("/")[0]
    return HUB_KEY if bare in (HUB, "index.docker.io", "registry-1.docker.io") else bare


def of(host: str, config: Config | None = None) -> Credentials | None:
    """Return what is known of the user at a registry; raises CredentialError."""
    config = config or load()
    key = key_of(host)
    if helper := config.helper(key):
        return _from_helper(helper, key)
    auths = _table(config.content.get("auths"))
    entry = auths.get(key)
    if entry is None:
        # Old files have URLs for names.
        entry = next((each for name, each in auths.items() if key_of(name) == key), None)
    return _from_entry(_table(entry), config.path, key)


def keep(host: str, credentials: Credentials, config: Config | None = None) -> bool:
    """Remember the user at a registry; tell whether that is in the file, for all to read it there.

    Raises CredentialError.
    """
    config = config or load()
    key = key_of(host)
    secret = credentials.identity_token or credentials.password
    if helper := config.helper(key):
        username = _TOKEN_USER if credentials.identity_token else credentials.username
        answer = {"ServerURL": key, "Username": username, "Secret": secret}
        _run(helper, "store", _encoded(answer))
        auths = {**_table(config.content.get("auths")), key: {}}
        _write(config, {**config.content, "auths": auths})
        return False
    pair = f"{credentials.username}:{'' if credentials.identity_token else credentials.password}"
    entry = {"auth": base64.b64encode(pair.encode()).decode("ascii")}
    if credentials.identity_token:
        entry["identitytoken"] = credentials.identity_token
    auths = {**_table(config.content.get("auths")), key: entry}
    _write(config, {**config.content, "auths": auths})
    return True


def forget(host: str, config: Config | None = None) -> bool:
    """Forget the user at a registry; tell whether there was one.  Raises CredentialError."""
    config = config or load()
    key = key_of(host)
    before = _table(config.content.get("auths"))
    auths = {name: entry for name, entry in before.items() if key_of(name) != key}
    known = len(auths) < len(before)
    if helper := config.helper(key):
        known = _from_helper(helper, key) is not None or known
        if known:
            _run(helper, "erase", key.encode())
    if len(auths) < len(before):
        _write(config, {**config.content, "auths": auths})
    return known


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _from_entry(entry: Mapping[str, Any], path: str, key: str) -> Credentials | None:
    token = entry.get("identitytoken") or ""
    username, password = entry.get("username") or "", entry.get("password") or ""
    if isinstance(auth := entry.get("auth"), str) and auth:
        try:
            pair = base64.b64decode(auth, validate=True).decode().rstrip("\0")
        except (binascii.Error, UnicodeDecodeError):
            raise CredentialError(
                f"{path}: the auth of {key} is no base64 of user:password"
            ) from None
        username, _, password = pair.partition(":")
    found = Credentials(str(username), str(password), str(token))
    return found if any(found) else None


def _from_helper(helper: str, key: str) -> Credentials | None:
    content = _run(helper, "get", key.encode(), missing=True)
    if content is None:
        return None
    try:
        answer = decode(content, dict[str, Any], f"the answer of docker-credential-{helper}")
    except InvalidImage:
        # The text of what is wrong could hold a part of a password.
        raise CredentialError(f"docker-credential-{helper}: its answer is no JSON") from None
    username, secret = str(answer.get("Username") or ""), str(answer.get("Secret") or "")
    if username == _TOKEN_USER:
        return Credentials("", "", secret)
    return Credentials(username, secret) if username or secret else None


def _run(helper: str, action: str, content: bytes, *, missing: bool = False) -> bytes | None:
    """Run a credential helper; with `missing`, return None where it knows nothing."""
    import subprocess

    program = f"docker-credential-{helper}"
    if "/" in helper:
        raise CredentialError(f"invalid credential helper: {program}")
    try:
        done = subprocess.run(
            [program, action],
            input=content,
            capture_output=True,
            check=False,
            timeout=_HELPER_SECONDS,
        )
    except OSError as e:
        raise CredentialError(
            f"error getting credentials - err: {program}: {e.strerror}: it is named in "
            f"{config_path()}"
        ) from None
    except subprocess.TimeoutExpired:
        raise CredentialError(f"{program} {action} does not end") from None
    if not done.returncode:
        return done.stdout[:_MAX_ANSWER]
    if missing and _NOT_FOUND in done.stdout.decode(errors="replace"):
        return None
    # What it has written could be anything, a password too: only its first line of errors is told.
    line = done.stderr.decode(errors="replace").strip().partition("\n")[0]
    raise CredentialError(f"{program} {action} failed with status {done.returncode}: {line[:200]}")


def _encoded(value: object) -> bytes:
    import json

    return json.dumps(value, indent="\t", ensure_ascii=False).encode()


def _write(config: Config, content: Mapping[str, Any]) -> None:
    """Replace the file at once, for nobody else to read."""
    from ferryman.store import durable

    # A link to a file that is kept elsewhere stays one.
    path = os.path.realpath(config.path)
    aside = f"{path}{os.urandom(6).hex()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        durable.replace(path, _encoded(content), aside=aside, mode=0o600)
    except OSError as e:
        raise CredentialError(f"cannot write {config.path}: {e.strerror}") from None
