"""A real docker-registry, as it may be guarded: plain, by TLS, by passwords, by tokens."""

import base64
import json
import os
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

USER, PASSWORD = "ann", "pass word"
# What `htpasswd -B` makes of the password, with as little work as it can.
_HTPASSWD = f"{USER}:$2b$05$abcdefghijklmnopqrstuuIt/9/tGzLcigNq/.RWIDjeEVR30RSf.\n"

_START_SECONDS = 30
_SERVICE, _ISSUER = "made-up-registry", "made-up-issuer"


class Registry(NamedTuple):
    """A registry that runs."""

    address: str
    """Host and port."""
    folder: Path

    @property
    def log(self) -> str:
        """What it was asked, one request a line."""
        return (self.folder / "log").read_text(errors="replace")

    def requests(self, method: str, part: str) -> list[str]:
        """Return the paths of what it was asked with a method, that have this part."""
        lines = (line for line in self.log.splitlines() if f'"{method} ' in line)
        paths = [line.partition(f'"{method} ')[2].partition(" ")[0] for line in lines]
        return [path for path in paths if part in path]


@contextmanager
def running(
    folder: Path, *, auth: Mapping[str, Any] | None = None, tls: bool = False
) -> Iterator[Registry]:
    """Run a registry on a port of loopback; all that it writes is in `folder`.

    With `tls` it has a certificate that `folder`'s ``ca.crt`` vouches for.
    """
    folder.mkdir(parents=True)
    port = _free_port()
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "data")},
            "delete": {"enabled": True},
        },
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if auth:
        config["auth"] = auth
    if tls:
        make_authority(folder)
        make_certificate(folder, "registry")
        config["http"]["tls"] = {
            "certificate": str(folder / "registry.crt"),
            "key": str(folder / "registry.key"),
        }
    # YAML is a language that JSON is a part of.
    (folder / "config.yml").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            # Should the tests be killed, the registry stops too.
            ["setpriv", "--pdeathsig", "TERM", "docker-registry", "serve", folder / "config.yml"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
        )
    found = Registry(f"127.0.0.1:{port}", folder)
    try:
        _await(process, found, "https" if tls else "http")
        yield found
    finally:
        process.terminate()
        process.wait(_START_SECONDS)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _await(process: subprocess.Popen[bytes], registry: Registry, scheme: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{scheme}://{registry.address}/v2/", context=context)
        except urllib.error.HTTPError:
            return  # it answers, if with a question
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"docker-registry did not start:\n{registry.log[-2000:]}")


def by_passwords(folder: Path) -> dict[str, Any]:
    """Return what has a registry ask for the user's name and password."""
    path = folder / "htpasswd"
    path.write_text(_HTPASSWD)
    return {"htpasswd": {"realm": "made up", "path": str(path)}}


class Authority:
    """A server of tokens that a registry believes, and what it was asked for."""

    def __init__(self, folder: Path, realm: str) -> None:
        self.realm = realm
        self.scopes: list[str] = []
        self.users: list[str] = []
        self._folder = folder

    @property
    def auth(self) -> dict[str, Any]:
        """What has a registry ask for its tokens."""
        return {
            "token": {
                "realm": self.realm,
                "service": _SERVICE,
                "issuer": _ISSUER,
                "rootcertbundle": str(self._folder / "ca.crt"),
            }
        }

    def token(self, user: str, scopes: list[str]) -> str:
        """Return a token, signed, for all that is asked; who is nobody may only pull."""
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            wanted = actions.split(",") if user else ["pull"]
            access.append({"type": kind, "name": name, "actions": wanted})
        now = int(time.time())
        claims = {
            "iss": _ISSUER,
            "sub": user,
            "aud": _SERVICE,
            "exp": now + 300,
            "nbf": now - 10,
            "iat": now,
            "jti": os.urandom(8).hex(),
            "access": access,
        }
        pem = (self._folder / "token.crt").read_text()
        der = ssl.PEM_cert_to_DER_cert(pem)
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        signed = b".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
        command = ["openssl", "dgst", "-sha256", "-sign", f"{self._folder}/token.key"]
        signature = subprocess.run(command, input=signed, stdout=subprocess.PIPE, check=True)
        return (signed + b"." + _base64(signature.stdout)).decode()


def _base64(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


@contextmanager
def authority(folder: Path) -> Iterator[Authority]:
    """Run a server of tokens."""
    folder.mkdir(parents=True)
    make_authority(folder)
    make_certificate(folder, "token")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fields = parse_qs(urlsplit(self.path).query)
            scopes = [scope for each in fields.get("scope", []) for scope in each.split()]
            said = self.headers.get("Authorization", "").removeprefix("Basic ")
            pair = base64.b64decode(said).decode()
            user = pair.partition(":")[0]
            if pair and pair != f"{USER}:{PASSWORD}":
                self.send_error(401)
                return
            found.scopes += scopes
            found.users.append(user)
            token = found.token(user, scopes)
            body = json.dumps({"token": token, "expires_in": 300}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            # docker asks in the way of OAuth first.
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            return

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Authority(folder, f"http://127.0.0.1:{http.server_address[1]}/token")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def make_authority(folder: Path) -> None:
    """Make ``ca.crt`` and its key."""
    _openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=made up"),
        *("-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.crt")),
        *("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign"),
    )


def make_certificate(folder: Path, name: str) -> None:
    """Make a certificate of this machine's, for which ``ca.crt`` vouches."""
    _openssl(
        *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"),
        *("-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.csr")),
    )
    (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    _openssl(
        *("x509", "-req", "-days", "2", "-CAcreateserial", "-in", str(folder / f"{name}.csr")),
        *("-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key")),
        *("-extfile", str(folder / "extensions"), "-out", str(folder / f"{name}.crt")),
    )


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], capture_output=True, check=True)


class Line:
    """What stands between a client and a registry: it counts, and can be slow."""

    def __init__(self, to: str) -> None:
        self.address = ""
        self.came = 0
        """Bytes that the client was sent."""
        self.most = 0
        """Bytes a second, 0 for as many as there are."""
        host, _, port = to.partition(":")
        self._to = (host, int(port))

    def serve(self, listening: socket.socket) -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            upstream = socket.create_connection(self._to)
            for source, to, counted in ((client, upstream, False), (upstream, client, True)):
                arguments = (source, to, counted)
                threading.Thread(target=self._pass_on, args=arguments, daemon=True).start()

    def _pass_on(self, source: socket.socket, to: socket.socket, counted: bool) -> None:
        try:
            while piece := source.recv(16 << 10):
                to.sendall(piece)
                if counted:
                    self.came += len(piece)
                    if self.most:
                        time.sleep(len(piece) / self.most)
        except OSError:
            pass
        finally:
            for each in (source, to):
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue


@contextmanager
def between(registry: Registry) -> Iterator[Line]:
    """Give a line to a registry, with an address of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        line = Line(registry.address)
        line.address = f"127.0.0.1:{listening.getsockname()[1]}"
        threading.Thread(target=line.serve, args=(listening,), daemon=True).start()
        yield line
        listening.shutdown(socket.SHUT_RDWR)
