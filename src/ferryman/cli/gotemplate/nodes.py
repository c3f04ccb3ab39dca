"""What a template is made of, once parsed.

Each node knows where it stands (an index into the template's text) and how it is written, which
is how Go's errors name it.
"""

from typing import Any

from msgspec import Struct


class Node(Struct, frozen=True):
    """Any part of a template."""

    position: int


class Constant(Node, frozen=True):
    """A literal: string, number, boolean or ``nil``."""

    text: str
    value: Any

    def __str__(self) -> str:
        return self.text


class Dot(Node, frozen=True):
    """The value at hand: ``.``."""

    def __str__(self) -> str:
        return "."


class Field(Node, frozen=True):
    """A field of the value at hand: ``.Config.Env``."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return "." + ".".join(self.names)


class Variable(Node, frozen=True):
    """A variable, or a field of one: ``$image.Id``."""

    name: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join((self.name, *self.names))


class Identifier(Node, frozen=True):
    """The name of a function."""

    name: str

    def __str__(self) -> str:
        return self.name


class Chain(Node, frozen=True):
    """A field of what parentheses or a function give: ``(index .Mounts 0).Source``."""

    of: "Operand"
    names: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join((_operand(self.of), *self.names))


class Command(Node, frozen=True):
    """A function or a value, with arguments."""

    operands: tuple["Operand", ...]

    def __str__(self) -> str:
        return " ".join(map(_operand, self.operands))


class Pipe(Node, frozen=True):
    """Commands, each of which takes the result of the one before as its last argument."""

    variables: tuple[str, ...]
    assigns: bool
    commands: tuple[Command, ...]

    def __str__(self) -> str:
        declared = ", ".join(self.variables)
        sign = (" = " if self.assigns else " := ") if declared else ""
        return declared + sign + " | ".join(map(str, self.commands))


Operand = Constant | Dot | Field | Variable | Identifier | Chain | Pipe


class Text(Node, frozen=True):
    """What stands outside of ``{{ }}``."""

    text: str


class Action(Node, frozen=True):
    """A pipe whose value is written."""

    pipe: Pipe


class Branch(Node, frozen=True):
    """``if``, ``with`` or ``range``."""

    word: str
    pipe: Pipe
    body: tuple["Item", ...]
    otherwise: tuple["Item", ...]


class Jump(Node, frozen=True):
    """``break`` or ``continue``."""

    word: str


Item = Text | Action | Branch | Jump


def _operand(operand: Operand) -> str:
    return f"({operand})" if isinstance(operand, Pipe) else str(operand)
