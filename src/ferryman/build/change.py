"""What instructions make of an image's config: in a build, and in ``docker import --change``.

The words in which they are refused are docker's.
"""

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ferryman.build import instructions
from ferryman.build.expansion import expanded
from ferryman.build.instructions import (
    Action,
    Cmd,
    CommandLine,
    Entrypoint,
    Env,
    Expose,
    HealthCheck,
    Label,
    OnBuild,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from ferryman.build.lines import DockerfileError
from ferryman.build.ports import exposed
from ferryman.build.syntax import parse
from ferryman.build.words import WordError
from ferryman.errors import FerryError

_CHANGES = frozenset(
    "cmd entrypoint env expose healthcheck label onbuild stopsignal user volume workdir".split()
)


class ChangeError(FerryError):
    """An instruction that docker would refuse, in docker's words."""


def apply_changes(
    config: Mapping[str, Any], changes: Sequence[str], *, os: str = "linux"
) -> dict[str, Any]:
    """Return a container's config (docker's keys: Cmd, Env, …) with instructions applied to it.

    Each of `changes` is one or more lines of a Dockerfile; `os` is what the image is for, which
    decides about the shell.  As docker does, all of them are read before the first one takes
    effect.  A key that an instruction empties is left out, which is how docker reads a null.
    Raises ChangeError.
    """
    if not changes:
        return dict(config)
    try:
        dockerfile = parse("\n".join(changes))
        for instruction in dockerfile.instructions:
            if instruction.keyword not in _CHANGES:
                raise ChangeError(f"{instruction.keyword} is not a valid change command")
        said = [instructions.understood(each) for each in dockerfile.instructions]
        changed = Changed(config, os)
        for action in said:
            if not isinstance(action, instructions.From):
                changed.apply(expanded(action, changed.variables(), dockerfile.escape))
    except (DockerfileError, WordError) as e:
        raise ChangeError(str(e)) from None
    return changed.config


class _Known(msgspec.Struct, frozen=True, rename="pascal"):
    """The fields of a config that are changed rather than replaced: they must be what they say."""

    env: list[str] | None = None
    exposed_ports: dict[str, Any] | None = None
    labels: dict[str, str] | None = None
    on_build: list[str] | None = None
    shell: list[str] | None = None
    volumes: dict[str, Any] | None = None
    working_dir: str | None = None


class Changed:
    """A config as the instructions so far have left it."""

    def __init__(self, config: Mapping[str, Any], os: str = "linux") -> None:
        """Begin with a config that is there; raises ChangeError if it is none."""
        try:
            msgspec.convert(config, _Known)
        except msgspec.ValidationError as e:
            raise ChangeError(f"the config to change is invalid: {e}") from None
        self.config = dict(config)
        self._cmd_is_new = False
        self.os = os

    def variables(self) -> dict[str, str]:
        """Return the environment by name."""
        return dict(entry.partition("=")[::2] for entry in self.config.get("Env") or [])

    def in_shell(self, command: CommandLine) -> list[str]:
        """Return the words of a command, the shell's before them where it is for a shell."""
        if not command.shell:
            return list(command.words)
        default = ["cmd", "/S", "/C"] if self.os == "windows" else ["/bin/sh", "-c"]
        return [*(self.config.get("Shell") or default), *command.words]

    def apply(self, action: Action) -> None:
        """Have an instruction, its variables replaced, take effect; others than these have none.

        Raises ChangeError.
        """
        match action:
            case Cmd(command):
                self._cmd(command)
            case Entrypoint(command):
                self._entrypoint(command)
            case Env(pairs):
                for name, value in pairs:
                    self._env(name, value)
            case Label(pairs):
                self._add("Labels", dict(pairs))
            case Expose(ports):
                self._expose(ports)
            case Volume(paths):
                if not all(paths):
                    raise ChangeError("VOLUME specified can not be an empty string")
                self._add("Volumes", {path: {} for path in paths})
            case User(name):
                self.config["User"] = name
            case Workdir(path):
                self._workdir(path)
            case Shell(words):
                self.config["Shell"] = list(words)
            case StopSignal(signal):
                if not _is_signal(signal):
                    raise ChangeError(f"invalid signal: {signal}")
                self.config["StopSignal"] = signal
            case OnBuild(later):
                self.config["OnBuild"] = [*(self.config.get("OnBuild") or []), later]
            case HealthCheck():
                self.config["Healthcheck"] = _health(action)

    def _add(self, key: str, entries: Mapping[str, Any]) -> None:
        """Add to one of the fields that are a mapping."""
        if entries:
            self.config[key] = {**(self.config.get(key) or {}), **entries}

    def _cmd(self, command: CommandLine) -> None:
        self.config["Cmd"] = self.in_shell(command)
        self.config.pop("ArgsEscaped", None)
        self._cmd_is_new |= bool(command.words)

    def _entrypoint(self, command: CommandLine) -> None:
        if command.words:
            self.config["Entrypoint"] = self.in_shell(command)
        else:
            self.config.pop("Entrypoint", None)
        self.config.pop("ArgsEscaped", None)
        # A command that was meant for another entry point goes with it.
        if not self._cmd_is_new:
            self.config.pop("Cmd", None)

    def _env(self, name: str, value: str) -> None:
        env = list(self.config.get("Env") or [])
        names = [entry.partition("=")[0] for entry in env]
        if name in names:
            env[names.index(name)] = f"{name}={value}"
        else:
            env.append(f"{name}={value}")
        self.config["Env"] = env

    def _expose(self, ports: Sequence[str]) -> None:
        try:
            self._add("ExposedPorts", {port: {} for spec in ports for port in exposed(spec)})
        except ValueError as e:
            raise ChangeError(str(e)) from None

    def _workdir(self, path: str) -> None:
        if not path:
            raise ChangeError("cannot normalize nothing")
        path = posixpath.join("/", self.config.get("WorkingDir") or "", path)
        # Two slashes at the beginning mean something to normpath.
        self.config["WorkingDir"] = posixpath.normpath("/" + path.lstrip("/"))


def _health(check: HealthCheck) -> dict[str, Any]:
    fields = {
        "Test": list(check.test),
        "Interval": check.interval,
        "Timeout": check.timeout,
        "StartPeriod": check.start_period,
        "StartInterval": check.start_interval,
        "Retries": check.retries,
    }
    return {key: value for key, value in fields.items() if value}


def _is_signal(text: str) -> bool:
    if number := re.fullmatch(r"[+-]?0*([0-9]+)", text):
        return number[1] != "0"
    from signal import Signals

    name = text.upper().removeprefix("SIG")
    if re.fullmatch(r"RTMIN(\+([1-9]|1[0-5]))?|RTMAX(-([1-9]|1[0-4]))?", name):
        return True
    return f"SIG{name}" in Signals.__members__
