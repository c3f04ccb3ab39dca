"""``ferry`` in this process: as a user sees it, but soon done."""

import io
import os
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from ferryman.cli.main import main
from ferryman.store.layout import open_store
from tests.cli.some_images import PARTS
from tests.images import load_into


class Answer(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str = ""


class Ask(Protocol):
    """Runs one command on a store; `stdin` is what the user types."""

    def __call__(self, *args: str, root: Path | str | None = None, stdin: str = "") -> Answer: ...


@pytest.fixture
def ask(
    store: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Ask:
    """``ferry`` on `store`, unless a call names another root."""

    def command(*args: str, root: Path | str | None = None, stdin: str = "") -> Answer:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        code = main(["--root", str(root or store), *args])
        return Answer(code, *map(os.fsdecode, capfdbinary.readouterr()))

    return command


@pytest.fixture(scope="module")
def some_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a store with the images of `some_images`, only to be looked at."""
    root = tmp_path_factory.mktemp("some") / "root"
    load_into(open_store(str(root)), PARTS)
    return root
