"""What imports what: downwards only, and little of it before it is needed."""

import subprocess
import sys
from pathlib import Path

from tests.ferry import Ferry

ROOT = Path(__file__).parent.parent
HEAVY = {"rich", "httpx", "yaml", "zstandard", "isal", "ctypes", "asyncio", "ssl", "http.client"}


def test_imports_point_downwards() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "imports point downwards KEPT" in done.stdout


def imported(ferry: Ferry, *args: str) -> set[str]:
    """Return the modules that a command imports."""
    code = (
        "import sys; from ferryman.cli.main import main; "
        "code = main(sys.argv[1:]); print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--root", ferry.root, *args], capture_output=True, check=True
    )
    return set(done.stderr.decode().split())


def test_nothing_heavy_for_a_list(ferry: Ferry) -> None:
    for args in (["image", "ls"], ["ps"], ["version"]):
        modules = imported(ferry, *args)
        assert not modules & HEAVY
        assert not any(name.startswith("ferryman.cli.gotemplate") for name in modules)
