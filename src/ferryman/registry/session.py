"""One registry, asked on behalf of one user: requests with their retries, redirects and proofs.

What the user can prove goes to the registry's own origin, and to no other: a redirect or an upload
that leads elsewhere is followed without it, and never from HTTPS to plain HTTP.
"""

import email.utils
import random
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from ferryman import __version__
from ferryman.archive.stream import BytesStream
from ferryman.errors import FerryError, Interrupted, RegistryError
from ferryman.registry import challenge as challenges
from ferryman.registry import url as urls
from ferryman.registry.broken import Broken
from ferryman.registry.challenge import Challenge
from ferryman.registry.credentials import Credentials
from ferryman.registry.failure import Busy, Denied, NotFound, Refused, Unreachable, said
from ferryman.registry.hosts import Endpoint, Tls, bare
from ferryman.registry.limits import Limits, Rate
from ferryman.registry.tokens import Tokens
from ferryman.registry.url import Url
from ferryman.registry.wire import Answer, Body, Pool

_MAX_ERROR = 64 << 10
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_BUSY = frozenset((429, 500, 502, 503, 504))

_DENIED = "denied: requested access to the resource is denied"

_LIMITS = Limits()


class Session:
    """A registry at one address; several threads may use it at once."""

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials | None = None,
        *,
        limits: Limits = _LIMITS,
        rate: int = 0,
        chunk: int = 0,
        stop: threading.Event | None = None,
    ) -> None:
        """Speak to the registry at `endpoint`; nothing is sent yet.

        `rate` are bytes a second for blobs, `chunk` the bytes of one piece of an upload; 0 is no
        limit.  Once `stop` is set, whatever waits raises Interrupted.
        """
        self.endpoint = endpoint
        self.limits = limits
        self.chunk = chunk
        self.stop = stop or threading.Event()
        self._base = urls.parse(endpoint.url)
        self._credentials = credentials
        self._rate = Rate(rate)
        self._pool = Pool(limits, self.stop)
        self._tokens = Tokens(endpoint, credentials, self._send)
        self._challenges: Sequence[Challenge] = ()

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def pace(self, size: int) -> None:
        """Wait until so many more bytes of blobs may go or come."""
        self._rate.wait(size, self.stop)

    def ping(self) -> None:
        """Find out that a registry answers, and how it wants to know who asks.

        Raises Unreachable.  See the specification's "Determining Support".
        """
        url = self.url("/v2/")
        try:
            answer = self._send("GET", url, {}, None)
        except Broken as e:
            raise Unreachable(f'Get "{url.shown}": {e}') from None
        self._challenges = challenges.parse(answer.every("WWW-Authenticate"))
        answer.release()
        if answer.status >= 500:
            raise Unreachable(
                f'Get "{url.shown}": received unexpected HTTP status: {answer.reason}'
            )

    def login(self) -> str:
        """Prove to the registry who the user is; return a token to keep, if it gives one.

        Raises Denied, RegistryError.
        """
        url = self.url("/v2/")
        try:
            bearer = self._first("bearer")
            if bearer is None:
                self.request("GET", url, ok=(200,)).release()
                return ""
            token = self._tokens.fetch(bearer, (), offline=True)
            headers = {"Authorization": f"Bearer {token.text}"}
            answer = self._send("GET", url, headers, None)
        except Broken as e:
            raise Unreachable(f'Get "{url.shown}": {e}') from None
        answer.release()
        if answer.status != 200:
            raise Denied(f"login attempt to {url.shown} failed with status: {answer.reason}")
        return token.refresh

    def url(self, path: str) -> Url:
        """Return the URL of a path of the API."""
        return urls.parse(f"{self.endpoint.url}{path}")

    def request(
        self,
        method: str,
        url: Url,
        *,
        ok: Collection[int],
        scopes: Collection[str] = (),
        headers: Mapping[str, str] | None = None,
        body: Callable[[], Body] | None = None,
        attempts: int | None = None,
    ) -> Answer:
        """Send a request and return an answer of one of the statuses `ok`.

        It is sent again when the registry is busy or a connection breaks, `body` being called for
        each; other answers raise NotFound, Denied or RegistryError, a connection that cannot be
        had Unreachable.
        """
        attempts = attempts or self.limits.attempts
        tries = refused = 0
        redirected = self.limits.redirects
        stale = ""
        origin = url
        while True:
            own = url.origin == self._base.origin
            proof = self._proof(scopes, stale) if own else ""
            sent = {**(headers or {}), **({"Authorization": proof} if proof else {})}
            try:
                answer = self._exchange(method, url, sent, body() if body else None)
            except Broken as e:
                tries += 1
                if not e.again or tries >= attempts:
                    raise Unreachable(f'{method.capitalize()} "{url.shown}": {e}') from None
                self.pause(tries, "")
                continue
            if answer.status in ok:
                return answer
            if answer.status in _REDIRECTS and method in ("GET", "HEAD"):
                redirected -= 1
                url = self._redirected(origin, url, answer, redirected)
                continue
            if answer.status == 401 and own and not refused:
                # A token that has run out, or the first word of what is needed.
                refused += 1
                self._challenges = (
                    challenges.parse(answer.every("WWW-Authenticate")) or self._challenges
                )
                stale = proof.removeprefix("Bearer ")
                if self._first("bearer") or (
                    self._first("basic") and self._credentials and not proof
                ):
                    answer.release()
                    continue
            if answer.status in _BUSY:
                tries += 1
                if tries < attempts:
                    wait = answer.header("Retry-After")
                    answer.release()
                    self.pause(tries, wait)
                    continue
            raise self._refused(method, answer, known=bool(proof))

    def _redirected(self, origin: Url, url: Url, answer: Answer, left: int) -> Url:
        to = answer.header("Location")
        answer.release()
        if left < 0:
            raise RegistryError(
                f'Get "{origin.shown}": stopped after {self.limits.redirects} redirects'
            )
        if not to:
            raise RegistryError(f'Get "{url.shown}": {answer.reason} without a Location')
        new = urls.parse(to, url)
        if url.scheme == "https" and new.scheme == "http":
            raise RegistryError(
                f'Get "{url.shown}": redirected from HTTPS to {new.shown}, where others could read '
                "along: refused"
            )
        return new

    def _first(self, scheme: str) -> Challenge | None:
        return next((each for each in self._challenges if each.scheme == scheme), None)

    def _proof(self, scopes: Collection[str], stale: str) -> str:
        """Return what the Authorization header is to say."""
        try:
            if bearer := self._first("bearer"):
                return f"Bearer {self._tokens.get(bearer, scopes, stale)}"
        except Broken as e:
            realm = bearer.parameters.get("realm", "") if bearer else ""
            raise Unreachable(f'Get "{realm.partition("?")[0][:200]}": {e}') from None
        if self._first("basic") and self._credentials and self._credentials.username:
            return self._credentials.basic
        return ""

    def _send(self, method: str, url: Url, headers: Mapping[str, str], body: Body | None) -> Answer:
        """Send a small request, again if the other side is busy; raises Broken."""
        content = body.stream.read(body.size or 0) if body else b""
        tries = 0
        while True:
            tries += 1
            try:
                again = Body(BytesStream(content), len(content)) if body else None
                answer = self._exchange(method, url, headers, again)
            except Broken as e:
                if not e.again or tries >= self.limits.attempts:
                    raise
                self.pause(tries, "")
                continue
            if answer.status not in _BUSY or tries >= self.limits.attempts:
                return answer
            wait = answer.header("Retry-After")
            answer.release()
            self.pause(tries, wait)

    def _exchange(
        self, method: str, url: Url, headers: Mapping[str, str], body: Body | None
    ) -> Answer:
        common = {"User-Agent": f"ferry/{__version__}", "Accept-Encoding": "identity"}
        # Whom the registry names is believed by the same authorities, as docker does it.
        tls = Tls(authorities=self.endpoint.tls.authorities)
        if bare(url.authority) == bare(self.endpoint.host):
            tls = self.endpoint.tls
        return self._pool.exchange(method, url, common | dict(headers), body, tls)

    def pause(self, tries: int, wanted: str) -> None:
        """Wait before the same is asked again; as long as the registry wants it, within bounds."""
        seconds = self.limits.pause * 2 ** (tries - 1) * (1 + random.random() / 4)
        if wanted:
            seconds = max(_seconds(wanted), 0.0) or seconds
            if seconds > self.limits.patience:
                raise RegistryError(
                    f"{self.endpoint.host}: too many requests: it asks to wait for "
                    f"{seconds:.0f} seconds: try again then"
                )
        if self.stop.wait(seconds):
            raise Interrupted("interrupted")

    def _refused(self, method: str, answer: Answer, *, known: bool) -> FerryError:
        try:
            errors = said(answer.content(_MAX_ERROR)) if method != "HEAD" else []
        except (Broken, RegistryError):
            errors = []
        answer.release()
        words = ", ".join(each.words for each in errors[:3])
        code = errors[0].code if errors else ""
        place = f'{method.capitalize()} "{answer.url.shown}"'
        if answer.status == 401 and _insufficient(answer):
            return Denied(f"{place}: {_DENIED}", "DENIED", 401)
        if answer.status == 401:
            if not known and not words and self._first("basic"):
                words = "no basic auth credentials"
            return Denied(f"{place}: {words or 'unauthorized: authentication required'}", code, 401)
        if answer.status == 403:
            return Denied(f"{place}: {words or 'denied: 403 Forbidden'}", code, 403)
        if answer.status == 404:
            return NotFound(words or f"{place}: 404 Not Found", code, 404)
        words = words or f"received unexpected HTTP status: {answer.reason}"
        if answer.status not in _BUSY:
            return Refused(f"{place}: {words}", code, answer.status)
        busy = Busy(f"{place}: {words}", code, answer.status)
        busy.wait = answer.header("Retry-After")
        return busy


def _insufficient(answer: Answer) -> bool:
    """Tell whether a registry knows who asks, and does not let them (RFC 6750, section 3.1)."""
    found = challenges.parse(answer.every("WWW-Authenticate"))
    return any(each.parameters.get("error") == "insufficient_scope" for each in found)


def _seconds(text: str) -> float:
    """Return what a Retry-After says, in seconds from now (RFC 9110, section 10.2.3)."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return 0.0
