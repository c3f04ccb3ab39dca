"""The instructions of a Dockerfile, each with what it says, and the stages that they make.

Nothing is done here and no variable is replaced: this is the text, understood.  Follows the
Dockerfile reference and, for what is refused and in which words, docker's own parser.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ferryman.build import flags, heredoc, mounts
from ferryman.build.durations import nanoseconds
from ferryman.build.heredoc import Heredoc
from ferryman.build.lines import DockerfileError
from ferryman.build.suggest import did_you_mean
from ferryman.build.syntax import Instruction, at_line
from ferryman.build.words import BLANK, lower, quoted


class Pair(NamedTuple):
    """A name and its value, as written."""

    name: str
    value: str


class CommandLine(NamedTuple):
    """What is to be run: words, or one text for the shell."""

    words: tuple[str, ...]
    shell: bool
    heredocs: tuple[Heredoc, ...] = ()


class From(NamedTuple):
    """``FROM base AS name``."""

    base: str
    name: str = ""
    platform: str = ""


class Arg(NamedTuple):
    """``ARG name=value …``; a value may be missing."""

    names: tuple[tuple[str, str | None], ...]


class Env(NamedTuple):
    """``ENV name=value …``."""

    pairs: tuple[Pair, ...]


class Label(NamedTuple):
    """``LABEL name=value …``."""

    pairs: tuple[Pair, ...]


class Maintainer(NamedTuple):
    """``MAINTAINER name``."""

    name: str


class Run(NamedTuple):
    """``RUN command``; mounts as they are written, since variables may stand in them."""

    command: CommandLine
    mounts: tuple[str, ...] = ()
    network: str = "default"
    security: str = "sandbox"


class Cmd(NamedTuple):
    """``CMD command``."""

    command: CommandLine


class Entrypoint(NamedTuple):
    """``ENTRYPOINT command``."""

    command: CommandLine


class Shell(NamedTuple):
    """``SHELL ["program", "argument"]``."""

    words: tuple[str, ...]


class Copy(NamedTuple):
    """``COPY sources… destination``, and ``ADD``, which takes URLs and unpacks archives too."""

    sources: tuple[str, ...]
    inline: tuple[Heredoc, ...]
    destination: str
    stage: str = ""
    """Where from: ``--from``."""
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()
    add: bool = False
    checksum: str = ""
    keep_git_dir: bool = False
    unpack: bool | None = None
    """Whether archives are unpacked; None leaves it to what they are."""


class User(NamedTuple):
    """``USER name``."""

    name: str


class Workdir(NamedTuple):
    """``WORKDIR path``."""

    path: str


class Expose(NamedTuple):
    """``EXPOSE ports…``, sorted."""

    ports: tuple[str, ...]


class Volume(NamedTuple):
    """``VOLUME paths…``."""

    paths: tuple[str, ...]


class StopSignal(NamedTuple):
    """``STOPSIGNAL signal``."""

    signal: str


class OnBuild(NamedTuple):
    """``ONBUILD instruction``: for whoever builds on this image."""

    instruction: str


class HealthCheck(NamedTuple):
    """``HEALTHCHECK CMD command``, or ``NONE``; times in nanoseconds, 0 where none is given."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


Action = (
    Arg
    | Env
    | Label
    | Maintainer
    | Run
    | Cmd
    | Entrypoint
    | Shell
    | Copy
    | User
    | Workdir
    | Expose
    | Volume
    | StopSignal
    | OnBuild
    | HealthCheck
)


class Step(NamedTuple):
    """An instruction of a stage: how it was written, and what it says."""

    source: Instruction
    action: Action


class Stage(NamedTuple):
    """A stage: its FROM, and what follows it."""

    source: Instruction
    base: From
    steps: tuple[Step, ...]


class Stages(NamedTuple):
    """A whole Dockerfile: the ARGs before its first stage, and its stages."""

    arguments: tuple[Arg, ...]
    stages: tuple[Stage, ...]


def stages(instructions: Sequence[Instruction]) -> Stages:
    """Return the stages that instructions make; raises DockerfileError."""
    arguments: list[Arg] = []
    found: list[tuple[Instruction, From, list[Step]]] = []
    for source in instructions:
        said = understood(source)
        if isinstance(said, From):
            found.append((source, said, []))
        elif found:
            found[-1][2].append(Step(source, said))
        elif isinstance(said, Arg):
            arguments.append(said)
        else:
            raise DockerfileError("no build stage in current context", source.line)
    if not found:
        raise DockerfileError("dockerfile contains no stages to build")
    return Stages(
        tuple(arguments), tuple(Stage(source, base, tuple(steps)) for source, base, steps in found)
    )


