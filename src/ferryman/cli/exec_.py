"""``ferry exec``, ``ferry container exec``."""

import sys

import click

from ferryman.cli.attach import detached
from ferryman.cli.flags.grammar import FlagCommand, Value, switch
from ferryman.cli.flags.variables import environment, variable
from ferryman.cli.stores import container_store
from ferryman.errors import FerryError


@click.command("exec", cls=FlagCommand)
@switch("-d --detach", "Detached mode: run command in the background")
@click.option("--detach-keys", default="", metavar="KEYS", help="The keys that detach")
@click.option(
    "-e",
    "--env",
    multiple=True,
    type=Value(variable, "NAME=VALUE"),
    help="Set environment variables",
)
@click.option(
    "--env-file", "env_files", multiple=True, metavar="FILE", help="Read in a file of variables"
)
@switch("-i --interactive", "Keep STDIN open even if not attached")
@switch("--privileged", "Give extended privileges to the command")
@switch("-t --tty", "Allocate a pseudo-TTY")
@click.option("-u", "--user", default="", metavar="USER[:GROUP]", help="Username or UID")
@click.option("-w", "--workdir", default="", metavar="DIR", help="Working directory inside")
@click.argument("name", metavar="CONTAINER")
@click.argument("words", nargs=-1, required=True, metavar="COMMAND [ARG...]")
def command(
    detach: bool,
    detach_keys: str,
    env: tuple[str, ...],
    env_files: tuple[str, ...],
    interactive: bool,
    privileged: bool,
    tty: bool,
    user: str,
    workdir: str,
    name: str,
    words: tuple[str, ...],
) -> int:
    """Execute a command in a running container."""
    from ferryman.operations.exec_ import Command, execute
    from ferryman.runtime import record, terminal
    from ferryman.runtime.attach import Streams
    from ferryman.runtime.engine import EngineError

    variables = environment(env_files, env)
    keys = terminal.parse_keys(detach_keys)
    store = container_store()
    record.find(store, name)
    if tty and interactive and not detach:
        terminal.check(0)
    wanted = Command(words, variables, tty, user, workdir, privileged)
    streams = None if detach else Streams(0 if interactive else None, 1, 2)
    sys.stdout.flush()
    try:
        code = execute(store, name, wanted, streams, detach_keys=keys)
    except EngineError as e:
        # As docker: only somebody who waits for the command gets its exit code.
        raise (FerryError(str(e)) if detach else e) from None
    return detached() if code is None and not detach else code or 0
