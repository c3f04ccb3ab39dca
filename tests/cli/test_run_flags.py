"""What docker's flags ask for, and what is said of those that are wrong; docker is asked the same
in tests/peers.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import click
import msgspec
import pytest

from ferryman.cli.run_flags import Requested, container_command
from ferryman.cli.usage import words
from ferryman.errors import FerryError
from ferryman.runtime.settings import Config, HostConfig, LogConfig, NetworkRequest


@container_command("create")
def create(requested: Requested) -> Requested:
    return requested


def asked(*flags: str, image: Sequence[str] = ("img",)) -> Requested:
    """Return what a command line asks for."""
    found: Requested = create.main([*flags, *image], "ferry create", standalone_mode=False)
    return found


def refusal(*flags: str) -> tuple[str, int]:
    """Return what is said of a command line, and the exit code."""
    try:
        asked(*flags)
    except click.UsageError as e:
        return words(e)
    except FerryError as e:
        return str(e), e.exit_code
    raise AssertionError("nothing was wrong")


class Right(NamedTuple):
    """Flags, and what they set, in the words of the Engine API.

    `daemons` are the fields that docker's daemon fills in differently, for a reason that is told.
    """

    flags: str
    config: Mapping[str, Any] = MappingProxyType({})
    host: Mapping[str, Any] = MappingProxyType({})
    daemons: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        """The command line; a plus stands for a blank within a word."""
        return [word.replace("+", " ") for word in self.flags.split()]


def port(number: str, ip: str = "") -> dict[str, str]:
    return {"HostIp": ip, "HostPort": number}


MIB = 1 << 20
SECOND = 10**9

RIGHT = [
    Right("-h box", {"Hostname": "box"}),
    Right("--domainname example", {"Domainname": "example"}),
    Right("-u 1:2", {"User": "1:2"}),
    Right("-w /srv", {"WorkingDir": "/srv"}),
    Right("-i", {"OpenStdin": True, "AttachStdin": True, "StdinOnce": True, "Tty": False}),
    Right("-t", {"Tty": True, "OpenStdin": False, "AttachStdout": True, "AttachStderr": True}),
    Right("-it", {"Tty": True, "OpenStdin": True, "AttachStdin": True}),
    Right("-a stdout", {"AttachStdout": True, "AttachStderr": False, "AttachStdin": False}),
    Right("-a STDIN -a stderr", {"AttachStdout": False, "AttachStderr": True, "AttachStdin": True}),
    Right("-e A=1 -e B= -e A=2", {"Env": ["A=2", "B="]}),
    Right("-e FERRY_TEST -e FERRY_NONE", {"Env": ["FERRY_TEST=from here", "FERRY_NONE"]}),
    Right(
        "--env-file vars -e A=3", {"Env": ["A=1", "B=two words ", "FERRY_TEST=from here", "A=3"]}
    ),
    Right("-l a=1 -l b -l a=2", {"Labels": {"a": "2", "b": ""}}),
    Right("--label-file labels -l a=3", {"Labels": {"a": "3", "b": "2"}}),
    Right("--entrypoint /bin/sh", {"Entrypoint": ["/bin/sh"]}),
    Right("--entrypoint=", {"Entrypoint": [""]}, daemons=("Entrypoint",)),
    Right("--stop-signal USR1 --stop-timeout 3", {"StopSignal": "USR1", "StopTimeout": 3}),
    Right("--stop-timeout 0", {"StopTimeout": 0}),
    Right(
        "--health-cmd true --health-interval 1m30s --health-timeout 5s --health-retries 2 "
        "--health-start-period 100ms",
        {
            "Healthcheck": {
                "Test": ["CMD-SHELL", "true"],
                "Interval": 90 * SECOND,
                "Timeout": 5 * SECOND,
                "Retries": 2,
                "StartPeriod": SECOND // 10,
            }
        },
    ),
    Right("--no-healthcheck", {"Healthcheck": {"Test": ["NONE"]}}),
    # Ports
    Right(
        "-p 8080:80",
        {"ExposedPorts": {"80/tcp": {}}},
        {"PortBindings": {"80/tcp": [port("8080")]}},
    ),
    Right("-p 80", {"ExposedPorts": {"80/tcp": {}}}, {"PortBindings": {"80/tcp": [port("")]}}),
    Right("-p :80", {}, {"PortBindings": {"80/tcp": [port("")]}}),
    Right(
        "-p 127.0.0.1:8080:80/udp", {}, {"PortBindings": {"80/udp": [port("8080", "127.0.0.1")]}}
    ),
    Right("-p 127.0.0.1::80", {}, {"PortBindings": {"80/tcp": [port("", "127.0.0.1")]}}),
    Right("-p [::1]:8080:80", {}, {"PortBindings": {"80/tcp": [port("8080", "::1")]}}),
    Right("-p ::1:8080:80", {}, {"PortBindings": {"80/tcp": [port("8080", "::1")]}}),
    Right(
        "-p 8000-8001:80-81",
        {"ExposedPorts": {"80/tcp": {}, "81/tcp": {}}},
        {"PortBindings": {"80/tcp": [port("8000")], "81/tcp": [port("8001")]}},
    ),
    Right("-p 8000-8010:80", {}, {"PortBindings": {"80/tcp": [port("8000-8010")]}}),
    Right("-p 80-81/sctp", {}, {"PortBindings": {"80/sctp": [port("")], "81/sctp": [port("")]}}),
    Right(
        "-p 1:80 -p 2:80/TCP",
        {"ExposedPorts": {"80/tcp": {}}},
        {"PortBindings": {"80/tcp": [port("1"), port("2")]}},
    ),
    Right(
        "-p published=8080,target=80,protocol=udp",
        {},
        {"PortBindings": {"80/udp": [port("8080")]}},
    ),
    Right(
        "-P --expose 90 --expose 91-92/udp",
        {"ExposedPorts": {"90/tcp": {}, "91/udp": {}, "92/udp": {}}},
        {"PublishAllPorts": True},
    ),
    # Files
    Right("-v /data", {"Volumes": {"/data": {}}}),
    Right("-v /tmp:/x:ro", {}, {"Binds": ["/tmp:/x:ro"]}),
    Right("-v name:/x", {}, {"Binds": ["name:/x"]}),
    Right("-v /tmp:/x -v /tmp:/y:z", {}, {"Binds": ["/tmp:/x", "/tmp:/y:z"]}),
    Right("-v ./sub:/x:rslave", {}, {"Binds": ["HERE/sub:/x:rslave"]}, daemons=("Binds",)),
    Right(
        "--mount type=bind,src=/tmp,dst=/x,readonly,bind-propagation=rslave",
        {},
        {
            "Mounts": [
                {
                    "Type": "bind",
                    "Source": "/tmp",
                    "Target": "/x",
                    "ReadOnly": True,
                    "BindOptions": {"Propagation": "rslave"},
                }
            ]
        },
    ),
    Right(
        "--mount source=vol,target=/x,volume-nocopy,volume-label=a=b",
        {},
        {
            "Mounts": [
                {
                    "Type": "volume",
                    "Source": "vol",
                    "Target": "/x",
                    "VolumeOptions": {"NoCopy": True, "Labels": {"a": "b"}},
                }
            ]
        },
    ),
    Right(
        '--mount "type=tmpfs",destination=/x,tmpfs-size=1m,tmpfs-mode=0700',
        {},
        {
            "Mounts": [
                {
                    "Type": "tmpfs",
                    "Target": "/x",
                    "TmpfsOptions": {"SizeBytes": MIB, "Mode": 0o700},
                }
            ]
        },
    ),
    Right("--mount type=volume,target=/x", {}, {"Mounts": [{"Type": "volume", "Target": "/x"}]}),
    Right("--tmpfs /a --tmpfs /b:size=1m,ro", {}, {"Tmpfs": {"/a": "", "/b": "size=1m,ro"}}),
    Right("--read-only", {}, {"ReadonlyRootfs": True}),
    Right("--shm-size 1g", {}, {"ShmSize": 1 << 30}),
    Right("--shm-size 0", {}, {"ShmSize": 64 * MIB}),
    Right(
        "--device /dev/null",
        {},
        {
            "Devices": [
                {
                    "PathOnHost": "/dev/null",
                    "PathInContainer": "/dev/null",
                    "CgroupPermissions": "rwm",
                }
            ]
        },
    ),
    Right(
        "--device /dev/null:/dev/x:r --device /dev/zero:rw",
        {},
        {
            "Devices": [
                {"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "r"},
                {
                    "PathOnHost": "/dev/zero",
                    "PathInContainer": "/dev/zero",
                    "CgroupPermissions": "rw",
                },
            ]
        },
    ),
    Right("--device-cgroup-rule c+42:*+rwm", {}, {"DeviceCgroupRules": ["c 42:* rwm"]}),
    # Networks
    Right("--network host", {}, {"NetworkMode": "host"}),
    Right("--net none", {}, {"NetworkMode": "none"}),
    Right("--add-host a:1.2.3.4 --add-host b=::1", {}, {"ExtraHosts": ["a:1.2.3.4", "b:::1"]}),
    Right("--add-host a:host-gateway", {}, {"ExtraHosts": ["a:host-gateway"]}),
    Right("--add-host a:[::1]", {}, {"ExtraHosts": ["a:::1"]}),
    Right("--dns 1.1.1.1 --dns ::1", {}, {"Dns": ["1.1.1.1", "::1"]}),
    Right("--dns-search a.b. --dns-search .", {}, {"DnsSearch": ["a.b", "."]}),
    Right("--dns-option ndots:1 --dns-opt x", {}, {"DnsOptions": ["ndots:1", "x"]}),
    # Security
    Right(
        "--cap-add net_admin --cap-drop ALL",
        {},
        {"CapAdd": ["net_admin"], "CapDrop": ["ALL"]},
        # Recent daemons write CAP_NET_ADMIN.
        daemons=("CapAdd", "CapDrop"),
    ),
    Right("--privileged", {}, {"Privileged": True}, daemons=("SecurityOpt",)),
    Right("--security-opt no-new-privileges", {}, {"SecurityOpt": ["no-new-privileges"]}),
    Right("--security-opt seccomp=unconfined", {}, {"SecurityOpt": ["seccomp=unconfined"]}),
    Right("--security-opt seccomp=profile", {}, {"SecurityOpt": ['seccomp={"syscalls":[]}']}),
    Right("--sysctl net.a=1 --sysctl net.a=2", {}, {"Sysctls": {"net.a": "2"}}),
    Right("--group-add 5 --group-add audio", {}, {"GroupAdd": ["5", "audio"]}),
    Right(
        "--pid host --uts host --ipc host",
        {},
        {"PidMode": "host", "UTSMode": "host", "IpcMode": "host"},
    ),
    Right("--ipc shareable --cgroupns host", {}, {"IpcMode": "shareable", "CgroupnsMode": "host"}),
    Right("--userns host", {}, {"UsernsMode": "host"}),
    # Limits
    Right("-m 512m", {}, {"Memory": 512 * MIB}),
    Right("--memory 64mb --memory-swap -1", {}, {"Memory": 64 * MIB, "MemorySwap": -1}),
    Right(
        "-m 1.5GiB --memory-reservation 1g --memory-swap 2g",
        {},
        {"Memory": 1536 * MIB, "MemoryReservation": 1024 * MIB, "MemorySwap": 2048 * MIB},
    ),
    # With control groups of version 2 the daemon drops these.
    Right("--memory-swappiness 10", {}, {"MemorySwappiness": 10}, daemons=("MemorySwappiness",)),
    Right("--cpus 1.5", {}, {"NanoCpus": 1_500_000_000}),
    Right("--cpus 1/2", {}, {"NanoCpus": 500_000_000}),
    Right(
        "-c 512 --cpu-period 10000 --cpu-quota 5000 --cpuset-cpus 0 --cpuset-mems 0",
        {},
        {
            "CpuShares": 512,
            "CpuPeriod": 10000,
            "CpuQuota": 5000,
            "CpusetCpus": "0",
            "CpusetMems": "0",
        },
    ),
    Right("--pids-limit 50", {}, {"PidsLimit": 50}),
    Right("--pids-limit -1", {}, {"PidsLimit": None}),
    Right(
        "--oom-score-adj -5 --oom-kill-disable -m 64m",
        {},
        {"OomScoreAdj": -5, "OomKillDisable": True},
        daemons=("OomKillDisable",),
    ),
    Right(
        "--ulimit nofile=10:20 --ulimit core=-1 --ulimit nofile=5",
        {},
        {
            "Ulimits": [
                {"Name": "core", "Hard": -1, "Soft": -1},
                {"Name": "nofile", "Hard": 5, "Soft": 5},
            ]
        },
    ),
    # The container
    Right(
        "--restart on-failure:3",
        {},
        {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}},
    ),
    Right("--restart always", {}, {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}}),
    Right("", {}, {"RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "AutoRemove": False}),
    Right("--rm", {}, {"AutoRemove": True}),
    Right("--init", {}, {"Init": True}),
    Right("--runtime runc", {}, {"Runtime": "runc"}),
]


def invalid(value: str, flag: str, why: str) -> str:
    return f'invalid argument "{value}" for "{flag}" flag: {why}'


class Wrong(NamedTuple):
    """Wrong flags, and the words that docker's client has for them."""

    flags: str
    words: str

    @property
    def split(self) -> list[str]:
        return self.flags.split(" ")


