import json
from pathlib import Path

from tests.cli.conftest import Answer, Ask
from tests.cli.some_images import NAMELESS


def blobs(root: Path) -> int:
    return sum(blob.stat().st_size for blob in (root / "image/blobs/sha256").iterdir())


def test_df(ask: Ask, some_images: Path) -> None:
    code, out, err = ask("system", "df", root=some_images)
    assert (code, err) == (0, "")
    header, images, rest = out.splitlines()
    assert header.split() == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    assert images.split()[:4] == ["Images", "6", "0", f"{blobs(some_images) / 1000:.4g}kB"]
    assert rest.split() == ["Unreferenced", "0B", "0B"]
    assert ask("system", "df", "--format", "table", root=some_images).out == out
    asked = ask("system", "df", "--format", "{{.Type}}={{.TotalCount}}", root=some_images)
    assert asked.out == "Images=6\nUnreferenced=\n"
    first, _ = ask("system", "df", "--format", "json", root=some_images).out.splitlines()
    assert list(json.loads(first)) == ["Active", "Reclaimable", "Size", "TotalCount", "Type"]


def test_df_verbose(ask: Ask, some_images: Path) -> None:
    code, out, err = ask("system", "df", "--verbose", root=some_images)
    assert (code, err) == (0, "")
    header, *rows = out.splitlines()
    assert header.split("  ")[0] == "REPOSITORY"
    assert header.endswith("SHARED SIZE   UNIQUE SIZE")
    assert len(rows) == 9
    shown = {tuple(row.split()[:2]): row.split()[2:] for row in rows}
    assert shown["<none>", "<none>"][0] == NAMELESS.id[7:19]
    # The base that two images have, and nothing else, is shared.
    assert shown["some/a", "1"][2] == shown["some/b", "1"][2] == "10.24kB"
    assert shown["some/old", "1"][2] == "0B"
    assert ask("system", "df", "-v", "--format", "table", root=some_images).out == out
    asked = ask("system", "df", "-v", "--format", "{{.ID}}", root=some_images)
    assert len(asked.out.split()) == 9


def test_df_of_nothing(ask: Ask) -> None:
    asked = ask("system", "df", "--format", "{{.Type}} {{.Size}} {{.Reclaimable}}")
    assert asked == Answer(0, "Images 0B 0B\nUnreferenced 0B 0B\n")


def test_a_field_that_there_is_not(ask: Ask) -> None:
    code, out, err = ask("system", "df", "--format", "{{.Nope}}")
    assert (code, out) == (1, "")
    assert err.endswith("can't evaluate field Nope in type *formatter.diskUsageImagesContext\n")
