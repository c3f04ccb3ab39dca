"""What the figures depend on: the machine, and the versions of all that was measured."""

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from benchmarks.peers import Peers


def machine(folder: Path) -> Mapping[str, str]:
    """Return what describes this machine and the filesystem of a folder, and nothing that names it.

    A kernel's release may tell who made it; its version does not.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "Processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "SHA instructions": "yes" if _has_sha() else "no",
        "Memory": f"{memory / 2**30:.0f} GiB",
        "Kernel": " ".join(re.findall(r"^[\d.]+", platform.release())) or platform.release(),
        "Filesystem": _filesystem(folder),
        # More than there are processors: others were at work too.
        "Load at the end": f"{os.getloadavg()[2]:.1f} in the last 15 minutes",
    }


def versions(peers: Peers) -> Mapping[str, str]:
    """Return the versions of ferry, its peers and the references."""
    said = {
        "ferry": peers.ferry.text("version"),
        "Python": platform.python_version(),
        "docker": peers.docker.text("version", "--format", "{{.Server.Version}}"),
        "podman": peers.podman.text("--version"),
        "skopeo": _said("skopeo", "--version"),
        "OpenSSL": _said("openssl", "version"),
        "coreutils": _said("cp", "--version"),
    }
    return {name: _number(text) for name, text in said.items()}


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _has_sha() -> bool:
    return bool(re.search(r"\b(sha_ni|sha2)\b", Path("/proc/cpuinfo").read_text()))


def _filesystem(folder: Path) -> str:
    """Return the type of the filesystem that a folder is on."""
    best, kind = "", "unknown"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        point = fields[4]
        if folder.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, fields[fields.index("-") + 1]
    return kind


def _said(*argv: str) -> str:
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout


def _number(text: str) -> str:
    found = re.search(r"\d+(\.\d+)+[\w.]*", text)
    return found[0] if found else text.strip()