def understood(instruction: Instruction) -> Action | From:
    """Return what an instruction says; raises DockerfileError."""
    with at_line(instruction.line):
        reader = _READERS.get(instruction.keyword)
        if reader is None:
            word = re.split(r"[\t\v\f\r ]", instruction.original.strip(BLANK), maxsplit=1)[0]
            advice = did_you_mean(word, [name.upper() for name in _READERS])
            raise DockerfileError(f"unknown instruction: {word}{advice}")
        return reader(instruction)


def _from(instruction: Instruction) -> From:
    words = instruction.arguments
    name = ""
    if len(words) == 3 and words[1].casefold() == "as":
        name = lower(words[2])
        if not re.fullmatch(r"[a-z][a-z0-9-_.]*", name):
            raise DockerfileError(
                f"invalid name for build stage: {quoted(words[2])}, name can't start with a number "
                "or contain symbols"
            )
    elif len(words) != 1:
        raise DockerfileError("FROM requires either one or three arguments")
    return From(words[0], name, flags.read(instruction.flags, "platform").text("platform"))


def _arg(instruction: Instruction) -> Arg:
    names: list[tuple[str, str | None]] = []
    for word in _at_least_one(instruction):
        name, equals, value = word.partition("=")
        if not name:
            raise DockerfileError("ARG names can not be blank")
        names.append((name, value if equals else None))
    return Arg(tuple(names))


def _pairs(instruction: Instruction) -> tuple[Pair, ...]:
    flags.read(instruction.flags)
    names, values = _at_least_one(instruction)[::2], instruction.arguments[1::2]
    if not all(names):
        raise DockerfileError(f"{instruction.keyword.upper()} names can not be blank")
    return tuple(map(Pair, names, values))


def _env(instruction: Instruction) -> Env:
    return Env(_pairs(instruction))


def _label(instruction: Instruction) -> Label:
    return Label(_pairs(instruction))


def _maintainer(instruction: Instruction) -> Maintainer:
    name = _exactly_one(instruction)
    flags.read(instruction.flags)
    return Maintainer(name)


def _run(instruction: Instruction) -> Run:
    given = flags.read(instruction.flags, "network", "security", many=("mount",))
    network = given.text("network", "default")
    if network not in ("default", "none", "host"):
        raise DockerfileError(f"invalid network mode {quoted(network)}")
    security = given.text("security", "sandbox")
    if security not in ("sandbox", "insecure"):
        raise DockerfileError(f"security {quoted(security)} is not valid")
    for mount in given.many("mount"):
        mounts.stage_of(mount)  # what is wrong in the rest shows when its variables are known
    return Run(_command(instruction), given.many("mount"), network, security)


def _command(instruction: Instruction) -> CommandLine:
    return CommandLine(instruction.arguments, not instruction.json, instruction.heredocs)


def _cmd(instruction: Instruction) -> Cmd:
    flags.read(instruction.flags)
    return Cmd(_command(instruction))


def _entrypoint(instruction: Instruction) -> Entrypoint:
    flags.read(instruction.flags)
    return Entrypoint(_command(instruction))


def _shell(instruction: Instruction) -> Shell:
    flags.read(instruction.flags)
    words = _at_least_one(instruction)
    if not instruction.json:
        raise DockerfileError(
            f"SHELL requires the arguments to be in JSON form, not: {instruction.original}"
        )
    return Shell(words)


def _copy(instruction: Instruction) -> Copy:
    _two_at_least(instruction)
    return _copied(
        instruction,
        flags.read(
            instruction.flags,
            *("chown", "chmod", "from"),
            yes_or_no=("link", "parents"),
            many=("exclude",),
        ),
    )


def _add(instruction: Instruction) -> Copy:
    _two_at_least(instruction)
    given = flags.read(
        instruction.flags,
        *("chown", "chmod", "checksum"),
        yes_or_no=("link", "keep-git-dir", "unpack"),
        many=("exclude",),
    )
    return _copied(instruction, given)._replace(
        add=True,
        checksum=given.text("checksum"),
        keep_git_dir=given.yes("keep-git-dir"),
        unpack=given.yes("unpack") if given.has("unpack") else None,
    )


def _copied(instruction: Instruction, given: flags.Given) -> Copy:
    *words, destination = instruction.arguments
    if heredoc.word(destination):
        raise DockerfileError(
            f"{instruction.keyword.upper()} cannot accept a heredoc as a destination"
        )
    contents = {each.name: each.content for each in instruction.heredocs}
    inline = [each for each in map(heredoc.word, words) if each]
    return Copy(
        tuple(word for word in words if not heredoc.word(word)),
        tuple(each._replace(content=contents.get(each.name, "")) for each in inline),
        destination,
        stage=given.text("from"),
        chown=given.text("chown"),
        chmod=given.text("chmod"),
        link=given.yes("link"),
        parents=given.yes("parents"),
        exclude=given.many("exclude"),
    )


