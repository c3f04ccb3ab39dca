import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.errors import InvalidImage
from ferryman.image import config
from ferryman.image.digest import Digest
from ferryman.image.platform import Platform

# The layers of the example in config.md.
LOW = Digest("sha256:c6f988f4874bb0add23a778f753c65efe992244e148a1d2ec2a8b664fb66bbd1")
HIGH = Digest("sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef")

EXAMPLE: dict[str, Any] = {
    "created": "2015-10-31T22:22:56.015925234Z",
    "author": "Alyssa P. Hacker <alyspdev@example.com>",
    "architecture": "arm64",
    "os": "linux",
    "variant": "v8",
    "config": {"User": "alice", "Labels": {"größe": "groß"}, "Env": ["PATH=/bin"]},
    "rootfs": {"diff_ids": [LOW, HIGH], "type": "layers"},
    "history": [
        {"created": "2015-10-31T22:22:54.690851953Z", "created_by": "/bin/sh -c #(nop) ADD file"},
        {"created": "2015-10-31T22:22:55.613815829Z", "empty_layer": True},
    ],
}


def parsed(**changes: Any) -> config.Config:
    return config.parse(json.dumps(EXAMPLE | changes).encode(), "config x")


def test_the_specifications_example() -> None:
    read = parsed()
    assert read.diff_ids == [LOW, HIGH]
    assert read.platform == Platform("arm64", "linux", "v8")
    assert read.labels == {"größe": "groß"}
    assert read.created_at == pytest.approx(1446330176.015925, abs=1e-6)
    assert [step.empty_layer for step in read.history or []] == [False, True]


def test_almost_everything_may_be_missing_or_null() -> None:
    for content in (b"{}", b'{"config":null,"history":null,"created":null,"variant":null}'):
        read = config.parse(content, "config x")
        assert (read.diff_ids, read.labels, read.created_at) == ([], {}, 0)
    assert parsed(rootfs={"type": "layers", "diff_ids": None}).diff_ids == []
    assert parsed(config={"Labels": None}).labels == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rootfs": None}, "config x is invalid: Expected `object`, got `null` - at `$.rootfs`"),
        ({"rootfs": {"type": "layers+base"}}, "the unknown rootfs type 'layers+base'"),
        ({"rootfs": {"diff_ids": [None]}}, "Expected `str`, got `null`"),
        ({"rootfs": {"diff_ids": "sha256:" + "a" * 64}}, "Expected `array | null`, got `str`"),
        ({"rootfs": {"diff_ids": ["sha256:abc"]}}, "config x: invalid digest 'sha256:abc'"),
        ({"rootfs": {"diff_ids": ["sha256:../../x"]}}, "config x: invalid digest"),
        ({"rootfs": {"diff_ids": ["md5:" + "a" * 32]}}, "unknown digest algorithm 'md5'"),
        ({"os": None}, "Expected `str`, got `null` - at `$.os`"),
        ({"architecture": 64}, "Expected `str`, got `int`"),
        ({"history": {}}, "Expected `array | null`, got `object`"),
        ({"history": [None]}, "Expected `object`, got `null`"),
        ({"config": []}, "Expected `object | null`, got `array`"),
        ({"config": {"Labels": {"a": 1}}}, "Expected `str`, got `int`"),
    ],
    ids=repr,
)
def test_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidImage) as raised:
        parsed(**changes)
    assert str(raised.value).startswith("config x")
    assert words in str(raised.value)


def test_as_mapping_holds_all_that_is_in_it() -> None:
    assert config.as_mapping(json.dumps(EXAMPLE).encode(), "it") == EXAMPLE
    with pytest.raises(InvalidImage):
        config.as_mapping(b"[]", "it")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01Z", 1),
        ("1970-01-01t00:00:01z", 1),
        ("1970-01-01 00:00:01Z", 1),
        ("1970-01-01T01:00:01+01:00", 1),
        ("1969-12-31T19:00:01-05:00", 1),
        ("1970-01-01T00:00:00.5Z", 0.5),
        ("1970-01-01T00:00:00.123456789Z", 0.123456789),
        ("2024-02-29T12:00:00Z", 1709208000),
        ("9999-12-31T23:59:59Z", 253402300799),
        # docker's zero time, and what is no time at all
        ("0001-01-01T00:00:00Z", 0),
        ("2023-02-29T12:00:00Z", 0),
        ("2024-13-01T00:00:00Z", 0),
        ("2024-01-01T24:61:00Z", 0),
        ("2024-01-01T00:00:00", 0),
        ("2024-01-01", 0),
        ("yesterday", 0),
        ("1970-01-01T00:00:01Z\n", 0),
        ("٢٠٢٤-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01." + "1" * 100_000 + "Z", 1.1111111),
    ],
    ids=lambda value: str(value)[:40],
)
def test_seconds(text: str | None, seconds: float) -> None:
    assert config.seconds(text) == pytest.approx(seconds, abs=1e-6)


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))
def test_any_time(moment: datetime) -> None:
    assert config.seconds(moment.isoformat()) == pytest.approx(moment.timestamp(), abs=1e-5)


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_none(text: str) -> None:
    assert config.seconds(text) >= 0


def test_chain_ids() -> None:
    assert config.chain_ids([]) == []
    low, high, again = config.chain_ids([LOW, HIGH, LOW])
    assert low == LOW
    # printf 'sha256:c6f9… sha256:5f70…' | sha256sum
    assert high == "sha256:c3191d32a37d7159b2e30830937d2e30268ad6c375a773a8994911a3aba9b93f"
    assert again == "sha256:" + hashlib.sha256(f"{high} {LOW}".encode()).hexdigest()
