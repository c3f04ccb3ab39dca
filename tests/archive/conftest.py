from collections.abc import Iterator
from pathlib import Path

import pytest

from ferryman.store.layout import open_store
from ferryman.store.lease import Lease, hold


@pytest.fixture
def lease(store: Path) -> Iterator[Lease]:
    """A lease on an empty store, for what is taken in."""
    with hold(open_store(str(store))) as lease:
        yield lease
