from pathlib import Path

from ferryman.store.layout import open_store
from tests.cli.conftest import Answer, Ask
from tests.cli.some_images import MANY, NAMELESS, ON_BASE
from tests.images import layout, load_into, made, member, tar_of

BASE = MANY.diff_ids[0]


def test_layers_and_who_else_has_them(ask: Ask, some_images: Path) -> None:
    asked = ask("image", "tree", "some/a:1", "some/b:1", root=some_images)
    assert asked == Answer(
        0,
        f"some/a:1, some/a:two, quay.io/some/a:3, other:latest  {MANY.id[7:19]}  20.5kB\n"
        f"├──  {BASE[7:19]}  10.2kB  /bin/sh -c #(nop) ADD file:0123456789abcdef in /"
        "  [also in some/b:1]\n"
        f"└──  {MANY.diff_ids[1][7:19]}  10.2kB  RUN a && b # buildkit {'渡し船' * 6}…\n"
        f"some/b:1  {ON_BASE.id[7:19]}  20.5kB\n"
        f"├──  {BASE[7:19]}  10.2kB  ADD 0  [also in some/a:1]\n"
        f"└──  {ON_BASE.diff_ids[1][7:19]}  10.2kB  ADD 1\n",
    )


def test_all_images_by_default(ask: Ask, some_images: Path) -> None:
    lines = ask("image", "tree", root=some_images).out.splitlines()
    heads = [line.split("  ")[0] for line in lines if line[0] not in "├└"]
    assert heads == [
        "some/a:1, some/a:two, quay.io/some/a:3, other:latest",
        *("some/b:1", "some/old:1", "some/never:1", "some/empty:1", "<none>"),
    ]


def test_no_trunc(ask: Ask, some_images: Path) -> None:
    head, layer = ask("image", "tree", "--no-trunc", NAMELESS.id, root=some_images).out.splitlines()
    assert head == f"<none>  {NAMELESS.id}  10.2kB"
    assert layer == f"└──  {NAMELESS.diff_ids[0]}  10.2kB  {'x' * 46}"


def test_compressed_layers(ask: Ask, store: Path) -> None:
    image = made(tar_of(member("file", b"0" * 100_000)), names=("zipped:1",))
    load_into(open_store(str(store)), layout(image, compression="gzip"))
    _, layer = ask("image", "tree").out.splitlines()
    assert layer.split("  ")[2].startswith("102kB (")
    assert layer.split("  ")[2].endswith("B compressed)")


def test_nothing_there(ask: Ask) -> None:
    assert ask("image", "tree") == Answer(0, "")
    assert ask("image", "tree", "x") == Answer(1, "", "Error: No such image: x:latest\n")
