"""Instructions with their variables replaced.

Follows the Dockerfile reference ("Environment replacement").  What is run is
left alone: its shell replaces what stands there.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from ferryman.build.heredoc import Heredoc
from ferryman.build.instructions import (
    Action,
    Copy,
    Env,
    Expose,
    Label,
    Pair,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from ferryman.build.words import expand, expand_text, expand_words

_A = TypeVar("_A", bound=Action)


def expanded(action: _A, variables: Mapping[str, str], escape: str) -> _A:
    """Return an instruction as it is meant where variables have these values; raises WordError."""

    def word(text: str) -> str:
        return expand(text, variables, escape)

    def both(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
        return tuple(Pair(word(name), word(value)) for name, value in pairs)

    def inline(each: Heredoc) -> Heredoc:
        return each._replace(content=expand_text(each.content, variables)) if each.expand else each

    match action:
        case Env(pairs):
            return action._replace(pairs=both(pairs))
        case Label(pairs):
            return action._replace(pairs=both(pairs))
        case User(name):
            return action._replace(name=word(name))
        case Workdir(path):
            return action._replace(path=word(path))
        case Volume(paths):
            return action._replace(paths=tuple(map(word, paths)))
        case StopSignal(signal):
            return action._replace(signal=word(signal))
        case Expose(ports):
            found = [each for port in ports for each in expand_words(port, variables, escape)]
            return action._replace(ports=tuple(found))
        case Copy():
            return action._replace(
                sources=tuple(map(word, action.sources)),
                inline=tuple(map(inline, action.inline)),
                destination=word(action.destination),
                chown=word(action.chown),
                chmod=word(action.chmod),
                checksum=word(action.checksum),
            )
        case _:
            return action
