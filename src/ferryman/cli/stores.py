"""The store that the command line works on."""

import click

from ferryman.store.layout import Store, default_root, open_store


def chosen_store() -> Store:
    """Open the store of ``--root``, ``FERRY_ROOT`` or this user; raises StoreError."""
    root: str | None = click.get_current_context().obj
    return open_store(root or default_root())
