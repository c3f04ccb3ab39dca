import json
import re
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Answer, Ask
from tests.cli.some_images import EMPTY, MANY, NAMELESS, NEVER, OLD, ON_BASE
from tests.images import Made

NEWEST_FIRST = [NAMELESS, ON_BASE, *[MANY] * 4, EMPTY, OLD, NEVER]
NAMES = [
    *("<none>:<none>", "some/b:1", "other:latest", "some/a:1", "some/a:two", "quay.io/some/a:3"),
    *("some/empty:1", "some/old:1", "some/never:1"),
]
OF_MANY = NAMES[2:6]
NAME = "{{.Repository}}:{{.Tag}}"


def short(image: Made) -> str:
    return image.id[7:19]


def rows(table: str) -> list[list[str]]:
    """Return the cells of a table."""
    return [re.split(r"\s{2,}", line.rstrip()) for line in table.splitlines()]


def digest_of(ask: Ask, root: Path, name: str) -> str:
    (described,) = json.loads(ask("inspect", name, root=root).out)
    return str(described["Descriptor"]["digest"])


@pytest.mark.parametrize("command", ["images", "image ls", "image list", "images -a"])
def test_the_table(ask: Ask, some_images: Path, command: str) -> None:
    code, out, err = ask(*command.split(), root=some_images)
    assert (code, err) == (0, "")
    header, *shown = rows(out)
    assert header == ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]
    assert [f"{row[0]}:{row[1]}" for row in shown] == NAMES
    assert [row[2] for row in shown] == [short(image) for image in NEWEST_FIRST]
    assert shown[0][3].endswith(" years ago")
    assert [row[3] for row in shown][-1] == "N/A"
    assert [row[4] for row in shown][-3] == "0B"


def test_nothing_there(ask: Ask) -> None:
    header = "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n"
    assert ask("images") == Answer(0, header)
    assert ask("images", "-q") == Answer(0, "")
    assert ask("images", "--format", "json") == Answer(0, "")


def test_no_trunc_and_quiet(ask: Ask, some_images: Path) -> None:
    whole = [image.id for image in NEWEST_FIRST]
    assert ask("images", "-q", root=some_images).out.split() == [i[7:19] for i in whole]
    assert ask("images", "-q", "--no-trunc", root=some_images).out.split() == whole
    _, *shown = rows(ask("images", "--no-trunc", root=some_images).out)
    assert [row[2] for row in shown] == whole


def test_digests(ask: Ask, some_images: Path) -> None:
    digest = digest_of(ask, some_images, "some/b:1")
    header, nameless, named, *_ = rows(ask("images", "--digests", root=some_images).out)
    assert header == ["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"]
    assert nameless[2] == "<none>"
    assert named[2] == digest
    for form in ("{{.Digest}}", "{{.Tag}}\t{{.Digest}}"):
        told = ask("images", "--format", form, "some/b", root=some_images).out
        assert told.strip().endswith(digest)
    # As docker: who does not ask for digests does not get them.
    (told,) = ask("images", "--format", "json", "some/b", root=some_images).out.splitlines()
    assert json.loads(told)["Digest"] == "<none>"
    told = ask("images", "--digests", "--format", "table {{.Tag}}", "some/b", root=some_images).out
    assert rows(told) == [["TAG", "DIGEST"], ["1", digest]]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ("some/a", ["some/a:1", "some/a:two"]),
        ("some/a:two", ["some/a:two"]),
        ("other", ["other:latest"]),
        ("other:late*", ["other:latest"]),
        ("some/*", ["some/b:1", "some/a:1", "some/a:two", *NAMES[6:]]),
        ("*", ["other:latest"]),
        ("*/*/*", ["quay.io/some/a:3"]),
        ("some/?:[0-9]", ["some/b:1", "some/a:1"]),
        ("nothing", []),
        ("-f reference=some/a:1 -f reference=other", ["other:latest", "some/a:1"]),
        ("some/b -f reference=other", ["some/b:1", "other:latest"]),
        ("--filter dangling=true", ["<none>:<none>"]),
        ("--filter dangling=1", ["<none>:<none>"]),
        ("--filter dangling=false", NAMES[1:]),
        ("--filter label=a", ["some/b:1", *OF_MANY]),
        ("--filter label=a=2", ["some/b:1"]),
        ("--filter label=a --filter label=b", OF_MANY),
        ("--filter label=a=3", []),
        ("--filter label!=a", ["<none>:<none>", *NAMES[6:]]),
        ("--filter before=some/a:1", NAMES[6:]),
        ("--filter before=some/old:1", ["some/never:1"]),
        ("--filter since=some/a:1", ["<none>:<none>", "some/b:1"]),
        ("--filter since=some/never:1", NAMES[:-1]),
        ("-f since=some/empty:1 -f before=some/b:1", OF_MANY),
        ("--filter until=2023-06-01", NAMES[6:]),
        ("--filter until=2023-06-01T00:00:00Z", NAMES[6:]),
        ("--filter until=10000000", ["some/old:1", "some/never:1"]),
        ("--filter until=24h", NAMES),
        ("-f Label=a=2 some/b", ["some/b:1"]),
        ("-f label=a -f dangling=true", []),
    ],
)
def test_chosen(ask: Ask, some_images: Path, arguments: str, names: list[str]) -> None:
    asked = ask("images", *arguments.split(), "--format", NAME, root=some_images)
    assert asked == Answer(0, "".join(f"{name}\n" for name in names))


