"""``ferry login``."""

import sys

import click

from ferryman.errors import UsageError

_UNENCRYPTED = """
WARNING! Your credentials are stored unencrypted in '{path}'.
Configure a credential helper to remove this warning. See
https://docs.docker.com/go/credential-store/
"""
_MAX_PASSWORD = 1 << 20


@click.command("login")
@click.option("-u", "--username", metavar="NAME", help="Username")
@click.option("-p", "--password", metavar="PASSWORD", help="Password or Personal Access Token")
@click.option("--password-stdin", is_flag=True, help="Take the password from stdin")
@click.argument("server", required=False, metavar="[SERVER]")
def command(
    username: str | None, password: str | None, password_stdin: bool, server: str | None
) -> None:
    """Authenticate to a registry (Docker Hub, if none is named)."""
    from ferryman.operations import login
    from ferryman.registry.credentials import Credentials

    if password_stdin and password is not None:
        raise UsageError("conflicting options: cannot specify both --password and --password-stdin")
    if password_stdin:
        if not username:
            raise UsageError("the --password-stdin option requires --username to be set")
        content = sys.stdin.buffer.read(_MAX_PASSWORD).decode("utf-8", "surrogateescape")
        password = content.removesuffix("\n").removesuffix("\r")
    elif password is not None:
        click.echo(
            "WARNING! Using --password via the CLI is insecure. Use --password-stdin.", err=True
        )
    host = login.server(server)
    user = None
    if not username and password is None:
        user = login.stored(host)
        if user:
            click.echo("Authenticating with existing credentials...")
    if user is None:
        user = Credentials(*_asked(username, password))
    done = login.login(host, user)
    if done.readable:
        click.echo(_UNENCRYPTED.format(path=done.path), err=True)
    click.echo("Login Succeeded")


def _asked(username: str | None, password: str | None) -> tuple[str, str]:
    """Return name and password, asking for what has not been said."""
    if (not username or not password) and not sys.stdin.isatty():
        raise UsageError("Cannot perform an interactive login from a non TTY device")
    name = username or click.prompt("Username", default="", show_default=False)
    if not name:
        raise UsageError("username is required")
    secret = password or click.prompt("Password", default="", show_default=False, hide_input=True)
    if not secret:
        raise UsageError("password is required")
    return name, secret
