"""``ferry completion``."""

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell, as in: source <(ferry completion bash)."""
    from ferryman.cli.main import cli

    complete = get_completion_class(shell)
    assert complete is not None
    script = complete(cli, {}, "ferry", "_FERRY_COMPLETE").source()
    click.echo(script)
