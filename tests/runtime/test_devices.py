import os
import stat
from pathlib import Path

import pytest

from ferryman.runtime.devices import every, nodes, rules
from ferryman.runtime.settings import Device, InvalidSettings

NULL = {"type": "c", "major": 1, "minor": 3, "fileMode": 0o666, "uid": 0, "gid": 0}


def test_a_device() -> None:
    made, allowed = nodes([Device("/dev/null", "/dev/nothing", "rw")])
    assert made == [NULL | {"path": "/dev/nothing"}]
    assert allowed == [{"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"}]


def test_a_link_to_a_device(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/null")
    made, _ = nodes([Device(f"{tmp_path}/link", "/dev/x")])
    assert made == [NULL | {"path": "/dev/x"}]


def test_a_folder_of_devices(tmp_path: Path) -> None:
    if os.getuid():
        pytest.skip("making devices needs root")
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "file").write_text("no device")
    (tmp_path / "link").symlink_to("/dev/null")
    os.mknod(tmp_path / "one", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mknod(tmp_path / "deep/er/two", stat.S_IFBLK | 0o640, os.makedev(7, 5))
    made, allowed = nodes([Device(str(tmp_path), "/dev/all", "r")])
    assert [(each["path"], each["type"], each["minor"]) for each in made] == [
        ("/dev/all/one", "c", 3),
        ("/dev/all/deep/er/two", "b", 5),
    ]
    assert [(each["type"], each["minor"], each["access"]) for each in allowed] == [
        ("c", 3, "r"),
        ("b", 5, "r"),
    ]


@pytest.mark.parametrize(
    ("path", "why"),
    [("nowhere", "no such file or directory"), ("file", "not a device node"), ("", "not a device")],
)
def test_no_device(tmp_path: Path, path: str, why: str) -> None:
    (tmp_path / "file").touch()
    words = f'error gathering device information while adding custom device "{tmp_path}/{path}"'
    with pytest.raises(InvalidSettings) as raised:
        nodes([Device(f"{tmp_path}/{path}", "/dev/x")])
    assert str(raised.value).startswith(f"{words}: {why}")


def test_rules() -> None:
    given = {"allow": True, "type": "b", "major": 7, "minor": 0, "access": "r"}
    nothing, *allowed = rules([given], ["c 42:* rwm", "a *:* r"], privileged=False)
    assert nothing == {"allow": False, "access": "rwm"}
    assert {"allow": True, "type": "c", "major": 1, "minor": 9, "access": "rwm"} in allowed
    assert allowed[-3:] == [
        given,
        {"allow": True, "type": "c", "major": 42, "access": "rwm"},
        {"allow": True, "type": "a", "access": "r"},
    ]
    assert rules([given], [], privileged=True) == [{"allow": True, "access": "rwm"}]


@pytest.mark.parametrize("rule", ["", "d 1:1 r", "c 1 r", "c x:1 r", "c 1:1 x", "c 1:1 rwmr"])
def test_bad_rules(rule: str) -> None:
    with pytest.raises(InvalidSettings, match="invalid device cgroup rule format"):
        rules([], [rule], privileged=False)


def test_every_device_but_a_containers_own() -> None:
    paths = {each["path"] for each in every()}
    assert {"/dev/null", "/dev/zero"} <= paths
    assert not [path for path in paths if path.startswith(("/dev/pts/", "/dev/shm/", "/dev/fd"))]
    assert "/dev/console" not in paths
