"""Docker's parser of Dockerfiles and ferry's, which are asked for the same facts."""

import json
import re
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

from ferryman.build import instructions as said
from ferryman.build import syntax
from ferryman.build.heredoc import Heredoc
from ferryman.build.lines import DockerfileError, Lines
from tests.conftest import SCRIPTS


class Reading(NamedTuple):
    """What a parser makes of a Dockerfile: why and where it is refused, or all that it says."""

    error: str = ""
    line: int = 0
    facts: Any = None


class DockerParser:
    """Docker's parser, as a process that is fed one Dockerfile after another."""

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen(
            [program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # where Go's scanner complains of bytes that are no UTF-8
        )

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def read_all(self, texts: Sequence[bytes]) -> list[Reading]:
        """Return a reading for each text; they are fed by a thread, so that nobody waits."""
        pipe, answers = self._process.stdin, self._process.stdout
        assert pipe
        assert answers

        def feed() -> None:
            for text in texts:
                pipe.write(struct.pack(">I", len(text)) + text)
            pipe.flush()

        feeder = Thread(target=feed, daemon=True)
        feeder.start()
        readings = [_reading(json.loads(answers.readline())) for _ in texts]
        feeder.join()
        return readings


_WHERE = re.compile(r"dockerfile parse error on line [0-9]+: ")


def _reading(answer: Any) -> Reading:
    if "error" in answer:
        return Reading(_WHERE.sub("", answer["error"]), answer.get("line", 0))
    for each in answer["instructions"]:
        del each[6]  # the last line of an instruction, which ferry has no use for
    facts = [answer[key] for key in ("escape", "instructions", "stages")]
    return Reading(facts=[*facts, answer.get("arguments", [])])


def ferrys(text: bytes) -> Reading:
    """Return what ferry makes of a Dockerfile."""
    try:
        found = syntax.parse(text.decode(errors="surrogateescape"))
        stages = said.stages(found.instructions)
    except DockerfileError as e:
        return Reading(str(e), e.line)
    facts = [
        found.escape,
        [_written(each) for each in found.instructions],
        [_stage(each) for each in stages.stages],
        [_step_facts(each) for each in stages.arguments],
    ]
    return Reading(facts=json.loads(json.dumps(facts)))


def _written(each: syntax.Instruction) -> list[Any]:
    heredocs = [(doc.name, doc.expand, doc.chomp, doc.content) for doc in each.heredocs]
    return [*each[:6], heredocs]


def _stage(stage: said.Stage) -> list[Any]:
    steps = [
        [step.source.keyword, step.source.line, *_step_facts(step.action)] for step in stage.steps
    ]
    base = stage.base
    return [base.base, base.name, base.platform, stage.source.line, steps]


def _line(command: said.CommandLine) -> list[Any]:
    heredocs = [(each.name, each.content, each.chomp) for each in command.heredocs]
    return [command.words, command.shell, heredocs]


def _inline(each: Heredoc) -> tuple[str, str, bool]:
    return each.name, each.text, each.expand


def _step_facts(action: said.Action) -> list[Any]:
    match action:
        case said.Arg(names):
            return list(names)
        case said.Run(command, _, network, security):
            return [*_line(command), network, security]
        case said.Cmd(command) | said.Entrypoint(command):
            return _line(command)
        case said.Copy():
            inline = [_inline(each) for each in action.inline]
            flags = [action.chown, action.chmod, action.link, action.exclude]
            more = [action.stage, action.parents]
            if action.add:
                more = [action.keep_git_dir, action.checksum]
            return [action.sources, inline, action.destination, *flags, *more]
        case said.HealthCheck():
            return list(action)
        case _:
            return list(action)


def make_parser() -> Path:
    """Return the program that is docker's parser, built where it is not yet."""
    made = subprocess.run([SCRIPTS / "make-parser"], stdout=subprocess.PIPE, check=True)
    return Path(made.stdout.decode().strip())


def difference(text: bytes, ours: Reading, theirs: Reading) -> str | None:
    """Return why two readings of a text differ; None when they are the same, "" for no reason."""
    if _same(ours, theirs):
        return None
    return next((name for name, applies in REASONS.items() if applies(text)), "")


# Docker counts a line when it is done with it, and so names the one before for these.
_COUNTED_LATE = ("invalid escape token", "only one ")


def _same(ours: Reading, theirs: Reading) -> bool:
    if not (ours.error and theirs.error):
        return ours == theirs
    line = theirs.line + theirs.error.startswith(_COUNTED_LATE)
    return ours.line == line and _meant(ours.error).startswith(_meant(theirs.error))


def _meant(error: str) -> str:
    """Return the words of an error that count."""
    # Which of several near words docker advises is chance.
    error = re.sub(r" \(did you mean [^)]*\?\)", "", error)
    # What is wrong with the quotes is said in other words.
    error = re.sub(r"(?<=failed to parse csv mounts: ).*", "", error, flags=re.DOTALL)
    # A byte that is not UTF-8 is shown by its number, or by the sign for what cannot be shown.
    error = re.sub(r"\\x[0-9a-f]{2}|\ufffd", "?", error)
    # Flags are spoken of in capitals, as the docker of Debian 12 does.
    return error.lower()


def _has(pattern: bytes) -> Callable[[bytes], bool]:
    expression = re.compile(pattern, re.MULTILINE | re.IGNORECASE)
    return lambda text: bool(expression.search(text))


def _lines(text: bytes) -> Iterator[str]:
    with suppress(DockerfileError):  # what comes behind that counts for nobody
        yield from (line.text for line in Lines(text.decode(errors="surrogateescape")).whole())


def _json_and_more(text: bytes) -> bool:
    return any(map(_goes_on, _lines(text)))


def _goes_on(line: str) -> bool:
    array = line[line.find("[") :] if "[" in line else ""
    try:
        _, end = json.JSONDecoder(strict=False).raw_decode(array)
    except (ValueError, RecursionError):
        return False
    return bool(array[end:].strip(" \t\n\r"))


_FLAGS = re.compile(r"\s*(?:onbuild\s+)*(?:(?!--)\S+\s+)?(--.*)", re.IGNORECASE | re.DOTALL)


def _flags(text: bytes) -> Iterator[str]:
    """Yield what stands behind the keyword where flags do."""
    return (found[1] for line in _lines(text) if (found := _FLAGS.match(line)))


REASONS: dict[str, Callable[[bytes], bool]] = {
    # What newer dockers do, and ferry with them.
    "words behind a JSON array": _json_and_more,
    "a blank between << and its word": _has(rb"<<-?(\s|[\\`]\s*$)"),
    "the directive check": _has(rb"^\s*#\s*check\s*="),
    "a blank of Unicode before a directive": _has(
        rb"^\s*#[\s\x80-\xff]*[\x0b\x80-\xff][\s\x80-\xff]*(escape|syntax)\s*="
    ),
    "an escape of one's own in flags": lambda text: (
        _has(rb"^\s*#\s*escape\s*=\s*`")(text)
        and any(each in flags for flags in _flags(text) for each in "\\`")
    ),
    "ADD --unpack": _has(rb"--unpack"),
    # Faults of docker's that ferry does not have.
    "flags that are not ASCII are read as Latin-1": lambda text: (
        not all(map(str.isascii, _flags(text)))
    ),
    "a byte of UTF-8 taken for a blank": lambda text: (
        _has(rb"healthcheck\s.*[\x85\xa0]")(text)
        or (_has(rb"[\x85\xa0]")(text) and not _is_utf8(text))
    ),
    # What is no UTF-8 has no letters for ferry, but bytes for docker.
    "two bytes that differ end a here-document": lambda text: (
        _has(rb"<<")(text) and not _is_utf8(text)
    ),
    "a letter in halves, put together again": lambda text: (
        _has(rb"[\x80-\xff][\\`][ \t\r]*$")(text) and not _is_utf8(text)
    ),
    # Docker reads what stands before such a line to its end, and may find other faults in that.
    "lines that are too long": lambda text: max(map(len, text.split(b"\n"))) > 65534,
}
"""Why ferry may differ from docker 26.1, and whether that applies to a text."""


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
