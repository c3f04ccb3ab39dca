"""``ferry logout``."""

import click


@click.command("logout")
@click.argument("server", required=False, metavar="[SERVER]")
def command(server: str | None) -> None:
    """Log out from a registry (Docker Hub, if none is named)."""
    from ferryman.operations import login
    from ferryman.registry.credentials import key_of

    host = login.server(server)
    click.echo(f"Removing login credentials for {key_of(host)}")
    login.logout(host)
