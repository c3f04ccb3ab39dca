"""Stages as a graph of steps, and what an image of them says of itself."""

from collections.abc import Mapping
from typing import Any

import pytest

from ferryman.build import graph
from ferryman.build.graph import Execute, Files, Vertex
from ferryman.build.instructions import stages
from ferryman.build.lines import DockerfileError
from ferryman.build.plan import BaseImage, Built, Request, plan
from ferryman.build.syntax import parse
from ferryman.image.platform import Platform

AMD64 = Platform("amd64", "linux")
IMAGES: Mapping[str, Mapping[str, Any]] = {
    "base": {"Env": ["PATH=/bin", "LANG=C"], "WorkingDir": "/srv", "Cmd": ["run"]},
    "trigger": {"OnBuild": ["COPY a /a", "RUN b"]},
    "plain": {},
}


def find(name: str, platform: Platform) -> BaseImage:
    return BaseImage(f"sha256:{name}", {"config": IMAGES[name]})


def planned(text: str, **request: Any) -> Built:
    dockerfile = parse(text)
    found = stages(dockerfile.instructions)
    return plan(found, dockerfile.escape, Request(AMD64, **request), find)


def steps(built: Built) -> list[str]:
    return [each.title for each in graph.order(built.vertex)]


def commands(built: Built) -> list[tuple[str, ...]]:
    found = [each.operation for each in graph.order(built.vertex)]
    return [each.arguments for each in found if isinstance(each, Execute)]


def history(text: str, **request: Any) -> list[str]:
    return [moment.words for moment in planned(text, **request).moments]


def test_what_is_not_needed_is_not_there() -> None:
    built = planned("FROM base AS a\nRUN a\nFROM base AS b\nRUN b\nFROM a\nRUN c\n")
    assert steps(built) == ["[a 1/2] FROM base", "[a 2/2] RUN a", "[stage-2 1/1] RUN c"]


def test_a_target() -> None:
    text = "FROM base AS one\nRUN 1\nFROM base AS two\nRUN 2\n"
    assert commands(planned(text, target="One")) == [("/bin/sh", "-c", "1")]
    with pytest.raises(DockerfileError, match=r'target stage "ono" could not be found \(did you'):
        planned(text, target="ono")


def test_stages_from_each_other() -> None:
    built = planned("FROM base AS a\nFROM base AS b\nCOPY --from=a /x /\nCOPY --from=0 /y /\n")
    taken = [each for each in graph.order(built.vertex) if isinstance(each.operation, Files)]
    assert [each.others[0].title for each in taken] == ["[a 1/1] FROM base"] * 2


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ("FROM base AS a\nCOPY --from=b x y\nFROM a AS b", "it needs to be defined before", 2),
        ("FROM base AS a\nCOPY --from=a x y", "it needs to be defined before", 2),
        ("FROM base\nCOPY --from=7 x y", "invalid stage index 7", 2),
        ("FROM base\nCOPY --from=$x x y", "variable expansion is not supported for --from", 2),
        ("FROM base\nRUN --mount=from=$x,target=/y z", "doesn't support variable expansion", 2),
        ("FROM $none", r"base name \(\$none\) should not be blank", 1),
        ("FROM --platform=$none base", "empty platform value from expression", 1),
        ("FROM base\nCOPY http://x/y /z", "source can't be a URL for COPY", 2),
        ("FROM base\nADD --checksum=sha256:1 x y", "checksum requires", 2),
        ("FROM base\nCOPY --chmod=9 x y", "invalid chmod parameter: '9'", 2),
        ("FROM base\nSTOPSIGNAL x", "invalid signal: x", 2),
        ("FROM base\nENV a=${b:?missing}", "b: missing", 2),
        ("FROM base\nEXPOSE x", "x", 2),
        ("FROM base\nRUN --mount=target=/ x", 'invalid mount target "/"', 2),
    ],
)
def test_refused(text: str, words: str, line: int) -> None:
    with pytest.raises(DockerfileError, match=words) as raised:
        planned(text)
    assert raised.value.line == line


