"""Instructions that change an image's config: ``docker import --change``, ``docker commit -c``.

The words, the forms and the errors are the Dockerfile's, as docker's classic builder has them.
"""

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from ferryman.build.words import WordError, expand, expand_words, split
from ferryman.errors import FerryError

Config = dict[str, Any]


class ChangeError(FerryError):
    """An instruction that docker would refuse, in docker's words."""


def apply_changes(config: Mapping[str, Any], changes: Sequence[str]) -> Config:
    """Return the container config (docker's keys: Cmd, Env, …) with the instructions applied.

    Each string is one or more lines of a Dockerfile.  Raises ChangeError.
    """
    result = dict(config)
    for line in _lines("\n".join(changes)):
        word, _, rest = line.partition(" ") if " " in line else line.partition("\t")
        keyword = word.lower()
        instruction = _INSTRUCTIONS.get(keyword)
        if instruction is None:
            if keyword in _REFUSED:
                raise ChangeError(f"{keyword} is not a valid change command")
            raise ChangeError(f"dockerfile parse error: unknown instruction: {word.upper()}")
        try:
            instruction(result, rest.strip())
        except WordError as e:
            raise ChangeError(f"{e}: {line}") from None
    return result


_REFUSED = frozenset("add arg copy from maintainer run shell".split())


def _lines(text: str) -> list[str]:
    """Join continued lines, drop comments and empty ones, as docker's parser does."""
    lines: list[str] = []
    current = ""
    for raw in text.splitlines():
        stripped = raw.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if re.search(r"\\[ \t]*$", raw):
            current += re.sub(r"\\[ \t]*$", "", raw if current else raw.lstrip())
            continue
        lines.append((current + (raw if current else raw.lstrip())).rstrip())
        current = ""
    return [*lines, current.rstrip()] if current.strip() else lines


def _json(text: str) -> list[str] | None:
    """Return the words of the JSON form; None when it is the shell form."""
    if not text.startswith("["):
        return None
    try:
        return msgspec.json.decode(text, type=list[str])
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None


def _variables(config: Config) -> dict[str, str]:
    return {
        name: value
        for name, _, value in (entry.partition("=") for entry in config.get("Env") or [])
    }


def _shell(config: Config) -> list[str]:
    return list(config.get("Shell") or ["/bin/sh", "-c"])


def _cmd(config: Config, text: str) -> None:
    words = _json(text)
    if words is None:
        words = [*_shell(config), text] if text else []
    config["Cmd"] = words or None


def _entrypoint(config: Config, text: str) -> None:
    words = _json(text)
    if words is None:
        words = [*_shell(config), text] if text else []
    config["Entrypoint"] = words or None
    # Only a CMD of the same file outlives a new ENTRYPOINT; in a change there may be none.


def _pairs(instruction: str, config: Config, text: str, *, old_form: bool) -> list[tuple[str, str]]:
    """Read ``key=value …``, or the old form ``key the rest of the line``."""
    words = split(text)
    if not words:
        raise ChangeError(f"{instruction} requires at least one argument")
    variables = _variables(config)
    if "=" not in words[0]:
        if not old_form or len(words) < 2:
            raise ChangeError(f"{instruction} must have two arguments")
        name, rest = re.split(r"\s+", text, maxsplit=1)
        return [(expand(name, variables), expand(rest, variables))]
    pairs = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ChangeError(
                f"Syntax error - can't find = in {_quoted(word)}. Must be of the form: name=value"
            )
        name = expand(name, variables)
        if not name:
            raise ChangeError(f"{instruction} names can not be blank")
        pairs.append((name, expand(value, variables)))
    return pairs


def _env(config: Config, text: str) -> None:
    environment = list(config.get("Env") or [])
    for name, value in _pairs("ENV", config, text, old_form=True):
        entry = f"{name}={value}"
        at = next((i for i, e in enumerate(environment) if e.partition("=")[0] == name), None)
        if at is None:
            environment.append(entry)
        else:
            environment[at] = entry
    config["Env"] = environment


def _label(config: Config, text: str) -> None:
    pairs = _pairs("LABEL", config, text, old_form=True)
    config["Labels"] = dict(config.get("Labels") or {}) | dict(pairs)


def _expose(config: Config, text: str) -> None:
    words = expand_words(text, _variables(config))
    if not split(text):
        raise ChangeError("EXPOSE requires at least one argument")
    ports = dict(config.get("ExposedPorts") or {})
    for word in words:
        ports |= {port: {} for port in _ports(word)}
    config["ExposedPorts"] = ports


def _ports(word: str) -> list[str]:
    """Return the ports of ``80``, ``80/udp``, ``8000-8003/tcp``; a host's part is passed over."""
    body, slash, protocol = word.partition("/")
    protocol = protocol.lower() if slash and protocol else "tcp"
    if protocol not in ("tcp", "udp", "sctp"):
        raise ChangeError(f"Invalid proto: {protocol}")
    body = body.rpartition(":")[2]
    if not body:
        raise ChangeError("No port specified: " + word + "<empty>")
    first, dash, last = body.partition("-")
    if not dash:
        last = first
    for number in (first, last):
        if not number.isdigit() or not number.isascii() or int(number) > 65535:
            raise ChangeError(f"Invalid containerPort: {body}")
    if int(last) < int(first):
        raise ChangeError(f"Invalid containerPort: {body}")
    return [f"{port}/{protocol}" for port in range(int(first), int(last) + 1)]


def _user(config: Config, text: str) -> None:
    config["User"] = _single("USER", config, text)