def _user(instruction: Instruction) -> User:
    name = _exactly_one(instruction)
    flags.read(instruction.flags)
    return User(name)


def _workdir(instruction: Instruction) -> Workdir:
    path = _exactly_one(instruction)
    flags.read(instruction.flags)
    return Workdir(path)


def _expose(instruction: Instruction) -> Expose:
    ports = _at_least_one(instruction)
    flags.read(instruction.flags)
    return Expose(tuple(sorted(ports)))


def _volume(instruction: Instruction) -> Volume:
    paths = tuple(word.strip(BLANK) for word in _at_least_one(instruction))
    if not all(paths):
        raise DockerfileError("VOLUME specified can not be an empty string")
    flags.read(instruction.flags)
    return Volume(paths)


def _stopsignal(instruction: Instruction) -> StopSignal:
    return StopSignal(_exactly_one(instruction))


def _onbuild(instruction: Instruction) -> OnBuild:
    trigger = _at_least_one(instruction)[0].strip(BLANK).upper()
    flags.read(instruction.flags)
    if trigger == "ONBUILD":
        raise DockerfileError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("MAINTAINER", "FROM"):
        raise DockerfileError(f"{trigger} isn't allowed as an ONBUILD trigger")
    later = re.sub(
        r"^[\t\n\f\r ]*ONBUILD[\t\n\f\r ]*",
        "",
        instruction.original,
        flags=re.IGNORECASE | re.ASCII,
    )
    return OnBuild(later + "".join(f"\n{each.content}{each.name}" for each in instruction.heredocs))


def _healthcheck(instruction: Instruction) -> HealthCheck:
    kind, *command = _at_least_one(instruction)
    if kind.upper() == "NONE":
        if command:
            raise DockerfileError("HEALTHCHECK NONE takes no arguments")
        return HealthCheck(("NONE",))
    given = flags.read(instruction.flags, *_INTERVALS, "retries")
    if kind.upper() != "CMD":
        raise DockerfileError(f"Unknown type {quoted(kind.upper())} in HEALTHCHECK (try CMD)")
    if not command:
        raise DockerfileError("Missing command after HEALTHCHECK CMD")
    test = "CMD" if instruction.json else "CMD-SHELL"
    interval, timeout, start_period, start_interval = (
        _interval(flag, given.text(flag)) for flag in _INTERVALS
    )
    retries = _retries(given.text("retries"))
    return HealthCheck((test, *command), interval, timeout, start_period, start_interval, retries)


_INTERVALS = ("interval", "timeout", "start-period", "start-interval")
_MILLISECOND = 10**6


def _interval(flag: str, text: str) -> int:
    """Return nanoseconds; 0, which leaves it to docker, when nothing is given."""
    if not text:
        return 0
    try:
        duration = nanoseconds(text)
    except ValueError as e:
        raise DockerfileError(str(e)) from None
    if duration and duration < _MILLISECOND:
        raise DockerfileError(f"Interval {quoted(flag)} cannot be less than 1ms")
    return duration


def _retries(text: str) -> int:
    if not text:
        return 0
    number = re.fullmatch(r"([+-]?)0*([0-9]+)", text)
    if not number:
        raise DockerfileError(f"strconv.ParseInt: parsing {quoted(text)}: invalid syntax")
    # Python refuses to read thousands of digits.
    retries = int(number[1] + number[2][:11])
    if not -(2**31) <= retries < 2**31:
        raise DockerfileError(f"strconv.ParseInt: parsing {quoted(text)}: value out of range")
    if retries < 0:
        raise DockerfileError(f"--retries cannot be negative ({retries})")
    return retries


_READERS: dict[str, Callable[[Instruction], Action | From]] = {
    "add": _add,
    "arg": _arg,
    "cmd": _cmd,
    "copy": _copy,
    "entrypoint": _entrypoint,
    "env": _env,
    "expose": _expose,
    "from": _from,
    "healthcheck": _healthcheck,
    "label": _label,
    "maintainer": _maintainer,
    "onbuild": _onbuild,
    "run": _run,
    "shell": _shell,
    "stopsignal": _stopsignal,
    "user": _user,
    "volume": _volume,
    "workdir": _workdir,
}


def _at_least_one(instruction: Instruction) -> tuple[str, ...]:
    if not instruction.arguments:
        raise DockerfileError(f"{instruction.keyword.upper()} requires at least one argument")
    return instruction.arguments


def _exactly_one(instruction: Instruction) -> str:
    if len(instruction.arguments) != 1:
        raise DockerfileError(f"{instruction.keyword.upper()} requires exactly one argument")
    return instruction.arguments[0]


def _two_at_least(instruction: Instruction) -> None:
    if len(instruction.arguments) < 2:
        raise DockerfileError(
            f"{instruction.keyword.upper()} requires at least two arguments, but only one was "
            "provided. Destination could not be determined"
        )
