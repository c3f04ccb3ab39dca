import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.registry.challenge import Challenge, parse

NAMES = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ('Basic realm="Registry Realm"', [("basic", {"realm": "Registry Realm"})]),
        (
            'Bearer realm="https://a/token",service="b",scope="repository:x:pull,push"',
            [
                (
                    "bearer",
                    {"realm": "https://a/token", "service": "b", "scope": "repository:x:pull,push"},
                )
            ],
        ),
        ("Basic realm=x, Bearer realm=y", [("basic", {"realm": "x"}), ("bearer", {"realm": "y"})]),
        ("Negotiate abc==, BASIC Realm = x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        ("Negotiate, Basic", [("negotiate", {}), ("basic", {})]),
        (r'Basic realm="a \"b\" \\"', [("basic", {"realm": 'a "b" \\'})]),
        ('Basic realm="one", realm="two"', [("basic", {"realm": "one"})]),
        ("", []),
        ('Basic realm="never ended', [("basic", {})]),
        ("===", []),
    ],
)
def test_headers(header: str, challenges: list[tuple[str, dict[str, str]]]) -> None:
    assert parse([header]) == [Challenge(*each) for each in challenges]


def test_several_headers() -> None:
    assert [each.scheme for each in parse(["Bearer realm=a", "Basic realm=b"])] == [
        "bearer",
        "basic",
    ]


@given(st.lists(st.tuples(NAMES, st.dictionaries(NAMES, VALUES, min_size=1)), max_size=4))
def test_what_is_written_is_read(challenges: list[tuple[str, dict[str, str]]]) -> None:
    def quoted(text: str) -> str:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'

    header = ", ".join(
        f"{scheme} " + ", ".join(f"{name}={quoted(value)}" for name, value in parameters.items())
        for scheme, parameters in challenges
    )
    assert parse([header]) == [Challenge(*each) for each in challenges]


@given(st.text())
def test_anything_is_read_to_its_end(text: str) -> None:
    parse([text, text * 100])
