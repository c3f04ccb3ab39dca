"""What an OCI runtime is given; what comes of it inside is seen in tests/peers."""

import os
from collections.abc import Sequence
from typing import Any

import pytest

from ferryman.image import digest
from ferryman.image.manifest import Descriptor
from ferryman.runtime import capabilities
from ferryman.runtime.limits import Controllers
from ferryman.runtime.record import Container, MountPoint
from ferryman.runtime.settings import (
    BindOptions,
    Config,
    Device,
    HostConfig,
    Mount,
    TmpfsOptions,
    Ulimit,
)
from ferryman.runtime.spec import Place, document
from ferryman.runtime.users import User

ANN = User(1000, 100, (100, 50), "/home/ann")
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def spec(
    *,
    config: dict[str, Any] | None = None,
    points: Sequence[MountPoint] = (),
    user: User = ANN,
    place: dict[str, Any] | None = None,
    **host: Any,
) -> Any:
    container = Container(
        id="0" * 64,
        name="box",
        created="2024-01-01T00:00:00Z",
        image="box",
        image_id="sha256:" + "0" * 64,
        manifest=Descriptor("application/vnd.oci.image.manifest.v1+json", digest.of(b""), 0),
        layers=[],
        config=Config(**{"cmd": ["prog", "arg"], "hostname": "box"} | (config or {})),
        host_config=HostConfig(**host),
        mounts=list(points),
    )
    given: dict[str, Any] = {
        "rootfs": "/the/root",
        "cgroup": "/ferry/box",
        "cgroup_mode": "v2",
        "controllers": Controllers(memory=True, swap=True, pids=True),
        "capabilities": capabilities.NAMES,
        "init": "/usr/bin/catatonit",
    }
    return document(container, user, Place(**given | (place or {})))


def mounted(document: Any) -> dict[str, Any]:
    """Return the mounts by their destination; there must be one at each."""
    by_place = {mount["destination"]: mount for mount in document["mounts"]}
    assert len(by_place) == len(document["mounts"])
    return by_place


def options(document: Any, at: str) -> set[str]:
    return set(mounted(document)[at]["options"])


def kinds(document: Any) -> set[str]:
    return {each["type"] for each in document["linux"]["namespaces"]}


def test_process() -> None:
    process = spec()["process"]
    assert process["args"] == ["prog", "arg"]
    assert process["cwd"] == "/"
    assert process["user"] == {"uid": 1000, "gid": 100, "additionalGids": [100, 50]}
    assert process["env"] == [PATH, "HOSTNAME=box", "HOME=/home/ann"]
    assert process["noNewPrivileges"] is False
    assert process["oomScoreAdj"] == 0
    assert process["rlimits"] == []
    for kind in ("bounding", "effective", "permitted"):
        assert capabilities.mask(process["capabilities"][kind]) == 0xA80425FB
    assert "inheritable" not in process["capabilities"]


@pytest.mark.parametrize(
    ("env", "tty", "want"),
    [
        (["A=1", "B"], False, [PATH, "HOSTNAME=box", "A=1", "HOME=/home/ann"]),
        (["PATH=/bin"], False, ["PATH=/bin", "HOSTNAME=box", "HOME=/home/ann"]),
        (["HOME=/x"], False, [PATH, "HOSTNAME=box", "HOME=/x"]),
        (["HOSTNAME"], False, [PATH, "HOME=/home/ann"]),
        (["A=1", "A=2=3"], False, [PATH, "HOSTNAME=box", "A=2=3", "HOME=/home/ann"]),
        ([], True, [PATH, "HOSTNAME=box", "TERM=xterm", "HOME=/home/ann"]),
        (["TERM=dumb"], True, [PATH, "HOSTNAME=box", "TERM=dumb", "HOME=/home/ann"]),
    ],
)
def test_environment(env: list[str], tty: bool, want: list[str]) -> None:
    assert spec(config={"env": env, "tty": tty})["process"]["env"] == want


