"""A real object store that speaks S3: OpenStack Swift, one of each of its servers."""

import base64
import email.utils
import hashlib
import hmac
import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

USER, PASSWORD = "test:tester", "testing"
_START_SECONDS = 60

# Where it looks for its secrets is nobody's to choose but its own.
_SERVER = """
import sys
from swift.common import utils, wsgi
utils.SWIFT_CONF_FILE = sys.argv[1]
sys.exit(wsgi.run_wsgi(sys.argv[2], sys.argv[3]))
"""
_SECRETS = """
[swift-hash]
swift_hash_path_suffix = made-up
swift_hash_path_prefix = made-up
[storage-policy:0]
name = one
default = yes
"""
_COMMON = """
[DEFAULT]
bind_ip = {ip}
bind_port = {port}
workers = 0
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
user = {user}
log_address = {folder}/nowhere
"""
_STORAGE = """
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""
_PROXY = f"""
[pipeline:main]
pipeline = cache s3api tempauth slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:slo]
use = egg:swift#slo
[filter:tempauth]
use = egg:swift#tempauth
user_{USER.replace(":", "_")} = {PASSWORD} .admin
"""


class Buckets(NamedTuple):
    """The object store that runs."""

    address: str
    """Host and port."""
    within: tuple[str, ...] = ()
    """What brings a command to where it is reached."""

    @property
    def env(self) -> Mapping[str, str]:
        """What tells a client where it is, and who one is there."""
        return {
            "AWS_ENDPOINT_URL": f"http://{self.address}",
            "AWS_ACCESS_KEY_ID": USER,
            "AWS_SECRET_ACCESS_KEY": PASSWORD,
            "AWS_REGION": "us-east-1",
        }

    def ask(self, method: str, path: str) -> bytes:
        """Ask for a bucket (``/name``) or an object."""
        asked = [*self.within, "curl", *self.signed(method, path)]
        done = subprocess.run(asked, stdout=subprocess.PIPE, check=False)
        if done.returncode:
            raise OSError(f"curl ended with exit code {done.returncode}")
        return done.stdout

    def signed(self, method: str, path: str) -> list[str]:
        """Return what tells curl to ask for something, signed as S3 had it at first."""
        date = email.utils.formatdate(usegmt=True)
        said = f"{method}\n\n\n{date}\n{path}".encode()
        signed = base64.b64encode(hmac.digest(PASSWORD.encode(), said, hashlib.sha1)).decode()
        headers = ("-H", f"Date: {date}", "-H", f"Authorization: AWS {USER}:{signed}")
        empty = ("-H", "Content-Length: 0") if method == "PUT" else ()
        return ["-sf", "-X", method, *headers, *empty, f"http://{self.address}{path}"]


@contextmanager
def running(above: Path, ip: str = "127.0.0.1", within: tuple[str, ...] = ()) -> Iterator[Buckets]:
    """Run an object store on ports of loopback; all that it writes is in a new folder in `above`.

    With `within`, which brings a command to another network, it is there, and reached by `ip`.
    """
    if importlib.util.find_spec("swift") is None:
        pytest.skip("swift is not installed")
    folder = Path(tempfile.mkdtemp(prefix="swift-", dir=above))
    (folder / "devices/one").mkdir(parents=True)
    (folder / "swift.conf").write_text(_SECRETS)
    kinds = ("account", "container", "object", "proxy")
    ports = dict(zip(kinds, _free_ports(len(kinds)), strict=True))
    with ExitStack() as stack:
        processes = {}
        for kind, port in ports.items():
            if kind != "proxy":
                _ring(folder, kind, port)
            at = ip if kind == "proxy" else "127.0.0.1"
            config = _COMMON.format(ip=at, port=port, folder=folder, user=_user())
            config += _PROXY if kind == "proxy" else _STORAGE.format(kind=kind)
            (folder / f"{kind}.conf").write_text(config)
            processes[kind] = stack.enter_context(_server(folder, kind, within))
        found = Buckets(f"{ip}:{ports['proxy']}", within)
        _await(found, processes, folder)
        yield found


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _free_ports(many: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(many)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _ring(folder: Path, kind: str, port: int) -> None:
    builder = folder / f"{kind}.builder"
    for words in (
        ("create", "2", "1", "1"),
        ("add", f"r1z1-127.0.0.1:{port}/one", "1"),
        ("rebalance",),
    ):
        program = [sys.executable, "-m", "swift.cli.ringbuilder", builder, *words]
        subprocess.run(program, check=True, stdout=subprocess.PIPE)


@contextmanager
def _server(
    folder: Path, kind: str, within: tuple[str, ...]
) -> Iterator["subprocess.Popen[bytes]"]:
    with (folder / f"{kind}.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "TERM", *within, sys.executable, "-c", _SERVER),
                *(folder / "swift.conf", folder / f"{kind}.conf", f"{kind}-server"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(_START_SECONDS)


def _await(
    found: Buckets, processes: Mapping[str, "subprocess.Popen[bytes]"], folder: Path
) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and not any(p.poll() for p in processes.values()):
        try:
            found.ask("GET", "/")
        except OSError:
            time.sleep(0.05)
        else:
            return
    logs = "\n".join((folder / f"{kind}.log").read_text()[-2000:] for kind in processes)
    raise RuntimeError(f"swift did not start:\n{logs}")