def test_arguments_hold_where_they_are_declared() -> None:
    text = "ARG v=base\nFROM $v\nRUN 1\nARG v\nARG w=2\nRUN 2\nFROM plain\nRUN 3\n"
    first = planned(text, target="0")
    environments = [
        each.operation.environment
        for each in graph.order(first.vertex)
        if isinstance(each.operation, Execute)
    ]
    assert environments == [("PATH=/bin", "LANG=C"), ("PATH=/bin", "LANG=C", "v=base", "w=2")]
    assert history(text, target="0", arguments={"w": "3"})[-1] == (
        "RUN |2 v=base w=3 /bin/sh -c 2 # buildkit"
    )


def test_platform_arguments() -> None:
    text = "FROM plain\nARG TARGETARCH\nARG BUILDOS\nENV a=$TARGETARCH-$BUILDOS-$TARGETOS\n"
    assert "a=amd64-linux-" in planned(text).config["Env"]


def test_triggers_come_first() -> None:
    built = planned("FROM trigger\nRUN c\n")
    assert [title.partition("] ")[2] for title in steps(built)][-3:] == [
        "COPY a /a",
        "RUN b",
        "RUN c",
    ]
    assert "OnBuild" not in built.config


def test_triggers_of_a_stage() -> None:
    built = planned("FROM plain AS a\nONBUILD RUN x\nFROM a\nRUN y\n")
    assert commands(built) == [("/bin/sh", "-c", "x"), ("/bin/sh", "-c", "y")]
    assert planned("FROM plain\nONBUILD RUN x\n").config["OnBuild"] == ["RUN x"]


def test_the_config() -> None:
    built = planned(
        "FROM base\nENV a=1 b=$LANG\nWORKDIR x\nWORKDIR /y\nWORKDIR z\nUSER u\nEXPOSE 80\n"
        'VOLUME /v\nLABEL l=1\nSTOPSIGNAL INT\nSHELL ["s"]\nENTRYPOINT e\nMAINTAINER m\n',
        labels={"more": "2"},
    )
    assert built.author == "m"
    assert built.config == {
        "Env": ["PATH=/bin", "LANG=C", "a=1", "b=C"],
        "WorkingDir": "/y/z",
        "User": "u",
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/v": {}},
        "Labels": {"l": "1", "more": "2"},
        "StopSignal": "INT",
        "Shell": ["s"],
        "Entrypoint": ["s", "e"],
    }


def test_a_path_is_always_there() -> None:
    assert planned("FROM scratch\n").config["Env"][0].startswith("PATH=/usr/local/sbin:")


def test_history() -> None:
    text = (
        'FROM base\nENV a=1\nCMD x\nCMD ["x", "y z"]\nHEALTHCHECK --interval=90s CMD h\n'
        'EXPOSE 80 90/udp\nWORKDIR /\nWORKDIR /w\nCOPY --chown=1 a b c/\nRUN ["r"]\n'
        "COPY <<E /e\n1\nE\n"
    )
    assert history(text) == [
        "ENV a=1",
        'CMD ["/bin/sh" "-c" "x"]',
        'CMD ["x" "y z"]',
        "HEALTHCHECK {Test:[CMD-SHELL h] Interval:1m30s Timeout:0s StartPeriod:0s "
        "StartInterval:0s Retries:0}",
        "EXPOSE [80/tcp 90/udp]",
        "WORKDIR /",
        "WORKDIR /w",
        "COPY --chown=1 a b c/ # buildkit",
        "RUN r # buildkit",
        "COPY <<E /e # buildkit",
    ]
    assert [each.layer for each in planned(text).moments] == [False] * 6 + [True] * 4


