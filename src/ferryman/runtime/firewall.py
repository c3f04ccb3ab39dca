"""What netavark has written into the firewall for a network, taken out in one go.

netavark removes its rules one by one, with a program for each, and the kernel takes 10 ms over each
removal; in one transaction (iptables-restore(8)) they take as long as one does.  What is to be
removed is found among the rules that are there.  Where netavark uses something else than iptables
there are none, and it has to do its own removing.
"""

import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from itertools import pairwise

from ferryman.image import digest
from ferryman.runtime import programs
from ferryman.runtime.changing import change
from ferryman.runtime.networks import Network
from ferryman.runtime.record import Endpoint

_TIMEOUT = 60.0
_PORTS = "NETAVARK-HOSTPORT-DNAT"
_ISOLATED = "NETAVARK_ISOLATION_1"
# What the rules for a published port have in common, and with no other on the machine.
_PORT = ("-d", "-p", "--dport")

_ID = re.compile(r"\bid: ([0-9a-f]{64})\b")

Rules = Mapping[str, Sequence[str]]
"""By table: the lines of chains and rules, as iptables-save(8) prints them."""


def take_back(network: Network, container_id: str, place: Endpoint, *, alone: bool) -> bool:
    """Take out the rules for a container's published ports; with `alone` all of the network's.

    Returns False when there are none, or they could not be taken out.
    """
    done = False
    for version in ("ip6tables", "iptables") if network.ipv6 else ("iptables",):
        there = rules(_saved(version))
        removal = (
            without_network(there, network)
            if alone
            else without_ports(there, network, container_id, place)
        )
        if removal:
            done = _restored(version, removal)
    return done


def published(network: Network) -> set[str]:
    """Return the IDs of the containers that have rules for published ports in a network."""
    _, chain = _chains(network)
    return {
        match[1]
        for version in ("ip6tables", "iptables")
        for lines in rules(_saved(version)).values()
        for line in lines
        if line.startswith(f"-A {_PORTS} ") and line.endswith(f" {chain}")
        if (match := _ID.search(line))
    }


def rules(text: str) -> Rules:
    """Return what iptables-save(8) has printed."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("*"):
            lines = found.setdefault(line[1:], [])
        elif line.startswith((":", "-A ")):
            lines.append(line)
    return found


def without_network(there: Rules, network: Network) -> Rules:
    """Return the commands for iptables-restore(8) that take out all of a network's rules."""
    chains = _chains(network)
    marks = {network.interface, *chains, *(subnet.subnet for subnet in network.subnets)}
    found: dict[str, list[str]] = {}
    for table, lines in there.items():
        own = [chain for chain in chains if any(line.startswith(f":{chain} ") for line in lines)]
        calls = [line for line in lines if line.startswith("-A ") and _chain(line) not in own]
        ours = [line for line in calls if "NETAVARK" in line and marks & set(line.split())]
        if ours and not any(_chain(line) == _ISOLATED for line in calls if line not in ours):
            ours += [line for line in calls if line == f"-A FORWARD -j {_ISOLATED}"]
        # A chain can go when nothing leads there any more.
        commands = [_removal(line) for line in ours]
        commands += [f"{verb} {chain}" for chain in own for verb in ("-F", "-X")]
        if commands:
            found[table] = commands
    return found


def without_ports(there: Rules, network: Network, container_id: str, place: Endpoint) -> Rules:
    """Return the commands that take out the rules for a container's published ports."""
    _, chain = _chains(network)
    addresses = {place.ip_address, place.global_ipv6_address} - {""}
    found: dict[str, list[str]] = {}
    for table, lines in there.items():
        # The rule that leads to the chain has the container's ID, those in it have its address,
        # or nothing but the port.
        ways = [line for line in lines if line.startswith(f"-A {_PORTS} ") and container_id in line]
        led = {line: _options(line) for line in lines if line.startswith(f"-A {chain} ")}
        ports = {_port(options) for options in led.values() if _destination(options) in addresses}
        ports |= {_port(_options(line)) for line in ways}
        ours = [*ways, *(line for line, options in led.items() if _port(options) in ports)]
        if ours:
            found[table] = [_removal(line) for line in ours]
    return found


def _chains(network: Network) -> tuple[str, str]:
    """Return netavark's chains for a network: that of its traffic, and that of its ports."""
    running = digest.hasher("sha512")
    running.update(network.interface.encode())
    number = running.hexdigest()[:13].upper()
    return f"NETAVARK-{number}", f"NETAVARK-DN-{number}"


def _chain(rule: str) -> str:
    return rule.split()[1]


def _removal(rule: str) -> str:
    return f"-D{rule.removeprefix('-A')}"


def _options(rule: str) -> dict[str, str]:
    return dict(pairwise(shlex.split(rule)))


def _port(options: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(options.get(option, "") for option in _PORT)


def _destination(options: Mapping[str, str]) -> str:
    return options.get("--to-destination", "").rpartition(":")[0].strip("[]")


def _saved(version: str) -> str:
    program = programs.found(f"{version}-save")
    if program is None:
        return ""
    return subprocess.run(
        [program],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        errors="surrogateescape",
        timeout=_TIMEOUT,
        check=False,
    ).stdout


def _restored(version: str, commands: Rules) -> bool:
    program = programs.found(f"{version}-restore")
    if program is None:
        return False
    tables = ("\n".join((f"*{table}", *lines, "COMMIT\n")) for table, lines in commands.items())
    return change([program, "--noflush", "--wait"], "".join(tables)).returncode == 0
