from pathlib import Path

import pytest

from ferryman.image import digest
from ferryman.image.config import chain_ids
from ferryman.store.layout import open_store
from tests.cli.conftest import Answer, Ask
from tests.cli.some_images import EMPTY, MANY, NAMELESS, OLD, ON_BASE, PARTS
from tests.images import Made, load_into


@pytest.fixture(autouse=True)
def full(store: Path) -> None:
    load_into(open_store(str(store)), PARTS)


def names(ask: Ask) -> set[str]:
    return set(ask("images", "--format", "{{.Repository}}:{{.Tag}}").out.split())


def gone(image: Made, layers: int) -> str:
    """Write what is said when an image goes, and its upper layers with it."""
    chain = chain_ids([digest.parse(diff_id) for diff_id in image.diff_ids])
    deleted = [image.id, *reversed(chain[len(chain) - layers :])]
    return "".join(f"Deleted: {each}\n" for each in deleted)


@pytest.mark.parametrize("command", ["rmi", "image rm", "image remove"])
def test_a_name_of_several(ask: Ask, command: str) -> None:
    before = names(ask)
    asked = ask(*command.split(), "some/a:two", "docker.io/library/other")
    assert asked == Answer(0, "Untagged: some/a:two\nUntagged: other:latest\n")
    assert names(ask) == before - {"some/a:two", "other:latest"}
    assert ask("inspect", MANY.id).code == 0


def test_the_last_name_takes_the_image_along(ask: Ask) -> None:
    """Of its two layers, one stays, for others have it."""
    assert ask("rmi", "some/b:1") == Answer(0, f"Untagged: some/b:1\n{gone(ON_BASE, 1)}")
    assert ask("inspect", ON_BASE.id).code == 1
    asked = ask("rmi", "some/a:1", "some/a:two", "quay.io/some/a:3", "other")
    untagged = "".join(
        f"Untagged: {name}\n"
        for name in ("some/a:1", "some/a:two", "quay.io/some/a:3", "other:latest")
    )
    assert asked == Answer(0, untagged + gone(MANY, 2))


@pytest.mark.parametrize("start", [0, len("sha256:")])
@pytest.mark.parametrize("end", [None, 19, 12])
def test_by_id(ask: Ask, start: int, end: int | None) -> None:
    """Whole or short, with or without the algorithm; with its only name, the image goes."""
    asked = ask("rmi", ON_BASE.id[start:end])
    assert asked == Answer(0, f"Untagged: some/b:1\n{gone(ON_BASE, 1)}")
    assert ask("rmi", NAMELESS.id[start:end]) == Answer(0, gone(NAMELESS, 1))
    assert ask("rmi", EMPTY.id[start:end]) == Answer(
        0, f"Untagged: some/empty:1\nDeleted: {EMPTY.id}\n"
    )


def test_an_id_with_several_names(ask: Ask) -> None:
    before = names(ask)
    conflict = (
        f"Error: conflict: unable to delete {MANY.id[7:19]} (must be forced) - "
        "image is referenced in multiple repositories\n"
    )
    assert ask("rmi", MANY.id) == Answer(1, "", conflict)
    assert names(ask) == before
    asked = ask("rmi", "--force", MANY.id[7:15])
    untagged = "".join(
        f"Untagged: {name}\n"
        for name in ("other:latest", "some/a:1", "some/a:two", "quay.io/some/a:3")
    )
    assert asked == Answer(0, untagged + gone(MANY, 1))


def test_by_digest(ask: Ask) -> None:
    digest = ask("images", "--format", "{{.Digest}}", "some/b").out.strip()
    assert ask("rmi", f"other@{digest}") == Answer(1, "", f"Error: No such image: other@{digest}\n")
    code, out, err = ask("rmi", f"some/b@{digest}")
    assert (code, err) == (0, "")
    assert out == f"Untagged: some/b:1\n{gone(ON_BASE, 1)}"
    assert "some/b:1" not in names(ask)


@pytest.mark.parametrize(
    ("arguments", "code"), [("nothing", 1), ("-f nothing", 0), ("--force nothing", 0)]
)
def test_what_is_not_there(ask: Ask, arguments: str, code: int) -> None:
    """One who insists is content when it is not there; the others are removed all the same."""
    error = "Error: No such image: nothing:latest\n"
    assert ask("rmi", *arguments.split()) == Answer(code, "", error)
    asked = ask("rmi", *arguments.split(), "some/old:1")
    assert asked == Answer(code, f"Untagged: some/old:1\n{gone(OLD, 1)}", error)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Upper", "invalid reference format: repository name (library/Upper) must be lowercase"),
        ("a b", "invalid reference format: 'a b' is not an image name"),
        ("", "invalid reference format: '' is not an image name"),
    ],
)
def test_names_that_are_none(ask: Ask, name: str, message: str) -> None:
    for force in ([], ["-f"]):
        assert ask("rmi", *force, name) == Answer(1, "", f"Error: {message}\n")