def test_here_documents_are_scripts() -> None:
    assert commands(planned("FROM base\nRUN <<E\na\nb\nE\n")) == [("/bin/sh", "-c", "a\nb\n")]
    assert commands(planned("FROM base\nRUN cat <<E >x\na\nE\n")) == [
        ("/bin/sh", "-c", "cat <<E >x\na\nE")
    ]
    built = planned("FROM base\nRUN <<E\n#!/x\nE\n")
    operation = built.vertex.operation
    assert isinstance(operation, Execute)
    assert operation.script
    assert operation.script.text == "#!/x\n"


def test_a_chain_of_many_stages() -> None:
    text = "FROM scratch AS s0\n" + "".join(
        f"FROM s{n} AS s{n + 1}\nENV a{n % 10}={n}\n" for n in range(1500)
    )
    assert "a9=1499" in planned(text).config["Env"]


def keys(text: str, **request: Any) -> list[str]:
    """Return the keys of a build's steps, whose files are always the same."""
    found: dict[int, str] = {}

    def key(vertex: Vertex) -> str:
        below = found[id(vertex.below)] if vertex.below else ""
        return graph.key(vertex, below, ["content"] * len(vertex.others))

    built = planned(text, **request)
    for vertex in graph.order(built.vertex):
        found[id(vertex)] = key(vertex)
    return list(found.values())


SAME = [
    ("RUN a\n", "RUN a # b\n", False),
    ("RUN a\n", "run   a\n", True),
    ("RUN a\n", "# comment\nRUN \\\n a\n", True),
    ("ENV a=1\nRUN a\n", "ENV a=2\nRUN a\n", False),
    ("ARG a\nRUN a\n", "ARG a=1\nRUN a\n", False),
    ("RUN a\nENV a=1\n", "RUN a\nENV a=2\n", True),
    ("LABEL a=1\nRUN a\n", "LABEL a=2\nRUN a\n", True),
    ("CMD a\nRUN a\n", "CMD b\nRUN a\n", True),
    ("EXPOSE 1\nRUN a\n", "RUN a\n", True),
    ("USER a\nRUN a\n", "USER b\nRUN a\n", False),
    ("WORKDIR /a\nRUN a\n", "WORKDIR /b\nRUN a\n", False),
    ('SHELL ["a"]\nRUN a\n', "RUN a\n", False),
    ("COPY a /x\n", "COPY a /y\n", False),
    ("COPY d/a /x\n", "COPY e/a /x\n", True),
    ("COPY a /x\n", "COPY b /x\n", False),
    ("COPY --chown=1 a /x\n", "COPY a /x\n", False),
    ("COPY --chmod=1 a /x\n", "COPY a /x\n", False),
    ("COPY a /x\n", "ADD a /x\n", False),
    ("RUN --network=none a\n", "RUN a\n", False),
    ("RUN --mount=type=cache,target=/a a\n", "RUN a\n", False),
    ("RUN --mount=type=secret,id=a a\n", "RUN --mount=type=secret,id=b a\n", False),
    ("COPY <<E /x\n1\nE\n", "COPY <<E /x\n2\nE\n", False),
]


@pytest.mark.parametrize(("one", "other", "same"), SAME)
def test_keys(one: str, other: str, same: bool) -> None:
    assert (keys(f"FROM base\n{one}")[-1] == keys(f"FROM base\n{other}")[-1]) == same


def test_keys_are_of_what_counts() -> None:
    (vertex,) = [
        each
        for each in graph.order(planned("FROM base\nCOPY a /x\n").vertex)
        if isinstance(each.operation, Files)
    ]
    other = vertex._replace(title="other", line=7, cached=False)
    assert graph.key(vertex, "k", ["c"]) == graph.key(other, "k", ["c"])
    assert graph.key(vertex, "k", ["c"]) != graph.key(vertex, "k", ["d"])
    assert graph.key(vertex, "k", ["c"]) != graph.key(vertex, "l", ["c"])
