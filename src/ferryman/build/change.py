"""Instructions that change an image's config: ``docker import --change``, ``docker commit -c``.

They are those of the Dockerfile; what they make of a config, and the words in which they are
refused, are those of docker's classic builder.  As there, all of them are read before the first
one takes effect: `_READERS` has a function for each, which checks what can be checked beforehand
and returns what changes the config.
"""

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from ferryman.build.durations import nanoseconds
from ferryman.build.ports import exposed
from ferryman.build.syntax import DockerfileError, Instruction, parse
from ferryman.build.words import BLANK, WordError, expand, expand_words, quoted
from ferryman.errors import FerryError


class ChangeError(FerryError):
    """An instruction that docker would refuse, in docker's words."""


def apply_changes(
    config: Mapping[str, Any], changes: Sequence[str], *, os: str = "linux"
) -> dict[str, Any]:
    """Return a container's config (docker's keys: Cmd, Env, …) with instructions applied to it.

    Each of `changes` is one or more lines of a Dockerfile; `os` is what the image is for, which
    decides about the shell.  A key that an instruction empties is left out, which is how docker
    reads a null.  Raises ChangeError.
    """
    if not changes:
        return dict(config)
    try:
        dockerfile = parse("\n".join(changes))
        for instruction in dockerfile.instructions:
            if instruction.keyword not in _READERS:
                raise ChangeError(f"{instruction.keyword} is not a valid change command")
        steps = [_READERS[each.keyword](each) for each in dockerfile.instructions]
        changed = _Changed(config, dockerfile.escape, os)
        for step in steps:
            step(changed)
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


class _Changed:
    """A config as the instructions so far have left it."""

    def __init__(self, config: Mapping[str, Any], escape: str, os: str) -> None:
        try:
            msgspec.convert(config, _Known)
        except msgspec.ValidationError as e:
            raise ChangeError(f"the config to change is invalid: {e}") from None
        self.config = dict(config)
        self.cmd_is_new = False
        self._escape = escape
        self._os = os

    def expand(self, word: str) -> str:
        return expand(word, self._variables(), self._escape)

    def expand_words(self, text: str) -> list[str]:
        return expand_words(text, self._variables(), self._escape)

    def _variables(self) -> dict[str, str]:
        return dict(entry.partition("=")[::2] for entry in self.config.get("Env") or [])

    def in_shell(self, command: Sequence[str]) -> list[str]:
        default = ["cmd", "/S", "/C"] if self._os == "windows" else ["/bin/sh", "-c"]
        return [*(self.config.get("Shell") or default), *command]

    def add(self, key: str, entries: Mapping[str, Any]) -> None:
        """Add to one of the fields that are a mapping."""
        if entries:
            self.config[key] = {**(self.config.get(key) or {}), **entries}


_Step = Callable[[_Changed], None]


def _read_cmd(instruction: Instruction) -> _Step:
    _check_flags(instruction)
    command = instruction.arguments

    def step(changed: _Changed) -> None:
        changed.config["Cmd"] = list(command) if instruction.json else changed.in_shell(command)
        changed.config.pop("ArgsEscaped", None)
        changed.cmd_is_new |= bool(command)

    return step


def _read_entrypoint(instruction: Instruction) -> _Step:
    _check_flags(instruction)
    command = instruction.arguments

    def step(changed: _Changed) -> None:
        if command:
            changed.config["Entrypoint"] = (
                list(command) if instruction.json else changed.in_shell(command)
            )
        else:
            changed.config.pop("Entrypoint", None)
        changed.config.pop("ArgsEscaped", None)
        # A command that was meant for another entry point goes with it.
        if not changed.cmd_is_new:
            changed.config.pop("Cmd", None)

    return step


def _read_env(instruction: Instruction) -> _Step:
    pairs = _pairs(instruction)

    def step(changed: _Changed) -> None:
        expanded = [(changed.expand(name), changed.expand(value)) for name, value in pairs]
        env = list(changed.config.get("Env") or [])
        names = [entry.partition("=")[0] for entry in env]
        for name, value in expanded:
            if name in names:
                env[names.index(name)] = f"{name}={value}"
            else:
                env.append(f"{name}={value}")
                names.append(name)
        changed.config["Env"] = env

    return step


def _read_label(instruction: Instruction) -> _Step:
    pairs = _pairs(instruction)
    return lambda changed: changed.add(
        "Labels", {changed.expand(name): changed.expand(value) for name, value in pairs}
    )


def _read_expose(instruction: Instruction) -> _Step:
    words = _at_least_one(instruction)
    _check_flags(instruction)

    def step(changed: _Changed) -> None:
        specs = [spec for word in sorted(words) for spec in changed.expand_words(word)]
        try:
            changed.add("ExposedPorts", {port: {} for spec in specs for port in exposed(spec)})
        except ValueError as e:
            raise ChangeError(str(e)) from None

    return step


def _read_volume(instruction: Instruction) -> _Step:
    words = [_volume(word.strip(BLANK)) for word in _at_least_one(instruction)]
    _check_flags(instruction)
    return lambda changed: changed.add(
        "Volumes", {_volume(changed.expand(word)): {} for word in words}
    )


def _volume(path: str) -> str:
    if not path:
        raise ChangeError("VOLUME specified can not be an empty string")
    return path


def _read_user(instruction: Instruction) -> _Step:
    user = _exactly_one(instruction)
    _check_flags(instruction)
    return lambda changed: changed.config.update(User=changed.expand(user))


