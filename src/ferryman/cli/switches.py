"""Switches that have a value, as docker's may: ``--human=false``, ``-q=true``."""

from collections.abc import Sequence

import click


def without_values(command: click.Command, args: Sequence[str], ctx: click.Context) -> list[str]:
    """Return a command line without such values, which click does not know.

    A switch that is false is left out, or replaced by the one that says so.  Raises FlagError.
    """
    end = args.index("--") if "--" in args else len(args)
    plain = [word for arg in args[:end] for word in _plain(command, arg, ctx)]
    return [*plain, *args[end:]]


def _plain(command: click.Command, arg: str, ctx: click.Context) -> Sequence[str]:
    name, equals, value = arg.partition("=")
    if not equals or not name.startswith("-"):
        return [arg]
    for param in command.params:
        if isinstance(param, click.Option) and param.is_flag and name in param.opts:
            return [name] if _true(param, value, ctx) else param.secondary_opts[:1]
    return [arg]


def _true(option: click.Option, value: str, ctx: click.Context) -> bool:
    from ferryman.cli.flags.grammar import refusal, truth

    try:
        return truth(value)
    except ValueError as e:
        raise refusal(option.opts, value, str(e), ctx) from None
