"""The other direction: the far engine pulls what it lacks, from here or from a registry.

For engines that know layers by digests of their own (podman, containerd with ctr or nerdctl, and
docker where it keeps its images in containerd) the image is served here, on loopback.  For many
hosts it is in a registry, and this machine only tells them.
"""

import shlex
from collections.abc import Callable, Sequence

from ferryman.transfer.channel import Channel
from ferryman.transfer.line import Pace
from ferryman.transfer.probe import Engine
from ferryman.transfer.serve import Content, serving

_SECONDS = 24 * 3600.0


# What each is told: to pull, what lets it do so without TLS, to give a name, and to forget one.
_PULL = {
    "docker": "pull --quiet {insecure} {source}",
    "podman": "pull --quiet {insecure} {source}",
    "nerdctl": "pull --quiet {insecure} {source}",
    "ctr": "-n default images pull {insecure} {source}",
    "ferry": "pull --quiet {insecure} {source}",
}
_INSECURE = {
    "podman": "--tls-verify=false",
    "nerdctl": "--insecure-registry",
    "ctr": "--plain-http",
}
_TAG = {"ctr": "-n default images tag --force {source} {name}"}
_FORGET = {
    "podman": "untag {source} {source}",
    "ctr": "-n default images rm {source}",
}


def move(
    channel: Channel,
    engine: Engine,
    content: Content,
    names: Sequence[str],
    pace: Pace,
    heard: Callable[[int], None],
) -> int:
    """Have the engine pull the image from here, and give it its names; return the bytes sent.

    Raises HostError.
    """
    sent = 0

    def count(n: int) -> None:
        nonlocal sent
        sent += n
        heard(n)

    with serving(content, pace, count) as served:
        source = served.reference(channel.forward(served.port))
        pull(channel, engine, source, names, insecure=True)
    return sent


def pull(
    channel: Channel, engine: Engine, source: str, names: Sequence[str], *, insecure: bool
) -> None:
    """Have the engine pull an image, and give it its names instead; raises HostError.

    With `insecure` it is told to do without TLS, where it wants to be told that.
    """
    channel.ask(script(engine, source, names, insecure=insecure), seconds=_SECONDS)


def script(engine: Engine, source: str, names: Sequence[str], *, insecure: bool) -> str:
    """Return what the shell there does for `pull`."""
    way = _INSECURE.get(engine.name, "") if insecure else ""

    def words(template: str, name: str = "") -> str:
        said = template.format(source=shlex.quote(source), name=shlex.quote(name), insecure=way)
        return f"{engine.command} {said}"

    keep = [words(_TAG.get(engine.name, "tag {source} {name}"), name) for name in names]
    script = " && ".join([words(_PULL[engine.name]), *keep])
    # By the name that it was pulled by nobody is to know it.
    undo = words(_FORGET.get(engine.name, "rmi {source}"))
    return f"{{ {script}; }} >&2; code=$?; {undo} >/dev/null 2>&1; exit $code"