WRONG = [
    Wrong("--nonsense", "unknown flag: --nonsense"),
    Wrong("-zz", "unknown shorthand flag: 'z' in -zz"),
    Wrong("-itz", "unknown shorthand flag: 'z' in -z"),
    Wrong("--=x", "bad flag syntax: --=x"),
    Wrong("-t=x", invalid("x", "-t, --tty", 'strconv.ParseBool: parsing "x": invalid syntax')),
    Wrong("-a x", invalid("x", "-a, --attach", "valid streams are STDIN, STDOUT and STDERR")),
    Wrong("-e =x", invalid("=x", "-e, --env", "invalid environment variable: =x")),
    Wrong("--env-file nowhere", "open nowhere: no such file or directory"),
    Wrong(
        "--env-file bad-vars", "invalid env file (bad-vars): variable 'A B' contains whitespaces"
    ),
    Wrong("--env-file no-name", "invalid env file (no-name): no variable name on line '=x'"),
    Wrong("--label-file nowhere", "open nowhere: no such file or directory"),
    Wrong("-l =x", invalid("=x", "-l, --label", "invalid label '=x': empty name")),
    Wrong(
        "--stop-timeout x",
        invalid("x", "--stop-timeout", 'strconv.ParseInt: parsing "x": invalid syntax'),
    ),
    Wrong("--health-interval x", invalid("x", "--health-interval", 'time: invalid duration "x"')),
    Wrong(
        "--health-interval 5",
        invalid("5", "--health-interval", 'time: missing unit in duration "5"'),
    ),
    Wrong("--health-timeout -1s", "--health-timeout cannot be negative"),
    Wrong("--health-retries -1", "--health-retries cannot be negative"),
    Wrong("--no-healthcheck --health-cmd x", "--no-healthcheck conflicts with --health-* options"),
    # Ports
    Wrong("-p 80:x", "invalid containerPort: x"),
    Wrong("-p x:80", "invalid hostPort: x"),
    Wrong("-p 65536", "invalid containerPort: 65536"),
    Wrong("-p 81-80", "invalid containerPort: 81-80"),
    Wrong("-p 80/foo", "invalid proto: foo"),
    Wrong("-p 1.2.3:80:80", "invalid IP address: 1.2.3"),
    Wrong(
        "-p 80-81:80-82", "invalid ranges specified for container and host Ports: 80-82 and 80-81"
    ),
    Wrong("-p target=80,x", "invalid publish opts format (should be name=value but got 'x')"),
    Wrong("--expose 80:80", "invalid port format for --expose: 80:80"),
    Wrong("--expose x", "invalid range format for --expose: x, error: "),
    # Files
    Wrong("--volume=", "invalid empty volume spec"),
    Wrong("-v /a::/b", "invalid spec: /a::/b: empty section between colons"),
    Wrong("-v /a:/b:ro:z", "invalid spec: /a:/b:ro:z: too many colons"),
    Wrong("--mount x", invalid("x", "--mount", "invalid field 'x' must be a key=value pair")),
    Wrong("--mount type=bind", invalid("type=bind", "--mount", "target is required")),
    Wrong(
        "--mount x=y,target=/x", invalid("x=y,target=/x", "--mount", "unexpected key 'x' in 'x=y'")
    ),
    Wrong(
        "--mount type=bind,target=/x,tmpfs-size=1",
        "cannot mix 'tmpfs-*' options with mount type 'bind'",
    ),
    Wrong(
        "--mount target=/x,bind-propagation=rslave",
        "cannot mix 'bind-*' options with mount type 'volume'",
    ),
    Wrong(
        "--mount type=tmpfs,target=/x,volume-nocopy",
        "cannot mix 'volume-*' options with mount type 'tmpfs'",
    ),
    Wrong("--mount type=tmpfs,target=/x,tmpfs-size=x", "invalid value for tmpfs-size: x"),
    Wrong("--mount type=tmpfs,target=/x,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"),
    Wrong(
        "--mount type=bind,target=/x,bind-recursive=x",
        'invalid value for bind-recursive: x (must be "enabled", "disabled", "writable", or '
        '"readonly")',
    ),
    Wrong("--device x", "x is not an absolute path"),
    Wrong("--device /dev/null:/dev/x:q", "bad mode specified: q"),
    Wrong("--device /dev/null:/dev/x:r:w", "bad format for path: /dev/null:/dev/x:r:w"),
    Wrong(
        "--device-cgroup-rule x",
        invalid("x", "--device-cgroup-rule", "invalid device cgroup format 'x'"),
    ),
    Wrong("--shm-size x", invalid("x", "--shm-size", "invalid size: 'x'")),
    # Networks
    Wrong("--network a=b", invalid("a=b", "--network", "invalid field key a")),
    Wrong("--network alias=b", invalid("alias=b", "--network", "network name/id is not specified")),
    Wrong(
        "--network-alias x", "network-scoped aliases are only supported for user-defined networks"
    ),
    Wrong("--network net --network net", 'network "net" is specified multiple times'),
    Wrong(
        "--network name=net,alias=a --network-alias b",
        "conflicting options: cannot specify both --network-alias and per-network alias",
    ),
    Wrong(
        "--network net --network host",
        "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
    ),
    Wrong("--mac-address zz", "zz is not a valid mac address"),
    Wrong("--add-host x", invalid("x", "--add-host", 'bad format for add-host: "x"')),
    Wrong("--add-host x:y", 'invalid IP address in add-host: "y"'),
    Wrong("--dns x", invalid("x", "--dns", "IP address is not correctly formatted: x")),
    Wrong("--dns-search ^", invalid("^", "--dns-search", "^ is not a valid domain")),
    # Security
    Wrong("--security-opt x", 'nvalid --security-opt: "x"'),
    Wrong(
        "--security-opt seccomp=nowhere",
        "opening seccomp profile (nowhere) failed: open nowhere: no such file or directory",
    ),
    Wrong("--security-opt seccomp=vars", "compacting json for seccomp profile (vars) failed: "),
    Wrong("--sysctl x=1", invalid("x=1", "--sysctl", "sysctl 'x=1' is not allowed")),
    Wrong("--pid foo", "--pid: invalid PID mode"),
    Wrong("--pid container:", "--pid: invalid PID mode"),
    Wrong("--uts foo", "--uts: invalid UTS mode"),
    Wrong("--userns foo", "--userns: invalid USER mode"),
    Wrong("--cgroupns foo", "--cgroupns: invalid CGROUP mode"),
    # Limits
    Wrong("-m x", invalid("x", "-m, --memory", "invalid size: 'x'")),
    Wrong("-m 5x", invalid("5x", "-m, --memory", "invalid suffix: 'x'")),
    Wrong("-m -5m", "invalid size: '-5m'"),
    Wrong("-m 1.2.3", 'strconv.ParseFloat: parsing "1.2.3": invalid syntax'),
    Wrong("--memory-swappiness 101", "invalid value: 101. Valid memory swappiness range is 0-100"),
    Wrong("--cpus x", invalid("x", "--cpus", "failed to parse x as a rational number")),
    Wrong("--cpus 1.1234567891", invalid("1.1234567891", "--cpus", "value is too precise")),
    Wrong(
        "--pids-limit x",
        invalid("x", "--pids-limit", 'strconv.ParseInt: parsing "x": invalid syntax'),
    ),
    Wrong("--ulimit x", invalid("x", "--ulimit", "invalid ulimit argument: x")),
    Wrong("--ulimit foo=1", invalid("foo=1", "--ulimit", "invalid ulimit type: foo")),
    Wrong(
        "--ulimit nofile=2:1", "ulimit soft limit must be less than or equal to hard limit: 2 > 1"
    ),
    Wrong(
        "--ulimit nofile=-1:5",
        "ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: 5",
    ),
    Wrong(
        "--ulimit nofile=1:2:3",
        "too many limit value arguments - 1:2:3, can only have up to two, `soft[:hard]`",
    ),
    # The container
    Wrong(
        "--restart on-failure:x",
        "invalid restart policy format: maximum retry count must be an integer",
    ),
    Wrong("--restart :3", "invalid restart policy format: no policy provided before colon"),
    Wrong("--rm --restart always", "conflicting options: cannot specify both --restart and --rm"),
    Wrong("--pull x", 'invalid pull option: \'x\': must be one of "always", "missing" or "never"'),
]


