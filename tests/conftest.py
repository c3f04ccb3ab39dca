"""What every test may ask for: a store, ``ferry`` on it, and a real base system."""

import os
import shutil
import signal
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.ferry import Ferry
from tests.runtime.box import busybox_tree

CI = os.environ.get("CI", "").lower() in {"1", "true"}
BOX = "box:1"
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


@pytest.fixture(scope="session")
def busybox_tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root filesystem with busybox and nothing else."""
    folder = tmp_path_factory.mktemp("busybox")
    tree = busybox_tree(folder / "tree")
    tar = folder / "busybox.tar"
    subprocess.run(["tar", "--numeric-owner", "-C", tree, "-cf", tar, "."], check=True)
    return tar


@pytest.fixture
def box(ferry: Ferry, busybox_tar: Path) -> Iterator[Ferry]:
    """A store with the image ``box:1``; whatever containers a test leaves there are removed."""
    for program in ("conmon", "runc", "busybox"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if os.getuid():
        pytest.skip("containers without user namespaces need root")
    ferry("import", "--change", 'CMD ["sh"]', "--change", "ENV PATH=/bin", busybox_tar, BOX)
    try:
        yield ferry
    finally:
        if left := ferry.text("ps", "--all", "--quiet").split():
            ferry("rm", "--force", "--volumes", *left)


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
