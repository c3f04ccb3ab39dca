"""Go templates, the part that docker's users write after ``--format``.

Values are plain JSON values; a field is a key of a mapping, never an attribute of an object.  No
kept library serves: what PyPI has either runs Go or stops at ``{{.Field}}``.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from ferryman.errors import FerryError

_MAX_NESTING = 100
_MAX_OUTPUT = 64 << 20


class TemplateError(FerryError):
    """A template that cannot be read, or that asks for what is not there."""


# --- Reading -------------------------------------------------------------------------------------


class _Text(NamedTuple):
    text: str


class _Action(NamedTuple):
    """``{{pipeline}}``, perhaps with ``$variable :=`` in front."""

    pipe: "_Pipe"


class _Branch(NamedTuple):
    """``{{if}}``, ``{{with}}`` or ``{{range}}`` with its two lists."""

    kind: str
    pipe: "_Pipe"
    then: "list[_Node]"
    otherwise: "list[_Node]"


class _Jump(NamedTuple):
    """``{{break}}`` or ``{{continue}}``."""

    kind: str


_Node = _Text | _Action | _Branch | _Jump


class _Pipe(NamedTuple):
    variables: tuple[str, ...]
    declares: bool
    commands: "tuple[tuple[_Operand, ...], ...]"


class _Literal(NamedTuple):
    value: Any


class _Field(NamedTuple):
    """``.A.B``, ``$x.A`` or ``(…).A``: where it begins, and the keys from there."""

    base: "str | _Pipe | None"
    keys: tuple[str, ...]
    source: str
    at: int


class _Function(NamedTuple):
    name: str


_Operand = _Literal | _Field | _Function | _Pipe

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>"(?:[^"\\\n]|\\.)*") | (?P<raw>`[^`]*`) | (?P<char>'(?:[^'\\]|\\.)')
    | (?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?))
    | (?P<field>(?:\$\w*)?(?:\.\w+)+|\$\w*|\.)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<mark>:=|=|\||\(|\)|,)
    )""",
    re.VERBOSE,
)
_CHAIN = re.compile(r"(?:\.\w+)+")


class Template:
    """A template that has been read; render it as often as needed."""

    def __init__(self, text: str) -> None:
        """Read the template; raises TemplateError."""
        self._pieces = list(_split(text))
        self._at = 0
        self._depth = 0
        self._nodes, ended_by = self._list(())
        assert ended_by is None

    def render(self, value: Any) -> str:
        """Return the template's text for a value; raises TemplateError."""
        output: list[str] = []
        state = _State(value, output)
        try:
            state.run(self._nodes, value)
        except _Jumped as e:
            raise _error(f"{{{{{e.kind}}}}} outside {{{{range}}}}") from None
        except RecursionError:
            raise _error("template is nested too deeply") from None
        return "".join(output)

    def _list(self, enders: tuple[str, ...]) -> "tuple[list[_Node], _Keyword | None]":
        self._depth += 1
        if self._depth > _MAX_NESTING:
            raise _error("template is nested too deeply")
        nodes: list[_Node] = []
        while self._at < len(self._pieces):
            piece = self._pieces[self._at]
            self._at += 1
            if isinstance(piece, str):
                nodes.append(_Text(piece))
                continue
            keyword = _keyword(piece)
            if keyword is None:
                nodes.append(_Action(_Parser(piece).pipeline()))
            elif keyword.word in ("if", "with", "range"):
                nodes.append(self._branch(keyword))
            elif keyword.word in ("break", "continue"):
                nodes.append(_Jump(keyword.word))
            elif keyword.word in enders:
                self._depth -= 1
                return nodes, keyword
            else:
                raise _error(f"unexpected {{{{{keyword.word}}}}}")
        if enders:
            raise _error("unexpected EOF")
        self._depth -= 1
        return nodes, None

    def _branch(self, keyword: "_Keyword") -> _Branch:
        if not keyword.rest.text.strip():
            raise _error(f"missing value for {keyword.word}")
        pipe = _Parser(keyword.rest).pipeline(many=keyword.word == "range")
        then, ended_by = self._list(("else", "end"))
        otherwise: list[_Node] = []
        if ended_by and ended_by.word == "else":
            follow = _keyword(ended_by.rest)
            if follow and follow.word in ("if", "with"):
                otherwise = [self._branch(follow)]
            elif ended_by.rest.text.strip():
                raise _error(f"unexpected {ended_by.rest.text.strip()!r} in else")
            else:
                otherwise, _ = self._list(("end",))
        return _Branch(keyword.word, pipe, then, otherwise)


