"""``ferry port``, ``ferry container port``."""

import click

from ferryman.cli.stores import container_store


@click.command("port")
@click.argument("container", metavar="CONTAINER")
@click.argument("port", default="", metavar="[PRIVATE_PORT[/PROTO]]")
def command(container: str, port: str) -> None:
    """List port mappings or a specific mapping for the container."""
    from ferryman.operations.port import mapped

    for key, bindings in mapped(container_store(), container, port).items():
        start = "" if port else f"{key} -> "
        for binding in bindings:
            address = f"[{binding.host_ip}]" if ":" in binding.host_ip else binding.host_ip
            click.echo(f"{start}{address}:{binding.host_port}")
