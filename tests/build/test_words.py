"""Variables in words: the forms that take a pattern, and texts that are left as they are."""

import pytest

from ferryman.build.words import WordError, expand, expand_text, expand_words, raw_words

X = {"x": "foo/bar/baz.tar.gz", "e": ""}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("${x#*/}", "bar/baz.tar.gz"),
        ("${x##*/}", "baz.tar.gz"),
        ("${x%.*}", "foo/bar/baz.tar"),
        ("${x%%.*}", "foo/bar/baz"),
        ("${x#nope}", "foo/bar/baz.tar.gz"),
        ("${x%?z}", "foo/bar/baz.tar."),
        ("${x/ba/BA}", "foo/BAr/baz.tar.gz"),
        ("${x//ba/BA}", "foo/BAr/BAz.tar.gz"),
        ("${x//\\//-}", "foo-bar-baz.tar.gz"),
        ("${x/ba*/}", "foo/"),
        ("${x#[f]}", "foo/bar/baz.tar.gz"),
        ("${e#a}", ""),
        ("${u%a}", ""),
    ],
)
def test_patterns(word: str, value: str) -> None:
    assert expand(word, X) == value


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("${x/a}", "missing '/' in ${}"),
        ("${x#a", "missing '}'"),
        ("${x#\\a}", "invalid pattern (\\a) in substitution"),
        ("${x:#a}", "unsupported modifier (#) in substitution"),
    ],
)
def test_patterns_refused(word: str, words: str) -> None:
    with pytest.raises(WordError) as raised:
        expand(word, X)
    assert words in str(raised.value)


def test_texts_keep_their_quotes() -> None:
    assert expand_text("\"$x\" '$e' \\$x", X) == "\"foo/bar/baz.tar.gz\" '' $x"


def test_what_is_not_there_may_stay() -> None:
    assert expand_words("$u ${u:-v} ${u:?w} $x", X, keep_unset=True) == [
        "$u",
        "${u:-v}",
        "${u:?w}",
        "foo/bar/baz.tar.gz",
    ]


def test_raw_words() -> None:
    found = raw_words('a \'b c\' "d\\" e" \\  $f <<  G')
    assert found == ["a", "'b c'", '"d\\" e"', "\\ ", "$f", "<<  G"]
