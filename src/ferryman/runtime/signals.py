"""Signals by their names and numbers, as users and images write them."""

import re
import signal

from ferryman.runtime.settings import InvalidSettings

_REALTIME = re.compile(r"(RTMIN)(\+[0-9]{1,2})?|(RTMAX)(-[0-9]{1,2})?")


def number(text: str) -> int:
    """Return the number of a signal: ``9``, ``KILL``, ``sigterm``, ``RTMIN+3``.

    Raises InvalidSettings in docker's words.
    """
    name = text.upper().removeprefix("SIG")
    found = 0
    if re.fullmatch("[0-9]{1,2}", name, re.ASCII):
        found = int(name)
    elif match := _REALTIME.fullmatch(name):
        first = signal.SIGRTMIN if match[1] else signal.SIGRTMAX
        found = first + int(match[2] or match[4] or 0)
    elif f"SIG{name}" in signal.Signals.__members__:
        found = signal.Signals[f"SIG{name}"]
    if not 0 < found <= signal.SIGRTMAX:
        raise InvalidSettings(f"invalid signal: {text}")
    return int(found)
