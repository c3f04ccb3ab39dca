"""``ferry volume``: what containers see of it, and what docker says of it."""

import json
import re
from pathlib import Path

import pytest

from tests.containers.networks import IMAGE, failed
from tests.ferry import Ferry

RUN = ("run", "--rm", "--network", "none")


def names(box: Ferry, *filters: str) -> list[str]:
    flags = [word for each in filters for word in ("-f", each)]
    return box.text("volume", "ls", "-q", *flags).split()


def test_create_and_inspect(box: Ferry) -> None:
    assert box.text("volume", "create", "--label", "a=b", "--label", "c", "mine") == "mine"
    assert box.text("volume", "create", "mine", "--label", "other") == "mine"
    (found,) = json.loads(box.text("volume", "inspect", "mine"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", found.pop("CreatedAt"))
    place = found.pop("Mountpoint")
    assert found == {
        "Driver": "local",
        "Labels": {"a": "b", "c": ""},
        "Name": "mine",
        "Options": None,
        "Scope": "local",
    }
    box(*RUN, "-v", "mine:/v", IMAGE, "sh", "-c", "echo ahoy > /v/word")
    assert Path(place, "word").read_text() == "ahoy\n"
    assert box.text(*RUN, "-v", "mine:/other:ro", IMAGE, "cat", "/other/word") == "ahoy"
    unnamed = box.text("volume", "create")
    assert re.fullmatch("[0-9a-f]{64}", unnamed)
    assert box.text("volume", "create", "--name", "old-style") == "old-style"
    assert names(box) == sorted([unnamed, "mine", "old-style"])
    form = "{{.Name}} {{.Labels}} {{.Options}}"
    assert box.text("volume", "inspect", "-f", form, "mine") == "mine map[a:b c:] map[]"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "x",
            "create x: volume name is too short, names should be at least two alphanumeric "
            "characters",
        ),
        (
            "a/b",
            'create a/b: "a/b" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, '
            "use absolute path",
        ),
        ("-o foo=bar new", 'create new: invalid option: "foo"'),
        ("-o type=tmpfs new", 'create new: missing required option: "device"'),
        ("-o device=x new", 'create new: missing required option: "type"'),
        ("-o size=10m new", "create new: quota size requested but no quota support"),
        (
            "-d nfs new",
            'create new: error looking up volume plugin nfs: plugin "nfs" not found: volumes here '
            "are local",
        ),
        (
            "--name a new",
            "conflicting options: cannot specify a volume-name through both --name and as a "
            "positional arg",
        ),
    ],
)
def test_what_cannot_be_created(ferry: Ferry, words: str, message: str) -> None:
    assert failed(ferry, "volume", "create", *words.split()) == f"Error: {message}"
    assert names(ferry) == []


