"""What is there after an image was sent: an engine may say that it is done, and be wrong."""

import re
import shlex
from collections.abc import Collection

from ferryman.transfer import engines
from ferryman.transfer.channel import Channel
from ferryman.transfer.plan import Wanted
from ferryman.transfer.probe import Engine


def verify(channel: Channel, engine: Engine, wanted: Wanted) -> None:
    """Make sure that the engine has an image under all its names; raises HostError."""
    for name in wanted.names or (str(wanted.id),):
        if engine.name == "ctr":
            _verify_in_containerd(channel, engine, name, wanted.ids)
            continue
        found = engines.image(channel, engine, name)
        if found is None:
            raise channel.error(f"{name} is not there after it was sent")
        if found.diff_ids != wanted.diff_ids:
            raise channel.error(f"{name} has other layers there than here")
        if found.id not in wanted.ids:
            raise channel.error(f"{name} has the ID {found.id} there, and {wanted.id} here")


def _verify_in_containerd(
    channel: Channel, engine: Engine, name: str, ids: Collection[str]
) -> None:
    """Ask ctr, which knows no image by the layers of its config, whether all content is there."""
    wanted = shlex.quote(f"name=={name}")
    said = channel.ask(f"{engine.command} -n default images check {wanted}", limit=1 << 20)
    text = said.decode(errors="replace")
    digests = re.findall("sha256:[0-9a-f]{64}", text)
    if not digests or "complete" not in text.replace("incomplete", ""):
        raise channel.error(f"{name} is not there, or not whole, after it was sent")
    if digests[0] not in ids:
        raise channel.error(f"{name} is {digests[0]} there")
