"""The examples do what they say."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
NEEDED = ("debootstrap", "conmon", "runc", "curl", "iptables")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_the_article(store: Path, base_tar: Path) -> None:
    """It asks the app itself, three times, and fails when that is not there."""
    for program in NEEDED:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    done = subprocess.run(
        [EXAMPLES / "article/run"],
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "FERRY_ROOT": str(store),
            "PORT": str(free_port()),
            # Where packages are only to be had with certificates of one's own.
            "CA": os.environ.get("SSL_CERT_FILE", ""),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=600,
        check=False,
    )
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said
    assert said.count('{"Hello":"World"}') == 3
