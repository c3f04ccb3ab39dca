"""The store that the command line works on."""

import os

import click

from ferryman.store.layout import Store, default_root, open_store


def container_store(*, first: bool = False) -> Store:
    """Open that store for a command on containers, for which an ordinary user becomes root.

    That is in a user namespace, which this process does not leave again.  It is not needed where
    there are no containers, unless this command makes the `first`.  Raises StoreError,
    NoUserNamespace, MissingProgram.
    """
    store = chosen_store()
    if os.geteuid() and (first or os.path.isdir(store.containers)):
        from ferryman.runtime import rootless

        rootless.enter(store)
    return store


def chosen_store() -> Store:
    """Open the store of ``--root``, ``FERRY_ROOT`` or this user; raises StoreError."""
    root: str | None = click.get_current_context().obj
    return open_store(root or default_root())