def test_a_folder_of_the_host(box: Ferry, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/file").write_text("of the host\n")
    options = ("-o", "type=none", "-o", "o=bind", "-o", f"device={tmp_path}/own")
    box("volume", "create", *options, "bound")
    script = "cat /v/file; echo of the container > /v/new"
    assert box.text(*RUN, "-v", "bound:/v", IMAGE, "sh", "-c", script) == "of the host"
    assert (tmp_path / "own/new").read_text() == "of the container\n"
    (found,) = json.loads(box.text("volume", "inspect", "bound"))
    assert found["Options"] == {"device": f"{tmp_path}/own", "o": "bind", "type": "none"}
    # What is not the store's own stays, whoever removes the volume.
    box("volume", "rm", "bound")
    assert (tmp_path / "own/file").exists()


def test_memory(box: Ferry) -> None:
    options = ("-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,mode=1750")
    box("volume", "create", *options, "fast")
    script = "grep ' /v ' /proc/mounts; stat -c %a /v; dd if=/dev/zero of=/v/f bs=1M count=2; true"
    said = box.text(*RUN, "-v", "fast:/v", IMAGE, "sh", "-c", script)
    mount, mode = said.splitlines()
    assert mount.startswith("tmpfs /v tmpfs rw,")
    assert "size=1024k" in mount
    assert mode == "1750"
    assert box.text(*RUN, "-v", "fast:/v", IMAGE, "ls", "/v") == ""
    # Containers that run at the same time have the same; with the last one it goes.
    for name in ("one", "two"):
        box("run", "-d", "--network", "none", "--name", name, "-v", "fast:/v", IMAGE, "sleep", "99")
    box("exec", "two", "sh", "-c", "echo ahoy > /v/word")
    assert box.text("exec", "one", "cat", "/v/word") == "ahoy"
    box("rm", "-f", "one")
    assert box.text(*RUN, "-v", "fast:/w", IMAGE, "cat", "/w/word") == "ahoy"
    box("rm", "-f", "two")
    assert box.text(*RUN, "-v", "fast:/v", IMAGE, "ls", "/v") == ""


@pytest.mark.parametrize(
    "options",
    ["type=none o=bind device=/not/there", "type=nope device=x", "type=tmpfs device=x o=size=1q"],
)
def test_what_cannot_be_mounted(box: Ferry, options: str) -> None:
    flags = [word for each in options.split() for word in ("-o", each)]
    box("volume", "create", *flags, "bad")
    said = failed(box, *RUN, "-v", "bad:/v", IMAGE, "true", code=125)
    (place,) = box.text("volume", "inspect", "-f", "{{.Mountpoint}}", "bad").splitlines()
    start = f"Error: error while mounting volume '{place}': failed to mount local volume: "
    assert said.startswith(start)
    assert len(said.splitlines()) == 1
    assert box.text("ps", "-aq") == ""
    box("volume", "rm", "bad")


def test_list(box: Ferry) -> None:
    box("volume", "create", "--label", "a=1", "marked")
    box("create", "-v", "used:/v", "--name", "one", IMAGE)
    assert box.text("volume", "ls").splitlines() == [
        "DRIVER    VOLUME NAME",
        "local     marked",
        "local     used",
    ]
    assert names(box, "dangling=true") == names(box, "dangling=1") == ["marked"]
    assert names(box, "dangling=false") == ["used"]
    assert names(box, "label=a") == names(box, "label=a=1") == ["marked"]
    assert names(box, "label=a=2") == names(box, "driver=nope") == []
    assert names(box, "name=se", "driver=local") == ["used"]
    row = json.loads(box.text("volume", "ls", "--format", "json", "-f", "name=marked"))
    place = box.text("volume", "inspect", "-f", "{{.Mountpoint}}", "marked")
    assert row == {
        **dict.fromkeys(("Availability", "Group", "Links", "Size", "Status"), "N/A"),
        "Driver": "local",
        "Labels": "a=1",
        "Mountpoint": place,
        "Name": "marked",
        "Scope": "local",
    }
    said = failed(box, "volume", "ls", "-f", "dangling=x")
    assert said == "Error: invalid filter 'dangling=[x]'"
    assert failed(box, "volume", "ls", "-f", "nope=x") == "Error: invalid filter 'nope'"


def test_remove(box: Ferry) -> None:
    box("volume", "create", "mine")
    user = box.text("create", "-v", "used:/v", IMAGE)
    done = box("volume", "rm", "nope", "used", "mine", check=False)
    assert (done.returncode, done.stdout) == (1, b"mine\n")
    assert done.stderr.decode().splitlines() == [
        "Error: get nope: no such volume",
        f"Error: remove used: volume is in use - [{user}]",
    ]
    assert box.text("volume", "rm", "-f", "nope") == "nope"
    box("rm", user)
    assert box.text("volume", "rm", "used") == "used"
    assert names(box) == []
    done = box("volume", "inspect", "used", check=False)
    assert (done.returncode, done.stdout) == (1, b"[]\n")
    assert done.stderr == b"Error: get used: no such volume\n"


def test_prune(box: Ferry) -> None:
    box("volume", "create", "--label", "keep", "marked")
    box("volume", "create", "mine")
    options = ("-o", "type=tmpfs", "-o", "device=tmpfs")
    box("volume", "create", *options, "elsewhere")
    unnamed = box.text("volume", "create")
    box("run", "--network", "none", "-v", "/v", "-v", "mine:/m", "--name", "one", IMAGE, "true")
    (anonymous,) = set(names(box)) - {"marked", "mine", "elsewhere", unnamed}
    question = "local volumes not used by at least one container.\nAre you sure"
    for flags, what in (((), "anonymous"), (("-a",), "all")):
        asked = box("volume", "prune", *flags, input=b"n\n").stdout.decode()
        assert asked.startswith(f"WARNING! This will remove {what} {question}")
    done = box.text("volume", "prune", "-f")
    assert done == f"Deleted Volumes:\n{unnamed}\n\nTotal reclaimed space: 0B"
    Path(box.text("volume", "inspect", "-f", "{{.Mountpoint}}", "mine"), "file").write_bytes(b"x")
    box("rm", "one")
    done = box.text("volume", "prune", "-af", "--filter", "label!=keep")
    gone = "\n".join(sorted([anonymous, "mine"]))
    assert done == f"Deleted Volumes:\n{gone}\n\nTotal reclaimed space: 1B"
    assert names(box) == ["elsewhere", "marked"]
    assert failed(box, "volume", "prune", "-f", "--filter", "until=1h").endswith("filter 'until'")


def test_inspect_finds_them(box: Ferry) -> None:
    """By any name: containers first, then images, networks and volumes."""
    box("volume", "create", "thing")
    box("network", "create", "net")

    def kind(*words: str) -> str:
        (found,) = json.loads(box.text("inspect", *words))
        kinds = {"HostConfig": "container", "RootFS": "image", "IPAM": "network"}
        return next((kinds[key] for key in kinds if key in found), "volume")

    assert kind("thing") == "volume"
    assert kind("net") == "network"
    box("network", "create", "thing")
    assert kind("thing") == "network"
    box("tag", IMAGE, "thing")
    assert kind("thing") == "image"
    box("create", "--name", "thing", IMAGE)
    assert kind("thing") == "container"
    for each in ("container", "image", "network", "volume"):
        assert kind("--type", each, "thing") == each
    done = box("inspect", "--type", "volume", "net", check=False)
    assert (done.returncode, done.stdout) == (1, b"[]\n")
    assert done.stderr == b"Error: get net: no such volume\n"
    assert failed(box, "inspect", "--type", "foo", "net") == (
        'Error: unknown type: "foo": must be one of "container", "image", "network", "volume"'
    )
    done = box("inspect", "--size", "-f", "{{.Name}}", "net", "bridge")
    assert done.stdout == b"net\nbridge\n"
    assert done.stderr == b"WARNING: --size ignored for network\n" * 2
