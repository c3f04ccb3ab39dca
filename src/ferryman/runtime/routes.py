"""The ranges of addresses that this machine has a route to, or an address in."""

import json
import subprocess
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from ferryman.errors import FerryError
from ferryman.runtime import programs

_TIMEOUT = 30.0


def used() -> list[IPv4Network | IPv6Network]:
    """Return all ranges but the default routes; raises MissingProgram, FerryError."""
    ip = programs.needed("ip", "iproute2", "to find addresses that are free")
    found: list[IPv4Network | IPv6Network] = []
    for version in ("-4", "-6"):
        for route in _asked(ip, version, "route", "show", "table", "all"):
            with suppress(ValueError):
                found.append(ip_network(route.get("dst", ""), strict=False))
        for link in _asked(ip, version, "address", "show"):
            for address in link.get("addr_info", ()):
                with suppress(ValueError, KeyError):
                    text = f"{address['local']}/{address['prefixlen']}"
                    found.append(ip_network(text, strict=False))
    return [each for each in found if each.prefixlen and not each.is_link_local]


def _asked(ip: str, *words: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [ip, "-json", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_TIMEOUT,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise FerryError(f"ip {' '.join(words)}: {said}")
    # With nothing to show, it prints nothing.
    answer = json.loads(done.stdout or b"[]")
    return [each for each in answer if isinstance(each, dict)]
