import json
import os
from multiprocessing import get_context
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.errors import StoreError
from ferryman.image import reference
from ferryman.image.manifest import OCI_MANIFEST, Descriptor
from ferryman.store.index import Entry, all_named, entries, named, nameless, update
from ferryman.store.layout import Store, open_store

NAME = "io.containerd.image.name"
REF = "org.opencontainers.image.ref.name"


def target(number: int, **more: Any) -> Descriptor:
    return Descriptor(OCI_MANIFEST, f"sha256:{number:064x}", 100 + number, **more)


def entry(number: int, name: str | None = None) -> Entry:
    return Entry(target(number), reference.parse(name).tagged() if name else None)


def shown(listed: list[Entry]) -> list[tuple[int, str | None]]:
    return [(e.target.size - 100, e.name.familiar if e.name else None) for e in listed]


def put(store: Store, *listed: Entry) -> None:
    update(store, lambda _: listed)


def raw(store: Store) -> dict[str, Any]:
    with open(store.index_file, "rb") as f:
        parsed: dict[str, Any] = json.load(f)
    return parsed


def test_what_was_put_in_comes_out_in_its_order(here: Store) -> None:
    put(here, entry(2, "b:1"), entry(1), entry(2, "quay.io/a/b:2"), entry(3, "a"))
    assert shown(entries(here)) == [(2, "b:1"), (1, None), (2, "quay.io/a/b:2"), (3, "a:latest")]


def test_names_are_written_for_every_kind_of_reader(here: Store) -> None:
    put(here, entry(1, "debian:13"), entry(2))
    first, second = raw(here)["manifests"]
    assert first["annotations"] == {NAME: "docker.io/library/debian:13", REF: "debian:13"}
    assert "annotations" not in second


@pytest.mark.parametrize(
    ("annotations", "name"),
    [
        ({REF: "v1"}, "v1:latest"),
        ({REF: "docker.io/library/a:1"}, "a:1"),
        ({NAME: "docker.io/library/a:1", REF: "1"}, "a:1"),
        ({NAME: "", REF: "a:1"}, "a:1"),
        ({"vnd.other": "x"}, None),
        (None, None),
    ],
)
def test_names_that_other_tools_wrote(
    here: Store, annotations: dict[str, str] | None, name: str | None
) -> None:
    descriptor: dict[str, Any] = {
        "mediaType": OCI_MANIFEST,
        "digest": target(1).digest,
        "size": 101,
        "annotations": annotations,
    }
    written = {"schemaVersion": 2, "manifests": [descriptor]}
    with open(here.index_file, "w") as f:
        json.dump(written, f)
    assert shown(entries(here)) == [(1, name)]


def test_annotations_of_others_stay(here: Store) -> None:
    noted = target(1, annotations={"vnd.other": "x", REF: "old"})
    put(here, Entry(noted, reference.parse("new:1")))
    (written,) = raw(here)["manifests"]
    assert written["annotations"] == {
        "vnd.other": "x",
        NAME: "docker.io/library/new:1",
        REF: "new:1",
    }


@pytest.mark.parametrize(
    ("before", "name", "number", "after"),
    [
        ([], "a:1", 1, [(1, "a:1")]),
        # a second name for what has one
        ([entry(1, "a:1")], "a:2", 1, [(1, "a:1"), (1, "a:2")]),
        # the same again
        ([entry(1, "a:1")], "a:1", 1, [(1, "a:1")]),
        # the name moves; what had no other name stays without one
        ([entry(1, "a:1")], "a:1", 2, [(2, "a:1"), (1, None)]),
        ([entry(1, "a:1"), entry(1, "b:1")], "a:1", 2, [(1, "b:1"), (2, "a:1")]),
        # what had no name gets one
        ([entry(1), entry(2)], "a:1", 1, [(2, None), (1, "a:1")]),
        # both at once
        ([entry(1, "a:1"), entry(2)], "a:1", 2, [(2, "a:1"), (1, None)]),
    ],
)
def test_named(
    before: list[Entry], name: str, number: int, after: list[tuple[int, str | None]]
) -> None:
    assert shown(named(before, reference.parse(name), target(number))) == after


@pytest.mark.parametrize(
    ("before", "number", "after"),
    [
        ([], 1, [(1, None)]),
        ([entry(1)], 1, [(1, None)]),
        ([entry(1, "a:1")], 1, [(1, "a:1")]),
        ([entry(1, "a:1")], 2, [(1, "a:1"), (2, None)]),
    ],
)
def test_nameless(before: list[Entry], number: int, after: list[tuple[int, str | None]]) -> None:
    assert shown(nameless(before, target(number))) == after