class _Piece(NamedTuple):
    """What stands between ``{{`` and ``}}``, and where."""

    text: str
    at: int


class _Keyword(NamedTuple):
    word: str
    rest: _Piece


def _split(text: str) -> Iterator[str | _Piece]:
    """Yield text and actions in turn, with the blanks removed that ``{{-`` and ``-}}`` ask for."""
    at = 0
    trim = False
    while True:
        start = text.find("{{", at)
        before = text[at:] if start < 0 else text[at:start]
        if trim:
            before = before.lstrip()
        if start < 0:
            if before:
                yield before
            return
        left = text[start + 2 : start + 3] == "-" and text[start + 3 : start + 4].isspace()
        inside = start + (3 if left else 2)
        if text[inside:].lstrip().startswith("/*"):
            close = text.find("*/", inside)
            end = text.find("}}", close) if close >= 0 else -1
            if end < 0:
                raise _error("unclosed comment")
            content = ""
            right = text[close + 2 : end].strip() == "-"
        else:
            end = _closing(text, inside)
            content = text[inside:end]
            right = content.endswith("-") and content[-2:-1].isspace()
            if right:
                content = content[:-1]
        if left:
            before = before.rstrip()
        if before:
            yield before
        if content.strip():
            yield _Piece(content, inside)
        elif not text[inside:].lstrip().startswith("/*"):
            raise _error("missing value for command")
        at, trim = end + 2, right


def _closing(text: str, at: int) -> int:
    """Find the ``}}`` that is not within a string."""
    quote = ""
    while at < len(text):
        character = text[at]
        if quote:
            if character == "\\" and quote == '"':
                at += 1
            elif character == quote:
                quote = ""
        elif character in '"`':
            quote = character
        elif text.startswith("}}", at):
            return at
        at += 1
    raise _error("unclosed action")


def _keyword(piece: _Piece) -> _Keyword | None:
    match = re.match(
        r"\s*(if|else|end|range|with|break|continue|define|block|template)\b", piece.text
    )
    if match is None:
        return None
    return _Keyword(match.group(1), _Piece(piece.text[match.end() :], piece.at + match.end()))