def test_command_and_entrypoint() -> None:
    config = {"entrypoint": ["/e", "x"], "cmd": ["a"], "working_dir": "/w"}
    process = spec(config=config)["process"]
    assert (process["args"], process["cwd"]) == (["/e", "x", "a"], "/w")


def test_terminal() -> None:
    process = spec(config={"tty": True}, place={"size": (24, 80)})["process"]
    assert process["terminal"] is True
    assert process["consoleSize"] == {"height": 24, "width": 80}
    assert "consoleSize" not in spec(place={"size": (24, 80)})["process"]


def test_init() -> None:
    made = spec(init=True)
    assert made["process"]["args"] == ["/sbin/docker-init", "--", "prog", "arg"]
    assert mounted(made)["/sbin/docker-init"]["source"] == "/usr/bin/catatonit"
    assert options(made, "/sbin/docker-init") == {"bind", "ro"}
    # Among another's processes there is an init already.
    assert spec(init=True, pid_mode="host")["process"]["args"] == ["prog", "arg"]


def test_dockers_mounts() -> None:
    made = mounted(spec())
    closed = {"nosuid", "noexec", "nodev"}
    assert {at: (mount["type"], set(mount["options"])) for at, mount in made.items()} == {
        "/proc": ("proc", closed),
        "/dev": ("tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
        "/dev/pts": (
            "devpts",
            {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"},
        ),
        "/sys": ("sysfs", closed | {"ro"}),
        "/sys/fs/cgroup": ("cgroup", closed | {"ro"}),
        "/dev/mqueue": ("mqueue", closed),
        "/dev/shm": ("tmpfs", closed | {"mode=1777", "size=67108864"}),
    }


def test_masks() -> None:
    linux = spec()["linux"]
    assert {"/proc/kcore", "/proc/keys", "/sys/firmware"} <= set(linux["maskedPaths"])
    assert "/proc/sys" in linux["readonlyPaths"]
    for open_ in ({"privileged": True}, {"security_opt": ["systempaths=unconfined"]}):
        assert not {"maskedPaths", "readonlyPaths"} & set(spec(**open_)["linux"])


def test_privileged() -> None:
    made = spec(privileged=True)
    linux = made["linux"]
    assert capabilities.mask(made["process"]["capabilities"]["bounding"]) == (1 << 41) - 1
    assert "seccomp" not in linux
    assert linux["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert "/dev/null" in [device["path"] for device in linux["devices"]]
    assert "ro" not in options(made, "/sys") | options(made, "/sys/fs/cgroup")


def test_devices() -> None:
    linux = spec(devices=[Device("/dev/null", "/dev/x", "r")], device_cgroup_rules=["c 9:* w"])
    (device,) = linux["linux"]["devices"]
    assert (device["path"], device["major"], device["minor"]) == ("/dev/x", 1, 3)
    allowed = linux["linux"]["resources"]["devices"][-2:]
    assert [rule["access"] for rule in allowed] == ["r", "w"]
    # What a privileged container has anyway is not made twice.
    made = spec(
        privileged=True, devices=[Device("/dev/null", "/dev/null"), Device("/dev/null", "/dev/x")]
    )
    paths = [device["path"] for device in made["linux"]["devices"]]
    assert (paths.count("/dev/null"), paths.count("/dev/x")) == (1, 1)


def test_security_options() -> None:
    assert spec()["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    made = spec(security_opt=["seccomp=unconfined", "no-new-privileges"])
    assert "seccomp" not in made["linux"]
    assert made["process"]["noNewPrivileges"] is True


def test_seccomp_knows_the_capabilities() -> None:
    def clones(made: Any) -> list[Any]:
        rules = made["linux"]["seccomp"]["syscalls"]
        return [rule.get("args") for rule in rules if "clone" in rule["names"]]

    assert clones(spec()) != [None]
    assert clones(spec(cap_add=["SYS_ADMIN"])) == [None]


def test_limits() -> None:
    resources = spec(memory=64 << 20, pids_limit=7, cpu_shares=5)["linux"]["resources"]
    assert resources["memory"] == {"limit": 64 << 20}
    assert resources["pids"] == {"limit": 7}
    # This machine does not have them.
    assert "cpu" not in resources
    assert spec()["linux"]["cgroupsPath"] == "/ferry/box"


def test_ulimits() -> None:
    asked = [Ulimit("core", hard=0, soft=0)]
    assert spec(ulimits=asked)["process"]["rlimits"] == [
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}
    ]


@pytest.mark.parametrize(("asked", "least", "want"), [(-500, -1000, -500), (-500, 0, 0), (9, 0, 9)])
def test_oom_score(asked: int, least: int, want: int) -> None:
    made = spec(oom_score_adj=asked, place={"least_oom_score": least})
    assert made["process"]["oomScoreAdj"] == want


ALL = {"mount", "network", "uts", "pid", "ipc", "cgroup"}


@pytest.mark.parametrize(
    ("host", "want"),
    [
        ({}, ALL),
        ({"network_mode": "none"}, ALL),
        ({"network_mode": "host"}, ALL - {"network"}),
        ({"pid_mode": "host"}, ALL - {"pid"}),
        ({"ipc_mode": "host"}, ALL - {"ipc"}),
        ({"ipc_mode": "shareable"}, ALL),
        ({"uts_mode": "host"}, ALL - {"uts"}),
        ({"cgroupns_mode": "host"}, ALL - {"cgroup"}),
        ({"privileged": True}, ALL),
    ],
)
def test_namespaces(host: dict[str, Any], want: set[str]) -> None:
    assert kinds(spec(**host)) == want


def test_control_groups_of_version_1_are_shared_unless_asked() -> None:
    v1 = {"cgroup_mode": "hybrid"}
    assert kinds(spec(place=v1)) == ALL - {"cgroup"}
    assert kinds(spec(place=v1, cgroupns_mode="private")) == ALL


def test_namespaces_of_others() -> None:
    joined = {"network": "/proc/7/ns/net", "pid": "/proc/8/ns/pid"}
    made = spec(network_mode="container:x", pid_mode="container:y", place={"joined": joined})
    paths = {each["type"]: each.get("path") for each in made["linux"]["namespaces"]}
    assert paths == dict.fromkeys(ALL) | joined
    assert not made["linux"]["sysctl"]


def test_no_control_groups() -> None:
    made = spec(place={"cgroup_mode": "none", "controllers": Controllers()}, memory=64 << 20)
    assert "/sys/fs/cgroup" not in mounted(made)
    assert set(made["linux"]["resources"]) == {"devices"}


def test_hostname() -> None:
    assert spec()["hostname"] == "box"
    assert "hostname" not in spec(uts_mode="host")


def test_sysctls() -> None:
    sysctls = spec(config={"domainname": "d"}, sysctls={"net.core.somaxconn": "9"})["linux"][
        "sysctl"
    ]
    assert sysctls["kernel.domainname"] == "d"
    assert sysctls["net.core.somaxconn"] == "9"
    assert sysctls["net.ipv4.ip_unprivileged_port_start"] == "0"
    assert spec(network_mode="host")["linux"]["sysctl"] == {}
    mine = {"net.ipv4.ip_unprivileged_port_start": "1024"}
    assert spec(sysctls=mine)["linux"]["sysctl"].items() >= mine.items()


def test_files() -> None:
    place = {"files": {"/etc/hosts": "/bundle/hosts", "/dev/shm": "/shared/shm"}}
    made = spec(place=place)
    assert mounted(made)["/etc/hosts"]["source"] == "/bundle/hosts"
    assert options(made, "/etc/hosts") == {"rbind", "rprivate"}
    assert mounted(made)["/dev/shm"]["source"] == "/shared/shm"
    readonly = spec(place=place, readonly_rootfs=True)
    assert readonly["root"] == {"path": "/the/root", "readonly": True}
    assert "ro" in options(readonly, "/etc/hosts")
    assert "ro" not in options(readonly, "/dev/shm")


def test_no_shared_memory() -> None:
    assert "/dev/shm" not in mounted(spec(ipc_mode="none"))
    assert "size=4096" in options(spec(shm_size=4096), "/dev/shm")


def test_binds() -> None:
    points = [
        MountPoint("bind", "/a/b", "/host/b", propagation="rprivate"),
        MountPoint("bind", "/a", "/host/a", rw=False, propagation="rprivate"),
        MountPoint("volume", "/etc/hosts", "/volume", name="v"),
        MountPoint("bind", "/c", "/host/c", propagation="rprivate"),
    ]
    flat = Mount("bind", "/c/", "/host/c", bind_options=BindOptions(non_recursive=True))
    place = {"files": {"/etc/hosts": "/bundle/hosts"}}
    made = spec(points=points, mounts=[flat], place=place)
    assert options(made, "/a/b") == {"rbind", "rprivate"}
    assert {"rbind", "ro", "rprivate"} <= options(made, "/a")
    assert options(made, "/c") == {"bind", "rprivate"}
    # A user's own stands in for ferry's.
    assert mounted(made)["/etc/hosts"]["source"] == "/volume"
    order = list(mounted(made))
    assert order.index("/a") < order.index("/a/b")
    assert order.index("/dev/shm") < order.index("/a")


def test_what_is_within_a_readonly_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    point = [MountPoint("bind", "/a", "/host/a", rw=False)]
    for release, want in (("5.11.0", {"ro"}), ("5.12.0", {"ro", "rro"}), ("6.1", {"ro", "rro"})):
        name = os.uname_result(("Linux", "here", release, "#1", "x86_64"))
        monkeypatch.setattr(os, "uname", lambda name=name: name)
        assert options(spec(points=point), "/a") & {"ro", "rro"} == want


@pytest.mark.parametrize(
    ("propagation", "want"),
    [("rprivate", None), ("rslave", "rslave"), ("slave", "rslave"), ("rshared", "shared")],
)
def test_propagation(propagation: str, want: str | None) -> None:
    made = spec(points=[MountPoint("bind", "/a", "/host/a", propagation=propagation)])
    assert made["linux"].get("rootfsPropagation") == want
    assert propagation in options(made, "/a")


def test_a_dev_of_ones_own() -> None:
    made = spec(points=[MountPoint("bind", "/dev", "/dev")])
    assert [at for at in mounted(made) if at.startswith("/dev")] == ["/dev"]


def test_memory_filesystems() -> None:
    mount = Mount("tmpfs", "/m", tmpfs_options=TmpfsOptions(size_bytes=4096, mode=0o700))
    point = MountPoint("tmpfs", "/m")
    made = spec(points=[point], mounts=[mount], tmpfs={"/t//": "size=1m,exec", "/run": ""})
    assert {"size=4096", "mode=700", "noexec"} <= options(made, "/m")
    assert {"size=1m", "exec", "nosuid", "nodev"} <= options(made, "/t")
    assert mounted(made)["/run"]["type"] == "tmpfs"


def test_annotations() -> None:
    assert spec(annotations={"a": "b"})["annotations"] == {"a": "b"}


def test_rootless() -> None:
    made = spec(place={"rootless": True}, memory=64 << 20)
    assert not {"resources", "cgroupsPath"} & set(made["linux"])
    assert "net.ipv4.ping_group_range" not in made["linux"]["sysctl"]
    assert mounted(made)["/sys"]["type"] == "sysfs"
    with_network = spec(place={"rootless": True}, network_mode="host")
    assert mounted(with_network)["/sys"]["type"] == "bind"
