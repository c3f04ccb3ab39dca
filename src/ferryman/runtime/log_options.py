"""``--log-driver`` and ``--log-opt``: whether a container's log is kept, and how much of it.

There is one form of logs, whatever the driver is called; ``none`` keeps none.  What docker keeps in
several files of ``max-size`` is one file here that may grow as large as those together; it begins
anew when it is full.
"""

import re
from urllib.parse import quote_plus

from ferryman.runtime.settings import Config, InvalidSettings, LogConfig

NONE = "none"
DRIVERS = ("json-file", "local", NONE)

_ATTRIBUTES = ("labels", "labels-regex", "env", "env-regex")
_OF_ALL = ("max-size", "max-file", "compress", "mode", "max-buffer-size")
_KNOWN = {"json-file": (*_OF_ALL, *_ATTRIBUTES, "tag"), "local": _OF_ALL, NONE: ()}
_DEFAULTS = {"local": {"max-size": "20m", "max-file": "5"}}
_WITHOUT_EFFECT = {"compress": "false", "mode": "blocking", "tag": "", "max-buffer-size": ""}
"""And what each is anyway."""
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]*)?) ?([kmgtp]?)(?:i?b)?", re.ASCII | re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def checked(asked: LogConfig) -> list[str]:
    """Return what a user should know of the options; raises InvalidSettings in docker's words."""
    for name in asked.config:
        if name not in _KNOWN.get(asked.type, ()):
            raise InvalidSettings(f"unknown log opt '{name}' for {asked.type} log driver")
    if asked.config.get("mode", "blocking") not in ("blocking", "non-blocking"):
        raise InvalidSettings(f"logger: logging mode not supported: {asked.config['mode']}")
    for name in ("labels-regex", "env-regex"):
        try:
            re.compile(asked.config.get(name, ""))
        except re.error as e:
            raise _failed(f"error parsing regexp: {e}") from None
    limit(asked)
    return [
        f"--log-opt {name} has no effect in ferry"
        for name, anyway in _WITHOUT_EFFECT.items()
        if asked.config.get(name, anyway) != anyway
    ]


def limit(asked: LogConfig) -> int | None:
    """Return how large a log may grow, in bytes; None without limit.  Raises InvalidSettings."""
    options = _DEFAULTS.get(asked.type, {}) | asked.config
    files = options.get("max-file", "1")
    if not re.fullmatch("-?[0-9]{1,9}", files, re.ASCII):
        raise _failed(f'strconv.Atoi: parsing "{files}": invalid syntax')
    if int(files) < 1:
        raise _failed("max-file cannot be less than 1")
    if "max-size" not in options:
        return None
    size = _bytes(options["max-size"])
    if size <= 0:
        raise _failed("max-size must be a positive number")
    return size * int(files)


def _bytes(text: str) -> int:
    """Return a size in powers of 1000, as docker has those of logs."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise _failed(f"invalid size: '{text}'")
    return int(float(match[1]) * 1000 ** _POWERS[match[2].lower()])


def _failed(why: str) -> InvalidSettings:
    return InvalidSettings(f"failed to initialize logging driver: {why}")


def details(asked: LogConfig, config: Config) -> str:
    """Return the labels and variables that were asked for, as ``logs --details`` shows them."""
    variables = dict(entry.partition("=")[::2] for entry in config.env or ())
    found: dict[str, str] = {}
    for option, there in (("labels", config.labels), ("env", variables)):
        names = asked.config.get(option, "").split(",")
        pattern = asked.config.get(f"{option}-regex")
        for name, value in there.items():
            if name in names or (pattern and re.search(pattern, name)):
                found[name] = value
    return ",".join(f"{quote_plus(k)}={quote_plus(v)}" for k, v in sorted(found.items()))
