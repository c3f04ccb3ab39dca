import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.errors import InvalidImage
from ferryman.image.decode import decode, encode
from ferryman.image.digest import Digest


class Thing(msgspec.Struct, frozen=True):
    name: str
    size: int = 0
    parts: list["Thing"] | None = None
    any: Any = None
    raw: msgspec.Raw = msgspec.Raw()


DEEP = 200_000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the thing is not valid JSON: Input data was truncated"),
        (b"null", "the thing is invalid: Expected `object`, got `null`"),
        (b"[]", "the thing is invalid: Expected `object`, got `array`"),
        (b'"name"', "the thing is invalid: Expected `object`, got `str`"),
        (b"{}", "the thing is invalid: Object missing required field `name`"),
        (b'{"name":null}', "the thing is invalid: Expected `str`, got `null` - at `$.name`"),
        (b'{"name":["a"]}', "the thing is invalid: Expected `str`, got `array` - at `$.name`"),
        (b'{"name":"a","size":"1"}', "Expected `int`, got `str` - at `$.size`"),
        (b'{"name":"a","size":1.5}', "Expected `int`, got `float` - at `$.size`"),
        (b'{"name":"a","size":1e99}', "Expected `int`, got `float` - at `$.size`"),
        (b'{"name":"a","size":' + b"9" * 5000 + b"}", "Integer value out of range"),
        (b'{"name":"a","parts":[null]}', "Expected `object`, got `null` - at `$.parts[0]`"),
        (b'{"name":"a"', "the thing is not valid JSON"),
        (b'{"name":"a",}', "the thing is not valid JSON"),
        (b'{"name":"a"} x', "the thing is not valid JSON"),
        (b'{"name":"a","size":NaN}', "the thing is not valid JSON"),
        (b'{"name":"\xff"}', "the thing is not valid JSON"),
        (b'{"name":"\\ud800"}', "the thing is not valid JSON"),
        (b'\xef\xbb\xbf{"name":"a"}', "the thing is not valid JSON"),
        (b"\x1f\x8b\x08\x00", "the thing is not valid JSON"),
        (b"[" * DEEP, "the thing is "),
        (b'{"name":"a","any":' + b"[" * DEEP + b"]" * DEEP + b"}", "nested too deeply"),
        (b'{"name":"a","raw":' + b"[" * DEEP + b"]" * DEEP + b"}", "nested too deeply"),
        (b'{"name":"a","else":' + b"[" * DEEP + b"]" * DEEP + b"}", "nested too deeply"),
        (b'{"name":"a","else":' + b'{"x":' * DEEP + b"1" + b"}" * DEEP + b"}", "nested too deeply"),
        (b'{"name":"a","parts":[' * DEEP + b"]}" * DEEP, "nested too deeply"),
    ],
    ids=lambda value: repr(value[:40]),
)
def test_refused(content: bytes, words: str) -> None:
    with pytest.raises(InvalidImage) as raised:
        decode(content, Thing, "the thing")
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300


def test_nesting_is_bounded_whatever_the_type() -> None:
    for content in (b"[" * DEEP + b"]" * DEEP, b'{"a":' * DEEP + b"1" + b"}" * DEEP):
        for type in (Any, dict, list):
            with pytest.raises(InvalidImage):
                decode(content, type, "it")


def test_size_is_bounded() -> None:
    assert decode(b'{"name":"a"}', Thing, "it", limit=12) == Thing("a")
    with pytest.raises(InvalidImage, match="it is too large: 12 bytes, at most 11"):
        decode(b'{"name":"a"}', Thing, "it", limit=11)


def test_what_is_not_known_is_passed_over() -> None:
    assert decode(b'{"x":[1,{"y":null}],"name":"a","name":"b"}', Thing, "it") == Thing("b")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_encoded_reads_back(value: Any) -> None:
    assert decode(encode(value), Any, "it") == value


def test_what_is_no_text_is_replaced() -> None:
    value = {"a\udcff": ["\udcff", Thing("\udcfe"), Digest("x:y"), 1, None]}
    written = encode(value).decode()
    assert written.startswith('{"a\ufffd":["\ufffd",{"name":"\ufffd"')
    assert written.endswith('},"x:y",1,null]}')


def test_digests_are_written_as_text() -> None:
    assert (
        encode({"b": Digest("sha256:x"), "a": [Digest("y:z")]}) == b'{"b":"sha256:x","a":["y:z"]}'
    )


@given(st.binary(max_size=200) | json_values.map(encode))
def test_anything_is_a_value_or_refused(content: bytes) -> None:
    said = "it is fine"
    try:
        decode(content, Thing, "it")
    except InvalidImage as e:
        said = str(e)
    assert said.startswith("it is ")


_AT_ONCE = """
import msgspec, sys, threading
from ferryman.image.decode import decode

sys.setswitchinterval(1e-6)
for _ in range(200):
    inner = msgspec.defstruct("Inner", [("x", list[int], [])])
    outer = msgspec.defstruct("Outer", [("a", inner), ("b", list[inner], [])])
    begin = threading.Barrier(4)

    def work():
        begin.wait()
        done.append(decode(b'{"a": {"x": [1]}, "b": [{"x": []}]}', outer, "it"))

    done = []
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4
"""


def test_threads_meet_a_type_at_once() -> None:
    subprocess.run([sys.executable, "-c", _AT_ONCE], check=True)
