from typing import Any

import click
import pytest

from ferryman.cli.flags.grammar import FlagCommand, FlagError, Switch, Value, integer, switch
from ferryman.cli.usage import words


@click.command("go", cls=FlagCommand, aliases={"pub": "publish"})
@click.option("-d", "--detach", is_flag=True)
@click.option("-i", "--interactive", cls=Switch)
@switch("-t --tty", "A terminal")
@switch("--proxy", "Signals", default=True)
@click.option("-p", "--publish", multiple=True, type=Value(str, "list"))
@click.option("-n", "--number", type=Value(integer, "int"), default=7)
@click.option("-h", "--host", default="")
@click.argument("image")
@click.argument("rest", nargs=-1)
def go(**values: Any) -> dict[str, Any]:
    return values


DEFAULT = {
    "detach": False,
    "interactive": False,
    "tty": False,
    "proxy": True,
    "publish": (),
    "number": 7,
    "host": "",
    "image": "img",
    "rest": (),
}


def read(*args: str) -> dict[str, Any]:
    found: dict[str, Any] = go.main(list(args), "go", standalone_mode=False)
    return found


@pytest.mark.parametrize(
    ("line", "want"),
    [
        ("img", {}),
        ("-it img", {"interactive": True, "tty": True}),
        ("-itd img", {"interactive": True, "tty": True, "detach": True}),
        ("-i -t --detach img", {"interactive": True, "tty": True, "detach": True}),
        ("--tty=false img", {}),
        ("--tty=0 --interactive=T img", {"interactive": True}),
        ("-t=true -i=F img", {"tty": True}),
        ("-t -t=false img", {}),
        ("-d -d=false img", {}),
        ("-d=false -d img", {"detach": True}),
        ("--proxy=false img", {"proxy": False}),
        ("--proxy img", {"proxy": True}),
        (
            "-p 80 -p81 -p=82 --publish 83 --publish=84 --pub 85 img",
            {"publish": ("80", "81", "82", "83", "84", "85")},
        ),
        ("-tp 80 img", {"tty": True, "publish": ("80",)}),
        ("-tp80 img", {"tty": True, "publish": ("80",)}),
        ("-p= img", {"publish": ("=",)}),
        ("--publish= img", {"publish": ("",)}),
        ("-p -d img", {"publish": ("-d",)}),
        ("--publish -- img", {"publish": ("--",)}),
        ("-n -5 img", {"number": -5}),
        ("--host=a=b img", {"host": "a=b"}),
        ("-h here img", {"host": "here"}),
        ("img -t --nonsense", {"rest": ("-t", "--nonsense")}),
        ("img -- -t", {"rest": ("--", "-t")}),
        ("-- img -t", {"rest": ("-t",)}),
        ("-- -img x", {"image": "-img", "rest": ("x",)}),
        ("- -t", {"image": "-", "rest": ("-t",)}),
        ("img --help", {"rest": ("--help",)}),
    ],
)
def test_command_lines(line: str, want: dict[str, Any]) -> None:
    assert read(*line.split(" ")) == DEFAULT | want


@click.command("mix", cls=FlagCommand, interspersed=True)
@switch("-t --tty", "A terminal")
@click.option("-n", "--name", default="")
@click.argument("images", nargs=-1)
def mix(**values: Any) -> dict[str, Any]:
    return values


@pytest.mark.parametrize(
    ("line", "want"),
    [
        ("a -t b", {"tty": True, "images": ("a", "b")}),
        ("a --name=x b -t=false -", {"name": "x", "images": ("a", "b", "-")}),
        ("a -n -t -- b -t", {"name": "-t", "images": ("a", "b", "-t")}),
    ],
)
def test_flags_among_arguments(line: str, want: dict[str, Any]) -> None:
    default = {"tty": False, "name": "", "images": ()}
    assert mix.main(line.split(), "mix", standalone_mode=False) == default | want


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--nonsense img", "unknown flag: --nonsense"),
        ("--nonsense=1 img", "unknown flag: --nonsense"),
        ("--tt img", "unknown flag: --tt"),
        ("-z img", "unknown shorthand flag: 'z' in -z"),
        ("-itz img", "unknown shorthand flag: 'z' in -z"),
        ("-tzi img", "unknown shorthand flag: 'z' in -zi"),
        ("-p", "flag needs an argument: 'p' in -p"),
        ("-tp", "flag needs an argument: 'p' in -p"),
        ("--publish", "flag needs an argument: --publish"),
        ("--=x img", "bad flag syntax: --=x"),
        ("---t img", "bad flag syntax: ---t"),
        (
            "-t=x img",
            'invalid argument "x" for "-t, --tty" flag: strconv.ParseBool: parsing "x": '
            "invalid syntax",
        ),
        (
            "--proxy= img",
            'invalid argument "" for "--proxy" flag: strconv.ParseBool: parsing "": invalid syntax',
        ),
        (
            "-n x img",
            'invalid argument "x" for "-n, --number" flag: strconv.ParseInt: parsing "x": '
            "invalid syntax",
        ),
        (
            "--number=99999999999999999999 img",
            'invalid argument "99999999999999999999" for "-n, --number" flag: strconv.ParseInt: '
            'parsing "99999999999999999999": value out of range',
        ),
    ],
)
def test_wrong_flags(line: str, message: str) -> None:
    with pytest.raises(FlagError) as raised:
        read(*line.split(" "))
    assert words(raised.value) == (message, 125)


def test_no_image() -> None:
    with pytest.raises(click.UsageError) as raised:
        read("-t")
    assert words(raised.value) == ("'go' requires at least 1 argument", 1)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    read("-t", "--help")
    said = capsys.readouterr().out
    assert said.startswith("Usage: go [OPTIONS] IMAGE [REST]...")
    assert "-t, --tty " in said
    assert "--proxy=" not in said


@pytest.mark.parametrize(("text", "want"), [("0", 0), ("+7", 7), ("-7", -7), ("007", 7)])
def test_integers(text: str, want: int) -> None:
    assert integer(text) == want


@pytest.mark.parametrize("text", ["", "-", "1.5", "1e3", "x", "--1", " 1", "²", "1_0"])
def test_no_integers(text: str) -> None:
    with pytest.raises(ValueError, match="invalid syntax"):
        integer(text)
