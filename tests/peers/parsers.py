"""Docker's parser of Dockerfiles and ferry's, which are asked for the same facts."""

import json
import re
import struct
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

from ferryman.build import instructions as said
from ferryman.build import syntax
from ferryman.build.heredoc import Heredoc
from ferryman.build.lines import DockerfileError


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

    def read_all(self, texts: Iterable[bytes]) -> Iterator[Reading]:
        """Yield a reading for each text; they are fed by a thread, so that nobody waits."""
        pipe = self._process.stdin
        assert pipe and self._process.stdout
        texts = list(texts)

        def feed() -> None:
            for text in texts:
                pipe.write(struct.pack(">I", len(text)) + text)
            pipe.flush()

        feeder = Thread(target=feed)
        feeder.start()
        for _ in texts:
            yield _reading(json.loads(self._process.stdout.readline()))
        feeder.join()


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
            facts = [action.sources, inline, action.destination, action.chown, action.chmod]
            facts += [action.link, action.exclude]
            if action.add:
                return [*facts, action.keep_git_dir, action.checksum]
            return [*facts, action.stage, action.parents]
        case said.HealthCheck():
            return list(action)
        case _:
            return list(action)
