"""What a Dockerfile asks for: its stages as a graph of steps, and the image that comes of them.

Nothing is read or run here but the configs of the images it stands on.  What is not needed for the
target is not in the graph.  Follows the Dockerfile reference and docker's builder.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ferryman.build import instructions, mounts, syntax
from ferryman.build.change import ChangeError
from ferryman.build.graph import Context, Image, Scratch, Vertex
from ferryman.build.instructions import Action, Arg, Copy, From, Run, Stages, Step, Workdir
from ferryman.build.lines import DockerfileError
from ferryman.build.stage import Moment, StageState, Terms
from ferryman.build.suggest import did_you_mean
from ferryman.build.syntax import at_line
from ferryman.build.words import WordError, expand, quoted
from ferryman.errors import FerryError
from ferryman.image import platform as platforms
from ferryman.image.platform import Platform

_SCRATCH = "scratch"


class BaseImage(NamedTuple):
    """An image that a stage stands on: its ID, and its config as JSON has it."""

    id: str
    config: Mapping[str, Any]


class Request(NamedTuple):
    """What a build is asked for, beside the Dockerfile."""

    platform: Platform
    target: str = ""
    arguments: Mapping[str, str] = {}
    """``--build-arg``."""
    labels: Mapping[str, str] = {}
    network: str = "default"
    cached: bool = True
    """Whether results from the cache will do."""


class Built(NamedTuple):
    """The image that a stage makes, but for its layers."""

    vertex: Vertex
    config: Mapping[str, Any]
    """What a container starts with."""
    author: str
    platform: Platform
    base: BaseImage | None
    moments: tuple[Moment, ...]
    """The history, from the base on."""


Find = Callable[[str, Platform], BaseImage]
"""Returns the image of a name; raises ImageNotFound."""


def plan(stages: Stages, escape: str, request: Request, find: Find) -> Built:
    """Return the image that a Dockerfile makes, and the steps that lead there.

    Raises DockerfileError, and what `find` raises.
    """
    return _Planner(stages, escape, request, find).target()


class _Base(NamedTuple):
    """What a stage stands on: an earlier stage, an image, or nothing."""

    name: str
    platform: Platform
    stage: int | None
    image: BaseImage | None


class _Planner:
    def __init__(self, stages: Stages, escape: str, request: Request, find: Find) -> None:
        self._stages = stages.stages
        self._request = request
        self._find = find
        self._names = {each.base.name: n for n, each in enumerate(self._stages) if each.base.name}
        self._escape = escape
        before = self._before(stages.arguments)
        self._terms = Terms(escape, request.arguments, before, request.network, request.cached)
        self._context = Vertex(Context(), title="[internal] load build context")
        self._images: dict[tuple[str, Platform], BaseImage] = {}
        self._bases: dict[int, _Base] = {}
        self._done: dict[int, StageState] = {}

    def target(self) -> Built:
        target = self._number()
        # Not by recursion: a chain of stages may be longer than Python's stack.
        pending = [target]
        while pending:
            number = pending[-1]
            missing = [each for each in self._needed(number) if each not in self._done]
            if missing:
                pending.extend(missing)
                continue
            if number not in self._done:
                self._done[number] = self._evaluated(number)
            pending.pop()
        return self._built(target)

    def _number(self) -> int:
        wanted = self._request.target
        if not wanted:
            return len(self._stages) - 1
        if wanted.lower() in self._names:
            return self._names[wanted.lower()]
        if wanted.isdecimal() and int(wanted[:9]) < len(self._stages):
            return int(wanted)
        advice = did_you_mean(wanted, list(self._names))
        raise DockerfileError(f"target stage {quoted(wanted)} could not be found{advice}")

    def _before(self, arguments: Sequence[Arg]) -> dict[str, str]:
        """Return the arguments that hold before the first stage."""
        given = self._request.arguments
        values = {
            **_platform_arguments("BUILD", platforms.host()),
            **_platform_arguments("TARGET", self._request.platform),
            "TARGETSTAGE": self._request.target or self._stages[-1].base.name or "default",
        }
        values = {name: given.get(name, value) for name, value in values.items()}
        for argument in arguments:
            for name, value in argument.names:
                if name in given:
                    values[name] = given[name]
                elif value is not None:
                    values[name] = self._word(value, values)
        return values

    def _word(self, text: str, variables: Mapping[str, str]) -> str:
        try:
            return expand(text, variables, self._escape)
        except WordError as e:
            raise DockerfileError(str(e)) from None

    def _base(self, number: int) -> _Base:
        """Return what a stage stands on; raises DockerfileError."""
        if number in self._bases:
            return self._bases[number]
        stage = self._stages[number]
        with at_line(stage.source.line):
            name = self._word(stage.base.base, self._terms.before)
            if not name:
                raise DockerfileError(f"base name ({stage.base.base}) should not be blank")
            platform = self._platform(stage.base)
            earlier = [n for n in range(number) if self._stages[n].base.name == name.lower()]
            image = None
            if not earlier and name != _SCRATCH:
                image = self._image(name, platform)
        base = _Base(name, platform, earlier[-1] if earlier else None, image)
        self._bases[number] = base
        return base

    def _platform(self, base: From) -> Platform:
        if not base.platform:
            return self._request.platform
        text = self._word(base.platform, self._terms.before)
        if not text:
            raise DockerfileError(f"empty platform value from expression {base.platform}")
        try:
            return platforms.parse(text)
        except FerryError as e:
            raise DockerfileError(f"failed to parse platform {base.platform}: {e}") from None

    def _image(self, name: str, platform: Platform) -> BaseImage:
        if (name, platform) not in self._images:
            self._images[name, platform] = self._find(name, platform)
        return self._images[name, platform]

    def _needed(self, number: int) -> set[int]:
        """Return the stages that one needs first; raises DockerfileError."""
        base = self._base(number)
        if base.stage is not None and base.stage not in self._done:
            return {base.stage}
        found = set() if base.stage is None else {base.stage}
        for step in self._steps(number):
            with at_line(step.source.line):
                for name in self._sources(step.action):
                    stage = self._source(name, number)
                    if stage is not None:
                        found.add(stage)
        return found

    def _sources(self, action: Action) -> list[str]:
        if isinstance(action, Copy):
            if self._word(action.stage, {}) != action.stage:
                raise DockerfileError(
                    "variable expansion is not supported for --from, define a new stage with FROM "
                    "using ARG from global scope as a workaround"
                )
            return [action.stage] if action.stage else []
        if isinstance(action, Run):
            return [name for name in map(mounts.stage_of, action.mounts) if name]
        return []

    def _source(self, name: str, number: int) -> int | None:
        """Return which stage a ``from`` means; None for an image.

        Raises DockerfileError for one that is not there yet.
        """
        if re.fullmatch("[+-]?[0-9]{1,9}", name):
            found = int(name)
            if not 0 <= found < len(self._stages):
                raise DockerfileError(f"invalid stage index {found}")
        elif name.lower() in self._names:
            found = self._names[name.lower()]
        else:
            return None
        if found >= number:
            raise DockerfileError(
                f"cannot copy from stage {quoted(name)}, it needs to be defined before current "
                f"stage {quoted(self._name(number))}"
            )
        return found

    def _name(self, number: int) -> str:
        return self._stages[number].base.name or f"stage-{number}"

    def _steps(self, number: int) -> list[Step]:
        """Return the steps of a stage, the triggers of its base first; raises DockerfileError."""
        base, stage = self._base(number), self._stages[number]
        if base.stage is not None:
            triggers: Sequence[str] = self._done[base.stage].triggers
        else:
            config = (base.image.config.get("config") if base.image else None) or {}
            triggers = config.get("OnBuild") or ()
        with at_line(stage.source.line):
            return [*(_trigger(text, stage.source.line) for text in triggers), *stage.steps]

    def _evaluated(self, number: int) -> StageState:
        base, stage = self._base(number), self._stages[number]
        steps = self._steps(number)
        shown = [step for step in steps if isinstance(step.action, Run | Copy | Workdir)]
        total = len(shown) + (base.image is not None)
        prefix = f"{self._name(number)} " if len(self._stages) > 1 else ""
        done = 0

        def title(words: str) -> str:
            return f"[{prefix}{done:>{len(str(total))}}/{total}] {words}"

        if base.stage is not None:
            state = self._done[base.stage].succeeded()
        elif base.image is None:
            vertex = Vertex(Scratch(), title="FROM scratch")
            state = StageState(self._terms, vertex, {"WorkingDir": "/"}, os=base.platform.os)
        else:
            done = 1
            vertex = Vertex(
                Image(base.image.id, base.name),
                title=title(f"FROM {base.name}"),
                line=stage.source.line,
            )
            with at_line(stage.source.line):
                state = _of_image(self._terms, vertex, base)
        for step in steps:
            done += isinstance(step.action, Run | Copy | Workdir)
            keyword, *rest = step.source.original.strip().split(maxsplit=1)
            with at_line(step.source.line):
                try:
                    state.apply(
                        step,
                        title(" ".join([keyword.upper(), *rest])),
                        lambda name: self._vertex(name, number),
                    )
                except (WordError, ChangeError, ValueError) as e:
                    raise DockerfileError(str(e)) from None
        return state

    def _vertex(self, name: str, number: int) -> Vertex:
        """Return where a ``from`` leads; an empty one to the context."""
        if not name:
            return self._context
        stage = self._source(name, number)
        if stage is not None:
            return self._done[stage].vertex
        if name == _SCRATCH:
            return Vertex(Scratch())
        image = self._image(name, self._base(number).platform)
        return Vertex(Image(image.id, name), title=f"FROM {name}")

    def _built(self, number: int) -> Built:
        state = self._done[number]
        config = {key: value for key, value in state.changed.config.items() if value is not None}
        if self._request.labels:
            config["Labels"] = {**(config.get("Labels") or {}), **self._request.labels}
        root = number
        while (below := self._base(root).stage) is not None:
            root = below
        base = self._base(root)
        return Built(
            state.vertex, config, state.author, base.platform, base.image, tuple(state.moments)
        )


def _of_image(terms: Terms, vertex: Vertex, base: _Base) -> StageState:
    document = base.image.config if base.image else {}
    author = document.get("author") or ""
    config = document.get("config") or {}
    try:
        return StageState(terms, vertex, config, os=base.platform.os, author=author)
    except ChangeError as e:
        raise DockerfileError(f"{base.name}: {e}") from None


def _trigger(text: str, line: int) -> Step:
    """Return what an image has in store for those who build on it; raises DockerfileError."""
    read = syntax.parse(text).instructions
    if len(read) != 1:
        raise DockerfileError("onbuild trigger should be a single expression")
    source = read[0]._replace(line=line)
    said = instructions.understood(source)
    if isinstance(said, From):
        raise DockerfileError("FROM isn't allowed as an ONBUILD trigger")
    return Step(source, said)


def _platform_arguments(prefix: str, platform: Platform) -> dict[str, str]:
    return {
        f"{prefix}PLATFORM": str(platform),
        f"{prefix}OS": platform.os,
        f"{prefix}OSVERSION": "",
        f"{prefix}ARCH": platform.architecture,
        f"{prefix}VARIANT": platform.variant or "",
    }
