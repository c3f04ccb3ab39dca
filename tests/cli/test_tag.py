import pytest

from ferryman.store.layout import open_store
from tests.cli.conftest import Answer, Ask
from tests.cli.some_images import MANY, NAMELESS, ON_BASE, PARTS
from tests.images import load_into


@pytest.fixture(autouse=True)
def full(store: str) -> None:
    load_into(open_store(str(store)), PARTS)


def named(ask: Ask) -> dict[str, str]:
    told = ask("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").out
    return dict(line.rsplit(" ", 1) for line in told.splitlines())


@pytest.mark.parametrize("command", ["tag", "image tag"])
def test_one_more_name(ask: Ask, command: str) -> None:
    before = named(ask)
    assert ask(*command.split(), "some/a:two", "new") == Answer(0, "")
    assert ask(*command.split(), ON_BASE.id[7:19], "quay.io/x/new:1.0") == Answer(0, "")
    new = {"new:latest": MANY.id, "quay.io/x/new:1.0": ON_BASE.id}
    assert named(ask) == before | new


def test_a_name_that_is_in_use_changes_its_owner(ask: Ask) -> None:
    assert ask("tag", "some/a:1", "some/b:1") == Answer(0, "")
    assert named(ask)["some/b:1"] == MANY.id
    told = ask("images", "-q", "--no-trunc", "-f", "dangling=true").out.split()
    assert set(told) == {NAMELESS.id, ON_BASE.id}
    assert ask("tag", ON_BASE.id, "some/b:1") == Answer(0, "")
    assert ask("images", "-q", "--no-trunc", "-f", "dangling=true").out.split() == [NAMELESS.id]


def test_the_same_name_again(ask: Ask) -> None:
    before = ask("images")
    assert ask("tag", "some/a:1", "some/a:two") == Answer(0, "")
    assert ask("images") == before


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("nothing", "x", "No such image: nothing:latest"),
        ("some/a", "x", "No such image: some/a:latest"),
        ("some/a:1", "", "invalid reference format"),
        ("", "x", "invalid reference format"),
        ("some/a:1", "a::b", "invalid reference format"),
        ("some/a:1", "x:", "invalid reference format"),
        (
            "some/a:1",
            "Upper:1",
            "invalid reference format: repository name (library/Upper) must be lowercase",
        ),
        (
            "some/a:1",
            "0" * 64,
            f"invalid repository name ({'0' * 64}), cannot specify 64-byte hexadecimal strings",
        ),
        (
            "some/a:1",
            f"x@sha256:{'0' * 64}",
            "refusing to create a tag with a digest reference",
        ),
    ],
)
def test_wrong(ask: Ask, source: str, target: str, message: str) -> None:
    before = ask("images")
    code, out, err = ask("tag", source, target)
    assert (code, out) == (1, "")
    assert err.startswith(f"Error: {message}")
    assert ask("images") == before