numbers = st.integers(1, 4)
tags = st.sampled_from(["a:1", "a:2", "b:1", "c:1"])


@given(st.dictionaries(tags, numbers), st.sets(numbers), st.dictionaries(tags, numbers))
def test_many_names_at_once_are_as_one_by_one(
    standing: dict[str, int], without: set[int], new: dict[str, int]
) -> None:
    before = [entry(number, tag) for tag, number in standing.items()]
    before += [entry(number) for number in without - set(standing.values())]
    one_by_one = before
    for tag, number in new.items():
        one_by_one = named(one_by_one, reference.parse(tag), target(number))
    at_once = all_named(before, {reference.parse(t): target(n) for t, n in new.items()})
    assert sorted(map(str, shown(at_once))) == sorted(map(str, shown(one_by_one)))


def test_a_change_that_raises_changes_nothing(here: Store) -> None:
    put(here, entry(1, "a:1"))
    before = open(here.index_file, "rb").read()

    def change(listed: list[Entry]) -> list[Entry]:
        listed.clear()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        update(here, change)
    assert open(here.index_file, "rb").read() == before
    put(here)
    assert entries(here) == []


def test_a_change_to_the_same_does_not_write(here: Store) -> None:
    put(here, entry(1, "a:1"))
    before = os.stat(here.index_file)
    update(here, lambda listed: listed)
    assert os.stat(here.index_file).st_ino == before.st_ino


def test_a_reader_sees_a_whole_index_at_any_time(here: Store) -> None:
    """Four processes write it at once: no version is torn, and nothing is lost."""
    writers = [get_context("fork").Process(target=_add, args=(here.root, n)) for n in range(4)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        seen = [number for number, _ in shown(entries(here))]
        assert len(set(seen)) == len(seen)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    expected = {(100 * n + i, f"w{n}:{i}") for n in range(4) for i in range(25)}
    assert set(shown(entries(here))) == expected


def _add(root: str, writer: int) -> None:
    store = open_store(root)
    for i in range(25):
        name = reference.parse(f"w{writer}:{i}")
        update(store, lambda b, i=i, name=name: named(b, name, target(100 * writer + i)))  # type: ignore[misc]


DAMAGED = {
    "empty": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "nothing": b"null",
    "no manifests": b'{"schemaVersion":2}',
    "manifests that are no list": b'{"schemaVersion":2,"manifests":{}}',
    "nested": b"[" * 200_000,
    "a descriptor without a digest": b'{"manifests":[{"mediaType":"x","size":1}]}',
    "a digest that leads outside": json.dumps(
        {"manifests": [{"mediaType": "x", "size": 1, "digest": "sha256:../../../../etc/passwd"}]}
    ).encode(),
    "a size below nothing": json.dumps(
        {"manifests": [{"mediaType": "x", "size": -1, "digest": target(1).digest}]}
    ).encode(),
    "a size beyond everything": json.dumps(
        {"manifests": [{"mediaType": "x", "size": 1 << 62, "digest": target(1).digest}]}
    ).encode(),
    "a name that is none": json.dumps(
        {
            "manifests": [
                {
                    "mediaType": "x",
                    "size": 1,
                    "digest": target(1).digest,
                    "annotations": {NAME: "../.."},
                }
            ]
        }
    ).encode(),
    "bytes that are no text": b'{"manifests":[{"mediaType":"\xff","size":1,"digest":"sha256:"}]}',
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_index_is_named_and_never_written_over(here: Store, content: bytes) -> None:
    with open(here.index_file, "wb") as f:
        f.write(content)
    with pytest.raises(StoreError, match="index is damaged") as raised:
        entries(here)
    assert here.index_file in str(raised.value)
    with pytest.raises(StoreError, match="index is damaged"):
        put(here, entry(1, "a:1"))
    assert open(here.index_file, "rb").read() == content


def test_manifests_that_are_null_are_none(here: Store) -> None:
    with open(here.index_file, "wb") as f:
        f.write(b'{"schemaVersion":2,"manifests":null}')
    assert entries(here) == []


def test_an_index_without_end(here: Store) -> None:
    with open(here.index_file, "wb") as f:
        f.truncate(65 << 20)
    with pytest.raises(StoreError, match="too large"):
        entries(here)


def test_an_index_that_is_gone(here: Store) -> None:
    os.unlink(here.index_file)
    with pytest.raises(StoreError, match=f"cannot read {here.index_file}"):
        entries(here)
