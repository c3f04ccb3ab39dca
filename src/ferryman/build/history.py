"""What an image's history says of an instruction: docker's words, by which people read it."""

from collections.abc import Mapping, Sequence

from ferryman.build import durations
from ferryman.build.instructions import (
    Action,
    Cmd,
    Entrypoint,
    Env,
    Expose,
    HealthCheck,
    Label,
    Maintainer,
    Shell,
    StopSignal,
    User,
    Volume,
)
from ferryman.build.ports import exposed
from ferryman.build.words import quoted

COMMENT = "buildkit.dockerfile.v0"
"""By which docker knows its own builder's steps, and shows them without their prefix."""


def words(action: Action, command: Sequence[str] = ()) -> str:
    """Return what is said of an instruction that changes the config alone.

    `command` is what Cmd and Entrypoint came to, with the shell.
    """
    match action:
        case Cmd():
            return f"CMD [{' '.join(map(quoted, command))}]"
        case Entrypoint():
            return f"ENTRYPOINT [{' '.join(map(quoted, command))}]"
        case Env(pairs):
            return " ".join(["ENV", *map("=".join, pairs)])
        case Label(pairs):
            return " ".join(["LABEL", *map("=".join, pairs)])
        case Maintainer(name):
            return f"MAINTAINER {name}"
        case Expose(ports):
            return f"EXPOSE [{' '.join(port for spec in ports for port in exposed(spec))}]"
        case User(name):
            return f"USER {name}"
        case Volume(paths):
            return f"VOLUME [{' '.join(paths)}]"
        case StopSignal(signal):
            return f"STOPSIGNAL {signal}"
        case Shell(shell):
            return f"SHELL [{' '.join(shell)}]"
        case HealthCheck():
            return (
                f"HEALTHCHECK {{Test:[{' '.join(action.test)}] "
                f"Interval:{durations.text(action.interval)} "
                f"Timeout:{durations.text(action.timeout)} "
                f"StartPeriod:{durations.text(action.start_period)} "
                f"StartInterval:{durations.text(action.start_interval)} "
                f"Retries:{action.retries}}}"
            )
        case _:
            raise AssertionError(action)


def run(arguments: Sequence[str], build_arguments: Mapping[str, str]) -> str:
    """Return what is said of a command: the build's arguments that it saw, and its words."""
    seen = [f"{name}={value}" for name, value in build_arguments.items()]
    prefix = [f"|{len(seen)}", *seen] if seen else []
    return " ".join(["RUN", *prefix, *arguments, "# buildkit"])
