"""A stage of a build as its steps are read: files, config, variables and history so far."""

import posixpath
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ferryman.build import heredoc, history, modes, mounts, remote
from ferryman.build.change import Changed
from ferryman.build.expansion import expanded
from ferryman.build.graph import Execute, Files, Folder, Vertex
from ferryman.build.heredoc import Heredoc
from ferryman.build.instructions import (
    Action,
    Arg,
    Cmd,
    CommandLine,
    Copy,
    Entrypoint,
    Env,
    Maintainer,
    OnBuild,
    Run,
    Step,
    Workdir,
)
from ferryman.build.lines import DockerfileError
from ferryman.build.mounts import Mount
from ferryman.build.words import expand, quoted

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Moment(NamedTuple):
    """A step of the history: what was done, and whether that left a layer."""

    words: str
    layer: bool


class Terms(NamedTuple):
    """What holds for all stages."""

    escape: str
    given: Mapping[str, str]
    """``--build-arg``."""
    before: Mapping[str, str]
    """The arguments that hold before the first stage."""
    network: str
    cached: bool


class StageState:
    """What the steps of a stage have come to."""

    def __init__(
        self, terms: Terms, vertex: Vertex, config: Mapping[str, Any], *, os: str, author: str = ""
    ) -> None:
        """Begin with the files and the config of an image; raises ChangeError."""
        self.vertex = vertex
        self.changed = Changed({**config, "OnBuild": None}, os)
        self.author = author
        self.moments: list[Moment] = []
        self.triggers: list[str] = []
        self._terms = terms
        self._arguments: dict[str, str] = {}
        self._variables = self.changed.variables()
        if "PATH" not in self._variables and os != "windows":
            self.changed.config["Env"] = [*(config.get("Env") or []), f"PATH={_PATH}"]
            self._variables["PATH"] = _PATH

    def succeeded(self) -> "StageState":
        """Return the state of a stage that begins where this one has ended."""
        os = self.changed.os
        new = StageState(self._terms, self.vertex, self.changed.config, os=os, author=self.author)
        new.moments = list(self.moments)
        new._arguments = dict(self._arguments)
        new._variables = dict(self._variables)
        return new

    def apply(self, step: Step, title: str, source: Callable[[str], Vertex]) -> None:
        """Have a step take effect; `source` tells where the files of a ``from`` are.

        Raises DockerfileError, WordError, ChangeError, ValueError.
        """
        if isinstance(step.action, Arg):
            self._arg(step.action)
            return
        action = expanded(step.action, self._variables, self._terms.escape)
        match action:
            case Run():
                operation, others = self._run(action, source)
                self._push(operation, others, title, step.source.line)
            case Copy():
                files = self._files(action)
                self._push(files, [source(action.stage)], title, step.source.line)
            case Workdir():
                self.changed.apply(action)
                if (path := self._folder) != "/":
                    self._push(Folder(path, self._user), [], title, step.source.line)
                self.moments.append(Moment(f"WORKDIR {path}", layer=path != "/"))
            case OnBuild(later):
                self.triggers.append(later)
                self.changed.apply(action)
            case _:
                self._setting(action)

    @property
    def _folder(self) -> str:
        return self.changed.config.get("WorkingDir") or "/"

    @property
    def _user(self) -> str:
        return self.changed.config.get("User") or ""

    def _push(
        self,
        operation: Execute | Files | Folder,
        others: Sequence[Vertex],
        title: str,
        line: int,
    ) -> None:
        self.vertex = Vertex(
            operation, self.vertex, tuple(others), title, line, cached=self._terms.cached
        )

    def _setting(self, action: Action) -> None:
        self.changed.apply(action)
        command: Sequence[str] = ()
        match action:
            case Env(pairs):
                for name, value in pairs:
                    self._set(name, value)
            case Maintainer(name):
                self.author = name
            case Cmd(line):
                command = self.changed.in_shell(line)
                self.changed.config["ArgsEscaped"] = True
            case Entrypoint(line):
                command = self.changed.in_shell(line)
        self.moments.append(Moment(history.words(action, command), layer=False))

    def _set(self, name: str, value: str) -> None:
        self._variables.pop(name, None)
        self._variables[name] = value

    def _arg(self, action: Arg) -> None:
        said = []
        for name, default in action.names:
            value = self._terms.given.get(name)
            if value is None and default is not None:
                value = expand(default, self._variables, self._terms.escape)
            elif value is None:
                value = self._terms.before.get(name)
            if value is not None:
                self._set(name, value)
            self._arguments.pop(name, None)
            self._arguments[name] = value or ""
            said.append(name if value is None else f"{name}={value}")
        self.moments.append(Moment(" ".join(["ARG", *said]), layer=False))

    def _run(self, action: Run, source: Callable[[str], Vertex]) -> tuple[Execute, list[Vertex]]:
        command, script = self._command(action.command)
        asked = [
            self._placed(mounts.read(text, lambda word: self._word(word))) for text in action.mounts
        ]
        operation = Execute(
            tuple(command),
            tuple(map("=".join, self._variables.items())),
            self._folder,
            self._user,
            self._terms.network if action.network == "default" else action.network,
            action.security,
            tuple(asked),
            script,
        )
        seen = {name: self._variables.get(name, value) for name, value in self._arguments.items()}
        self.moments.append(Moment(history.run(command, seen), layer=True))
        return operation, [source(mount.stage) for mount in asked if mount.type == "bind"]

    def _word(self, text: str) -> str:
        return expand(text, self._variables, self._terms.escape)

    def _command(self, line: CommandLine) -> tuple[list[str], Heredoc | None]:
        """Return a command's words, and the script among its here-documents."""
        if not line.heredocs:
            return self._in_shell(line), None
        if len(line.words) != 1:
            raise DockerfileError(
                f"parsing produced an invalid run command: [{' '.join(line.words)}]"
            )
        first = line.heredocs[0]
        if not heredoc.word(line.words[0]):
            text = line.words[0] + "".join(f"\n{each.content}{each.name}" for each in line.heredocs)
            return self._in_shell(line._replace(words=(text,))), None
        if first.text.startswith("#!"):
            words = (posixpath.join(heredoc.SCRIPTS, first.name),)
            return self._in_shell(line._replace(words=words)), first
        return self._in_shell(line._replace(words=(first.text,))), None

    def _in_shell(self, line: CommandLine) -> list[str]:
        if line.shell:
            line = line._replace(words=(" ".join(line.words),))
        return self.changed.in_shell(line)

    def _placed(self, mount: Mount) -> Mount:
        if mount.type in ("secret", "ssh"):
            return mount
        target = posixpath.normpath(posixpath.join("/", self._folder, mount.target))
        if target == "/":
            raise DockerfileError(f"invalid mount target {quoted(target)}")
        return mount._replace(target=target, id=mount.id or posixpath.normpath(mount.target or "/"))

    def _files(self, action: Copy) -> Files:
        name = "ADD" if action.add else "COPY"
        if action.chmod:
            modes.check(action.chmod)
        fetched = [source for source in action.sources if remote.is_remote(source)]
        if fetched and not action.add:
            raise DockerfileError("source can't be a URL for COPY")
        if action.checksum and len(action.sources) != 1:
            raise DockerfileError("checksum can't be specified for multiple sources")
        if action.checksum and not fetched:
            raise DockerfileError("checksum requires HTTP(S) or Git sources")
        destination = posixpath.normpath(posixpath.join("/", self._folder, action.destination))
        if action.destination.endswith("/") or posixpath.basename(action.destination) in ("", "."):
            destination = destination.rstrip("/") + "/"
        operation = Files(
            action.sources,
            action.inline,
            destination,
            action.chown,
            action.chmod,
            action.link,
            action.parents,
            action.exclude,
            action.add,
            action.checksum,
            action.keep_git_dir,
            action.add if action.unpack is None else action.unpack,
        )
        words = [
            name,
            *(["--parents"] if action.parents else []),
            *([f"--chown={action.chown}"] if action.chown else []),
            *([f"--chmod={action.chmod}"] if action.chmod else []),
            *action.sources,
            *(f"<<{each.name}" for each in action.inline),
            action.destination,
            "# buildkit",
        ]
        self.moments.append(Moment(" ".join(words), layer=True))
        return operation