class _Parser:
    """One action's tokens into a pipeline."""

    def __init__(self, piece: _Piece) -> None:
        self._tokens: list[tuple[str, str, int, bool]] = []
        at = 0
        text = piece.text
        while at < len(text) and text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None:
                bad = text[at:].strip()[0]
                raise _error(f"unexpected {bad!r} in command")
            kind = match.lastgroup or ""
            adjacent = match.start(kind) == at and at > 0
            self._tokens.append((kind, match.group(kind), piece.at + match.start(kind), adjacent))
            at = match.end()
        self._at = 0
        self._depth = 0

    def pipeline(self, *, many: bool = False) -> _Pipe:
        pipe = self._pipe(many=many)
        if self._at < len(self._tokens):
            raise _error(f"unexpected <{self._tokens[self._at][1]}> in command")
        return pipe

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at][1] if at < len(self._tokens) else ""

    def _pipe(self, *, many: bool = False) -> _Pipe:
        self._depth += 1
        if self._depth > _MAX_NESTING:
            raise _error("template is nested too deeply")
        variables: tuple[str, ...] = ()
        declares = False
        if self._peek().startswith("$") and "." not in self._peek():
            if self._peek(1) in (":=", "="):
                variables, declares = (self._peek(),), self._peek(1) == ":="
                self._at += 2
            elif many and self._peek(1) == "," and self._peek(3) in (":=", "="):
                variables, declares = (self._peek(), self._peek(2)), self._peek(3) == ":="
                self._at += 4
        commands = [self._command()]
        while self._peek() == "|":
            self._at += 1
            commands.append(self._command())
        self._depth -= 1
        return _Pipe(variables, declares, tuple(commands))

    def _command(self) -> tuple[_Operand, ...]:
        operands: list[_Operand] = []
        while self._at < len(self._tokens) and self._peek() not in ("|", ")"):
            operands.append(self._operand())
        if not operands:
            raise _error("missing value for command")
        return tuple(operands)

    def _operand(self) -> _Operand:
        kind, text, at, _ = self._tokens[self._at]
        self._at += 1
        if kind == "string":
            return _Literal(_unquoted(text))
        if kind == "raw":
            return _Literal(text[1:-1])
        if kind == "char":
            return _Literal(ord(_unquoted(f'"{text[1:-1]}"')[0]))
        if kind == "number":
            return _Literal(_numeral(text))
        if kind == "field":
            head, *keys = text.split(".")
            return _Field(head or None, tuple(k for k in keys if k), text, at)
        if kind == "word":
            if text in ("true", "false", "nil"):
                return _Literal({"true": True, "false": False, "nil": None}[text])
            if text not in _FUNCTIONS:
                raise _error(f'function "{text}" not defined')
            return _Function(text)
        if text == "(":
            pipe = self._pipe()
            if self._peek() != ")":
                raise _error("unclosed left paren")
            self._at += 1
            if self._at < len(self._tokens):
                _, chain, start, adjacent = self._tokens[self._at]
                if adjacent and _CHAIN.fullmatch(chain):
                    self._at += 1
                    return _Field(pipe, tuple(chain[1:].split(".")), chain, start)
            return pipe
        raise _error(f"unexpected <{text}> in command")


_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))",
    re.DOTALL,
)
_ESCAPES = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
}


def _unquoted(text: str) -> str:
    def replace(match: re.Match[str]) -> str:
        simple, *codes, bad = match.groups()
        if simple:
            return _ESCAPES[simple]
        if bad:
            raise _error(f"invalid syntax: {text}")
        code = next(int(c, 8 if i == 3 else 16) for i, c in enumerate(codes) if c)
        if code > 0x10FFFF:
            raise _error(f"invalid syntax: {text}")
        return chr(code)

    return _ESCAPE.sub(replace, text[1:-1])


def _numeral(text: str) -> int | float:
    try:
        if re.fullmatch(r"[+-]?0[xX][0-9a-fA-F]+", text):
            return int(text, 16)
        if re.fullmatch(r"[+-]?[0-9]{1,30}", text):
            return int(text)
        return float(text)
    except ValueError:
        raise _error(f"bad number syntax: {text!r}") from None


def _error(message: str) -> TemplateError:
    return TemplateError(f"template parsing error: template: :1: {message}")


# --- Rendering -----------------------------------------------------------------------------------


