"""Tests of registries know nothing of the user's own settings."""

from pathlib import Path

import pytest

from ferryman.registry import credentials
from ferryman.registry.credentials import Credentials
from ferryman.store.layout import Store, open_store

USER = Credentials("me", "very secret")


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("FERRY_REGISTRIES", str(tmp_path / "registries.toml"))


@pytest.fixture
def opened(store: Path) -> Store:
    """A store with nothing in it."""
    return open_store(str(store))


def known_at(host: str) -> None:
    """Have the user known at a registry."""
    credentials.keep(host, USER)
