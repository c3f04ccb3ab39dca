"""Commands on another machine, by the system's ssh, or on this one: one connection for all.

ssh itself is what users have set up: their config, agents, jump hosts and keys of hardware.  What
the far side says is a stranger's: it is bounded in size and time.
"""

import os
import selectors
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, NamedTuple

from ferryman.errors import FerryError
from ferryman.transfer.place import Place

_SSH = "FERRY_SSH_COMMAND"
SILENCE = 45
"""How many seconds nothing may be heard of a host before it is given up."""
_SIGNS = 3
_MAX_SAID = 64 << 20
_MAX_TOLD = 64 << 10
_ASK_SECONDS = 300.0

Stream = int | IO[bytes] | None


class HostError(FerryError):
    """A host that cannot be reached, or on which something failed; its name comes first."""


class Channel(NamedTuple):
    """A way to run commands on a machine, as long as it is open."""

    place: Place
    prefix: tuple[str, ...] = ()
    """The ssh command that goes through the open connection; empty for this machine."""
    master: "subprocess.Popen[bytes] | None" = None
    """What holds the connection."""

    def start(
        self, script: str, *, stdin: Stream, stdout: Stream, stderr: Stream
    ) -> subprocess.Popen[bytes]:
        """Start a script of the POSIX shell there."""
        if self.prefix:
            # The user's own shell there may be any; it only has to start this one.
            argv = [*self.prefix, f"exec /bin/sh -c {shlex.quote(script)}"]
            environment = None
        else:
            argv = ["/bin/sh", "-c", script]
            host = self.place.docker_host
            environment = {**os.environ, "DOCKER_HOST": host} if host else None
        return subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=stderr, env=environment)

    def ask(self, script: str, *, limit: int = _MAX_SAID, seconds: float = _ASK_SECONDS) -> bytes:
        """Run a script there and return what it says.

        Raises HostError when it fails, says more than `limit` bytes or takes longer.
        """
        process = self.start(
            script, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            said, told = self._heard(process, limit, time.monotonic() + seconds)
            code = process.wait()
        finally:
            end(process)
        if code:
            raise self.error(last_line(told) or f"a command ended with exit code {code}")
        return said

    def _heard(
        self, process: subprocess.Popen[bytes], limit: int, deadline: float
    ) -> tuple[bytes, bytes]:
        assert process.stdout
        assert process.stderr
        heard = {process.stdout: bytearray(), process.stderr: bytearray()}
        with selectors.DefaultSelector() as selector:
            for stream in heard:
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready:
                    raise self.error("no answer in time")
                for key, _ in ready:
                    piece = os.read(key.fd, 1 << 16)
                    if not piece:
                        selector.unregister(key.fileobj)
                    elif key.fileobj is process.stdout:
                        heard[process.stdout] += piece
                        if len(heard[process.stdout]) > limit:
                            raise self.error(f"it answers with more than {limit} bytes")
                    elif len(heard[process.stderr]) < _MAX_TOLD:
                        heard[process.stderr] += piece
        return bytes(heard[process.stdout]), bytes(heard[process.stderr])

    def forward(self, port: int) -> int:
        """Have a port of the machine's own lead to one here; return its number there.

        Raises HostError.
        """
        if not self.prefix:
            return port
        at = len(self.prefix) - 2  # before "--" and the destination
        argv = [
            *self.prefix[:at],
            *("-O", "forward", "-R", f"127.0.0.1:0:127.0.0.1:{port}"),
            *self.prefix[at:],
        ]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        answer = done.stdout.strip()
        if done.returncode or not answer.isdigit() or len(answer) > 5:
            raise self.error(last_line(done.stderr) or "ssh does not forward a port")
        return int(answer)

    def cut(self) -> None:
        """End the connection, whoever uses it."""
        if self.master:
            self.master.terminate()

    def error(self, reason: str) -> HostError:
        """Return an error that names the host."""
        return HostError(f"{self.place.name}: {reason}")


@contextmanager
def opened(place: Place, *, ask_nothing: bool = False, silence: int = SILENCE) -> Iterator[Channel]:
    """Connect to a place and give the channel; raises HostError.

    With `ask_nothing` ssh fails where it would ask for a password; it gives a host up after so
    many seconds of `silence`.
    """
    if not place.destination:
        yield Channel(place)
        return
    ssh = shlex.split(os.environ.get(_SSH) or "ssh")
    if not ssh or shutil.which(ssh[0]) is None:
        raise HostError(f"{place.name}: the program ssh is not installed (package openssh-client)")
    folder = tempfile.mkdtemp(prefix="ferry-ssh-")
    path = f"{folder}/s"
    common = [
        *ssh,
        *("-o", f"ControlPath={path}", "-o", f"ConnectTimeout={silence}", "-T"),
        *(("-p", str(place.port)) if place.port else ()),
    ]
    tail = ("--", place.destination)
    try:
        told = os.open(f"{folder}/told", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        master = subprocess.Popen(
            [
                *common,
                *("-o", "ControlMaster=yes", "-o", "ControlPersist=no"),
                *("-o", f"ServerAliveInterval={max(1, silence // _SIGNS)}"),
                *("-o", f"ServerAliveCountMax={_SIGNS}"),
                *("-o", f"BatchMode={'yes' if ask_nothing else 'no'}"),
                *("-o", "ExitOnForwardFailure=yes", "-o", "ForwardX11=no", "-o", "ForwardAgent=no"),
                *tail,
                # The connection lasts as long as this does: it ends with this process, even when
                # that is killed, since nobody else holds the pipe.
                "exec cat >/dev/null",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=told,
            # Ctrl-C is ours to handle: the connection is needed to clear up.
            start_new_session=ask_nothing,
        )
        try:
            _wait(master, path, told, place)
            yield Channel(place, (*common, "-o", "ControlMaster=no", *tail), master)
        finally:
            end(master)
            os.close(told)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(master: subprocess.Popen[bytes], path: str, told: int, place: Place) -> None:
    """Wait until the connection is there; raises HostError."""
    # A user who is asked for a password may think; what ssh itself gives up, ends it.
    while not os.path.exists(path):
        try:
            master.wait(0.01)
        except subprocess.TimeoutExpired:
            continue
        said = os.pread(told, _MAX_TOLD, 0)
        raise HostError(f"{place.name}: {last_line(said) or 'ssh cannot connect'}")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, if it has not ended, and close what leads to it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            with suppress(OSError):
                stream.close()


def last_line(told: bytes) -> str:
    """Return the last line of what a program says on stderr, in letters that can be shown."""
    lines = [line for line in told.decode(errors="replace").splitlines() if line.strip()]
    return "".join(c for c in lines[-1].strip()[:500] if c.isprintable()) if lines else ""
