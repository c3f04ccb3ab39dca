"""pasta: what carries the packets of an ordinary user's container, in and out.

Without being root nobody can connect a network namespace to the machine's own network.  pasta (of
the package passt) has one end in the namespace, a network interface, and the other outside, where
it opens the connections of the container as its own, and listens on the published ports.
"""

import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from ferryman.errors import FerryError
from ferryman.rootfs import syscalls
from ferryman.rootfs.namespace import private_mounts
from ferryman.runtime import programs, record
from ferryman.runtime.record import Endpoint, Process
from ferryman.runtime.settings import InvalidSettings, PortBinding

# Nobody else is in the network, so that it can be the same for every container.
ENDPOINT = Endpoint(ip_address="10.0.2.100", ip_prefix_len=24, gateway="10.0.2.2", interface="eth0")

# An address that is nobody's, but not this machine's (RFC 5737).
_OUTSIDE = "198.51.100.1"
_TIMEOUT = 30.0  # seconds
_PATIENCE = 2.0


class NotConnected(FerryError):
    """A container could not be connected; what pasta has to say of it."""

    exit_code = 125


def start(folder: str, namespace: str, ports: Mapping[str, Sequence[PortBinding]]) -> None:
    """Connect a network namespace, by its path; `folder` is the container's.

    Returns when packets pass.  Raises NotConnected, InvalidSettings, MissingProgram.
    """
    pasta = programs.needed("pasta", "passt", "to connect containers of an ordinary user")
    command = [
        *(pasta, "--quiet", "--ipv4-only", "--config-net", "--pid", _pid_file(folder)),
        *("--ns-ifname", ENDPOINT.interface, "--address", ENDPOINT.ip_address),
        *("--netmask", str(ENDPOINT.ip_prefix_len), "--gateway", ENDPOINT.gateway),
        # The gateway is not to lead to what listens on this machine for itself alone.
        "--no-map-gw",
        *_forwarding(ports),
        *("--netns", _mounted_at(folder)),
    ]
    with open(_mounted_at(folder), "wb"):
        pass
    done = subprocess.run(
        command,
        preexec_fn=partial(_mount, namespace, _mounted_at(folder)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        timeout=_TIMEOUT,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "syslog" not in line]
        raise NotConnected(f"pasta: {' '.join(lines)}")


def _mount(namespace: str, at: str) -> None:
    """Show pasta the network namespace: a process that is about to start has it to itself."""
    private_mounts()
    syscalls.mount(namespace, at, "", syscalls.MS_BIND)


def host_address() -> str:
    """Return the address of this machine by which those connected so find it: not the gateway's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: the kernel only says by which of its addresses it would go there.
            probe.connect((_OUTSIDE, 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _forwarding(ports: Mapping[str, Sequence[PortBinding]]) -> list[str]:
    """Return the options for published ports, and for no others."""
    options = {"tcp": "--tcp-ports", "udp": "--udp-ports"}
    words: list[str] = []
    for key, bindings in ports.items():
        port, _, protocol = key.partition("/")
        if protocol not in options:
            raise InvalidSettings(f"an ordinary user cannot publish ports of {protocol}")
        for binding in bindings:
            address = f"{binding.host_ip}/" if binding.host_ip not in ("", "0.0.0.0") else ""
            words += [options[protocol], f"{address}{binding.host_port}:{port}"]
    for option in options.values():
        if option not in words:
            words += [option, "none"]
    return [*words, "--tcp-ns", "none", "--udp-ns", "none"]


def stop(folder: str) -> None:
    """End the pasta of a container, if it still runs: its ports are free then."""
    path = _pid_file(folder)
    with suppress(FileNotFoundError, ProcessLookupError, ValueError):
        with open(path, encoding="ascii") as f:
            process = record.process(int(f.read()))
        if process and _is_of(process, path):
            os.kill(process.pid, signal.SIGTERM)
            record.exited(process, timeout=_PATIENCE)
    with suppress(FileNotFoundError):
        os.unlink(path)


def _is_of(process: Process, path: str) -> bool:
    """Tell whether a process was told to write its number to this file: it may be another's now."""
    with open(f"/proc/{process.pid}/cmdline", "rb") as f:
        return os.fsencode(path) in f.read().split(b"\0")


def _pid_file(folder: str) -> str:
    return f"{folder}/pasta.pid"


def _mounted_at(folder: str) -> str:
    return f"{folder}/pasta.netns"