def place(folder: Path) -> None:
    """Write the files that the tables are about."""
    (folder / "sub").mkdir()
    (folder / "vars").write_text(
        "\ufeffA=1\n\n  # comment\n  B=two words \nFERRY_TEST\nFERRY_NONE\r\n"
    )
    (folder / "bad-vars").write_text("A B=1\n")
    (folder / "no-name").write_text("=x\n")
    (folder / "labels").write_text("a=1\nb=2\n")
    (folder / "profile").write_text('{\n  "syscalls": [ ]\n}\n')


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FERRY_TEST", "from here")
    monkeypatch.delenv("FERRY_NONE", raising=False)
    monkeypatch.delenv("DOCKER_DEFAULT_PLATFORM", raising=False)
    return tmp_path


def api(settings: Config | HostConfig) -> dict[str, Any]:
    """Return settings as the Engine API has them."""
    found: dict[str, Any] = json.loads(msgspec.json.encode(settings))
    return found


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case.flags)
def test_right(case: Right, here: Path) -> None:
    found = asked(*case.words)
    config, host = api(found.config), api(found.host_config)
    want = json.loads(json.dumps(dict(case.host)).replace("HERE", str(here)))
    assert {key: config[key] for key in case.config} == case.config
    assert {key: host[key] for key in want} == want


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case.flags)
def test_nothing_else_is_set(case: Right, here: Path) -> None:
    """What a flag does not mean stays as without it; the API's other names are the table's."""
    plain, found = asked(), asked(*case.words)
    for before, after, told in (
        (api(plain.config), api(found.config), case.config),
        (api(plain.host_config), api(found.host_config), case.host),
    ):
        changed = {key for key in before if before[key] != after[key]}
        assert changed <= set(told) | _TOGETHER


