"""What ferry says of images, and what it says when it changes them, is what docker says."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.cli.some_images import ARCHIVE, EMPTY, IMAGES, MANY, NAMELESS, NEVER, OLD, ON_BASE
from tests.command import Command
from tests.ferry import Ferry
from tests.images import Made

pytestmark = pytest.mark.peer

Done = subprocess.CompletedProcess[bytes]
IDS = tuple(image.id for image in IMAGES)


@pytest.fixture(scope="module")
def there(dockerd: Command) -> Iterator[Command]:
    """A docker with the images."""
    with having(dockerd):
        yield dockerd


@contextmanager
def having(docker: Command) -> Iterator[None]:
    """Have the images in docker, as long as the block runs."""
    docker.run("load", input=ARCHIVE)
    try:
        yield
    finally:
        docker.run("rmi", "--force", *IDS, check=False)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """A ferry with the images, not to be changed."""
    ferry = Ferry(tmp_path_factory.mktemp("store") / "root")
    ferry("load", input=ARCHIVE)
    return ferry.at(None)


def ours(lines: str) -> list[str]:
    """Keep the lines that are about the images of this test; docker may have others."""
    known = tuple(id[7:19] for id in IDS)
    return [line for line in lines.splitlines() if any(id in line for id in known)]


FORM = "{{.ID}} {{.Repository}}:{{.Tag}} {{.CreatedSince}}|{{.CreatedAt}}"


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "-a",
        "--no-trunc",
        "some/a",
        "some/a:two",
        "some/*",
        "*",
        "*/*/a",
        "nothing-like-it",
        "-f reference=some/*:1 -f reference=other",
        "-f dangling=true",
        "-f dangling=false",
        "-f label=a",
        "-f label=a=2",
        "-f label=a -f label=b",
        "-f label=",
        "-f before=some/a:1",
        "-f since=some/a:1",
        "-f before=some/old:1",
        f"-f since={ON_BASE.id[7:19]}",
        "-f since=some/empty:1 -f before=some/b:1",
    ],
)
def test_images(there: Command, here: Command, arguments: str) -> None:
    command = ("images", *arguments.split())
    # Names of one image, and images of one moment, docker lists in any order.
    form = ("--format", FORM)
    assert sorted(ours(here.text(*command, *form))) == sorted(ours(there.text(*command, *form)))
    in_order = [ours(each.text(*command, "-q")) for each in (here, there)]
    assert in_order[0] == in_order[1]


@pytest.mark.parametrize("flags", ["", "--no-trunc", "--digests"])
def test_the_table_of_images(there: Command, here: Command, flags: str) -> None:
    """Line for line, but for sizes, which docker counts by files, and digests, if it has none."""

    def table(engine: Command) -> list[str]:
        lines = engine.text("images", *flags.split(), "some/*").splitlines()
        lines = [re.sub(r"\S+$", "SIZE", line) for line in lines]
        if flags == "--digests":
            lines = [re.sub(r"DIGEST +|sha256:\S+ +|<none> +", "", line) for line in lines]
        return [lines[0], *sorted(lines[1:])]

    assert table(here) == table(there)


@pytest.mark.parametrize(
    "form",
    [
        "{{json .Repository}}",
        "{{.Containers}} {{.SharedSize}} {{.UniqueSize}}",
        "table {{.ID}}",
        r"table {{.ID}}\t{{.Tag}}\t{{.CreatedAt}}",
        "table{{.Tag}} {{.ID}}",
        r" {{.Repository}}\t{{.Tag}}\n ",
        r"table {{.ID | upper}}\t{{json .Tag}}\t{{truncate .Repository 6}}\t{{pad .Tag 1 2}}|",
        r'table {{split .Tag "t"}}\t{{join (split .ID "t") "+"}}\t{{len .Tag}}\t{{title .Tag}}',
        '{{if eq .Tag "1"}}one{{else}}{{.Tag | lower}}{{end}} {{slice .ID 0 4}}',
        '{{with .CreatedSince}}{{index (split . " ") 1}}{{end}}',
        '{{printf "%-20s|%5s|%q" .Repository .Tag .Tag}}',
        "{{.Nope}}",
        "{{.ID.x}}",
        "table {{.Nope}}",
        "{{",
        "{{nope}}",
        "plain",
    ],
)
def test_forms_of_images(there: Command, here: Command, form: str) -> None:
    for pattern in ("some/*", "nothing-like-it"):
        answers = [
            engine.run("images", "--format", form, pattern, check=False) for engine in (here, there)
        ]
        mine, theirs = (
            (done.returncode, sorted(done.stdout.decode().splitlines()), said(done))
            for done in answers
        )
        assert mine == theirs


def test_images_as_json(there: Command, here: Command) -> None:
    def told(engine: Command) -> list[dict[str, str]]:
        lines = engine.text("images", "--format", "{{json .}}", "some/*").splitlines()
        rows = [json.loads(line) for line in lines]
        for row in rows:
            assert list(row) == sorted(row)
            # Not in all versions of the client; counted by files in docker.
            row.pop("VirtualSize", None)
            assert row.pop("Size")
        return sorted(rows, key=lambda row: (row["Repository"], row["Tag"]))

    assert told(here) == told(there)


@pytest.mark.parametrize("image", [MANY, ON_BASE, NAMELESS, OLD, NEVER, EMPTY])
@pytest.mark.parametrize(
    "arguments",
    [
        ("-q",),
        ("-q", "--no-trunc"),
        ("--format", "{{.ID}} {{.CreatedSince}} {{.CreatedAt}} {{.CreatedBy}} {{.Comment}}"),
        ("--format", "{{.CreatedSince}}", "--human=false"),
        ("--format", "{{json .CreatedBy}}"),
        ("--no-trunc", "--format", "{{.CreatedBy}}"),
        ("--format", r"table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Comment}}"),
        ("--no-trunc", "--format", r"table {{.CreatedBy}}\t{{.ID}}"),
        ("--human",),
        ("-H=false",),
        ("--no-trunc",),
    ],
)
def test_history(
    there: Command, here: Command, new_client: bool, image: Made, arguments: tuple[str, ...]
) -> None:
    if not new_client and image in (MANY, NAMELESS):
        # To older clients all characters are of one width, and the year 1 is 292 years ago.
        arguments = ("-q",)
    mine, theirs = (
        engine.run("history", *arguments, image.id).stdout.decode() for engine in (here, there)
    )
    if "SIZE" in mine:
        assert sizeless(mine) == sizeless(theirs)
    else:
        assert mine == theirs


def sizeless(table: str) -> list[str]:
    """Return the lines without the column of sizes, and without what that does to the others."""
    lines = table.splitlines()
    return [re.sub(r" {2,}(SIZE|[0-9.]+([kM]?B)?)( {2,}|$)", "  ", line) for line in lines]


@pytest.mark.parametrize("image", [MANY, ON_BASE, NAMELESS, OLD, NEVER, EMPTY])
def test_inspect(there: Command, here: Command, image: Made) -> None:
    (mine,), (theirs,) = (json.loads(engine.text("inspect", image.id)) for engine in (here, there))
    # Where it lies; how much that is, by whose count; since when; and what only registries tell.
    for key in ("GraphDriver", "Size", "VirtualSize", "Metadata", "RepoDigests", "Descriptor"):
        for described in (mine, theirs):
            described.pop(key, None)
    # Of the container that it was committed from, ferry keeps nothing; an image has no parent.
    for key in ("Container", "ContainerConfig", "Identity"):
        theirs.pop(key, None)
    # From version 29 on, docker leaves out of it what is not said.
    settings = [key for key in mine["Config"] if key in (theirs["Config"] or {})]
    assert list(theirs["Config"] or {}) == settings
    assert filled(mine) == filled(theirs)
    assert [key for key in mine if key in theirs] == list(theirs)


def filled(document: Any) -> Any:
    if isinstance(document, dict):
        kept = {key: filled(value) for key, value in document.items()}
        return {key: value for key, value in kept.items() if value}
    return document


def test_inspect_line_for_line(there: Command, here: Command) -> None:
    """Also as a text: the same indentation, the same escapes, the same order."""
    mine, theirs = (
        engine.text("inspect", "some/a:1", "other").splitlines() for engine in (here, there)
    )
    assert (mine[:3], mine[-2:]) == (theirs[:3], theirs[-2:])
    for name in ('"RepoTags": [', '"Layers": [', '"Env": [', '"Labels": {'):
        for before in [i for i, line in enumerate(mine) if line.endswith(name)]:
            block = mine[before : before + 4]
            assert "\n".join(block) in "\n".join(theirs)


STEPS = [
    "tag some/a:1 some/new",
    f"tag {MANY.id[7:19]} localhost:5000/some/new:2",
    "tag some/a:1 Upper:1",
    "tag nothing x",
    f"tag some/a:1 x@sha256:{'0' * 64}",
    "tag some/a:1 a::b",
    "tag some/a:1 some/b:1",
    "images some/* --format {{.Repository}}:{{.Tag}}={{.ID}}",
    f"tag {ON_BASE.id[7:15]} some/b:1",
    f"rmi {MANY.id[7:19]}",
    f"rmi {MANY.id}",
    "rmi some/new",
    "rmi some/a:1 some/a:two",
    "rmi some/a:1",
    "rmi nothing some/nothing:1",
    "rmi -f nothing",
    "rmi -f nothing some/old:1",
    "rmi nothing some/never:1",
    "rmi Upper",
    "rmi -f Upper",
    "inspect some/old:1",
    "image inspect some/never:1",
    "history some/old:1",
    f"image rm --force {MANY.id[7:19]}",
    f"rmi {NAMELESS.id[7:19]}",
    f"rmi {NAMELESS.id}",
    "images some/* --format {{.Repository}}:{{.Tag}}={{.ID}}",
    f"rmi {ON_BASE.id[7:11]}",
    "rmi some/empty",
    "rmi some/empty:1",
    "images some/*",
]


def test_names_come_and_go(dockerd: Command, new_client: bool, ferry: Ferry) -> None:
    ferry("load", input=ARCHIVE)
    with having(dockerd):
        for step in STEPS:
            mine = answer(ferry.run(*step.split(), check=False))
            theirs = answer(dockerd.run(*step.split(), check=False))
            compared = 3 if new_client else 2  # older clients have words of their own for errors
            assert (step, mine[:compared]) == (step, theirs[:compared])


REFUSALS = [
    ("image prune", "n\n"),
    ("image prune -a", "\n"),
    ("image prune --all", ""),
    ("image prune --filter label=nothing-like-it", "yes\n"),
]
PRUNES = [
    ("image prune --filter label=nothing-like-it", "y\n"),
    ("image prune -f --filter label=a", ""),
    ("image prune -af --filter label=a=2", ""),
    ("image prune -af --filter label=nothing-like-it", ""),
    ("image prune -af --filter nope=1", ""),
    ("image prune -f --filter until=xx", ""),
    ("image prune -af --filter label=a --filter until=2000h", ""),
]


def test_prune(dockerd: Command, new_client: bool, ferry: Ferry) -> None:
    """What else docker has is spared by the filters."""
    ferry("load", input=ARCHIVE)
    dockerd.run("image", "prune", "--force")  # of what other tests have left
    with having(dockerd):
        # Older clients say how much was freed even when nothing was to be.
        for step, typed in (REFUSALS if new_client else []) + PRUNES:
            mine, theirs = (
                answer(engine.run(*step.split(), input=typed.encode(), check=False))
                for engine in (ferry.at(None), dockerd)
            )
            assert (step, mine) == (step, theirs)


def answer(done: Done) -> tuple[int, list[str], list[str]]:
    out = done.stdout.decode()
    if out.startswith("some/"):
        return done.returncode, sorted(out.splitlines()), said(done)
    freed = re.sub(r"(reclaimed space: )[1-9].*", r"\1some", out)
    return done.returncode, freed.splitlines(), said(done)


_HEADS = re.compile(
    r"(Error: |Error response from daemon: |no such image: [^ ]+: "
    r'|Error parsing reference: ".*" is not a valid repository/tag: )*'
)


def said(done: Done) -> list[str]:
    """Return the errors, without who says so and without what only some versions add."""
    found = []
    for line in done.stderr.decode().splitlines():
        line = _HEADS.sub("", line, count=1)
        line = re.sub(r"(invalid reference format).*", r"\1", line)
        found.append(line[:1].lower() + line[1:])
    return found
