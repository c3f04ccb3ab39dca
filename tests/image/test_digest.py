import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.errors import InvalidImage
from ferryman.image import digest
from ferryman.image.digest import Digest

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_of_nothing() -> None:
    assert digest.of(b"") == EMPTY


def test_its_parts() -> None:
    parsed = digest.parse(EMPTY)
    assert parsed.algorithm == "sha256"
    assert parsed.encoded == EMPTY[7:]
    assert parsed.short == "e3b0c44298fc"


@given(st.binary(), st.sampled_from(["sha256", "sha512"]))
def test_reads_back(content: bytes, algorithm: str) -> None:
    running = digest.hasher(algorithm)
    running.update(content)
    finished = digest.finished(running, algorithm)
    assert finished == f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
    assert digest.parse(finished) == finished
    again = finished.hasher()
    again.update(content)
    assert again.hexdigest() == finished.encoded


FORM = "not of the form algorithm:hex"
ALGORITHM = "unknown digest algorithm"
HEX = "in lower-case hex"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", FORM),
        ("a" * 64, FORM),
        ("sha256", FORM),
        ("sha256:", HEX),
        (":" + "a" * 64, ALGORITHM),
        ("sha256:" + "a" * 63, HEX),
        ("sha256:" + "a" * 65, HEX),
        ("sha256:" + "A" * 64, HEX),
        ("sha256:" + "g" * 64, HEX),
        ("sha256:" + "a" * 64 + "\n", HEX),
        ("sha256:" + "٣" * 64, HEX),
        ("sha512:" + "a" * 64, HEX),
        ("SHA256:" + "a" * 64, ALGORITHM),
        ("sha1:" + "a" * 40, ALGORITHM),
        ("md5:" + "a" * 32, ALGORITHM),
        ("blake3:" + "a" * 64, ALGORITHM),
        ("sha256+b64:" + "a" * 64, ALGORITHM),
        ("sha256:../../../../etc/passwd", HEX),
        ("../sha256:" + "a" * 64, ALGORITHM),
        ("sha256:" + "a" * 62 + "/.", HEX),
    ],
    ids=ascii,
)
def test_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidImage) as raised:
        digest.parse(text)
    assert words in str(raised.value)


@given(st.text() | st.text("sha256512:abcdef0123/.\n", max_size=200))
def test_any_text_is_safe_in_a_path_or_refused(text: str) -> None:
    try:
        parsed = digest.parse(text)
    except InvalidImage:
        return
    assert isinstance(parsed, Digest)
    assert parsed.algorithm in ("sha256", "sha512")
    assert set(parsed.encoded) <= set("0123456789abcdef")


def test_a_long_text_is_not_repeated_whole() -> None:
    for text in ("x" * 1_000_000, "sha256:" + "x" * 1_000_000, "x" * 1_000_000 + ":"):
        with pytest.raises(InvalidImage) as raised:
            digest.parse(text)
        assert len(str(raised.value)) < 300
