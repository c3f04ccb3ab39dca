"""Names for containers that were given none: a quality and a boat."""

import os
from collections.abc import Collection, Sequence

_QUALITIES = (
    "able amber ample blithe bold brave bright brisk calm candid clever cosy crisp daring deft "
    "eager early fair fleet fond frank fresh gentle glad grand happy hardy hearty honest jolly "
    "keen kind lively loyal lucky mellow merry mild neat nimble noble patient placid plucky polite "
    "prompt proud quick quiet ready rosy serene sharp silent sleek smart snug sound spry steady "
    "stout sturdy sunny sure swift tidy trim trusty upbeat vivid warm wise witty zesty"
).split()
_BOATS = (
    "ark barge bark barque brig caique canoe caravel carrack catboat clipper cog coracle cutter "
    "dhow dinghy dory felucca ferry frigate galleon galley gig gondola hoy hulk junk kayak ketch "
    "knarr launch lifeboat lighter longship lugger nef packet pilot pinnace pirogue pontoon pram "
    "proa punt raft sampan schooner scow shallop skiff sloop smack snow tartane tender trawler "
    "trimaran trireme tug wherry xebec yacht yawl"
).split()


def made_up(taken: Collection[str]) -> str:
    """Return a name that is not taken."""
    while True:
        name = f"{_any(_QUALITIES)}_{_any(_BOATS)}"
        for candidate in (name, f"{name}{_any('0123456789')}", f"{name}{os.urandom(3).hex()}"):
            if candidate not in taken:
                return candidate


def _any(choices: Sequence[str]) -> str:
    return choices[int.from_bytes(os.urandom(4)) % len(choices)]
