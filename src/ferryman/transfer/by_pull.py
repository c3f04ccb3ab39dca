"""The other direction: the image is served here, and the far engine pulls what it lacks.

For engines that know layers by digests of their own: podman, containerd with ctr or nerdctl, and
docker where it keeps its images in containerd.
"""

import shlex
from collections.abc import Callable, Sequence

from ferryman.transfer.channel import Channel
from ferryman.transfer.line import Pace
from ferryman.transfer.probe import Engine
from ferryman.transfer.serve import Content, serving

_SECONDS = 24 * 3600.0

# What each is told: to pull from a port without TLS, to give a name, and to forget one.
_PULL = {
    "docker": "pull --quiet {source}",
    "podman": "pull --quiet --tls-verify=false {source}",
    "nerdctl": "pull --quiet --insecure-registry {source}",
    "ctr": "-n default images pull --plain-http {source}",
}
_TAG = {
    "docker": "tag {source} {name}",
    "podman": "tag {source} {name}",
    "nerdctl": "tag {source} {name}",
    "ctr": "-n default images tag --force {source} {name}",
}
_FORGET = {
    "docker": "rmi {source}",
    "podman": "untag {source} {source}",
    "nerdctl": "rmi {source}",
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
    """Have the engine pull the image and give it its names; return the bytes that were sent.

    Raises HostError.
    """
    sent = 0

    def count(n: int) -> None:
        nonlocal sent
        sent += n
        heard(n)

    with serving(content, pace, count) as served:
        source = served.reference(channel.forward(served.port))

        def words(table: dict[str, str], name: str = "") -> str:
            said = table[engine.name].format(source=source, name=shlex.quote(name))
            return f"{engine.command} {said}"

        # Without a name of its own it keeps the one that it was pulled by: its ID is all it has.
        keep = [words(_TAG, name) for name in names]
        undo = words(_FORGET)
        script = " && ".join([words(_PULL), *keep])
        # The name that it was pulled by is good for nothing once the port is closed.
        script = f"{{ {script}; }} >&2; code=$?; {undo} >/dev/null 2>&1; exit $code"
        channel.ask(script, seconds=_SECONDS)
    return sent
