import pytest

from ferryman.runtime.log_options import checked, details, limit
from ferryman.runtime.settings import Config, InvalidSettings, LogConfig


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, None),
        ({"max-file": "3"}, None),
        ({"max-size": "10m"}, 10_000_000),
        ({"max-size": "1.5k", "max-file": "4"}, 6000),
        ({"max-size": "2GiB"}, 2_000_000_000),  # as docker has it
    ],
)
def test_how_large_a_log_may_grow(options: dict[str, str], size: int | None) -> None:
    assert limit(LogConfig(config=options)) == size


def test_the_local_driver_has_a_limit_of_its_own() -> None:
    assert limit(LogConfig("local")) == 100_000_000
    assert limit(LogConfig("local", {"max-size": "1m"})) == 5_000_000
    assert limit(LogConfig("none")) is None


@pytest.mark.parametrize(
    ("kind", "option", "words"),
    [
        ("json-file", "foo=1", "unknown log opt 'foo' for json-file log driver"),
        ("local", "labels=a", "unknown log opt 'labels' for local log driver"),
        ("json-file", "mode=foo", "logger: logging mode not supported: foo"),
        ("json-file", "max-size=abc", "failed to initialize logging driver: invalid size: 'abc'"),
        ("json-file", "max-size=", "failed to initialize logging driver: invalid size: ''"),
        (
            "json-file",
            "env-regex=(",
            "failed to initialize logging driver: error parsing regexp: missing ), unterminated "
            "subpattern at position 0",
        ),
        (
            "json-file",
            "max-size=0",
            "failed to initialize logging driver: max-size must be a positive number",
        ),
        (
            "json-file",
            "max-file=0",
            "failed to initialize logging driver: max-file cannot be less than 1",
        ),
        (
            "json-file",
            "max-file=x",
            'failed to initialize logging driver: strconv.Atoi: parsing "x": invalid syntax',
        ),
    ],
)
def test_what_cannot_be(kind: str, option: str, words: str) -> None:
    name, _, value = option.partition("=")
    with pytest.raises(InvalidSettings) as raised:
        checked(LogConfig(kind, {name: value}))
    assert str(raised.value) == words


def test_what_has_no_effect_is_said() -> None:
    assert checked(LogConfig(config={"max-size": "1m", "compress": "false"})) == []
    assert checked(LogConfig(config={"mode": "non-blocking", "tag": "x"})) == [
        "--log-opt mode has no effect in ferry",
        "--log-opt tag has no effect in ferry",
    ]


def test_details() -> None:
    config = Config(env=["X=y", "Y=2"], labels={"a": "1", "b": "2 3", "com.x": "z"})
    assert details(LogConfig(), config) == ""
    assert details(LogConfig(config={"labels": "a,b", "env": "X"}), config) == "X=y,a=1,b=2+3"
    assert details(LogConfig(config={"labels-regex": "^com", "env-regex": "Y"}), config) == (
        "Y=2,com.x=z"
    )