# What several flags set: each row tells of those that it is about.
_TOGETHER = {"ExposedPorts", "AttachStdin", "AttachStdout", "AttachStderr", "StdinOnce", "Memory"}


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.flags)
def test_wrong(case: Wrong) -> None:
    message, code = refusal(*case.split)
    assert case.words in message
    assert code == 125


def test_a_wrong_flag_is_refused_once() -> None:
    assert len({case.flags for case in WRONG}) == len(WRONG)
    assert len({case.flags for case in RIGHT}) == len(RIGHT)


def test_what_is_not_of_the_container() -> None:
    line = "--name n --platform linux/arm64 --pull never -q --storage extract --cidfile f".split()
    found = asked(*line, image=["img:1", "sh", "-c", "x"])
    assert (found.image, found.config.image, found.config.cmd) == (
        "img:1",
        "img:1",
        ["sh", "-c", "x"],
    )
    assert (found.name, found.platform, found.pull) == ("n", "linux/arm64", "never")
    assert (found.quiet, found.storage, found.attach) == (True, "extract", ())
    assert found.host_config.container_id_file == "f"


def test_platform_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_DEFAULT_PLATFORM", "linux/arm64")
    assert asked().platform == "linux/arm64"
    assert asked("--platform", "linux/amd64").platform == "linux/amd64"