def _read_workdir(instruction: Instruction) -> _Step:
    requested = _exactly_one(instruction)
    _check_flags(instruction)

    def step(changed: _Changed) -> None:
        path = changed.expand(requested)
        if not path:
            raise ChangeError("cannot normalize nothing")
        path = posixpath.join("/", changed.config.get("WorkingDir") or "", path)
        # Two slashes at the beginning mean something to normpath.
        changed.config["WorkingDir"] = posixpath.normpath("/" + path.lstrip("/"))

    return step


def _read_stopsignal(instruction: Instruction) -> _Step:
    word = _exactly_one(instruction)

    def step(changed: _Changed) -> None:
        signal = changed.expand(word)
        if not _is_signal(signal):
            raise ChangeError(f"invalid signal: {signal}")
        changed.config["StopSignal"] = signal

    return step


def _is_signal(text: str) -> bool:
    if number := _INTEGER.fullmatch(text):
        return number[2] != "0"
    from signal import Signals

    name = text.upper().removeprefix("SIG")
    if re.fullmatch(r"RTMIN(\+([1-9]|1[0-5]))?|RTMAX(-([1-9]|1[0-4]))?", name):
        return True
    return f"SIG{name}" in Signals.__members__


def _read_onbuild(instruction: Instruction) -> _Step:
    trigger = _at_least_one(instruction)[0].upper()
    _check_flags(instruction)
    if trigger == "ONBUILD":
        raise ChangeError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("MAINTAINER", "FROM"):
        raise ChangeError(f"{trigger} isn't allowed as an ONBUILD trigger")
    later = re.sub(
        r"^[\t\n\f\r ]*ONBUILD[\t\n\f\r ]*", "", instruction.original, flags=re.IGNORECASE
    )
    return lambda changed: changed.config.update(
        OnBuild=[*(changed.config.get("OnBuild") or []), later]
    )


def _read_healthcheck(instruction: Instruction) -> _Step:
    kind, *command = _at_least_one(instruction)
    if kind.upper() == "NONE":
        if command:
            raise ChangeError("HEALTHCHECK NONE takes no arguments")
        return lambda changed: changed.config.update(Healthcheck={"Test": ["NONE"]})
    flags = _check_flags(instruction, *_INTERVALS, "retries")
    if kind.upper() != "CMD":
        raise ChangeError(f"Unknown type {quoted(kind.upper())} in HEALTHCHECK (try CMD)")
    if not command:
        raise ChangeError("Missing command after HEALTHCHECK CMD")
    check: dict[str, Any] = {"Test": ["CMD" if instruction.json else "CMD-SHELL", *command]}
    for flag, key in _INTERVALS.items():
        check[key] = _interval(flag, flags.get(flag, ""))
    check["Retries"] = _retries(flags.get("retries", ""))
    check = {key: value for key, value in check.items() if value}
    return lambda changed: changed.config.update(Healthcheck=check)


_INTERVALS = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}
_MILLISECOND = 10**6


def _interval(flag: str, text: str) -> int:
    """Return nanoseconds; 0, which leaves it to docker, when nothing is given."""
    if not text:
        return 0
    try:
        duration = nanoseconds(text)
    except ValueError as e:
        raise ChangeError(str(e)) from None
    if duration and duration < _MILLISECOND:
        raise ChangeError(f"Interval {quoted(flag)} cannot be less than 1ms")
    return duration


def _retries(text: str) -> int:
    if not text:
        return 0
    number = _INTEGER.fullmatch(text)
    if not number:
        raise ChangeError(f"strconv.ParseInt: parsing {quoted(text)}: invalid syntax")
    # Python refuses to read thousands of digits.
    retries = int(number[1] + number[2][:11])
    if not -(2**31) <= retries < 2**31:
        raise ChangeError(f"strconv.ParseInt: parsing {quoted(text)}: value out of range")
    if retries < 0:
        raise ChangeError(f"--retries cannot be negative ({retries})")
    return retries


_INTEGER = re.compile(r"([+-]?)0*([0-9]+)")

_READERS: dict[str, Callable[[Instruction], _Step]] = {
    "cmd": _read_cmd,
    "entrypoint": _read_entrypoint,
    "env": _read_env,
    "expose": _read_expose,
    "healthcheck": _read_healthcheck,
    "label": _read_label,
    "onbuild": _read_onbuild,
    "stopsignal": _read_stopsignal,
    "user": _read_user,
    "volume": _read_volume,
    "workdir": _read_workdir,
}


def _check_flags(instruction: Instruction, *known: str) -> dict[str, str]:
    """Return the flags by name; raises ChangeError for one that is unknown, or has no value."""
    flags: dict[str, str] = {}
    for flag in instruction.flags:
        name, equals, value = flag.removeprefix("--").partition("=")
        if name not in known:
            raise ChangeError(f"Unknown flag: {name}")
        if name in flags:
            raise ChangeError(f"Duplicate flag specified: {name}")
        if not equals:
            raise ChangeError(f"Missing a value on flag: {name}")
        flags[name] = value
    return flags


def _at_least_one(instruction: Instruction) -> tuple[str, ...]:
    if not instruction.arguments:
        raise ChangeError(f"{instruction.keyword.upper()} requires at least one argument")
    return instruction.arguments


def _exactly_one(instruction: Instruction) -> str:
    if len(instruction.arguments) != 1:
        raise ChangeError(f"{instruction.keyword.upper()} requires exactly one argument")
    return instruction.arguments[0]


def _pairs(instruction: Instruction) -> list[tuple[str, str]]:
    _check_flags(instruction)
    names, values = _at_least_one(instruction)[::2], instruction.arguments[1::2]
    if not all(names):
        raise ChangeError(f"{instruction.keyword.upper()} names can not be blank")
    return list(zip(names, values, strict=True))
