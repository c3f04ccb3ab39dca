"""A store that is open already."""

from pathlib import Path

import pytest

from ferryman.store.layout import Store, open_store


@pytest.fixture
def here(store: Path) -> Store:
    """The store at `store`, made."""
    return open_store(str(store))
