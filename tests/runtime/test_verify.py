from typing import Any

import pytest

from ferryman.runtime.settings import Config, Healthcheck, HostConfig, InvalidSettings, Ulimit
from ferryman.runtime.settings import PortBinding as Port
from ferryman.runtime.settings import RestartPolicy as Restart
from ferryman.runtime.verify import verified


def test_nothing_wrong() -> None:
    config, host = Config(cmd=["x"]), HostConfig()
    assert verified(config, host) == (config, host, [])


@pytest.mark.parametrize(
    ("given", "want"), [("/a/../b//c/", "/b/c"), ("//a", "/a"), ("/", "/"), ("", "")]
)
def test_working_directory(given: str, want: str) -> None:
    assert verified(Config(working_dir=given), HostConfig()).config.working_dir == want


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            {"working_dir": "a/b"},
            "the working directory 'a/b' is invalid, it needs to be an absolute path",
        ),
        ({"stop_signal": "FOO"}, "invalid signal: FOO"),
        ({"env": ["A=1", "=2"]}, "invalid environment variable: =2"),
        ({"hostname": "h" * 65}, f'hostname "{"h" * 65}" is too long (maximum 64 bytes)'),
        (
            {"healthcheck": Healthcheck(interval=5)},
            "Interval in Healthcheck cannot be less than 1ms",
        ),
        (
            {"healthcheck": Healthcheck(start_period=5)},
            "StartPeriod in Healthcheck cannot be less than 1ms",
        ),
        ({"healthcheck": Healthcheck(retries=-1)}, "Retries in Healthcheck cannot be negative"),
    ],
)
def test_config(config: dict[str, Any], words: str) -> None:
    check(Config(**config), HostConfig(), words)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (
            {"auto_remove": True, "restart_policy": Restart("always")},
            "can't create 'AutoRemove' container with restart policy",
        ),
        (
            {"restart_policy": Restart("foo")},
            "invalid restart policy: unknown policy 'foo'; use one of 'no', 'always', "
            "'on-failure', or 'unless-stopped'",
        ),
        (
            {"restart_policy": Restart("always", 3)},
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        ),
        (
            {"restart_policy": Restart("no", -1)},
            "invalid restart policy: maximum retry count can only be used with 'on-failure' and "
            "cannot be negative",
        ),
        (
            {"restart_policy": Restart("on-failure", -1)},
            "invalid restart policy: maximum retry count cannot be negative",
        ),
        ({"ipc_mode": "foo"}, "invalid IPC mode: foo"),
        ({"ipc_mode": "container:"}, "invalid IPC mode: container:"),
        ({"pid_mode": "private"}, "invalid PID mode: private"),
        ({"uts_mode": "private"}, "invalid UTS mode: private"),
        ({"userns_mode": "keep-id"}, "invalid user namespace mode: keep-id"),
        ({"cgroupns_mode": "foo"}, "invalid cgroup namespace mode: foo"),
        (
            {"network_mode": "container:"},
            "invalid network mode: invalid container format container:<name|id>",
        ),
        (
            {"network_mode": "container:x", "dns": ["1.1.1.1"]},
            "conflicting options: dns and the network mode",
        ),
        (
            {"network_mode": "container:x", "extra_hosts": ["a:1.1.1.1"]},
            "conflicting options: custom host-to-IP mapping and the network mode",
        ),
        (
            {"network_mode": "container:x", "publish_all_ports": True},
            "conflicting options: port publishing and the container type network mode",
        ),
        ({"cap_add": ["FOO"]}, 'invalid CapAdd: unknown capability: "CAP_FOO"'),
        ({"security_opt": ["foo"]}, 'invalid --security-opt 1: "foo"'),
        ({"ulimits": [Ulimit("foo", 1, 1)]}, "invalid ulimit type: foo"),
        (
            {"oom_score_adj": 1001},
            "Invalid value 1001, range for oom score adj is [-1000, 1000]",
        ),
        ({"shm_size": -1}, "SHM size can not be less than 0"),
        (
            {"annotations": {"": "x"}},
            "invalid Annotations: the empty string is not permitted as an annotation key",
        ),
        ({"tmpfs": {"/": ""}}, "invalid specification: destination can't be '/'"),
        ({"tmpfs": {"/a/..": ""}}, "invalid specification: destination can't be '/'"),
        ({"tmpfs": {"a": ""}}, "invalid mount path: 'a' mount path must be absolute"),
        ({"tmpfs": {"/a": "foo"}}, 'invalid tmpfs option ["foo"]'),
        ({"memory": 1}, "Minimum memory limit allowed is 6MB"),
    ],
)
def test_host_config(host: dict[str, Any], words: str) -> None:
    check(Config(), HostConfig(**host), words)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"uts_mode": "host"}, "conflicting options: hostname and the UTS mode"),
        ({"network_mode": "container:x"}, "conflicting options: hostname and the network mode"),
    ],
)
def test_hostname(host: dict[str, Any], words: str) -> None:
    check(Config(hostname="h"), HostConfig(**host), words)
    verified(Config(), HostConfig(**host))


def test_bad_profile() -> None:
    with pytest.raises(InvalidSettings, match="Decoding seccomp profile failed"):
        verified(Config(), HostConfig(security_opt=["seccomp={"]))


def test_ports_of_the_host() -> None:
    host = HostConfig(network_mode="host", port_bindings={"80/tcp": [Port()]})
    warnings = verified(Config(), host).warnings
    assert warnings == ["Published ports are discarded when using host network mode"]


def check(config: Config, host: HostConfig, words: str) -> None:
    with pytest.raises(InvalidSettings) as raised:
        verified(config, host)
    assert str(raised.value) == words