class _Jumped(Exception):
    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class _State:
    def __init__(self, root: Any, output: list[str]) -> None:
        self._output = output
        self._length = 0
        self._variables: list[tuple[str, Any]] = [("$", root)]

    def run(self, nodes: Sequence[_Node], dot: Any) -> None:
        mark = len(self._variables)
        for node in nodes:
            if isinstance(node, _Text):
                self._write(node.text)
            elif isinstance(node, _Action):
                value = self._pipe(node.pipe, dot)
                if not node.pipe.variables:
                    self._write(text_of(value, missing="<no value>"))
            elif isinstance(node, _Jump):
                raise _Jumped(node.kind)
            else:
                self._branch(node, dot)
        del self._variables[mark:]

    def _write(self, text: str) -> None:
        self._length += len(text)
        if self._length > _MAX_OUTPUT:
            raise _error("the output is too large")
        self._output.append(text)

    def _branch(self, node: _Branch, dot: Any) -> None:
        mark = len(self._variables)
        if node.kind == "range":
            self._range(node, dot)
        else:
            value = self._pipe(node.pipe, dot)
            if _true(value):
                self.run(node.then, value if node.kind == "with" else dot)
            else:
                self.run(node.otherwise, dot)
        del self._variables[mark:]

    def _range(self, node: _Branch, dot: Any) -> None:
        value = self._pipe(node.pipe._replace(variables=()), dot)
        items: list[tuple[Any, Any]]
        if value is None:
            items = []
        elif isinstance(value, Mapping):
            items = [(key, value[key]) for key in sorted(value)]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            items = list(enumerate(value))
        elif isinstance(value, int) and not isinstance(value, bool):
            items = [(i, i) for i in range(min(value, 1_000_000))]
        else:
            raise _error(f"range can't iterate over {text_of(value)}")
        if not items:
            self.run(node.otherwise, dot)
            return
        mark = len(self._variables)
        names = node.pipe.variables
        for key, item in items:
            if len(names) == 2:
                self._variables += [(names[0], key), (names[1], item)]
            elif names:
                self._variables.append((names[0], item))
            try:
                self.run(node.then, item)
            except _Jumped as e:
                if e.kind == "break":
                    break
            finally:
                del self._variables[mark:]

    def _pipe(self, pipe: _Pipe, dot: Any) -> Any:
        value: Any = None
        for i, command in enumerate(pipe.commands):
            value = self._command(command, dot, [value] if i else [])
        if pipe.variables:
            self._assign(pipe.variables[0], value, declares=pipe.declares)
        return value

    def _assign(self, name: str, value: Any, *, declares: bool) -> None:
        if declares:
            self._variables.append((name, value))
            return
        for i in range(len(self._variables) - 1, -1, -1):
            if self._variables[i][0] == name:
                self._variables[i] = (name, value)
                return
        raise _error(f'undefined variable "{name}"')

    def _command(self, command: Sequence[_Operand], dot: Any, piped: list[Any]) -> Any:
        first = command[0]
        if isinstance(first, _Function):
            if first.name in ("and", "or"):
                return self._lazy(first.name, command[1:], dot, piped)
            arguments = [self._operand(operand, dot) for operand in command[1:]] + piped
            try:
                return _FUNCTIONS[first.name](*arguments)
            except TypeError:
                raise _error(f"wrong arguments for {first.name}") from None
        if len(command) > 1 or piped:
            raise _error(f"can't give argument to non-function {_source(first)}")
        return self._operand(first, dot)

    def _lazy(self, name: str, operands: Sequence[_Operand], dot: Any, piped: list[Any]) -> Any:
        if not operands and not piped:
            raise _error(f"wrong number of args for {name}: want at least 1 got 0")
        value: Any = None
        for value in (*(self._operand(operand, dot) for operand in operands), *piped):
            if _true(value) == (name == "or"):
                return value
        return value

    def _operand(self, operand: _Operand, dot: Any) -> Any:
        if isinstance(operand, _Literal):
            return operand.value
        if isinstance(operand, _Pipe):
            return self._pipe(operand, dot)
        if isinstance(operand, _Function):
            return self._command([operand], dot, [])
        if isinstance(operand.base, _Pipe):
            value = self._pipe(operand.base, dot)
        elif operand.base is None:
            value = dot
        else:
            value = self._variable(operand.base)
        for key in operand.keys:
            value = _member(value, key, operand)
        return value

    def _variable(self, name: str) -> Any:
        for known, value in reversed(self._variables):
            if known == name:
                return value
        raise _error(f'undefined variable "{name}"')


class Fields(dict[str, Any]):
    """A mapping of known fields: a missing one is an error in docker's words for such."""


