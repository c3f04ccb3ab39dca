"""What stats says of containers is what they do."""

import json
import re
from pathlib import Path

import pytest

from tests.containers.test_life import RUN, said, until
from tests.ferry import Ferry
from tests.terminal import on_terminal

HEADER = "CONTAINER ID NAME CPU % MEM USAGE / LIMIT MEM % NET I/O BLOCK I/O PIDS"
_UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def amount(text: str) -> float:
    match = re.fullmatch(r"([0-9.]+)([a-zA-Z]+)", text.strip())
    assert match
    return float(match[1]) * _UNITS[match[2]]


def pair(text: str) -> tuple[float, float]:
    first, second = text.split(" / ")
    return amount(first), amount(second)


def stats(box: Ferry, name: str) -> dict[str, str]:
    return dict(json.loads(box.text("stats", "--no-stream", "--format", "json", name)))


def start(box: Ferry, name: str, script: str, *flags: str) -> None:
    """Start a container and wait until its script says that it is ready."""
    box("run", "-d", "--name", name, *flags, "box:1", "sh", "-c", script)
    until(lambda: "ready" in box.text("logs", name))


def test_a_busy_one(box: Ferry) -> None:
    script = "echo ready; while :; do :; done"
    start(box, "busy", script, "--network", "none", "--cpus", "0.2", "-m", "64m")
    found = stats(box, "busy")
    assert 8 <= float(found["CPUPerc"].rstrip("%")) <= 30
    used, limit = pair(found["MemUsage"])
    assert 0 < used < limit == 64 << 20
    assert float(found["MemPerc"].rstrip("%")) == pytest.approx(100 * used / limit, abs=0.01)
    assert found["PIDs"] == "1"
    assert found["NetIO"] == "0B / 0B"
    assert found["Name"] == found["Container"] == "busy"


def test_memory_is_without_what_the_kernel_can_drop(box: Ferry) -> None:
    held = "dd if=/dev/zero of=/dev/shm/held bs=1M count=20"
    cached = "dd if=/dev/zero of=/cached bs=1M count=40 conv=fsync"
    script = f"{held}; {cached}; sleep 1000 & echo ready; wait"
    start(box, "holds", script, "--network", "none")
    found = stats(box, "holds")
    used, limit = pair(found["MemUsage"])
    assert 20 << 20 <= used < 40 << 20
    machine = int(re.findall(r"MemTotal: *([0-9]+)", Path("/proc/meminfo").read_text())[0])
    assert limit == pytest.approx(machine * 1024, rel=0.01)
    assert found["PIDs"] == "2"


def test_what_is_written_to_the_disk(box: Ferry) -> None:
    script = "dd if=/dev/zero of=/file bs=1M count=8 conv=fsync; echo ready; sleep 1000"
    start(box, "writes", script, "--network", "none")
    _, written = pair(stats(box, "writes")["BlockIO"])
    assert written >= 8e6


def test_what_comes_over_the_network(box: Ferry) -> None:
    script = "ping -q -c 2 -s 4000 $(ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p');"
    start(box, "talks", f"{script} echo ready; sleep 1000")
    received, sent = pair(stats(box, "talks")["NetIO"])
    assert 8000 <= sent < 100_000
    assert 8000 <= received < 100_000
    # Who shares the host's network has no part of it that could be counted.
    box("run", "-d", "--name", "hosted", "--network", "host", "box:1", "sleep", "1000")
    assert stats(box, "hosted")["NetIO"] == "0B / 0B"


def test_the_table(box: Ferry) -> None:
    first = box.text(*RUN, "-d", "--name", "first", "box:1", "sleep", "1000")
    second = box.text(*RUN, "-d", "--name", "second", "box:1", "sleep", "1000")
    box("create", "--name", "third", "box:1")
    header, *rows = box.text("stats", "--no-stream").splitlines()
    assert header.split() == HEADER.split()
    assert [row.split()[:2] for row in rows] == [[second[:12], "second"], [first[:12], "first"]]
    _, *rows = box.text("container", "stats", "-a", "--no-stream", "--no-trunc").splitlines()
    assert len(rows) == 3
    assert rows[0].split()[1:] == "third 0.00% 0B / 0B 0.00% 0B / 0B 0B / 0B 0".split()
    assert rows[2].startswith(first)
    form = "{{.Container}} {{.ID}} {{.Name}}"
    named = box.text("stats", "--no-stream", "--format", form, first[:5], "second", "first")
    assert named.splitlines() == [f"{first[:5]} {first[:12]} first", f"second {second[:12]} second"]


