"""Command groups that import a subcommand's module only when it is called."""

from importlib import import_module
from typing import Any

import click

from ferryman.cli.switches import without_values


class LazyGroup(click.Group):
    """A group of the commands in modules of this package: name → module, which has `command`."""

    def __init__(self, *args: Any, modules: dict[str, str] | None = None, **kwargs: Any) -> None:
        """Take the modules beside what click takes."""
        super().__init__(*args, **kwargs)
        self._modules = modules or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands but the aliases, sorted."""
        seen: dict[str, str] = {}
        for name, module in self._modules.items():
            seen.setdefault(module, name)
        return sorted(seen.values())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        module = self._modules.get(cmd_name)
        if module is None:
            return None
        command: click.Command = import_module(f"ferryman.cli.{module}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name, or fail with docker's words."""
        if args and args[0] not in self._modules and not args[0].startswith("-"):
            raise click.UsageError(f"unknown command: {ctx.command_path} {args[0]}", ctx)
        name, command, rest = super().resolve_command(ctx, args)
        if command and command.allow_interspersed_args:
            inner = click.Context(command, ctx, info_name=args[0])
            rest = without_values(command, rest, inner)
        # What help and errors call the command is what the user typed.
        return args[0] if args else name, command, rest
