"""What every test may ask for: a store, ``ferry`` on it, and a real base system."""

import os
import signal
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.ferry import Ferry

CI = os.environ.get("CI", "").lower() in {"1", "true"}
SCRIPTS = Path(__file__).parent.parent / "scripts"


def fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """On CI everything is there that a test may need, so a skip hides a fault."""
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped on CI: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_if_skipped(report)
    return report


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A root where no store has been made yet."""
    return tmp_path / "store"


@pytest.fixture
def ferry(store: Path) -> Ferry:
    """``ferry`` as a process of its own, on `store` unless a call names another root."""
    return Ferry(store)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let Ctrl-C reach what is started, even where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def base_tar() -> Path:
    """The tar of a debootstrapped system with Python; made once a machine and kept."""
    if os.getuid() != 0:
        pytest.skip("debootstrap needs root")
    made = subprocess.run([SCRIPTS / "make-base"], stdout=subprocess.PIPE, check=True)
    return Path(made.stdout.decode().strip())


@pytest.fixture(scope="session")
def base_tree(base_tar: Path) -> Path:
    """The system that is in `base_tar`, unpacked; not to be written to."""
    return base_tar.with_suffix("")
