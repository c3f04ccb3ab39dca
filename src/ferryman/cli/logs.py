"""``ferry logs``, ``ferry container logs``."""

import click

from ferryman.cli.stores import container_store


@click.command("logs")
@click.option("--details", is_flag=True, help="Show the labels and variables of --log-opt")
@click.option("-f", "--follow", is_flag=True, help="Follow log output")
@click.option(
    "--since",
    metavar="TIME",
    help="Show logs since a time (2013-01-02T13:23:37Z), or so long ago (42m)",
)
@click.option(
    "-n", "--tail", default="all", metavar="N", help="Number of lines to show from the end"
)
@click.option("-t", "--timestamps", is_flag=True, help="Show timestamps")
@click.option("--until", metavar="TIME", help="Show logs before a time, or until so long ago")
@click.argument("name", metavar="CONTAINER")
def command(
    details: bool,
    follow: bool,
    since: str | None,
    tail: str,
    timestamps: bool,
    until: str | None,
    name: str,
) -> None:
    """Fetch the logs of a container."""
    from ferryman.operations.logs import logs
    from ferryman.operations.moments import moment
    from ferryman.runtime import record
    from ferryman.runtime.logs import Wanted
    from ferryman.store.durable import write_all

    store = container_store()
    container = record.find(store, name)
    wanted = Wanted(
        # As docker: what is no number stands for all.
        tail=int(tail) if tail.isascii() and tail.isdigit() else None,
        since=moment(since, "since") if since else None,
        until=moment(until, "until") if until else None,
        timestamps=timestamps,
    )
    for stream, text in logs(store, container.id, wanted, follow=follow, details=details):
        write_all(1 if container.config.tty else stream, text)
