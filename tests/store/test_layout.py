import json
import os
import stat
import threading
from pathlib import Path

import pytest

from ferryman.errors import StoreError
from ferryman.store.check import check
from ferryman.store.index import entries
from ferryman.store.layout import VERSION, Store, default_root, open_store


def test_a_new_store_is_an_image_layout(store: Path) -> None:
    opened = open_store(str(store))
    assert opened.root == str(store)
    assert json.loads((store / "image/oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((store / "image/index.json").read_bytes())
    assert (index["schemaVersion"], index["manifests"]) == (2, [])
    assert sorted(os.listdir(store / "image")) == ["blobs", "index.json", "oci-layout"]
    assert entries(opened) == []
    assert check(opened).faults == ()


def test_a_new_store_is_its_owners_alone(tmp_path: Path) -> None:
    open_store(str(tmp_path / "a/b"))
    assert stat.S_IMODE((tmp_path / "a/b").stat().st_mode) == 0o700


def test_to_open_is_not_to_change(store: Path) -> None:
    open_store(str(store))
    before = {path: path.stat() for path in store.rglob("*")}
    assert open_store(str(store)) == Store(str(store))
    assert {path: path.stat() for path in store.rglob("*")} == before


def test_a_relative_root_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    opened = open_store("here")
    monkeypatch.chdir("/")
    assert opened.root == str(tmp_path / "here")
    assert entries(opened) == []


def test_many_make_one_store_at_once(store: Path) -> None:
    begin = threading.Barrier(8)
    errors: list[BaseException] = []

    def make() -> None:
        begin.wait()
        try:
            assert entries(open_store(str(store))) == []
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert (store / "meta/version").read_bytes() == b"%d\n" % VERSION


@pytest.mark.parametrize("missing", ["meta/version", "image/index.json", "image/oci-layout"])
def test_what_was_made_by_half_is_finished(store: Path, missing: str) -> None:
    whole = open_store(str(store))
    for name in ("meta/version", missing):
        (store / name).unlink(missing_ok=True)
    assert entries(open_store(str(store))) == []
    assert (store / missing).exists()
    assert check(whole).faults == ()


def test_finishing_a_store_keeps_what_is_in_it(store: Path) -> None:
    open_store(str(store))
    (store / "meta/version").unlink()
    (store / "image/index.json").write_bytes(b'{"schemaVersion":2,"manifests":[],"mine":1}')
    open_store(str(store))
    assert b"mine" in (store / "image/index.json").read_bytes()


def test_a_newer_store_is_refused_with_advice(store: Path) -> None:
    open_store(str(store))
    (store / "meta/version").write_bytes(b"%d\n" % (VERSION + 1))
    with pytest.raises(StoreError) as raised:
        open_store(str(store))
    said = str(raised.value)
    assert str(store) in said
    assert f"store version {VERSION + 1}" in said
    assert "upgrade ferry" in said


@pytest.mark.parametrize("content", [b"", b"\n", b"one", b"-1", b"1.5", b"\xff\xfe", b"1 2", b"\0"])
def test_a_damaged_version_is_named(store: Path, content: bytes) -> None:
    open_store(str(store))
    (store / "meta/version").write_bytes(content)
    with pytest.raises(StoreError, match=f"{store}/meta/version is damaged"):
        open_store(str(store))


def test_a_version_that_goes_on_forever(store: Path) -> None:
    open_store(str(store))
    (store / "meta/version").write_bytes(b"9" * 1_000_000)
    with pytest.raises(StoreError, match="newer version"):
        open_store(str(store))


def test_a_folder_of_other_things_is_left_alone(store: Path) -> None:
    store.mkdir()
    (store / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreError, match="is not empty and not a store"):
        open_store(str(store))
    assert os.listdir(store) == ["thesis.tex"]


def test_a_filesystem_of_its_own_is_empty_enough(store: Path) -> None:
    (store / "lost+found").mkdir(parents=True)
    assert entries(open_store(str(store))) == []


def test_a_root_that_is_a_file(store: Path) -> None:
    store.write_text("not a folder")
    with pytest.raises(StoreError, match=str(store)):
        open_store(str(store))
    assert store.read_text() == "not a folder"


@pytest.mark.parametrize(
    ("environment", "uid", "root"),
    [
        ({"FERRY_ROOT": "/srv/ferry", "XDG_DATA_HOME": "/data"}, 0, "/srv/ferry"),
        ({"XDG_DATA_HOME": "/data"}, 0, "/var/lib/ferry"),
        ({"FERRY_ROOT": ""}, 0, "/var/lib/ferry"),
        ({"FERRY_ROOT": "/srv/ferry"}, 1000, "/srv/ferry"),
        ({"XDG_DATA_HOME": "/data"}, 1000, "/data/ferry"),
        ({"XDG_DATA_HOME": ""}, 1000, "/home/me/.local/share/ferry"),
        ({}, 1000, "/home/me/.local/share/ferry"),
    ],
)
def test_where_a_users_store_is(
    environment: dict[str, str], uid: int, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FERRY_ROOT", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": "/home/me"} | environment).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert default_root() == root
