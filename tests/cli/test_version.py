import platform

from ferryman import __version__
from tests.cli.conftest import Answer, Ask


def test_version(ask: Ask) -> None:
    python = platform.python_version()
    assert ask("version") == Answer(0, f"ferry version {__version__}, Python {python}\n")
    for flag in ("-v", "--version"):
        assert ask(flag) == Answer(0, f"ferry version {__version__}\n")


def test_no_arguments(ask: Ask) -> None:
    assert ask("version", "x").code == 1
