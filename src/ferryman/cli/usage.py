"""What docker says of a command line that has the wrong form, and the exit code that goes with it.

docker exits with 125 where a flag is wrong, and with 1 where an argument is.
"""

import click

from ferryman.cli.flags.grammar import FlagError

# docker takes more arguments than these know what to do with, and says nothing of a most.
_WITHOUT_A_MOST = frozenset(("import",))


def words(error: click.UsageError) -> tuple[str, int]:
    """Return docker's message and exit code for an error that click found."""
    if isinstance(error, FlagError):
        return error.message, 125
    if isinstance(error, click.NoSuchOption):
        kind = "flag" if error.option_name.startswith("--") else "shorthand flag"
        return f"unknown {kind}: {_quoted(error.option_name)}", 125
    if isinstance(error, click.BadOptionUsage):
        if "requires an argument" in error.message:
            return f"flag needs an argument: {_quoted(error.option_name)}", 125
        return error.format_message(), 125
    if isinstance(error, click.MissingParameter) and isinstance(error.param, click.Argument):
        return _arity(error), 1
    if error.message.startswith("Got unexpected extra argument"):
        return _arity(error), 1
    wrong_flag = isinstance(error, click.BadParameter) and isinstance(error.param, click.Option)
    return error.format_message(), 125 if wrong_flag else 1


def _quoted(flag: str) -> str:
    return flag if flag.startswith("--") else f"'{flag[1:]}' in {flag}"


def _arity(error: click.UsageError) -> str:
    """Say how many arguments the command takes."""
    assert error.ctx is not None
    taken = [each for each in error.ctx.command.params if isinstance(each, click.Argument)]
    least = sum(each.required for each in taken)
    most = None if any(each.nargs < 0 for each in taken) else len(taken)
    command = f"'{error.ctx.command_path}'"
    if most == 0:
        return f"{command} accepts no arguments"
    if most is None or error.ctx.command.name in _WITHOUT_A_MOST:
        return f"{command} requires at least {_arguments(least)}"
    if most == least:
        return f"{command} requires {_arguments(most)}"
    if not least:
        return f"{command} requires at most {_arguments(most)}"
    return f"{command} requires at least {least} and at most {_arguments(most)}"


def _arguments(number: int) -> str:
    return f"{number} argument" if number == 1 else f"{number} arguments"
