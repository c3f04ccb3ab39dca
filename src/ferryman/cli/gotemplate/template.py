"""Templates applied to values, after Go's text/template."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from ferryman.cli.gotemplate.errors import CallError, TemplateError
from ferryman.cli.gotemplate.functions import FUNCTIONS, OF_HEADERS, Function
from ferryman.cli.gotemplate.nodes import (
    Action,
    Branch,
    Chain,
    Command,
    Constant,
    Dot,
    Field,
    Identifier,
    Item,
    Jump,
    Node,
    Operand,
    Pipe,
    Text,
    Variable,
)
from ferryman.cli.gotemplate.parser import parse
from ferryman.cli.gotemplate.printing import text
from ferryman.cli.gotemplate.value import Map, Nil, Struct, kind, truth, type_name

# What a template may cost: characters written or passed to functions, and for each step many.
_MOST = 64 << 20
_STEP = 64
_NOTHING: Any = object()


class Template:
    """A template that has been read; render it as often as needed."""

    def __init__(self, source: str) -> None:
        """Read the template; raises TemplateSyntaxError."""
        self.source = source
        self.items = parse(source, FUNCTIONS)

    def render(self, value: Any, *, header: bool = False) -> str:
        """Return the template's text for a value; raises TemplateError.

        Bytes that are no UTF-8, as half a character is, are lone surrogates in it.  As a `header`,
        the words above a table's columns stay as they are, whatever is done to what is below.
        """
        run = _Run(self, value, FUNCTIONS | OF_HEADERS if header else FUNCTIONS)
        try:
            run.walk(self.items, value)
        except RecursionError:
            run.fail("the value is nested too deeply")
        return "".join(run.output)


class _Run:
    """One rendering: what has been written, the variables, and the place in the template."""

    def __init__(self, template: Template, value: Any, functions: Mapping[str, Function]) -> None:
        self.source = template.source
        self.functions = functions
        self.output: list[str] = []
        self.variables: list[tuple[str, Any]] = [("$", value)]
        self.at: Node = Text(0, "")
        self.left = _MOST
        # Of a plain JSON document, Go knows no types but interface {}: neither those of fields
        # nor, in a range, those of the elements.
        self.untyped = not isinstance(value, Struct | Map)
        self.element = False

    def fail(self, message: str, at: Node | None = None) -> NoReturn:
        at = at or self.at
        line_start = self.source.rfind("\n", 0, at.position) + 1
        line = self.source.count("\n", 0, at.position) + 1
        column = len(self.source[line_start : at.position].encode(errors="surrogateescape"))
        raise TemplateError(f':{line}:{column}: executing "" at <{at}>: {message}')

    def spend(self, cost: int) -> None:
        self.left -= cost
        if self.left < 0:
            self.fail("the template does too much")

    # Items

    def walk(self, items: Sequence[Item], dot: Any) -> str:
        """Write what the items give; return the jump that ends them early, if one does."""
        for item in items:
            self.spend(_STEP)
            match item:
                case Text():
                    self.write(item.text)
                case Action():
                    value = self.pipe(item.pipe, dot)
                    if not item.pipe.variables:
                        self.write("<no value>" if value is None else text(value))
                case Jump():
                    return item.word
                case Branch():
                    known, element = len(self.variables), self.element
                    jump = (self.repeat if item.word == "range" else self.choose)(item, dot)
                    del self.variables[known:]
                    self.element = element
                    if jump:
                        return jump
        return ""

    def write(self, written: str) -> None:
        self.spend(len(written))
        self.output.append(written)

    def choose(self, branch: Branch, dot: Any) -> str:
        value = self.pipe(branch.pipe, dot)
        if not truth(value):
            return self.walk(branch.otherwise, dot)
        if branch.word == "with":
            self.element = False
            dot = value
        return self.walk(branch.body, dot)

    def repeat(self, branch: Branch, dot: Any) -> str:
        value = self.pipe(branch.pipe, dot)
        pairs = self.pairs(value, len(branch.pipe.variables))
        if not pairs:
            return self.walk(branch.otherwise, dot)
        known = len(self.variables)
        self.element = True
        for pair in pairs:
            for name, part in zip(branch.pipe.variables[::-1], pair[::-1], strict=False):
                self.assign(name, part)
            jump = self.walk(branch.body, pair[1])
            del self.variables[known:]
            if jump == "break":
                break
        return ""

    def pairs(self, value: Any, variables: int) -> Sequence[tuple[Any, Any]]:
        if isinstance(value, dict):
            return [(key, value[key]) for key in sorted(value)]
        if isinstance(value, list):
            return list(enumerate(value))
        if value is None:
            return ()
        if kind(value) != "int":
            self.fail(f"range can't iterate over {text(value)}")
        if variables > 1:
            self.fail(f"can't use {text(value)} to iterate over more than one variable")
        self.spend(_STEP * max(0, value))
        return [(number, number) for number in range(value)]

    def assign(self, name: str, value: Any) -> None:
        for i in reversed(range(len(self.variables))):
            if self.variables[i][0] == name:
                self.variables[i] = (name, value)
                return
        self.fail(f"undefined variable: {name}")

    # Pipes

    def pipe(self, pipe: Pipe, dot: Any) -> Any:
        self.at = pipe
        value = _NOTHING
        for command in pipe.commands:
            value = self.command(command, dot, value)
        for name in pipe.variables:
            if pipe.assigns:
                self.assign(name, value)
            else:
                self.variables.append((name, value))
        return value

    def command(self, command: Command, dot: Any, final: Any) -> Any:
        self.spend(_STEP)
        first = command.operands[0]
        has_arguments = len(command.operands) > 1 or final is not _NOTHING
        if isinstance(first, Identifier):
            return self.call(first, command, command.operands[1:], dot, final)
        if isinstance(first, Field | Chain) or (isinstance(first, Variable) and first.names):
            return self.fields(first, dot, has_arguments=has_arguments)
        if not isinstance(first, Pipe):
            self.at = first
        if has_arguments:
            self.fail(f"can't give argument to non-function {first}")
        if isinstance(first, Constant) and first.value is None:
            self.fail("nil is not a command")
        return self.operand(first, dot)

    def operand(self, operand: Operand, dot: Any) -> Any:
        self.at = operand
        match operand:
            case Constant():
                if kind(operand.value) == "int" and operand.value >= 1 << 63:
                    self.fail(f"{operand} overflows int")
                return operand.value
            case Dot():
                return dot
            case Pipe():
                return self.pipe(operand, dot)
            case Identifier():
                return self.call(operand, operand, (), dot, _NOTHING)
            case Variable(names=()):
                return self.variable(operand.name)
        return self.fields(operand, dot, has_arguments=False)

    def variable(self, name: str) -> Any:
        return next(value for known, value in reversed(self.variables) if known == name)

    def fields(self, node: Field | Chain | Variable, dot: Any, *, has_arguments: bool) -> Any:
        self.at = node
        element = self.untyped and self.element and isinstance(node, Field)
        if isinstance(node, Field):
            value = dot
        elif isinstance(node, Variable):
            value = self.variable(node.name)
        else:
            value = self.operand(node.of, dot)
        for i, name in enumerate(node.names):
            last = i == len(node.names) - 1
            known_as = "interface {}" if self.untyped and (i or element) else type_name(value)
            value = self.field(value, name, known_as, has_arguments=has_arguments and last)
        return value

    def field(self, value: Any, name: str, known_as: str, *, has_arguments: bool) -> Any:
        if value is None:
            # Go tells a nil interface from no value at all.
            if known_as == "interface {}":
                self.fail(f"nil pointer evaluating {known_as}.{name}")
            if self.untyped:
                self.fail(f'nil data; no entry for key "{name}"')
            return None
        if isinstance(value, Nil):
            self.fail(f"nil pointer evaluating {known_as}.{name}")
        known = value.fields if isinstance(value, Struct) else value
        if not isinstance(known, dict) or (isinstance(value, Struct) and name not in known):
            self.fail(f"can't evaluate field {name} in type {known_as}")
        if has_arguments:
            self.fail(f"{name} is not a method but has arguments")
        if name not in known and not isinstance(known, Map):
            self.fail(f'map has no entry for key "{name}"')
        return known.get(name)

    # Functions

    def call(
        self,
        name: Identifier,
        command: Node,
        operands: Sequence[Operand],
        dot: Any,
        final: Any,
    ) -> Any:
        self.at = name
        function = self.functions[name.name]
        least = len(function.parameters) - function.variadic
        given = len(operands) + (final is not _NOTHING)
        if given < least or (given > least and not function.variadic):
            wanted = f"at least {least}" if function.variadic else least
            self.fail(f"wrong number of args for {name}: want {wanted} got {given}")
        types = (*function.parameters, *function.parameters[-1:] * given)
        arguments: list[Any] = []
        for type, operand in zip(types, operands, strict=False):
            argument = self.argument(type, operand, dot)
            arguments.append(argument)
            if name.name in ("and", "or") and truth(argument) == (name.name == "or"):
                return argument
        if final is not _NOTHING:
            arguments.append(self.checked(types[len(operands)], final))
        self.spend(sum(len(a) for a in arguments if isinstance(a, str | list | dict)))
        try:
            result = function.call(*arguments)
        except CallError as e:
            self.fail(f"error calling {name}: {e}", command)
        if isinstance(result, str | list):
            self.spend(len(result))
        return result

    def argument(self, type: str, operand: Operand, dot: Any) -> Any:
        self.at = operand
        if isinstance(operand, Constant) and type != "interface {}":
            if operand.value is None:
                self.fail(f"cannot assign nil to {type}")
            if kind(operand.value) != type:
                expected = "integer" if type == "int" else type
                self.fail(f"expected {expected}; found {operand}")
        return self.checked(type, self.operand(operand, dot))

    def checked(self, type: str, value: Any) -> Any:
        if type != "interface {}" and kind(value) != type:
            if value is None:
                self.fail(f"invalid value; expected {type}")
            self.fail(f"wrong type for value; expected {type}; got {type_name(value)}")
        return value
