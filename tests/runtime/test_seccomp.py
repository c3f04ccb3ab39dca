import json
import os
from typing import Any

import pytest

from ferryman.runtime import capabilities, seccomp
from ferryman.runtime.settings import InvalidSettings

Calls = dict[str, list[dict[str, Any]]]

NO_NAMESPACES = {"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}


def default(*capabilities_: str) -> dict[str, Any]:
    return seccomp.default(set(capabilities_))


def by_call(profile: dict[str, Any]) -> Calls:
    """Return the rules of each call."""
    found: Calls = {}
    for rule in profile["syscalls"]:
        for name in rule["names"]:
            found.setdefault(name, []).append(rule)
    return found


@pytest.fixture
def on_x86(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, "x86_64")


def on(monkeypatch: pytest.MonkeyPatch, machine: str, release: str = "6.1.0-13-amd64") -> None:
    name = os.uname_result(("Linux", "here", release, "#1", machine))
    monkeypatch.setattr(os, "uname", lambda: name)


def test_everything_else_is_not_permitted(on_x86: None) -> None:
    profile = default(*capabilities.DEFAULT)
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert profile["defaultErrnoRet"] == 1
    assert profile["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]


ALWAYS = "openat read clock_gettime64 futex_time64 chown32 faccessat2 statx execve arch_prctl"
NEVER = "mount keyctl add_key io_uring_setup userfaultfd kexec_load bpf unshare pivot_root swapon"


@pytest.mark.parametrize("call", ALWAYS.split())
def test_allowed(call: str, on_x86: None) -> None:
    (rule,) = by_call(default())[call]
    assert rule["action"] == "SCMP_ACT_ALLOW"
    assert "args" not in rule


@pytest.mark.parametrize("call", NEVER.split())
def test_not_allowed(call: str, on_x86: None) -> None:
    assert call not in by_call(default(*capabilities.DEFAULT))


@pytest.mark.parametrize(
    ("capability", "calls"),
    [
        ("CAP_SYS_ADMIN", "mount umount2 unshare setns clone3 bpf"),
        ("CAP_SYS_MODULE", "init_module finit_module delete_module"),
        ("CAP_SYS_CHROOT", "chroot"),
        ("CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday"),
        ("CAP_SYS_PTRACE", "kcmp pidfd_getfd"),
        ("CAP_SYS_BOOT", "reboot"),
        ("CAP_SYSLOG", "syslog"),
        ("CAP_BPF", "bpf"),
        ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    ],
)
def test_what_a_capability_adds(capability: str, calls: str, on_x86: None) -> None:
    without, having = by_call(default()), by_call(default(capability))
    for call in calls.split():
        assert not any(rule["action"] == "SCMP_ACT_ALLOW" for rule in without.get(call, []))
        assert [rule["action"] for rule in having[call]] == ["SCMP_ACT_ALLOW"]


def test_new_namespaces(on_x86: None) -> None:
    calls = by_call(default(*capabilities.DEFAULT))
    assert [rule["args"] for rule in calls["clone"]] == [[NO_NAMESPACES]]
    (clone3,) = calls["clone3"]
    assert (clone3["action"], clone3["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)


def test_new_namespaces_where_the_flags_come_second(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, "s390x")
    assert [rule["args"] for rule in by_call(default())["clone"]] == [
        [NO_NAMESPACES | {"index": 1}]
    ]


def test_sockets(on_x86: None) -> None:
    """All families but AF_ALG and AF_VSOCK."""
    allowed = {
        "SCMP_CMP_LT": lambda family, value: family < value,
        "SCMP_CMP_EQ": lambda family, value: family == value,
        "SCMP_CMP_GT": lambda family, value: family > value,
    }
    rules = [rule["args"][0] for rule in by_call(default())["socket"]]
    refused = [
        family
        for family in range(64)
        if not any(allowed[rule["op"]](family, rule["value"]) for rule in rules)
    ]
    assert refused == [38, 40]


def test_personalities(on_x86: None) -> None:
    values = [rule["args"][0]["value"] for rule in by_call(default())["personality"]]
    assert values == [0, 8, 0x20000, 0x20008, 0xFFFFFFFF]


@pytest.mark.parametrize(
    ("machine", "architectures", "call"),
    [
        ("aarch64", ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"], "set_tls"),
        ("s390x", ["SCMP_ARCH_S390X", "SCMP_ARCH_S390"], "s390_pci_mmio_read"),
        ("riscv64", ["SCMP_ARCH_RISCV64"], "riscv_flush_icache"),
    ],
)
def test_other_machines(
    machine: str, architectures: list[str], call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(monkeypatch, machine)
    profile = default()
    assert profile["architectures"] == architectures
    assert call in by_call(profile)
    assert "modify_ldt" not in by_call(profile)


def test_a_machine_of_which_docker_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, "ppc64le")
    assert "architectures" not in default()
    assert "swapcontext" in by_call(default())


@pytest.mark.parametrize(("release", "allowed"), [("4.7.9", False), ("4.8.0", True), ("6.1", True)])
def test_debuggers(release: str, allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, "x86_64", release)
    assert ("ptrace" in by_call(default())) == allowed


def test_a_profile_of_ones_own(on_x86: None) -> None:
    text = json.dumps(
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "archMap": [
                {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X32"]},
                {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": None},
            ],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "comment": "not for the runtime",
            "syscalls": [
                {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 17},
                {"name": "chmod", "action": "SCMP_ACT_ERRNO", "args": None},
                {
                    "names": ["kill"],
                    "action": "SCMP_ACT_KILL",
                    "args": [{"index": 1, "value": 9, "op": "SCMP_CMP_EQ"}],
                    "includes": {"caps": ["CAP_KILL"], "minKernel": "3.0"},
                },
                {"names": ["a"], "action": "SCMP_ACT_LOG", "includes": {"arches": ["arm64"]}},
                {"names": ["b"], "action": "SCMP_ACT_LOG", "excludes": {"arches": ["amd64"]}},
                {"names": ["c"], "action": "SCMP_ACT_LOG", "excludes": {"caps": ["CAP_KILL"]}},
                {"names": ["d"], "action": "SCMP_ACT_LOG", "excludes": {"minKernel": "4.0"}},
                {"names": ["e"], "action": "SCMP_ACT_LOG", "includes": {"minKernel": "99.0"}},
            ],
        }
    )
    argument = {"index": 1, "value": 9, "valueTwo": 0, "op": "SCMP_CMP_EQ"}
    assert seccomp.loaded(text, {"CAP_KILL"}) == {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [
            {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 17},
            {"names": ["chmod"], "action": "SCMP_ACT_ERRNO"},
            {"names": ["kill"], "action": "SCMP_ACT_KILL", "args": [argument]},
        ],
    }


def test_a_profile_that_asks_for_nothing() -> None:
    assert seccomp.loaded("{}", set()) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Decoding seccomp profile failed"),
        ("[]", "Decoding seccomp profile failed"),
        ('{"syscalls": 5}', "Decoding seccomp profile failed"),
        ('{"syscalls": [{"action": 5}]}', "Decoding seccomp profile failed"),
        (
            '{"architectures": ["x"], "archMap": [{"architecture": "x"}], "defaultAction": "x"}',
            "both 'architectures' and 'archMap'",
        ),
        ('{"syscalls": [{"name": "a", "names": ["b"], "action": "x"}]}', "both 'name' and 'names'"),
        (
            '{"syscalls": [{"name": "a", "action": "x", "includes": {"minKernel": "new"}}]}',
            "invalid kernel version",
        ),
    ],
)
def test_bad_profiles(text: str, words: str) -> None:
    with pytest.raises(InvalidSettings, match=words):
        seccomp.loaded(text, set())
