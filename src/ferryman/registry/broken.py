"""Connections that are not made or break, in the words of docker's network library."""

import http.client
import socket


class Broken(Exception):
    """A connection that was not made or broke; the words are those of docker's network library."""

    def __init__(self, words: str, *, again: bool = True) -> None:
        """`again` tells whether another attempt might end better."""
        super().__init__(words)
        self.again = again


def not_connected(error: OSError, host: str, port: int) -> Broken:
    """Return what is wrong with a connection that could not be made."""
    import ssl

    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if isinstance(error, socket.gaierror):
        return Broken(f"dial tcp: lookup {host}: no such host", again=False)
    if isinstance(error, ssl.SSLCertVerificationError):
        said = f"tls: failed to verify certificate: x509: {error.verify_message}"
        return Broken(said, again=False)
    if isinstance(error, ssl.SSLError):
        if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
            return Broken("http: server gave HTTP response to HTTPS client", again=False)
        return Broken(f"tls: {error.reason or error}", again=False)
    if isinstance(error, TimeoutError):
        return Broken(f"dial tcp {place}: i/o timeout", again=False)
    return Broken(
        f"dial tcp {place}: connect: {(error.strerror or str(error)).lower()}", again=False
    )


def broken(error: Exception) -> Broken:
    """Return what is wrong with one that was made."""
    if isinstance(error, TimeoutError):
        return Broken(f"net/http: timeout: {error}")
    if isinstance(error, http.client.RemoteDisconnected | http.client.IncompleteRead):
        return Broken("unexpected EOF")
    if isinstance(error, http.client.HTTPException):
        return Broken(f"malformed HTTP response: {type(error).__name__}", again=False)
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return Broken(words.lower())
