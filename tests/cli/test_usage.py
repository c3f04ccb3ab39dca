import click
import pytest

from ferryman.cli.usage import words


@click.command("carry")
@click.option("-o", "--output", type=int)
@click.argument("what")
@click.argument("where", required=False)
def carry(output: int | None, what: str, where: str | None) -> None: ...


@click.command("rest")
def rest() -> None: ...


@click.command("gather")
@click.argument("names", nargs=-1, required=True)
def gather(names: tuple[str, ...]) -> None: ...


@click.command("pair")
@click.argument("one")
@click.argument("two")
def pair(one: str, two: str) -> None: ...


@pytest.mark.parametrize(
    ("command", "line", "message", "code"),
    [
        (rest, "--far", "unknown flag: --far", 125),
        (rest, "-f", "unknown shorthand flag: 'f' in -f", 125),
        (carry, "all -o", "flag needs an argument: 'o' in -o", 125),
        (carry, "all --output", "flag needs an argument: --output", 125),
        (
            carry,
            "all -o x",
            "Invalid value for '-o' / '--output': 'x' is not a valid integer.",
            125,
        ),
        (carry, "", "'carry' requires at least 1 and at most 2 arguments", 1),
        (carry, "a b c", "'carry' requires at least 1 and at most 2 arguments", 1),
        (rest, "a b", "'rest' accepts no arguments", 1),
        (gather, "", "'gather' requires at least 1 argument", 1),
        (pair, "a", "'pair' requires 2 arguments", 1),
        (pair, "a b c", "'pair' requires 2 arguments", 1),
    ],
)
def test_words(command: click.Command, line: str, message: str, code: int) -> None:
    with pytest.raises(click.UsageError) as raised:
        command.main(line.split(), command.name, standalone_mode=False)
    assert words(raised.value) == (message, code)