def test_before_and_since_take_ids_too(ask: Ask, some_images: Path) -> None:
    for name in (ON_BASE.id, short(ON_BASE)):
        asked = ask("images", "-f", f"since={name}", "-q", root=some_images)
        assert asked.out.split() == [short(NAMELESS)]


@pytest.mark.parametrize(
    ("filters", "message", "code"),
    [
        ("nope=1", "invalid filter 'nope'", 1),
        ("=1", "invalid filter ''", 1),
        ("dangling=maybe", "invalid filter 'dangling=maybe'", 1),
        (
            "dangling",
            'invalid argument "dangling": bad format of filter (expected name=value)',
            125,
        ),
        ("since=nothing", "No such image: nothing:latest", 1),
        ("before=sha256:0000", "No such image: sha256:0000", 1),
        ("until=soon", 'failed to parse value as time or duration: "soon"', 1),
        ("reference=[", "invalid reference filter '[': syntax error in pattern", 1),
        ("reference=[z-a]", "invalid reference filter '[z-a]': syntax error in pattern", 1),
    ],
)
def test_wrong_filters(ask: Ask, some_images: Path, filters: str, message: str, code: int) -> None:
    asked = ask("images", "--filter", filters, root=some_images)
    assert asked == Answer(code, "", f"Error: {message}\n")


def test_as_json(ask: Ask, some_images: Path) -> None:
    told = ask("images", "--format", "json", root=some_images)
    assert told == ask("images", "--format", "{{json .}}", root=some_images)
    assert '"Repository":"\\u003cnone\\u003e"' in told.out
    first, *_ = [json.loads(line) for line in told.out.splitlines()]
    since = first.pop("CreatedSince")
    assert since.endswith(" years ago")
    assert first == {
        "Containers": "N/A",
        "CreatedAt": ask("images", "--format", "{{.CreatedAt}}", root=some_images).out.split("\n")[
            0
        ],
        "Digest": "<none>",
        "ID": short(NAMELESS),
        "Repository": "<none>",
        "SharedSize": "N/A",
        "Size": "10.2kB",
        "Tag": "<none>",
        "UniqueSize": "N/A",
        "VirtualSize": "10.2kB",
    }


@pytest.mark.parametrize(
    ("zone", "times"),
    [
        (
            "UTC",
            [
                "2024-05-01 00:00:00 +0000 UTC",
                "1970-01-01 00:00:00 +0000 UTC",
                "0001-01-01 00:00:00 +0000 UTC",
            ],
        ),
        (
            "CET-1CEST,M3.5.0,M10.5.0/3",
            [
                "2024-05-01 02:00:00 +0200 CEST",
                "1970-01-01 01:00:00 +0100 CET",
            ],
        ),
    ],
)
def test_times(
    ask: Ask,
    some_images: Path,
    monkeypatch: pytest.MonkeyPatch,
    zone: str,
    times: list[str],
) -> None:
    with monkeypatch.context() as changed:
        changed.setenv("TZ", zone)
        time.tzset()
        told = ask("images", "--format", "{{.CreatedAt}}", root=some_images).out.splitlines()
    time.tzset()
    assert [told[0], told[-2], *told[-1:]][: len(times)] == times


def test_what_is_not_known_is_left_to_templates(ask: Ask, some_images: Path) -> None:
    asked = ask("images", "--format", "<{{.CreatedSince}}>", "some/never", root=some_images)
    assert asked.out == "<>\n"


def test_raw(ask: Ask, some_images: Path) -> None:
    created = ask("images", "--format", "{{.CreatedAt}}", "some/b", root=some_images).out.strip()
    lines = [
        "repository: some/b",
        "tag: 1",
        f"image_id: {short(ON_BASE)}",
        f"created_at: {created}",
        "virtual_size: 20.5kB",
        "",
        "",
    ]
    asked = ask("images", "--format", "raw", "some/b", root=some_images)
    assert asked.out.split("\n") == lines
    asked = ask("images", "--format", "raw", "--digests", "some/b", root=some_images)
    lines.insert(2, f"digest: {digest_of(ask, some_images, 'some/b:1')}")
    assert asked.out.split("\n") == lines
    asked = ask("images", "--format", "raw", "-q", "some/b", root=some_images)
    assert asked.out == f"image_id: {short(ON_BASE)}\n"


def test_a_form_comes_before_quiet(ask: Ask, some_images: Path) -> None:
    assert ask("images", "-q", "--format", NAME, "some/b", root=some_images).out == "some/b:1\n"
    assert ask("images", "-q", "--format", "table", "some/b", root=some_images).out == (
        f"{short(ON_BASE)}\n"
    )


def test_wrong_templates(ask: Ask, some_images: Path) -> None:
    said = 'template parsing error: template: :1:2: executing "" at <.Nope>: '
    type = "can't evaluate field Nope in type *formatter.imageContext"
    asked = ask("images", "--format", "{{.Nope}}", root=some_images)
    assert asked == Answer(1, "", f"Error: {said}{type}\n")
    asked = ask("images", "--format", "{{", root=some_images)
    assert asked == Answer(1, "", "Error: template parsing error: template: :1: unclosed action\n")


@pytest.mark.parametrize(("command", "hinted"), [("images", True), ("image ls", False)])
def test_a_hint_for_who_types_the_wrong_command(
    ask: Ask, some_images: Path, command: str, hinted: bool
) -> None:
    code, out, err = ask(*command.split(), "ls", root=some_images)
    assert (code, len(out.splitlines())) == (0, 1)
    hint = '\nNo images found matching "ls": did you mean "ferry image ls"?\n'
    assert err == (hint if hinted else "")
    assert ask(*command.split(), "nothing", root=some_images).err == ""