def test_who_is_not_there(box: Ferry) -> None:
    assert said(box, "stats", "--no-stream", "nobody", code=1) == (
        "Error: No such container: nobody"
    )
    box("create", "--name", "still", "box:1")
    assert "can't evaluate field Foo in type *container.statsContext" in said(
        box, "stats", "--no-stream", "--format", "{{.Foo}}", "still", code=1
    )


def test_the_live_view_ends_with_the_last_that_was_named(box: Ferry) -> None:
    box(*RUN, "-d", "--rm", "--name", "short", "box:1", "sleep", "2.5")
    done = box("stats", "short")
    first, *more = done.stdout.split(b"\x1b[H")[1:]
    assert first.startswith(b"CONTAINER ID")
    assert first.endswith(b"\n\x1b[J")
    assert first.count(b"\x1b[K\n") == 2
    assert b" short " in first
    assert more


def test_the_live_view_is_left_by_ctrl_c(box: Ferry) -> None:
    box(*RUN, "-d", "--name", "long", "box:1", "sleep", "1000")
    until_it_shows = ("timeout", "--foreground", "-s", "INT", "2.5")
    command = box.at(None)
    shown = on_terminal(type(command)((*until_it_shows, *command.argv)), "stats")
    assert shown.lines[0].split() == HEADER.split()
    assert shown.lines[1].split()[1] == "long"


def test_without_a_group_of_its_own_the_processes_are_counted(box: Ferry) -> None:
    """As for an ordinary user on a machine that gives users no control groups."""
    from ferryman.runtime import cgroups
    from ferryman.runtime.usage import processes, usage

    script = "while :; do :; done & sleep 1000 & echo ready; wait"
    start(box, "plain", script, "--network", "none", "--cpus", "0.5")
    container = box.text("inspect", "-f", "{{.Id}}", "plain")
    pid = int(box.text("inspect", "-f", "{{.State.Pid}}", "plain"))
    assert cgroups.groups(container, pid)
    assert not cgroups.groups("0" * 64, pid)
    assert len(processes(container, pid)) == 3
    assert processes("0" * 64, pid) == processes(container, pid)
    box("exec", "-d", "plain", "sleep", "1000")
    until(lambda: usage(container, pid, network=True).processes == 4)
    with_groups = usage(container, pid, network=True)
    assert processes("0" * 64, pid) == processes(container, pid)
    without = usage("0" * 64, pid, network=True)
    assert without.processes == with_groups.processes
    assert without.memory > 0
    assert without.memory_limit == with_groups.memory_limit
    assert without.cpu > 0
    assert without.cpu == pytest.approx(with_groups.cpu, abs=0.3)


def test_ps_of_a_group_below(box: Ferry) -> None:
    """A container may make groups of its own within its group, as systemd does."""
    from ferryman.runtime import cgroups
    from ferryman.runtime.usage import processes

    box(*RUN, "-d", "--name", "nested", "box:1", "sleep", "1000")
    container = box.text("inspect", "-f", "{{.Id}}", "nested")
    pid = int(box.text("inspect", "-f", "{{.State.Pid}}", "nested"))
    groups = cgroups.groups(container, pid)
    folders = {Path(groups[name]) / "below" for name in groups}
    for folder in folders:
        folder.mkdir()
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (folder / setting).exists():
                (folder / setting).write_text((folder.parent / setting).read_text())
        (folder / "cgroup.procs").write_text(str(pid))
    assert processes(container, pid) == [pid]
    assert cgroups.groups(container, pid) == groups
