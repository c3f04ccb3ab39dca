import json
from pathlib import Path

import pytest

from ferryman.store import blobs
from ferryman.store.layout import open_store
from tests.cli.conftest import Answer, Ask
from tests.cli.some_images import EMPTY, MANY, NAMELESS, NEVER, OLD, ON_BASE, PARTS
from tests.images import load_into

QUESTION = "Are you sure you want to continue? [y/N] "
DANGLING = f"WARNING! This will remove all dangling images.\n{QUESTION}"
ALL = (
    "WARNING! This will remove all images without at least one container associated to them.\n"
    + QUESTION
)


@pytest.fixture(autouse=True)
def full(store: Path) -> None:
    load_into(open_store(str(store)), PARTS)


def left(ask: Ask) -> set[str]:
    return set(ask("images", "-q", "--no-trunc").out.split())


def deleted(out: str) -> set[str]:
    """Return the images that are said to be deleted; their layers are not looked at."""
    known = {image.id for image in (MANY, ON_BASE, NAMELESS, OLD, NEVER, EMPTY)}
    return known & {line.removeprefix("deleted: ") for line in out.splitlines()}


def test_what_has_no_name_goes(ask: Ask) -> None:
    code, out, err = ask("image", "prune", "--force")
    head, image, layer, blank, freed, end = out.split("\n")
    assert (code, err, head, blank, end) == (0, "", "Deleted Images:", "", "")
    assert (image, layer) == (f"deleted: {NAMELESS.id}", f"deleted: {NAMELESS.diff_ids[0]}")
    assert freed.startswith("Total reclaimed space: 1")
    assert NAMELESS.id not in left(ask)
    assert ask("image", "prune", "-f") == Answer(0, "Total reclaimed space: 0B\n")


def test_all(ask: Ask, store: Path) -> None:
    code, out, err = ask("image", "prune", "--all", "--force")
    assert (code, err) == (0, "")
    assert len(deleted(out)) == 6
    assert left(ask) == set()
    assert list(blobs.present(open_store(str(store)))) == []
    # One image after the other, each with its names; what two had goes with the last one.
    lines = out.splitlines()
    assert len(lines) == len(set(lines))
    at = lines.index("untagged: other:latest")
    assert lines[at : at + 5] == [
        "untagged: other:latest",
        "untagged: some/a:1",
        "untagged: some/a:two",
        "untagged: quay.io/some/a:3",
        f"deleted: {MANY.id}",
    ]


@pytest.mark.parametrize(
    ("arguments", "gone"),
    [
        ("--filter label=a", {MANY.id, ON_BASE.id}),
        ("--filter label=a=2", {ON_BASE.id}),
        ("--filter label!=a", {NAMELESS.id, OLD.id, NEVER.id, EMPTY.id}),
        ("--filter label=a --filter label!=b", {ON_BASE.id}),
        ("--filter until=2023-06-01", {OLD.id, NEVER.id, EMPTY.id}),
        ("--filter until=1h --filter label=b", {MANY.id}),
        ("--filter label=nothing", set()),
    ],
)
def test_filters(ask: Ask, arguments: str, gone: set[str]) -> None:
    before = left(ask)
    code, out, err = ask("image", "prune", "--all", "--force", *arguments.split())
    assert (code, err) == (0, "")
    assert deleted(out) == gone
    assert left(ask) == before - gone


def test_filters_choose_among_what_has_no_name(ask: Ask) -> None:
    before = left(ask)
    asked = ask("image", "prune", "-f", "--filter", "label=a")
    assert asked == Answer(0, "Total reclaimed space: 0B\n")
    assert left(ask) == before


@pytest.mark.parametrize(
    ("filters", "message", "code"),
    [
        ("nope=1", "invalid filter 'nope'", 1),
        ("until=xx", 'failed to parse value as time or duration: "xx"', 1),
        ("until", 'invalid argument "until": bad format of filter (expected name=value)', 125),
    ],
)
def test_wrong_filters(ask: Ask, filters: str, message: str, code: int) -> None:
    before = left(ask)
    asked = ask("image", "prune", "-af", "--filter", filters)
    assert asked == Answer(code, "", f"Error: {message}\n")
    assert left(ask) == before


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "no\n", "yes\n", "x\n"])
def test_whoever_does_not_say_y_does_not_mean_it(ask: Ask, answer: str) -> None:
    before = left(ask)
    assert ask("image", "prune", stdin=answer) == Answer(0, DANGLING)
    assert ask("image", "prune", "-a", stdin=answer) == Answer(0, ALL)
    assert left(ask) == before


@pytest.mark.parametrize("answer", ["y\n", "Y\n", " y \n", "y"])
def test_asked_and_answered(ask: Ask, answer: str) -> None:
    code, out, err = ask("image", "prune", stdin=answer)
    assert (code, err) == (0, "")
    assert out.startswith(f"{DANGLING}Deleted Images:\n")
    assert NAMELESS.id not in left(ask)


def test_what_a_container_stands_on_stays(ask: Ask, store: Path) -> None:
    """By the record that containers leave for the collector."""
    opened = open_store(str(store))
    container = Path(opened.containers, "0" * 64)
    container.mkdir(parents=True)
    (described,) = json.loads(ask("inspect", "some/b:1").out)
    (container / "image.json").write_text(json.dumps(described["Descriptor"]))
    assert ask("system", "df", "--format", "{{.Type}} {{.Active}}").out.startswith("Images 1\n")
    assert deleted(ask("image", "prune", "-af").out) == {
        *(image.id for image in (MANY, NAMELESS, OLD, NEVER, EMPTY))
    }
    assert left(ask) == {ON_BASE.id}
