"""The command ``ferry``: finds the subcommand's module, and turns errors into one line."""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

import click

from ferryman import __version__
from ferryman.cli.lazy import LazyGroup
from ferryman.errors import FerryError

_COMMANDS = {
    "attach": "attach",
    "build": "build",
    "builder": "builder",
    "commit": "commit",
    "completion": "completion",
    "container": "container",
    "copy": "copy",
    "cp": "cp",
    "create": "create",
    "diff": "container_diff",
    "exec": "exec_",
    "export": "export",
    "history": "history",
    "image": "image",
    "images": "images",
    "import": "import_",
    "inspect": "inspect",
    "inventory": "inventory",
    "kill": "kill",
    "load": "load",
    "login": "login",
    "logout": "logout",
    "logs": "logs",
    "move": "move",
    "network": "network",
    "pause": "pause",
    "port": "port",
    "pull": "pull",
    "push": "push",
    "ps": "ps",
    "rename": "rename",
    "restart": "restart",
    "rm": "rm",
    "rmi": "remove",
    "run": "run",
    "save": "save",
    "start": "start",
    "stats": "stats",
    "stop": "stop",
    "sync": "sync",
    "system": "system",
    "tag": "tag",
    "top": "top",
    "unpause": "unpause",
    "verify": "verify",
    "version": "version",
    "volume": "volume",
    "wait": "wait",
}


class _Unread(Exception):
    """Nobody reads the output any more."""


class _Cli(LazyGroup):
    def invoke(self, ctx: click.Context) -> Any:
        """Call the command; what click makes of a pipe that nobody reads is not docker's."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as e:
            raise _Unread from e


@click.group(
    cls=_Cli,
    modules=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--root",
    metavar="DIR",
    help="The store to work on (default: $FERRY_ROOT, else /var/lib/ferry as root, "
    "$XDG_DATA_HOME/ferry otherwise).",
)
@click.version_option(__version__, "-v", "--version", message="ferry version %(version)s")
@click.pass_context
def cli(context: click.Context, root: str | None) -> None:
    """Save, move and run container images without a daemon."""
    context.obj = root


def run() -> NoReturn:
    """Run the command line and exit with docker's exit codes."""
    signal.signal(signal.SIGTERM, _terminated)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # not under nohup
        signal.signal(signal.SIGHUP, _terminated)
    _open_what_is_closed()
    code = main(sys.argv[1:])
    try:
        sys.stdout.flush()
    except OSError:
        # It has been told already; Python would try once more, and tell it in its own words.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    with suppress(OSError):
        sys.stderr.flush()
    # To take down what is about to go anyway would take Python longer than many a command.
    os._exit(code)


def main(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        result: Any = cli.main(arguments, prog_name="ferry", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except FerryError as e:
        return _fail(f"Error: {_one_line(e)}", e.exit_code)
    except click.exceptions.NoArgsIsHelpError as e:
        click.echo(e.format_message())
        return 0
    except click.UsageError as e:
        return _usage(e)
    except click.ClickException as e:
        return _fail(f"Error: {e.format_message()}", 1)
    except (KeyboardInterrupt, click.Abort):
        return _fail("", 130)
    except (_Unread, BrokenPipeError):
        # There is nobody to tell either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except OSError as e:
        place = f"{e.filename}: " if e.filename else ""
        return _fail(f"Error: {place}{e.strerror or e}", 1)


def _usage(error: click.UsageError) -> int:
    from ferryman.cli.usage import words

    message, code = words(error)
    lines = [f"ferry: {message}"]
    if error.ctx:
        lines.append(error.ctx.get_usage().replace("Usage: ", "Usage:  ", 1))
    command = error.ctx.command_path if error.ctx else "ferry"
    lines.append(f"Run '{command} --help' for more information")
    return _fail("\n\n".join(lines), code)


def _fail(message: str, code: int) -> int:
    if message:
        click.echo(message, err=True)
    return code


def _one_line(error: Exception) -> str:
    """Write a message so that nothing in it (a name from an archive) reaches the terminal raw."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(error))


def _open_what_is_closed() -> None:
    """Put something in the place of closed outputs; the next file to be opened would get it.

    Writing to what was standard output goes on to fail.
    """
    for fd, name, flags in ((1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, flags)
            if null != fd:
                os.dup2(null, fd)
                os.close(null)
            setattr(sys, name, os.fdopen(fd, "w"))


def _terminated(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)
