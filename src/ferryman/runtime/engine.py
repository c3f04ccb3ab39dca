"""The OCI runtime: crun or runc, called with the words of the runtime specification.

crun refuses a machine with both versions of control groups; where there is nothing else, it is
shown such a machine without the second (in a mount namespace of its own).
"""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from ferryman.errors import FerryError
from ferryman.rootfs import namespace
from ferryman.runtime import cgroups, programs

_TIMEOUT = 60.0
_HIDING = (
    *("unshare", "--mount", "--propagation", "slave", "--", "sh", "-c"),
    f'mount -t tmpfs none {cgroups.UNIFIED} && exec "$0" "$@"',
)


class EngineError(FerryError):
    """What the OCI runtime had to say, in docker's words around it, and docker's exit code."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        """Take the sentence and the exit code."""
        super().__init__(message)
        self.exit_code = exit_code


class Engine(NamedTuple):
    """An OCI runtime, and the folder in which it keeps the state of one container."""

    path: str
    root: str

    @property
    def name(self) -> str:
        """``crun`` or ``runc``."""
        return os.path.basename(self.path)

    @property
    def hides_unified(self) -> bool:
        """Tell whether it must not see that the machine has both versions of control groups."""
        return "crun" in self.name and cgroups.mode() == "hybrid"

    @property
    def options(self) -> list[str]:
        """What every command line of it begins with."""
        options = ["--root", self.root]
        if "crun" in self.name and namespace.ordinary():
            # Others find out by themselves that there is no control group to be made.
            options += ["--cgroup-manager", "disabled"]
        return options

    def command(self, *arguments: str) -> list[str]:
        """Return a command line of it."""
        return self.shown([self.path, *self.options, *arguments])

    def shown(self, command: Sequence[str]) -> list[str]:
        """Return a command line that shows a program of the machine what this runtime may see."""
        return [*_HIDING, *command] if self.hides_unified else list(command)

    def call(self, *arguments: str) -> str:
        """Run it to its end and return what it printed; raises EngineError."""
        try:
            done = subprocess.run(
                self.command(*arguments),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise EngineError(f"{self.name} {arguments[0]} has not come to an end") from None
        if done.returncode:
            raise EngineError(plain(done.stderr) or f"{self.name} {arguments[0]} failed")
        return done.stdout

    def start(self, container_id: str) -> None:
        """Let the created process run."""
        self.call("start", container_id)

    def kill(self, container_id: str, signal: str, *, everything: bool = False) -> None:
        """Send a signal to the first process, or to every one.

        Without a control group nothing tells which those are; in a process namespace of their own
        they end with the first.
        """
        options = ("--all",) if everything and not namespace.ordinary() else ()
        self.call("kill", *options, container_id, signal)

    def pause(self, container_id: str) -> None:
        """Freeze all processes; raises EngineError where an ordinary user cannot."""
        if namespace.ordinary():
            raise EngineError("an ordinary user has no control group to pause a container with")
        self.call("pause", container_id)

    @contextmanager
    def paused(self, container_id: str) -> Iterator[None]:
        """Freeze all processes for the block, even should this process not live to its end.

        Raises EngineError.
        """
        pause, resume = (shlex.join(self.command(v, container_id)) for v in ("pause", "resume"))
        # What lets them go on is a process of its own, whose waiting ends with ours.
        with subprocess.Popen(
            ["sh", "-c", f"trap '' PIPE; {pause} && {{ echo; read _; {resume}; }}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as keeper:
            assert keeper.stdin
            assert keeper.stdout
            assert keeper.stderr
            if not keeper.stdout.read(1):
                said = keeper.stderr.read().decode(errors="replace")
                raise EngineError(plain(said) or f"{self.name} pause failed")
            try:
                yield
            finally:
                keeper.stdin.close()

    def resume(self, container_id: str) -> None:
        """Let frozen processes go on."""
        self.call("resume", container_id)

    def state(self, container_id: str) -> dict[str, Any]:
        """Return what it knows of the container (runtime specification, "State")."""
        return dict(json.loads(self.call("state", container_id)))

    @contextmanager
    def deleting(self, container_id: str) -> Iterator[None]:
        """Take back what is left of a container while the block runs; never fails.

        Processes that are left are ended.
        """
        with subprocess.Popen(
            self.command("delete", "--force", container_id),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            yield
            try:
                process.wait(_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()


def chosen(root: str, wanted: str = "") -> Engine:
    """Return the runtime that was asked for, else the first that works with this machine's cgroups.

    Raises MissingProgram.
    """
    if wanted:
        path = programs.found(wanted)
        if path is None:
            raise programs.MissingProgram(f'unknown or invalid runtime name: "{wanted}"')
        return Engine(path, root)
    order = ("runc", "crun") if cgroups.mode() == "hybrid" else ("crun", "runc")
    for name in order:
        if path := programs.found(name):
            return Engine(path, root)
    path = programs.needed("crun", "crun (or runc)", "to run containers")
    return Engine(path, root)


_MESSAGE = re.compile(r'msg="((?:[^"\\]|\\.)*)"|"msg":"((?:[^"\\]|\\.)*)"')


def plain(text: str) -> str:
    """Return what an OCI runtime means, without the form of its log."""
    last = text.strip().splitlines()[-1] if text.strip() else ""
    if match := _MESSAGE.search(last):
        last = re.sub(r"\\(.)", r"\1", match[1] or match[2] or "")
    return last.strip()


def create_failed(name: str, message: str) -> EngineError:
    """Return docker's error for a container that could not be created.

    As docker's client tells it from the words: a program that is not there exits with 127, one
    that cannot be run with 126, anything else with 125.
    """
    lowered = message.lower()
    code = 125
    if "executable file" in lowered or "no such file or directory" in lowered:
        code = 127
    elif "permission denied" in lowered or "is a directory" in lowered:
        code = 126
    said = message.removeprefix(f"{name} create failed: ")
    return EngineError(f"OCI runtime create failed: {name} create failed: {said}: unknown", code)


def arguments(words: Sequence[str], option: str) -> list[str]:
    """Return each word with an option in front of it."""
    return [part for word in words for part in (option, word)]
