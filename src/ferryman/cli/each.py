"""The same for each of several names, as docker's commands do it."""

from collections.abc import Callable, Sequence

import click

from ferryman.errors import FerryError


def for_each(names: Sequence[str], action: Callable[[str], object]) -> int:
    """Do something to each name and print those with which it worked; return the exit code.

    What does not work is told, and the next one is tried.  An action that returns False has had
    nothing to do, and its name is not printed.
    """
    code = 0
    for name in names:
        try:
            done = action(name)
        except FerryError as e:
            click.echo(f"Error: {e}", err=True)
            code = 1
        else:
            if done is not False:
                click.echo(name)
    return code