def _stop_signal(config: Config, text: str) -> None:
    signal = _single("STOPSIGNAL", config, text)
    if not _is_signal(signal):
        raise ChangeError(f"Invalid signal: {signal}")
    config["StopSignal"] = signal


def _is_signal(text: str) -> bool:
    from signal import Signals

    if text.isdigit():
        return 1 <= int(text) <= 64
    name = text.upper().removeprefix("SIG")
    realtime = re.fullmatch(r"RTM(?:IN(?:\+([0-9]+))?|AX(?:-([0-9]+))?)", name)
    if realtime:
        return int(realtime.group(1) or 0) <= 15 and int(realtime.group(2) or 0) <= 14
    return f"SIG{name}" in Signals.__members__


def _single(instruction: str, config: Config, text: str) -> str:
    if len(split(text)) != 1:
        raise ChangeError(f"{instruction} requires exactly one argument")
    return expand(text, _variables(config))


def _workdir(config: Config, text: str) -> None:
    if not text:
        raise ChangeError("WORKDIR requires exactly one argument")
    path = expand(text, _variables(config))
    joined = posixpath.join("/", config.get("WorkingDir") or "/", path)
    config["WorkingDir"] = "/" + posixpath.normpath(joined).lstrip("/")


def _volume(config: Config, text: str) -> None:
    variables = _variables(config)
    words = _json(text)
    words = [expand(word, variables) for word in (split(text) if words is None else words)]
    if not words:
        raise ChangeError("VOLUME requires at least one argument")
    volumes = dict(config.get("Volumes") or {})
    for word in words:
        if not word.strip():
            raise ChangeError("VOLUME specified can not be an empty string")
        volumes[word.strip()] = {}
    config["Volumes"] = volumes


def _onbuild(config: Config, text: str) -> None:
    words = split(text)
    if not words:
        raise ChangeError("ONBUILD requires at least one argument")
    trigger = words[0].upper()
    if trigger == "ONBUILD":
        raise ChangeError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("MAINTAINER", "FROM"):
        raise ChangeError(f"{trigger} isn't allowed as an ONBUILD trigger")
    if trigger.lower() not in _INSTRUCTIONS and trigger.lower() not in _REFUSED:
        raise ChangeError(f"dockerfile parse error: unknown instruction: {trigger}")
    config["OnBuild"] = [*(config.get("OnBuild") or []), text]


def _healthcheck(config: Config, text: str) -> None:
    words = split(text)
    if not words:
        raise ChangeError("HEALTHCHECK requires at least one argument")
    options: dict[str, str] = {}
    while words and words[0].startswith("--"):
        name, equals, value = words[0][2:].partition("=")
        if name not in ("interval", "timeout", "start-period", "retries"):
            raise ChangeError(f"Unknown flag: {name}")
        if not equals:
            raise ChangeError(f"Missing a value on flag: {name}")
        if name in options:
            raise ChangeError(f"Duplicate flag specified: {name}")
        options[name] = value
        text = text[text.index(words[0]) + len(words[0]) :].lstrip()
        words = words[1:]
    if not words:
        raise ChangeError("Missing command after HEALTHCHECK flags")
    kind, rest = words[0].upper(), text[len(words[0]) :].strip()
    if kind == "NONE":
        if rest:
            raise ChangeError("HEALTHCHECK NONE takes no arguments")
        config["Healthcheck"] = {"Test": ["NONE"]}
        return
    if kind != "CMD":
        raise ChangeError(f'Unknown type "{kind}" in HEALTHCHECK (try CMD)')
    command = _json(rest)
    if command is None:
        command = [rest] if rest else []
        form = "CMD-SHELL"
    else:
        form = "CMD"
    if not command:
        raise ChangeError("Missing command after HEALTHCHECK CMD")
    check: dict[str, Any] = {"Test": [form, *command]}
    for option, key in (
        ("interval", "Interval"),
        ("timeout", "Timeout"),
        ("start-period", "StartPeriod"),
    ):
        if nanoseconds := _duration(options.get(option, ""), option):
            check[key] = nanoseconds
    if options.get("retries"):
        retries = options["retries"]
        if not re.fullmatch(r"[+-]?[0-9]+", retries):
            raise ChangeError(f'strconv.ParseInt: parsing "{retries}": invalid syntax')
        if int(retries) < 1:
            raise ChangeError(f"--retries must be at least 1 (not {int(retries)})")
        check["Retries"] = int(retries)
    config["Healthcheck"] = check


_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_TERM = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")


def _duration(text: str, option: str) -> int:
    """Return a Go duration ("1m30s") in nanoseconds, 0 for an empty one."""
    if not text or text == "0":
        return 0
    terms = _TERM.findall(text)
    if "".join(number + unit for number, unit in terms) != text.lstrip("+-"):
        raise ChangeError(f'time: invalid duration "{text}"')
    if text.startswith("-"):
        raise ChangeError(f'Interval "{option}" cannot be less than 1ms')
    from decimal import Decimal

    nanoseconds = int(sum(Decimal(number) * _UNITS[unit] for number, unit in terms))
    if nanoseconds < 10**6:
        raise ChangeError(f'Interval "{option}" cannot be less than 1ms')
    return nanoseconds


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_INSTRUCTIONS: dict[str, Callable[[Config, str], None]] = {
    "cmd": _cmd,
    "entrypoint": _entrypoint,
    "env": _env,
    "expose": _expose,
    "healthcheck": _healthcheck,
    "label": _label,
    "onbuild": _onbuild,
    "stopsignal": _stop_signal,
    "user": _user,
    "volume": _volume,
    "workdir": _workdir,
}
