"""``ferry build``: an image of a Dockerfile."""

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import click

from ferryman.cli.flags import limits, networks
from ferryman.cli.flags.grammar import FlagCommand, Value, switch
from ferryman.cli.stores import container_store
from ferryman.errors import UsageError

if TYPE_CHECKING:
    from ferryman.build.events import Tell
    from ferryman.build.execute import Means

_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")


@click.command("build", cls=FlagCommand, interspersed=True)
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME", help="Name and tag")
@click.option(
    "-f", "--file", "dockerfile", default="", metavar="FILE", help="Dockerfile (- for stdin)"
)
@click.option(
    "--build-arg", "arguments", multiple=True, metavar="NAME=VALUE", help="Build-time variables"
)
@click.option("--target", default="", help="The stage to build")
@switch("--no-cache", "Do not use the cache")
@switch("--pull", "Pull all base images, whether they are here or not")
@click.option("--platform", default="", metavar="OS/ARCH", help="The platform to build for")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Labels of the image")
@click.option(
    "--secret", "secrets", multiple=True, metavar="id=ID[,src=FILE|env=NAME]", help="A secret"
)
@click.option("--ssh", "agents", multiple=True, metavar="default|ID=SOCKET", help="An ssh agent")
@click.option("--network", default="default", help="Network of RUN: default, none or host")
@click.option(
    "--add-host",
    "hosts",
    multiple=True,
    type=Value(networks.extra_host, "list"),
    help="Add a custom host-to-IP mapping",
)
@click.option("--shm-size", type=Value(limits.memory, "bytes"), default=0, help="Size of /dev/shm")
@click.option(
    "-v",
    "--volume",
    "volumes",
    multiple=True,
    metavar="PATH:PATH[:ro]",
    help="Show RUN a path of this machine, as podman does; no cache knows of it",
)
@click.option("--iidfile", default="", metavar="FILE", help="Write the image ID to a file")
@switch("-q --quiet", "Print the image ID alone")
@click.option(
    "--progress",
    type=click.Choice(["auto", "plain", "tty", "quiet"]),
    default="auto",
    help="How to show what happens",
)
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="type=TYPE,dest=PATH",
    help="Where the result goes: type=local, tar, oci or docker",
)
@switch("--rm", "Remove intermediate containers (always done)", default=True)
@switch("--force-rm", "Always remove intermediate containers (always done)")
@click.argument("path", metavar="PATH|URL|-")
def command(
    tags: tuple[str, ...],
    dockerfile: str,
    arguments: tuple[str, ...],
    target: str,
    no_cache: bool,
    pull: bool,
    platform: str,
    labels: tuple[str, ...],
    secrets: tuple[str, ...],
    agents: tuple[str, ...],
    network: str,
    hosts: tuple[str, ...],
    shm_size: int,
    volumes: tuple[str, ...],
    iidfile: str,
    quiet: bool,
    progress: str,
    outputs: tuple[str, ...],
    rm: bool,
    force_rm: bool,
    path: str,
) -> None:
    """Build an image from a Dockerfile."""
    from ferryman.build.plan import Request
    from ferryman.image import platform as platforms
    from ferryman.image import reference
    from ferryman.operations import build_output
    from ferryman.operations.build import build
    from ferryman.operations.build_context import recipe

    given = dict(_given(each) for each in arguments)
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        given.setdefault("SOURCE_DATE_EPOCH", epoch)
    if network not in ("default", "none", "host"):
        raise UsageError(f"network mode {network} not supported by a build: default, none or host")
    if len(outputs) > 1:
        raise UsageError("one --output is supported")
    names = [reference.parse(tag) for tag in tags]
    to = build_output.parse(outputs[0]) if outputs else build_output.Output("image", "")
    request = Request(
        platforms.parse(platform) if platform else platforms.host(),
        target,
        given,
        dict(each.partition("=")[::2] for each in labels),
        network,
        not no_cache,
    )
    proxies = {name: value for name, value in given.items() if name.lower() in _PROXIES}
    store = container_store(first=True)
    with recipe(store, path, dockerfile) as found, _shown(progress, quiet=quiet) as tell:
        image_id = build(
            store,
            found,
            request,
            names=names,
            means=_means(secrets, agents, hosts, proxies, shm_size, volumes),
            tell=tell,
            keep=to.type == "image",
            newest=pull,
            then=lambda image_id: build_output.write(store, image_id, names, to),
        )
    if iidfile:
        with open(iidfile, "w", encoding="ascii") as f:
            f.write(image_id)
    if to.type == "image":
        click.echo(image_id)


def _given(text: str) -> tuple[str, str]:
    """Return a build argument; a name alone has its value from the environment."""
    name, equals, value = text.partition("=")
    if not name:
        raise UsageError(f"invalid build argument: {text}")
    return name, value if equals else os.environ.get(name, "")


def _means(
    secrets: Sequence[str],
    agents: Sequence[str],
    hosts: Sequence[str],
    proxies: dict[str, str],
    shm_size: int,
    volumes: Sequence[str],
) -> "Means":
    from ferryman.build.execute import Means

    return Means(
        dict(_secret(each) for each in secrets),
        dict(_agent(each) for each in agents),
        hosts,
        proxies,
        shm_size,
        [_volume(each) for each in volumes],
    )


def _volume(text: str) -> tuple[str, str, bool]:
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not (source.startswith("/") and target.startswith("/")) or mode not in ("", "ro", "rw"):
        raise UsageError(f"invalid volume: {text}: it is /PATH:/PATH, with :ro where that is meant")
    if not os.path.exists(source):
        raise UsageError(f"invalid volume: {text}: there is no {source}")
    return source, target, mode != "ro"


def _secret(text: str) -> tuple[str, bytes]:
    said: dict[str, str] = {}
    for field in text.split(","):
        key, equals, value = field.partition("=")
        if not equals or key not in ("type", "id", "src", "source", "env"):
            raise UsageError(f"invalid field '{field}' must be a key=value pair: {text}")
        said["src" if key == "source" else key] = value
    name = said.get("id", "")
    if not name:
        raise UsageError(f"secret missing 'id': {text}")
    variable = said.get("env", "")
    path = said.get("src", "")
    if said.get("type") == "env" and not variable:
        variable, path = path or name, ""
    if not variable and not path:
        variable, path = (name, "") if name in os.environ else ("", name)
    if variable:
        return name, os.environ.get(variable, "").encode("utf-8", "surrogateescape")
    try:
        with open(path, "rb") as f:
            return name, f.read(512 << 10)
    except OSError as e:
        raise UsageError(f"failed to read secret {name}: {path}: {e.strerror}") from None


def _agent(text: str) -> tuple[str, str]:
    name, _, path = text.partition("=")
    path = path or os.environ.get("SSH_AUTH_SOCK", "")
    if not path:
        raise UsageError(
            f"invalid empty ssh agent socket for {name}: make sure SSH_AUTH_SOCK is set"
        )
    if not os.path.exists(path):
        raise UsageError(f"no ssh agent at {path}")
    return name, os.path.abspath(path)


def _shown(progress: str, *, quiet: bool) -> "AbstractContextManager[Tell]":
    from ferryman.cli import build_progress

    if quiet or progress == "quiet":
        return nullcontext(lambda event: None)
    if progress == "tty" or (progress == "auto" and sys.stderr.isatty()):
        return build_progress.live(sys.stderr)
    return nullcontext(build_progress.Plain(sys.stderr.buffer))
