"""What a host has, whatever keeps images there."""

from ferryman.transfer import by_agent, by_shell, engines
from ferryman.transfer.channel import Channel
from ferryman.transfer.inventory import Inventory
from ferryman.transfer.probe import PYTHON, SHELL, Engine


def site(channel: Channel, engine: Engine) -> Inventory:
    """Ask what an engine has, or the layout where there is none; raises HostError."""
    if engine.name == PYTHON:
        return by_agent.site(channel)
    if engine.name == SHELL:
        return by_shell.site(channel)
    return engines.inventory(channel, engine)
