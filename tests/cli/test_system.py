import json
from pathlib import Path

import pytest

from ferryman.store.layout import open_store
from ferryman.store.lease import hold
from tests.cli.conftest import Answer, Ask
from tests.cli.some_images import NAMELESS, OLD, PARTS
from tests.images import load_into

QUESTION = "\nAre you sure you want to continue? [y/N] "


def blobs(root: Path) -> int:
    return sum(blob.stat().st_size for blob in (root / "image/blobs/sha256").iterdir())


def test_df(ask: Ask, some_images: Path) -> None:
    code, out, err = ask("system", "df", root=some_images)
    assert (code, err) == (0, "")
    header, images, *others, rest = out.splitlines()
    assert header.split() == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    size = f"{blobs(some_images) / 1000:.4g}kB"
    assert images.split() == ["Images", "6", "0", size, size, "(100%)"]
    assert [" ".join(line.split()) for line in others] == [
        "Containers 0 0 0B 0B",
        "Local Volumes 0 0 0B 0B",
        "Build Cache 0 0 0B 0B",
        "Mountable Layers 0 0 0B 0B",
    ]
    assert rest.split() == ["Unreferenced", "0B", "0B"]
    assert ask("system", "df", "--format", "table", root=some_images).out == out
    asked = ask("system", "df", "--format", "{{.Type}}={{.TotalCount}}", root=some_images)
    assert asked.out.splitlines()[::5] == ["Images=6", "Unreferenced="]
    first, *_ = ask("system", "df", "--format", "json", root=some_images).out.splitlines()
    assert list(json.loads(first)) == ["Active", "Reclaimable", "Size", "TotalCount", "Type"]


def test_df_verbose(ask: Ask, some_images: Path) -> None:
    code, out, err = ask("system", "df", "--verbose", root=some_images)
    assert (code, err) == (0, "")
    parts = out.split("\n\n")
    assert parts[0] == "Images space usage:"
    header, *rows = parts[1].splitlines()
    assert header.split("  ")[0] == "REPOSITORY"
    assert header.endswith("SHARED SIZE   UNIQUE SIZE   CONTAINERS")
    assert len(rows) == 9
    shown = {tuple(row.split()[:2]): row.split() for row in rows}
    assert shown["<none>", "<none>"][2] == NAMELESS.id[7:19]
    # The base that two images have, and nothing else, is shared.
    assert shown["some/a", "1"][-3] == shown["some/b", "1"][-3] == "10.24kB"
    assert shown["some/old", "1"][-3:] == ["0B", shown["some/old", "1"][-4], "0"]
    assert parts[2:] == [
        "Containers space usage:",
        "CONTAINER ID   IMAGE     COMMAND   LOCAL VOLUMES   SIZE      CREATED   STATUS    NAMES",
        "Local Volumes space usage:",
        "VOLUME NAME   LINKS     SIZE",
        "Build cache usage: 0B",
        "CACHE ID   CACHE TYPE   SIZE      CREATED   LAST USED   USAGE     SHARED\n",
    ]
    assert ask("system", "df", "-v", "--format", "table", root=some_images).out == out


def test_df_verbose_by_template(ask: Ask, some_images: Path) -> None:
    form = "{{range .Images}}{{.ID}} {{end}}{{len .Volumes}}"
    asked = ask("system", "df", "-v", "--format", form, root=some_images)
    *ids, volumes = asked.out.split()
    assert len(ids) == 9
    assert NAMELESS.id in ids
    assert volumes == "0"
    found = json.loads(ask("system", "df", "-v", "--format", "json", root=some_images).out)
    assert list(found) == ["Images", "Containers", "Volumes", "BuildCache"]
    assert {image["ID"] for image in found["Images"]} == set(ids)
    asked = ask("system", "df", "-v", "--format", "{{.ID}}", root=some_images)
    assert asked.code == 1
    assert "can't evaluate field ID in type *formatter.diskUsageContext" in asked.err


def test_df_of_nothing(ask: Ask) -> None:
    asked = ask("system", "df", "--format", "{{.Size}} {{.Reclaimable}}")
    assert asked == Answer(0, "0B 0B\n" * 6)


def test_a_field_that_there_is_not(ask: Ask) -> None:
    code, out, err = ask("system", "df", "--format", "{{.Nope}}")
    assert (code, out) == (1, "")
    assert err.endswith("can't evaluate field Nope in type *formatter.diskUsageImagesContext\n")


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        ("", ["all dangling images"]),
        (
            "-a",
            ["all images without at least one container associated to them", "all build cache"],
        ),
        (
            "--volumes",
            [
                "all anonymous volumes not used by at least one container",
                "all dangling images",
            ],
        ),
    ],
)
def test_prune_asks(ask: Ask, flags: str, what: list[str]) -> None:
    code, out, err = ask("system", "prune", *flags.split(), stdin="n\n")
    lines = [
        "WARNING! This will remove:",
        "  - all stopped containers",
        "  - all networks not used by at least one container",
        *(f"  - {each}" for each in what),
        "  - everything unfinished, and what no image or container needs",
        "",
    ]
    assert (code, out, err) == (0, "\n".join(lines) + QUESTION, "")


def test_prune_tells_its_filters(ask: Ask) -> None:
    filters = ("--filter", "until=1h", "--filter", "label=a")
    out = ask("system", "prune", *filters, stdin="").out
    told = "\n\n  Items to be pruned will be filtered with:\n  - label=a\n  - until=1h\n"
    assert out.endswith(told + QUESTION)


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ("--filter nope=1", 1, "invalid filter 'nope'"),
        ("--filter until=zz", 1, 'failed to parse value as time or duration: "zz"'),
        ("--filter until=1h --filter until=2h", 1, "more than one until filter specified"),
        (
            "--volumes --filter until=1h",
            1,
            'The "until" filter is not supported with "--volumes"',
        ),
        ("--filter x", 125, 'invalid argument "x": bad format of filter (expected name=value)'),
    ],
)
def test_prune_with_a_wrong_filter(ask: Ask, flags: str, code: int, message: str) -> None:
    asked = ask("system", "prune", *flags.split(), stdin="y\n")
    assert asked == Answer(code, "", f"Error: {message}\n")


def test_prune_of_images(ask: Ask, store: Path) -> None:
    load_into(open_store(str(store)), PARTS)
    code, out, err = ask("system", "prune", "--force")
    lines = out.splitlines()
    assert (code, err, lines[0]) == (0, "", "Deleted Images:")
    assert f"deleted: {NAMELESS.id}" in lines
    assert f"untagged: {OLD.names[0]}" not in lines
    before = blobs(store)
    asked = ask("system", "prune", "--all", "--force", "--filter", "until=2000-01-01")
    assert f"deleted: {OLD.id}" in asked.out
    freed = before - blobs(store)
    assert asked.out.endswith(f"\n\nTotal reclaimed space: {freed / 1000:.4g}kB\n")
    ask("system", "prune", "-af")
    assert blobs(store) == 0


def test_prune_of_what_is_unfinished(ask: Ask, store: Path) -> None:
    opened = open_store(str(store))
    (Path(opened.tmp) / "left").mkdir()
    (Path(opened.tmp) / "left/file").write_bytes(b"x")
    with hold(opened) as lease:
        Path(lease.path()).write_bytes(b"at work")
        assert ask("system", "prune", "-f") == Answer(0, "Total reclaimed space: 0B\n")
        assert [path.name for path in Path(opened.tmp).iterdir()] == [Path(lease.folder).name]
