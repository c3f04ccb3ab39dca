import json
from pathlib import Path

import pytest

from tests.cli.conftest import Answer, Ask
from tests.cli.some_images import MANY, NAMELESS

ID = MANY.id[7:19]
ADDED = "/bin/sh -c #(nop) ADD file:0123456789abcdef …"
# Ten characters as wide as two each, and the … where an eleventh would not end in time.
RAN = "RUN a &&  b # buildkit 渡し船渡し船渡し船渡…"
WHOLE = f"RUN a &&  b # buildkit {'渡し船' * 7}"


def test_the_table(ask: Ask, some_images: Path) -> None:
    code, out, err = ask("history", "some/a:1", root=some_images)
    assert (code, err) == (0, "")
    header, first, second, third = out.splitlines()
    assert header.split("  ")[0] == "IMAGE"
    assert [each.strip() for each in header.split("   ") if each.strip()] == [
        *("IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT")
    ]
    assert first.startswith(ID)
    assert first.endswith(f"{RAN}    10.2kB    buildkit.dockerfile.v0")
    assert second.endswith(f"{'ENV A=1':<48}0B        ")
    assert third.startswith("<missing>      ")
    assert third.endswith(f"{ADDED}   10.2kB    ")
    assert ask("image", "history", ID, root=some_images) == Answer(0, out)


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ("-q", [ID, "<missing>", "<missing>"]),
        ("-q --no-trunc", [MANY.id, "<missing>", "<missing>"]),
        ("--format {{.CreatedBy}}", [RAN, "ENV A=1", ADDED]),
        (
            "--no-trunc --format {{.CreatedBy}}",
            [WHOLE, "ENV A=1", "/bin/sh -c #(nop) ADD file:0123456789abcdef in / "],
        ),
        ("--format {{.Size}}", ["10.2kB", "0B", "10.2kB"]),
        ("--no-human --format {{.Size}}", ["10240", "0", "10240"]),
        ("--human=false --format {{.Size}}", ["10240", "0", "10240"]),
        ("-H=false --format {{.Size}}", ["10240", "0", "10240"]),
        ("-H --format {{.Size}}", ["10.2kB", "0B", "10.2kB"]),
        ("--human=true --format {{.Size}}", ["10.2kB", "0B", "10.2kB"]),
        ("--format {{.Comment}}", ["buildkit.dockerfile.v0", "", ""]),
    ],
)
def test_forms(ask: Ask, some_images: Path, arguments: str, lines: list[str]) -> None:
    asked = ask("history", *arguments.split(), "some/a:1", root=some_images)
    assert asked == Answer(0, "".join(f"{line}\n" for line in lines))


def test_times(ask: Ask, some_images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times before 1970, which many tools write for the sake of sameness, are none to docker."""

    def told(*arguments: str) -> list[str]:
        asked = ask("history", *arguments, NAMELESS.id, root=some_images)
        return asked.out.splitlines()

    epoch, nothing, made = told("--format", "{{.CreatedSince}}")
    assert (epoch, nothing) == ("N/A", "N/A")
    assert made.endswith(" years ago")
    epoch, nothing, made = told("--format", "{{.CreatedAt}}")
    assert epoch[:4] in ("1969", "1970")
    assert nothing == "0001-01-01T00:00:00Z"
    assert made[10] == "T"
    assert told("--no-human", "--format", "{{.CreatedSince}}") == [epoch, nothing, made]
    assert told("--no-human")[0].split()[1:3] == ["CREATED", "AT"]


def test_as_json(ask: Ask, some_images: Path) -> None:
    told = ask("history", "--format", "json", "some/b:1", root=some_images).out.splitlines()
    first = json.loads(told[0])
    assert first.pop("CreatedSince").endswith(" years ago")
    assert first.pop("CreatedAt").startswith("2024-")
    assert first == {
        "Comment": "",
        "CreatedBy": "ADD 1",
        "ID": ask("images", "-q", "some/b", root=some_images).out.strip(),
        "Size": "10.2kB",
    }


def test_no_history(ask: Ask, some_images: Path) -> None:
    asked = ask("history", "some/empty:1", root=some_images)
    assert asked == Answer(0, "IMAGE     CREATED   CREATED BY   SIZE      COMMENT\n")


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        ("nothing", "No such image: nothing:latest", 1),
        ("some/a:1 --platform linux/s390x", "no image for platform linux/s390x in some/a:1", 1),
        (
            "some/a:1 --format {{.Nope}}",
            'template parsing error: template: :1:2: executing "" at <.Nope>: can\'t evaluate '
            "field Nope in type *image.historyContext",
            1,
        ),
        ("some/a:1 --format {{", "template parsing error: template: :1: unclosed action", 1),
    ],
)
def test_wrong(ask: Ask, some_images: Path, arguments: str, message: str, code: int) -> None:
    asked = ask("history", *arguments.split(), root=some_images)
    assert (asked.code, asked.out) == (code, "")
    assert asked.err.startswith(f"Error: {message}")
