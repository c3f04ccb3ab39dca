"""``ferry version``."""

import platform

import click

from ferryman import __version__


@click.command("version")
def command() -> None:
    """Show the version, and the Python that it runs on."""
    click.echo(f"ferry version {__version__}, Python {platform.python_version()}")
