"""Command lines as docker reads them: the flags come first, and everything after is the program's.

click reads command lines in nearly the same way; what differs is put right before it sees them:
``--rm=false``, ``-p=80:80``, and what is said of a flag that is wrong.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ferryman.build.words import quoted

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))


if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType


class FlagError(click.UsageError):
    """A flag that docker would refuse, in its words; docker exits with 125."""


class Value(_ParamType):
    """What a function makes of the text of a flag; it raises ValueError in docker's words."""

    def __init__(self, read: Callable[[str], Any], name: str) -> None:
        """Take the function, and what the value is called in the help."""
        self._read = read
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value of a text; raises FlagError."""
        if not isinstance(value, str):
            return value  # the default
        try:
            return self._read(value)
        except ValueError as e:
            assert param is not None
            raise refusal(param.opts, value, str(e), ctx) from None


def refusal(names: Sequence[str], value: str, why: str, context: click.Context | None) -> FlagError:
    """Return docker's error for a value that a flag cannot have."""
    flag = ", ".join(sorted(names, key=len))
    return FlagError(f"invalid argument {quoted(value)} for {quoted(flag)} flag: {why}", context)


class Switch(click.Option):
    """A flag that is true when it has no value, and may have one: ``--init=false``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what an option takes."""
        super().__init__(*args, **{"default": False, **kwargs, "is_flag": True})

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Have click expect the value that `FlagCommand` always writes."""
        parser.add_option(obj=self, opts=self.opts, dest=self.name, action="store", nargs=1)


def switch(names: str, help: str, *, default: bool = False) -> Callable[..., Any]:
    """Declare such a flag, as click.option does others."""
    return click.option(*names.split(), cls=Switch, default=default, help=help)


class FlagCommand(click.Command):
    """A command whose flags docker would read in the same way.

    `aliases` are names of flags that are not in the help: ``net`` → ``network``.  Flags come before
    the arguments, unless they are `interspersed`.
    """

    allow_interspersed_args = False

    def __init__(
        self,
        *args: Any,
        aliases: Mapping[str, str] | None = None,
        interspersed: bool = False,
        **kwargs: Any,
    ) -> None:
        """Take what click takes, and more; ``-h`` is free for a flag where they come first."""
        settings = {"help_option_names": ["--help"]} if not interspersed else {}
        kwargs["context_settings"] = {**settings, **kwargs.get("context_settings", {})}
        super().__init__(*args, **kwargs)
        self._aliases = aliases or {}
        self._interspersed = interspersed

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read a command line; raises FlagError."""
        flags = _Flags(self.get_params(ctx), self._aliases, ctx)
        return super().parse_args(ctx, flags.normal(args, interspersed=self._interspersed))


class _Flag(NamedTuple):
    names: Sequence[str]
    optional: bool
    """Whether it goes without a value."""
    plain: bool
    """Whether click wants none."""

    @property
    def long(self) -> str:
        return max(self.names, key=len)


class _Flags:
    def __init__(
        self, params: Sequence[click.Parameter], aliases: Mapping[str, str], ctx: click.Context
    ) -> None:
        self._context = ctx
        self._known: dict[str, _Flag] = {}
        for param in params:
            if isinstance(param, click.Option):
                plain = param.is_flag and not isinstance(param, Switch)
                flag = _Flag(param.opts, param.is_flag, plain)
                self._known.update(dict.fromkeys(param.opts, flag))
        for alias, name in aliases.items():
            if f"--{name}" in self._known:
                self._known[f"--{alias}"] = self._known[f"--{name}"]

    def normal(self, args: Sequence[str], *, interspersed: bool) -> list[str]:
        """Return the same command line in the one form that click and docker read alike."""
        written: list[str] = []
        arguments: list[str] = []
        rest = list(args)
        while rest:
            word = rest.pop(0)
            if word == "--":
                break
            if word == "-" or not word.startswith("-"):
                arguments.append(word)
                if interspersed:
                    continue
                break
            read = self._long if word.startswith("--") else self._short
            for flag, value in read(word, rest):
                if not flag.plain:
                    written.append(f"{flag.long}={value}")
                elif value == "true":
                    written.append(flag.long)
                else:
                    written = [other for other in written if other != flag.long]
        return [*written, "--", *arguments, *rest]

    def _long(self, word: str, rest: list[str]) -> Iterator[tuple[_Flag, str]]:
        name, equals, value = word.partition("=")
        if name == "--" or name.startswith("---"):
            raise FlagError(f"bad flag syntax: {word}", self._context)
        flag = self._known.get(name)
        if flag is None:
            raise FlagError(f"unknown flag: {name}", self._context)
        if not equals and not flag.optional and not rest:
            raise FlagError(f"flag needs an argument: {name}", self._context)
        if not equals:
            value = "true" if flag.optional else rest.pop(0)
        yield flag, self._checked(flag, value)

    def _short(self, word: str, rest: list[str]) -> Iterator[tuple[_Flag, str]]:
        letters = word[1:]
        while letters:
            whole, letter, letters = letters, letters[0], letters[1:]
            flag = self._known.get(f"-{letter}")
            if flag is None:
                raise FlagError(f"unknown shorthand flag: '{letter}' in -{whole}", self._context)
            if len(letters) > 1 and letters.startswith("="):
                value, letters = letters[1:], ""
            elif flag.optional:
                value = "true"
            elif letters:
                value, letters = letters, ""
            elif rest:
                value = rest.pop(0)
            else:
                raise FlagError(f"flag needs an argument: '{letter}' in -{whole}", self._context)
            yield flag, self._checked(flag, value)

    def _checked(self, flag: _Flag, value: str) -> str:
        """Return a value as it is, but that of a switch as ``true`` or ``false``."""
        if not flag.optional:
            return value
        try:
            return "true" if truth(value) else "false"
        except ValueError as e:
            raise refusal(flag.names, value, str(e), self._context) from None


def truth(text: str) -> bool:
    """Return what Go reads as true or false; raises ValueError in its words."""
    if text not in _TRUE | _FALSE:
        raise ValueError(f"strconv.ParseBool: parsing {quoted(text)}: invalid syntax")
    return text in _TRUE


def integer(text: str) -> int:
    """Return a whole number; raises ValueError in Go's words."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdecimal()):
        raise ValueError(f"strconv.ParseInt: parsing {quoted(text)}: invalid syntax")
    # Python refuses to read thousands of digits.
    number = int(digits.lstrip("0")[:20] or "0") * (-1 if text.startswith("-") else 1)
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError(f"strconv.ParseInt: parsing {quoted(text)}: value out of range")
    return number
