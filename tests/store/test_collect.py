import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from ferryman.errors import StoreError
from ferryman.image import digest as digests
from ferryman.image import reference
from ferryman.image.digest import Digest
from ferryman.store import blobs, layers
from ferryman.store.collect import collect, garbage, recover, working
from ferryman.store.index import Entry, entries, named, update
from ferryman.store.layout import Store
from ferryman.store.lease import collect_lock, hold
from ferryman.store.lock import locked
from tests.images import docker_archive, layout, load_into, small


def put(store: Store, *contents: bytes) -> set[Digest]:
    with hold(store) as lease:
        return {blobs.put(lease, content) for content in contents}


def present(store: Store) -> set[Digest]:
    return set(blobs.present(store))


def forget(store: Store, name: str | None = None) -> None:
    """Take a name, or all, out of the index, and leave its blobs where they are."""

    def change(before: list[Entry]) -> Iterable[Entry]:
        return [e for e in before if name and e.name and e.name.familiar != name]

    update(store, lambda before: list(change(before)))


def test_what_nothing_needs_goes(here: Store) -> None:
    load_into(here, docker_archive(small("kept", "kept:1")))
    kept = present(here)
    rest = put(here, b"one", b"three")
    assert (
        garbage(here) == collect(here) == dict.fromkeys(sorted(rest), 3) | {digests.of(b"three"): 5}
    )
    assert present(here) == kept
    assert collect(here) == {}


def test_layers_go_with_the_last_image_that_has_them(here: Store) -> None:
    load_into(here, docker_archive(small("a", "a:1"), small("b", "b:1")))
    (shared,) = {Digest(d) for d in small("a").diff_ids} & {Digest(d) for d in small("b").diff_ids}
    forget(here, "a:1")
    assert len(collect(here)) == 3
    assert shared in present(here)
    forget(here)
    assert shared in collect(here)
    assert present(here) == set()


def test_what_a_lease_holds_stays(here: Store) -> None:
    load_into(here, docker_archive(small("a", "a:1")))
    everything = present(here)
    with hold(here) as lease:
        lease.protect(everything)
        forget(here)
        assert collect(here) == garbage(here) == {}
    assert set(collect(here)) == everything


def test_only_what_was_asked_about_goes(here: Store) -> None:
    one, other = put(here, b"one"), put(here, b"other")
    assert set(collect(here, one)) == one
    assert present(here) == other


def test_what_is_known_of_a_layer_goes_with_it(here: Store) -> None:
    image = small("a", "a:1")
    load_into(here, layout(image, compression="gzip"))
    records = Path(here.meta, "layers/sha256")
    assert len(os.listdir(records)) == 2
    assert layers.holding(here, Digest(image.diff_ids[0]))
    forget(here)
    collect(here)
    assert os.listdir(records) == []


def test_files_of_others_stay(here: Store) -> None:
    stranger = Path(here.root, "image/blobs/sha256/.nfs0001")
    stranger.touch()
    collect(here)
    assert stranger.exists()


def test_nothing_goes_while_it_cannot_be_told_what_is_needed(here: Store) -> None:
    load_into(here, docker_archive(small("a", "a:1")))
    rest = put(here, b"garbage")
    (entry,) = entries(here)
    Path(here.blob(entry.digest)).write_bytes(b"damaged")
    before = present(here)
    with pytest.raises(StoreError, match="system check --repair"):
        collect(here)
    assert rest < before == present(here)


def test_an_operation_that_fails_leaves_nothing(here: Store) -> None:
    def fail() -> None:
        with working(here) as lease:
            blobs.put(lease, b"mine")
            blobs.put(lease, b"already here")
            raise ZeroDivisionError

    load_into(here, docker_archive(small("a", "a:1")))
    before = present(here)
    with pytest.raises(ZeroDivisionError):
        fail()
    assert present(here) == before


def test_an_operation_that_fails_leaves_what_another_has_come_to_need(here: Store) -> None:
    def fail(image: bytes) -> None:
        with working(here) as lease:
            mine = blobs.put(lease, image)
            with hold(here) as other:
                other.protect([mine])
                raise ZeroDivisionError

    def fail_while_held() -> None:
        with hold(here) as other:
            other.protect([digests.of(b"shared")])
            with working(here) as lease:
                blobs.put(lease, b"shared")
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail(b"alone")
    assert present(here) == set()
    with hold(here) as other:
        other.protect([digests.of(b"shared")])
        with pytest.raises(ZeroDivisionError):
            fail_while_held()
        assert present(here) == {digests.of(b"shared")}


def test_recover_takes_what_a_dead_lease_held_and_nothing_else(here: Store) -> None:
    load_into(here, docker_archive(small("a", "a:1")))
    kept = present(here)
    orphans, rest = put(here, b"orphan"), put(here, b"old garbage, left to prune")
    Path(here.leases, "0123456789abcdef").write_text("".join(f"{d}\n" for d in orphans | kept))
    recover(here)
    assert present(here) == kept | rest
    assert os.listdir(here.leases) == []


def test_recover_leaves_it_to_whoever_is_at_work(here: Store) -> None:
    Path(here.tmp, "left").touch()
    with locked(collect_lock(here), shared=True):
        recover(here)
        assert os.listdir(here.tmp) == ["left"]
    recover(here)
    assert os.listdir(here.tmp) == []


def test_recover_of_a_clean_store_takes_no_lock(here: Store) -> None:
    with locked(collect_lock(here)):
        recover(here)


def test_a_name_given_while_its_blobs_were_leased_keeps_them(here: Store) -> None:
    """A lease ends after the index has the name: there is no moment in between."""
    load_into(here, docker_archive(small("a", "a:1")))
    (entry,) = entries(here)
    everything = present(here)
    with hold(here) as lease:
        lease.protect(everything)
        forget(here)
        collect(here)
        update(here, lambda before: named(before, reference.parse("again:1"), entry.target))
    assert collect(here) == {}
    assert present(here) == everything
