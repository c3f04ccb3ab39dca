from typing import Any

import pytest

from ferryman.runtime.limits import Controllers, checked, found, numbers, resources
from ferryman.runtime.settings import HostConfig, InvalidSettings

MIB = 1 << 20
ALL = Controllers(
    memory=True,
    swap=True,
    reservation=True,
    swappiness=True,
    oom_kill_disable=True,
    cpu_shares=True,
    cpu_quota=True,
    cpuset=True,
    pids=True,
    cpus="0-3",
)
NONE = Controllers(cpus="0-3")


@pytest.mark.parametrize(
    ("asked", "want"),
    [
        ({}, {}),
        ({"memory": 64 * MIB}, {"memory": {"limit": 64 * MIB, "swap": 128 * MIB}}),
        (
            {"memory": 64 * MIB, "memory_swap": 64 * MIB},
            {"memory": {"limit": 64 * MIB, "swap": 64 * MIB}},
        ),
        ({"memory": 64 * MIB, "memory_swap": -1}, {"memory": {"limit": 64 * MIB}}),
        ({"memory_reservation": 8 * MIB}, {"memory": {"reservation": 8 * MIB}}),
        ({"memory_swappiness": 0}, {"memory": {"swappiness": 0}}),
        ({"oom_kill_disable": True}, {"memory": {"disableOOMKiller": True}}),
        ({"nano_cpus": 1_500_000_000}, {"cpu": {"period": 100_000, "quota": 150_000}}),
        ({"cpu_period": 50_000, "cpu_quota": 25_000}, {"cpu": {"period": 50_000, "quota": 25_000}}),
        ({"cpu_shares": 512}, {"cpu": {"shares": 512}}),
        ({"cpuset_cpus": "0,2", "cpuset_mems": "0"}, {"cpu": {"cpus": "0,2", "mems": "0"}}),
        ({"pids_limit": 100}, {"pids": {"limit": 100}}),
        ({"pids_limit": -1}, {"pids": {"limit": -1}}),
    ],
)
def test_limits(asked: dict[str, Any], want: dict[str, Any]) -> None:
    limits, warnings = checked(HostConfig(**asked), ALL)
    assert resources(limits, ALL) == want
    warned = [warning.partition(",")[0] for warning in warnings]
    unlimited = ["OOM killer is disabled for the container"]
    assert warned == (unlimited if asked.get("oom_kill_disable") else [])


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"memory": 64 * MIB}, "memory limit capabilities or the cgroup is not mounted. Limit"),
        ({"memory_reservation": 8 * MIB}, "memory soft limit capabilities or the cgroup is not "),
        ({"memory_swappiness": 10}, "memory swappiness capabilities or the cgroup is not mounted"),
        ({"oom_kill_disable": True}, "OomKillDisable. OomKillDisable discarded."),
        ({"nano_cpus": 10**9}, "CPU CFS scheduler. CPU period/quota discarded."),
        ({"cpu_quota": 5000}, "CPU CFS scheduler. CPU period/quota discarded."),
        ({"cpu_shares": 512}, "CPU shares or the cgroup is not mounted. Shares discarded."),
        ({"cpuset_cpus": "0"}, "cpuset or the cgroup is not mounted. Cpuset discarded."),
        ({"pids_limit": 5}, "PIDs limit capabilities or the cgroup is not mounted. PIDs limit "),
    ],
)
def test_what_cannot_be_held_is_left_out(asked: dict[str, Any], words: str) -> None:
    limits, (warning,) = checked(HostConfig(**asked), NONE)
    assert warning.startswith(f"Your kernel does not support {words}")
    assert resources(limits, NONE) == {}
    # A container that comes from a machine that could starts too.
    assert resources(HostConfig(**asked), NONE) == {}


def test_no_limit_is_nothing_to_warn_of() -> None:
    assert checked(HostConfig(pids_limit=-1, oom_kill_disable=False), NONE)[1] == []


def test_no_limit_of_swap() -> None:
    without = ALL._replace(swap=False)
    limits, (warning,) = checked(HostConfig(memory=64 * MIB), without)
    assert warning.endswith("the cgroup is not mounted. Memory limited without swap.")
    assert resources(limits, without) == {"memory": {"limit": 64 * MIB}}
    assert checked(HostConfig(memory=64 * MIB, memory_swap=-1), without)[1] == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"memory": MIB}, "Minimum memory limit allowed is 6MB"),
        (
            {"memory": 64 * MIB, "memory_swap": 32 * MIB},
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ),
        (
            {"memory_swap": 32 * MIB},
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ),
        ({"memory_swappiness": 101}, "Invalid value: 101, valid memory swappiness range is 0-100"),
        ({"memory_reservation": MIB}, "Minimum memory reservation allowed is 6MB"),
        (
            {"memory": 8 * MIB, "memory_reservation": 9 * MIB},
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ),
        (
            {"nano_cpus": 1, "cpu_period": 5000},
            "Conflicting options: Nano CPUs and CPU Period cannot both be set",
        ),
        (
            {"nano_cpus": 1, "cpu_quota": 5000},
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
        ),
        (
            {"nano_cpus": 5 * 10**9},
            "range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available",
        ),
        ({"cpu_shares": -1}, "invalid CPU shares (-1): value must be a positive integer"),
        (
            {"cpu_period": 999},
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ),
        ({"cpu_quota": 999}, "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
        ({"cpuset_cpus": "a"}, "Invalid value a for cpuset cpus"),
        ({"cpuset_mems": "1-0"}, "Invalid value 1-0 for cpuset mems"),
        (
            {"cpuset_cpus": "3-4"},
            "Requested CPUs are not available - requested 3-4, available: 0-3",
        ),
        (
            {"cpuset_mems": "1"},
            "Requested memory nodes are not available - requested 1, available: 0",
        ),
    ],
)
def test_what_makes_no_sense(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSettings) as raised:
        checked(HostConfig(**asked), ALL)
    assert str(raised.value) == words


@pytest.mark.parametrize(
    ("text", "want"),
    [("", set()), ("0", {0}), ("0-2,5", {0, 1, 2, 5}), ("1,1", {1}), ("0-0", {0})],
)
def test_numbers(text: str, want: set[int]) -> None:
    assert numbers(text) == want


@pytest.mark.parametrize("text", ["a", "1-", "-1", "2-1", "1-2-3", "1;2", " 1"])
def test_no_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="no list of numbers"):
        numbers(text)


def test_absurd_lists_take_no_memory() -> None:
    assert len(numbers("0-99999999999999999999")) <= 2**16 + 1


def test_this_machine() -> None:
    assert 0 in numbers(found().cpus)
