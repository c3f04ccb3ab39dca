"""What tests of networks have in common."""

import secrets
import subprocess

from tests.ferry import Ferry

IMAGE = "box:1"


def free_subnet() -> str:
    """Return a subnet that hardly anybody else on this machine has: ``10.20.30.0/24``."""
    return f"10.{64 + secrets.randbelow(190)}.{secrets.randbelow(256)}.0/24"


def failed(box: Ferry, *args: str, code: int = 1) -> str:
    """Run what must fail with this exit code, and return the line that it says."""
    done: subprocess.CompletedProcess[bytes] = box(*args, check=False)
    assert (done.returncode, done.stdout) == (code, b"")
    return done.stderr.decode().strip()


def sleeping(box: Ferry, *flags: str) -> str:
    """Start a container that does nothing, and return its ID."""
    return box.text("run", "-d", *flags, IMAGE, "sleep", "1000")


def inside(box: Ferry, container: str, script: str) -> str:
    """Return what a script prints in a container."""
    return box.text("exec", container, "sh", "-c", script)


def address(box: Ferry, container: str, network: str) -> str:
    """Return a container's address in a network."""
    form = f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
    return box.text("inspect", "-f", form, container)
