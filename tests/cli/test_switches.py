from pathlib import Path

import click
import pytest

from ferryman.cli.flags.grammar import FlagError
from ferryman.cli.switches import without_values
from tests.cli.conftest import Ask


@click.command("carry")
@click.option("-q", "--quiet", is_flag=True)
@click.option("-H", "--human/--no-human", default=True)
@click.option("-o", "--output")
@click.argument("rest", nargs=-1)
def carry(quiet: bool, human: bool, output: str, rest: tuple[str, ...]) -> None: ...


CONTEXT = click.Context(carry)


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("", ""),
        ("-q --human x=1 --output=true", "-q --human x=1 --output=true"),
        ("-q=true --quiet=1 --quiet=T", "-q --quiet --quiet"),
        ("a -q=false --quiet=0 b", "a b"),
        ("-H=false --human=False", "--no-human --no-human"),
        ("--human=true", "--human"),
        ("--nothing=false -o=false", "--nothing=false -o=false"),
        ("-q=false -- -q=false", "-- -q=false"),
    ],
)
def test_without_values(given: str, plain: str) -> None:
    assert without_values(carry, given.split(), CONTEXT) == plain.split()


def test_no_truth() -> None:
    with pytest.raises(FlagError) as raised:
        without_values(carry, ["--quiet=maybe"], CONTEXT)
    assert raised.value.message == (
        'invalid argument "maybe" for "-q, --quiet" flag: '
        'strconv.ParseBool: parsing "maybe": invalid syntax'
    )


def test_by_the_command_line(ask: Ask, some_images: Path) -> None:
    whole = ask("images", root=some_images)
    assert ask("images", "--quiet=false", root=some_images) == whole
    assert ask("image", "ls", "-q=0", root=some_images) == whole
    code, out, err = ask("images", "-q=x", root=some_images)
    assert (code, out) == (125, "")
    assert err.startswith('ferry: invalid argument "x" for "-q, --quiet" flag: ')
    assert "\n\nUsage:  ferry images [OPTIONS] [REPOSITORY[:TAG]]\n" in err
