"""Firewall rules and bridges: there while somebody needs them."""

import json
import subprocess
from pathlib import Path

from tests.ferry import Ferry


def rules() -> list[str]:
    """Return all firewall rules: without counters, and without chains, which stay."""
    said = subprocess.run(["iptables-save"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [line for line in said.splitlines() if line.startswith("-A ")]


def of(box: Ferry, container: str) -> list[str]:
    """Return the rules that name a container or its address."""
    address = box.text("inspect", "--format", "{{.NetworkSettings.IPAddress}}", container)
    container_id = box.text("inspect", "--format", "{{.Id}}", container)
    return [rule for rule in rules() if f" {address}:" in rule or container_id in rule]


def bridge(box: Ferry) -> Path:
    network = json.loads((box.root / "networks/bridge.json").read_bytes())
    return Path("/sys/class/net", f"fy-{network['id'][:12]}")


def test_ports_of_a_container_that_ends_leave_those_of_others(box: Ferry) -> None:
    def run(name: str, *ports: str) -> None:
        flags = [word for port in ports for word in ("-p", port)]
        box("run", "-d", "--rm", "--name", name, *flags, "box:1", "sleep", "1000")

    run("first", "127.0.0.1::80", "127.0.0.1::53/udp")
    kept = of(box, "first")
    run("second", "127.0.0.1::80", "127.0.0.1::81")
    address = box.text("inspect", "--format", "{{.NetworkSettings.IPAddress}}", "second")
    assert len(of(box, "second")) == 4  # one that leads to it, and its own, for each port
    assert bridge(box).is_dir()
    box("rm", "--force", "second")
    assert not [rule for rule in rules() if f" {address}:" in rule]
    assert of(box, "first") == kept
    name = bridge(box).name
    box("rm", "--force", "first")
    assert not [rule for rule in rules() if name in rule]
    assert not bridge(box).exists()


def test_of_containers_that_end_at_once_one_is_the_last(box: Ferry) -> None:
    names = [f"many-{number}" for number in range(8)]
    for name in names:
        box("run", "-d", "--stop-signal", "KILL", "--name", name, "box:1", "sleep", "1000")
    stopped = box("stop", *names, "none", check=False)
    assert stopped.stdout.decode().split() == names
    assert stopped.stderr == b"Error: No such container: none\n"
    assert not [rule for rule in rules() if bridge(box).name in rule]
    assert not bridge(box).exists()
