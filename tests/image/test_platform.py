import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.errors import InvalidImage
from ferryman.image import platform
from ferryman.image.platform import Platform

MACHINE = platform.host().architecture


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/arm64", "linux/arm64/v8"),
        ("linux/aarch64", "linux/arm64/v8"),
        ("linux/arm64/8", "linux/arm64/v8"),
        ("linux/arm64/v9", "linux/arm64/v9"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/arm/v5", "linux/arm/v5"),
        ("Linux/AMD64", "linux/amd64"),
        ("linux/i686", "linux/386"),
        ("macos/arm64", "darwin/arm64/v8"),
        ("linux/unheard-of", "linux/unheard-of"),
        ("amd64", "linux/amd64"),
        ("aarch64", "linux/arm64/v8"),
        ("s390x", "linux/s390x"),
        ("windows/amd64", "windows/amd64"),
    ],
)
def test_written_in_the_words_of_the_specification(text: str, written: str) -> None:
    assert str(platform.parse(text)) == written


def test_an_operating_system_alone_is_for_this_machine() -> None:
    assert platform.parse("linux") == platform.host()
    assert platform.parse("freebsd").architecture == MACHINE


@pytest.mark.parametrize(
    "text", ["", "/", "linux/", "/amd64", "a/b/c/d", "linux/amd 64", "linux/*", "li\nnux/amd64"]
)
def test_refused(text: str) -> None:
    with pytest.raises(InvalidImage, match="is an invalid platform: expected os/architecture"):
        platform.parse(text)


def test_a_word_alone_must_be_known() -> None:
    with pytest.raises(InvalidImage, match='"toaster": unknown operating system or architecture'):
        platform.parse("toaster")


@pytest.mark.parametrize(
    ("mine", "theirs", "runs"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/amd64", "linux/386", False),
        ("linux/amd64", "windows/amd64", False),
        ("linux/arm/v7", "linux/arm/v6", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm64/v8", "linux/arm64", True),
    ],
)
def test_runs(mine: str, theirs: str, runs: bool) -> None:
    assert platform.parse(mine).runs(platform.parse(theirs)) is runs


@pytest.mark.parametrize(
    ("made_for", "wanted", "matches"),
    [
        (Platform("arm64", "linux"), Platform("arm64", "linux", "v8"), True),
        (Platform("arm64", "linux", "v8"), Platform("arm64", "linux"), True),
        (Platform("arm", "linux", "v6"), Platform("arm", "linux"), False),
        (Platform("amd64", "linux"), Platform("arm64", "linux"), False),
        (Platform("amd64", "linux"), Platform(os="linux"), True),
        (Platform("amd64", "windows"), Platform(os="linux"), False),
        (Platform(), Platform("amd64", "linux"), False),
        (Platform(), Platform(), True),
    ],
)
def test_matches(made_for: Platform, wanted: Platform, matches: bool) -> None:
    assert made_for.matches(wanted) is matches


@given(st.text(max_size=40))
def test_what_is_read_reads_back(text: str) -> None:
    try:
        parsed = platform.parse(text)
    except InvalidImage:
        return
    assert platform.parse(str(parsed)) == parsed
    assert parsed.normal == parsed
    assert parsed.matches(parsed)
    assert parsed.runs(parsed)