@pytest.mark.parametrize(
    ("flags", "mode", "want"),
    [
        ("", "default", {}),
        ("--network host", "host", {}),
        ("--network container:x", "container:x", {}),
        ("--network net", "net", {"net": NetworkRequest()}),
        ("--network net --ip 10.0.0.5", "net", {"net": NetworkRequest(ip_address="10.0.0.5")}),
        (
            "--net net --net-alias a --network-alias b",
            "net",
            {"net": NetworkRequest(aliases=["a", "b"])},
        ),
        (
            "--network name=net,alias=a,ip=10.0.0.5,mac-address=92:d0:c6:0a:29:33 --network two",
            "net",
            {
                "net": NetworkRequest(["a"], "10.0.0.5", "92:d0:c6:0a:29:33"),
                "two": NetworkRequest(),
            },
        ),
        (
            "--mac-address 92:d0:c6:0a:29:33",
            "default",
            {"bridge": NetworkRequest(mac_address="92:d0:c6:0a:29:33")},
        ),
    ],
)
def test_networks(flags: str, mode: str, want: dict[str, NetworkRequest]) -> None:
    found = asked(*flags.split())
    assert found.host_config.network_mode == mode
    assert found.networks == want


@pytest.mark.parametrize(
    "flags",
    [
        "--link a:b",
        "--gpus all",
        "--ip6 ::1",
        "--blkio-weight 5",
        "--storage-opt size=1",
        "--cgroup-parent x",
    ],
)
def test_what_ferry_has_not(flags: str) -> None:
    message, code = refusal(*flags.split())
    assert message.startswith(f"{flags.split()[0]} is not supported by ferry: ")
    assert code == 125


