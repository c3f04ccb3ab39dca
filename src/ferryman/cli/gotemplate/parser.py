"""Tokens into nodes, after the grammar of Go's text/template/parse."""

from collections.abc import Collection

from ferryman.cli.gotemplate import literals
from ferryman.cli.gotemplate.errors import TemplateSyntaxError
from ferryman.cli.gotemplate.lexer import Token, quoted, tokens
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
    Operand,
    Pipe,
    Text,
    Variable,
)

_MAX_DEPTH = 60
_BEGINS_OPERAND = frozenset("bool character field number open raw string variable word".split())


def parse(source: str, functions: Collection[str]) -> tuple[Item, ...]:
    """Parse a template that may call these functions; raise TemplateSyntaxError."""
    parser = _Parser(source, functions)
    items, end = parser.items()
    if end.kind != "eof":
        raise parser.error(f"unexpected {{{{{end.text}}}}}")
    return items


class _Parser:
    def __init__(self, source: str, functions: Collection[str]) -> None:
        self.source = source
        self.tokens = tokens(source)
        self.functions = functions
        self.ahead: list[Token] = []
        self.last = Token("eof", "", 0)
        self.action_line = 1
        self.variables = ["$"]
        self.ranges = 0
        self.depth = 0

    def error(self, message: str) -> TemplateSyntaxError:
        return TemplateSyntaxError(f":{self.line(self.last)}: {message}")

    def line(self, token: Token) -> int:
        return self.source.count("\n", 0, token.position) + 1

    # Tokens

    def next(self, *, skip: bool = False) -> Token:
        while True:
            if self.ahead:
                token = self.ahead.pop()
            else:
                token = self.last = next(self.tokens)
            if not (skip and token.kind == "space"):
                return token

    def peek(self, *, skip: bool = False) -> Token:
        token = self.next(skip=skip)
        self.ahead.append(token)
        return token

    def expect(self, kind: str, context: str) -> None:
        token = self.next(skip=True)
        if token.kind != kind:
            raise self.unexpected(token, context)

    def unexpected(self, token: Token, context: str) -> TemplateSyntaxError:
        if token.kind != "error":
            return self.error(f"unexpected {token} in {context}")
        started = ""
        if self.action_line != self.line(token):
            action = "" if token.text.endswith(" action") else " in action"
            started = f"{action} started at :{self.action_line}"
        return self.error(token.text + started)

    # Items

    def items(self) -> tuple[tuple[Item, ...], Token]:
        """Read items up to the end, an ``{{end}}`` or an ``{{else}}``, and give that too."""
        found: list[Item] = []
        while (token := self.next()).kind != "eof":
            if token.kind == "text":
                found.append(Text(token.position, token.text))
                continue
            if token.kind != "left":
                raise self.unexpected(token, "input")
            self.action_line = self.line(token)
            token = self.next(skip=True)
            if token.kind == "comment":
                continue
            if token.kind == "keyword" and token.text in ("end", "else"):
                follows = self.peek(skip=True)
                if not (token.text == "else" and follows.text in ("if", "with")):
                    self.expect("right", token.text)
                return tuple(found), token
            found.append(self._action(token))
        return tuple(found), token

    def _action(self, token: Token) -> Item:
        word = token.text if token.kind == "keyword" else ""
        if word in ("if", "range", "with"):
            return self._branch(token)
        if word in ("break", "continue"):
            self.expect("right", f"{{{{{word}}}}}")
            if not self.ranges:
                raise self.error(f"{{{{{word}}}}} outside {{{{range}}}}")
            return Jump(token.position, word)
        if word in ("define", "template", "block"):
            raise self.error(f"{{{{{word}}}}} is not supported")
        self.ahead.append(token)
        return Action(token.position, self._pipe("command", "right"))

    def _branch(self, token: Token) -> Branch:
        self._descend()
        known = len(self.variables)
        pipe = self._pipe(token.text, "right")
        self.ranges += token.text == "range"
        body, end = self._block()
        self.ranges -= token.text == "range"
        otherwise: tuple[Item, ...] = ()
        if end.text == "else":
            follows = self.peek(skip=True)
            if follows.kind == "keyword" and follows.text == token.text != "range":
                otherwise = (self._branch(self.next(skip=True)),)
            else:
                otherwise, end = self._block()
                if end.text != "end":
                    raise self.error("expected end; found {{else}}")
        del self.variables[known:]
        self.depth -= 1
        return Branch(token.position, token.text, pipe, body, otherwise)

    def _block(self) -> tuple[tuple[Item, ...], Token]:
        items, end = self.items()
        if end.kind == "eof":
            raise self.error("unexpected EOF")
        return items, end

    def _descend(self) -> None:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.error("template is nested too deeply")

    # Pipes

    def _pipe(self, context: str, end: str) -> Pipe:
        position = self.peek(skip=True).position
        declared, assigns = self._declaration(context)
        commands: list[Command] = []
        while (token := self.next(skip=True)).kind != end:
            constant = token.kind == "keyword" and token.text in (".", "nil")
            if not (constant or token.kind in _BEGINS_OPERAND):
                raise self.unexpected(token, context)
            self.ahead.append(token)
            commands.append(self._command())
        if not commands:
            raise self.error(f"missing value for {context}")
        for stage, command in enumerate(commands[1:], start=2):
            if isinstance(command.operands[0], Constant | Dot):
                raise self.error(f"non executable command in pipeline stage {stage}")
        return Pipe(position, declared, assigns, tuple(commands))

    def _declaration(self, context: str) -> tuple[tuple[str, ...], bool]:
        declared: list[str] = []
        while self.peek(skip=True).kind == "variable":
            variable = self.next(skip=True)
            space = self.next() if self.peek().kind == "space" else None
            sign = self.peek(skip=True)
            if sign.kind in ("declare", "assign"):
                self.next(skip=True)
                declared.append(variable.text)
                self.variables.append(variable.text)
                return tuple(declared), sign.kind == "assign"
            if sign.kind == "char" and sign.text == ",":
                self.next(skip=True)
                if context != "range" or declared:
                    raise self.error(f"too many declarations in {context}")
                declared.append(variable.text)
                self.variables.append(variable.text)
                if self.peek(skip=True).kind in ("variable", "right", "close"):
                    continue
                raise self.error("range can only initialize variables")
            # Not a declaration after all: the variable is the first operand.
            if space:
                self.ahead.append(space)
            self.ahead.append(variable)
            break
        return tuple(declared), False

    def _command(self) -> Command:
        operands: list[Operand] = []
        position = self.peek(skip=True).position
        while True:
            operand = self._operand()
            if operand is not None:
                operands.append(operand)
            token = self.next()
            if token.kind == "space":
                continue
            if token.kind in ("right", "close"):
                self.ahead.append(token)
            elif token.kind != "pipe":
                raise self.unexpected(token, "operand")
            return Command(position, tuple(operands))

    def _operand(self) -> Operand | None:
        operand = self._term()
        if operand is None or self.peek().kind != "field":
            return operand
        position = self.peek().position
        names: list[str] = []
        while self.peek().kind == "field":
            names.append(self.next().text[1:])
        if isinstance(operand, Field):
            return Field(position, (*operand.names, *names))
        if isinstance(operand, Variable):
            return Variable(position, operand.name, tuple(names))
        if isinstance(operand, Constant | Dot):
            raise self.error(f"unexpected . after term {quoted(str(operand))}")
        return Chain(position, operand, tuple(names))

    def _term(self) -> Operand | None:
        token = self.next(skip=True)
        position, text = token.position, token.text
        match token.kind:
            case "word":
                if text not in self.functions:
                    raise self.error(f"function {quoted(text)} not defined")
                return Identifier(position, text)
            case "keyword" if text == ".":
                return Dot(position)
            case "keyword" if text == "nil":
                return Constant(position, text, None)
            case "variable":
                if text not in self.variables:
                    raise self.error(f"undefined variable {quoted(text)}")
                return Variable(position, text, ())
            case "field":
                return Field(position, (text[1:],))
            case "bool":
                return Constant(position, text, text == "true")
            case "number" | "character" | "string" | "raw":
                return self._literal(token)
            case "open":
                self._descend()
                pipe = self._pipe("parenthesized pipeline", "close")
                self.depth -= 1
                return pipe
        self.ahead.append(token)
        return None

    def _literal(self, token: Token) -> Constant:
        read = {"number": literals.number, "character": literals.character}
        try:
            value = read.get(token.kind, literals.string)(token.text)
        except ValueError as e:
            raise self.error(str(e)) from None
        return Constant(token.position, token.text, value)