def _member(value: Any, key: str, operand: _Field) -> Any:
    where = f'template: :1:{operand.at}: executing "" at <{operand.source}>'
    if isinstance(value, Mapping):
        if key in value:
            return value[key]
        if isinstance(value, Fields):
            raise TemplateError(f"{where}: can't evaluate field {key} in type image")
        raise TemplateError(f'template parsing error: {where}: map has no entry for key "{key}"')
    if value is None:
        raise TemplateError(f"template parsing error: {where}: nil pointer evaluating .{key}")
    kind = _kind(value)
    raise TemplateError(
        f"template parsing error: {where}: can't evaluate field {key} in type {kind}"
    )


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float64"
    return "string" if isinstance(value, str) else "[]interface {}"


def _source(operand: _Operand) -> str:
    return operand.source if isinstance(operand, _Field) else text_of(getattr(operand, "value", ""))


def _true(value: Any) -> bool:
    return bool(value)


def text_of(value: Any, *, missing: str = "<nil>") -> str:
    """Write a value as Go prints it: ``map[a:1]``, ``[x y]``, ``true``, ``<nil>``."""
    if value is None:
        return missing
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{k}:{text_of(value[k])}" for k in sorted(value)) + "]"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + " ".join(text_of(item) for item in value) + "]"
    return str(value)


def _float(value: float) -> str:
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    text = repr(value)
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent):+03d}" if e else text


def _json(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key) if isinstance(key, str) else None
        elif isinstance(value, Sequence):
            if isinstance(key, bool) or not isinstance(key, int):
                raise _error(f"error calling index: cannot index slice/array with {_kind(key)}")
            if not 0 <= key < len(value):
                raise _error(f"error calling index: index out of range: {key}")
            value = ord(value[key]) if isinstance(value, str) else value[key]
        elif value is None:
            raise _error("error calling index: index of untyped nil")
        else:
            raise _error(f"error calling index: can't index item of type {_kind(value)}")
    return value


def _slice(value: Any, *bounds: Any) -> Any:
    if not isinstance(value, Sequence) or len(bounds) > 3:
        raise _error("error calling slice: can't slice this item")
    if not all(isinstance(b, int) and 0 <= b <= len(value) for b in bounds):
        raise _error(f"error calling slice: index out of range: {text_of(list(bounds))}")
    start, end = (*bounds[:2], 0, len(value))[:2] if len(bounds) != 1 else (bounds[0], len(value))
    if start > end:
        raise _error(f"error calling slice: invalid slice index: {start} > {end}")
    return value[start:end]


def _len(value: Any) -> int:
    if isinstance(value, Mapping | Sequence):
        return len(value.encode()) if isinstance(value, str) else len(value)
    raise _error(f"error calling len: len of type {_kind(value) if value is not None else 'nil'}")


def _equal(first: Any, *others: Any) -> bool:
    if not others:
        raise _error("error calling eq: missing argument for comparison")
    return any(_comparable(first, other) and first == other for other in others)


def _comparable(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return True
    numbers = (int, float)
    if isinstance(one, bool) != isinstance(other, bool) or isinstance(one, str) != isinstance(
        other, str
    ):
        raise _error("error calling eq: incompatible types for comparison")
    if isinstance(one, numbers) != isinstance(other, numbers):
        raise _error("error calling eq: incompatible types for comparison")
    return True


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def function(one: Any, other: Any) -> bool:
        strings = isinstance(one, str) and isinstance(other, str)
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (one, other))
        if not strings and not numbers:
            raise _error("incompatible types for comparison")
        return compare(one, other)

    return function


def _strings(function: Callable[..., Any], *types: type) -> Callable[..., Any]:
    def checked(*arguments: Any) -> Any:
        if len(arguments) != len(types) or not all(
            isinstance(a, t) for a, t in zip(arguments, types, strict=True)
        ):
            raise TypeError
        return function(*arguments)

    return checked