@pytest.mark.parametrize(
    ("flags", "accepted"),
    [
        ("--log-driver json-file", True),
        ("--log-driver syslog", False),
        ("--isolation default", True),
        ("--isolation hyperv", False),
        ("--volume-driver local", True),
        ("--volume-driver nfs", False),
        ("--storage zfs", False),
    ],
)
def test_what_is_there_for_those_who_bring_their_command_line(flags: str, accepted: bool) -> None:
    if accepted:
        assert asked(*flags.split())
    else:
        assert "is not supported by ferry" in refusal(*flags.split())[0]


def test_what_becomes_of_the_log() -> None:
    options = ("--log-opt", "max-size=1m", "--log-opt", "max-file=3")
    assert asked(*options).host_config.log_config == LogConfig(
        "json-file", {"max-size": "1m", "max-file": "3"}
    )
    assert asked("--log-driver", "none").host_config.log_config == LogConfig("none")
    assert refusal("--log-driver", "none", *options) == (
        "invalid logging opts for driver none",
        125,
    )


def test_a_value_of_a_switch_reaches_the_command() -> None:
    """By way of the whole command line, where other commands have such values taken away."""
    from ferryman.cli.main import cli

    context = click.Context(cli, info_name="ferry")
    given = ["run", "--sig-proxy=false", "img", "cmd", "--init=false"]
    _, command, rest = cli.resolve_command(context, given)
    assert command
    assert rest == given[1:]
    assert command.make_context("run", rest, context).params["sig_proxy"] is False
