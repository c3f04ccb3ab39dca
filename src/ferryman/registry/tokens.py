"""Tokens: what a registry's authority gives for a user's credentials (the token specification).

Credentials are sent to the authority ("realm") that the registry names, as docker does, but only
where nobody can read along: over HTTPS, or to the registry's own host where the registry itself is
spoken to by plain HTTP.  Any other realm is refused before a word is said to it.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec

from ferryman.archive.stream import BytesStream
from ferryman.errors import InvalidImage, RegistryError
from ferryman.image.decode import decode
from ferryman.registry import url as urls
from ferryman.registry.challenge import Challenge
from ferryman.registry.credentials import Credentials
from ferryman.registry.failure import Denied, said
from ferryman.registry.hosts import Endpoint, bare
from ferryman.registry.url import Url
from ferryman.registry.wire import Answer, Body

_CLIENT = "ferry"
_MAX_TOKEN = 1 << 20
_LEAST = 60.0
"""Seconds that a token is good for, where nobody says it; as the specification has it."""
_EARLY = 10.0

Send = Callable[[str, Url, Mapping[str, str], Body | None], Answer]
"""Sends a request, once or more often, and returns the answer, whatever it is."""


class Token(NamedTuple):
    """What is shown to the registry, until when, and what renews it."""

    text: str
    until: float
    refresh: str = ""


class _Given(msgspec.Struct, frozen=True):
    token: str | None = None
    access_token: str | None = None
    expires_in: float | None = None
    refresh_token: str | None = None


class Tokens:
    """The tokens of one registry, by what they allow; several threads may ask at once."""

    def __init__(self, endpoint: Endpoint, credentials: Credentials | None, send: Send) -> None:
        """Ask for tokens with these credentials, or as nobody."""
        self._endpoint = endpoint
        self._credentials = credentials
        self._send = send
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, ...], Token] = {}

    def get(self, challenge: Challenge, scopes: Iterable[str], stale: str = "") -> str:
        """Return a token for these scopes; another one than `stale`, which was refused.

        Raises Denied, RegistryError, Broken.
        """
        asked = tuple(sorted({*scopes, *challenge.parameters.get("scope", "").split()}))
        with self._lock:
            kept = self._kept.get(asked)
            if kept is None or kept.text == stale or time.monotonic() > kept.until:
                kept = self._kept[asked] = self.fetch(challenge, asked)
            return kept.text

    def fetch(self, challenge: Challenge, scopes: Iterable[str], *, offline: bool = False) -> Token:
        """Ask for a token; with `offline`, for one that renews it too.  Raises Denied, Broken."""
        realm = self._realm(challenge)
        fields = [("scope", scope) for scope in scopes]
        if service := challenge.parameters.get("service"):
            fields.insert(0, ("service", service))
        credentials = self._credentials
        if credentials and credentials.identity_token:
            fields += [
                ("client_id", _CLIENT),
                ("grant_type", "refresh_token"),
                ("refresh_token", credentials.identity_token),
            ]
            content = urlencode(_joined(fields)).encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            body = Body(BytesStream(content), len(content))
            answer = self._send("POST", realm, headers, body)
        else:
            headers = {}
            if credentials:
                headers["Authorization"] = credentials.basic
                fields.append(("account", credentials.username))
            if offline:
                fields += [("client_id", _CLIENT), ("offline_token", "true")]
            separator = "&" if "?" in realm.target else "?"
            target = f"{realm.target}{separator}{urlencode(fields)}" if fields else realm.target
            answer = self._send("GET", realm._replace(target=target), headers, None)
        return self._token(answer)

    def _realm(self, challenge: Challenge) -> Url:
        endpoint = self._endpoint
        text = challenge.parameters.get("realm", "")
        try:
            realm = urls.parse(text)
        except RegistryError:
            raise RegistryError(
                f"{endpoint.host}: the registry's authority has no address: {text[:200]!r}"
            ) from None
        own = endpoint.scheme == "http" and realm.host == bare(endpoint.host)
        if realm.scheme == "https" or own:
            return realm
        raise RegistryError(
            f"{endpoint.host} wants credentials to be sent to {realm.shown}, where others could "
            "read them: refused"
        )

    def _token(self, answer: Answer) -> Token:
        content = answer.content(_MAX_TOKEN)
        if answer.status in (401, 403):
            words = next((each.words for each in said(content)), "authentication required")
            words = (
                words if words.startswith(("unauthorized", "denied")) else f"unauthorized: {words}"
            )
            raise Denied(f'Get "{answer.url.shown}": {words}')
        if answer.status != 200:
            raise RegistryError(
                f'Get "{answer.url.shown}": received unexpected HTTP status: {answer.reason}'
            )
        try:
            given = decode(content, _Given, "token")
        except InvalidImage:
            # What is wrong with it is not told: it may be half a token.
            given = _Given()
        text = given.token or given.access_token or ""
        if not text or not text.isascii() or not text.isprintable():
            raise RegistryError(f"{answer.url.shown}: authorization server gave no token")
        life = max(_LEAST, given.expires_in or 0.0) - _EARLY
        return Token(text, time.monotonic() + life, given.refresh_token or "")


def _joined(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in fields:
        joined[name] = f"{joined[name]} {value}" if name in joined else value
    return joined