def _join(values: Any, separator: Any) -> str:
    if values is None:
        return ""
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise TypeError
    return str(separator).join(text_of(value) for value in values)


_VERB = re.compile(r"%([-+# 0]*)([0-9]+)?(?:\.([0-9]+))?([a-zA-Z%])")


def _printf(form: Any, *arguments: Any) -> str:
    if not isinstance(form, str):
        raise TypeError
    pending = list(arguments)

    def verb(match: re.Match[str]) -> str:
        flags, width, precision, kind = match.groups()
        if kind == "%":
            return "%"
        if not pending:
            return f"%!{kind}(MISSING)"
        if int(width or 0) > 10_000 or int(precision or 0) > 10_000:
            return f"%!(BADWIDTH){kind}"
        return _formatted(pending.pop(0), kind, flags, int(width or 0), precision)

    text = _VERB.sub(verb, form)
    if pending:
        extra = ", ".join(f"{_kind(a)}={text_of(a)}" for a in pending)
        text += f"%!(EXTRA {extra})"
    return text


def _formatted(value: Any, kind: str, flags: str, width: int, precision: str | None) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    sign = "+" if "+" in flags else " " if " " in flags else ""
    if kind == "v" or (kind == "s" and isinstance(value, str | Sequence | Mapping)):
        text = text_of(value)
        if kind == "s" and precision is not None:
            text = text[: int(precision)]
    elif kind == "d" and isinstance(value, int) and number:
        text = format(value, f"{sign}d")
    elif kind in "xX" and isinstance(value, int) and number:
        text = format(value, kind)
    elif kind in "xX" and isinstance(value, str):
        text = value.encode().hex()
        text = text.upper() if kind == "X" else text
    elif kind in "fFeEgG" and isinstance(value, float):
        default = "" if kind in "gG" and precision is None else f".{precision or 6}"
        text = format(value, f"{sign}{default}{kind}")
    elif kind == "q" and isinstance(value, str):
        text = _json(value)
    elif kind == "t" and isinstance(value, bool):
        text = text_of(value)
    elif kind == "c" and isinstance(value, int) and number and 0 <= value < 0x110000:
        text = chr(value)
    elif kind == "T":
        text = _kind(value) if value is not None else "<nil>"
    else:
        text = (
            f"%!{kind}({_kind(value)}={text_of(value)})"
            if value is not None
            else f"%!{kind}(<nil>)"
        )
    if "-" in flags:
        return text.ljust(width)
    return text.rjust(width, "0" if "0" in flags and number else " ")


def _print(*values: Any) -> str:
    text = ""
    for i, value in enumerate(values):
        if i and not isinstance(value, str) and not isinstance(values[i - 1], str):
            text += " "
        text += text_of(value)
    return text


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": lambda *values: values,  # these two are evaluated lazily, see _State
    "or": lambda *values: values,
    "not": lambda value: not _true(value),
    "eq": _equal,
    "ne": lambda one, other: not _equal(one, other),
    "lt": _ordered(lambda one, other: one < other),
    "le": _ordered(lambda one, other: one <= other),
    "gt": _ordered(lambda one, other: one > other),
    "ge": _ordered(lambda one, other: one >= other),
    "index": _index,
    "slice": _slice,
    "len": _len,
    "print": _print,
    "println": lambda *values: " ".join(text_of(value) for value in values) + "\n",
    "printf": _printf,
    "json": _json,
    "join": _join,
    "split": _strings(lambda text, separator: text.split(separator or None), str, str),
    "lower": _strings(str.lower, str),
    "upper": _strings(str.upper, str),
    "title": _strings(lambda text: re.sub(r"\b\w", lambda m: m.group().upper(), text), str),
    "truncate": _strings(lambda text, length: text[: max(0, length)], str, int),
    "pad": _strings(
        lambda text, before, after: (
            " " * min(max(before, 0), 1000) + text + " " * min(max(after, 0), 1000)
            if text
            else text
        ),
        str,
        int,
        int,
    ),
}
