"""What ``.dockerignore`` leaves out, as docker does."""

import pytest

from ferryman.build.ignore import IgnoreError, read

LEFT_OUT = [
    ("*.md", "README.md", True),
    ("*.md", "docs/README.md", False),
    ("**/*.md", "docs/a/README.md", True),
    ("**/*.md", "README.md", True),
    ("docs", "docs/a/b", True),
    ("docs/", "docs/a", True),
    ("/docs", "docs/a", True),
    ("docs", "mydocs/a", False),
    ("docs/*", "docs/a/b", True),
    ("docs/**", "docs/a/b", True),
    ("**/node_modules", "a/b/node_modules/c", True),
    ("a/**/z", "a/b/c/z", True),
    ("a/**/z", "a/z", True),
    ("te?t", "test", True),
    ("te?t", "te/t", False),
    ("[a-c]x", "bx", True),
    ("[^a-c]x", "bx", False),
    ("[^a-c]x", "dx", True),
    ("\\*", "*", True),
    ("\\*", "a", False),
    ("a.b", "axb", False),
    ("a+(b)", "a+(b)", True),
    ("# a", "a", False),
    (" # a", "a", False),
    ("  a  ", "a", True),
    ("./a/../b", "b", True),
    ("*\n!README.md", "README.md", False),
    ("*\n!README.md", "a", True),
    ("!README.md\n*", "README.md", True),
    ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", True),
    ("*\n!a/b", "a/b/c", False),
    ("*\n!a/b", "a/c", True),
    ("a\n!a/b\na/b/c", "a/b/c/d", True),
    ("! a", "a", False),
    ("a\n! a", "a", False),
    ("\ufeffa", "a", True),
    ("a\r\nb", "a", True),
    ("**", "a/b", True),
    (".", "a", False),
]


@pytest.mark.parametrize(("text", "path", "out"), LEFT_OUT)
def test_left_out(text: str, path: str, out: bool) -> None:
    assert read(text).leaves_out(path) == out


@pytest.mark.parametrize("text", ["!", "! ", "[", "[a", "[]", "a\\", "[^]", "[z-a]"])
def test_refused(text: str) -> None:
    with pytest.raises(IgnoreError):
        read(text)


@pytest.mark.parametrize(
    ("text", "folder", "may"),
    [
        ("*", "a", False),
        ("*\n!a/b", "a", True),
        ("*\n!a/b", "c", False),
        ("*\n!a/b", "a/c", False),
        ("*\n!a/b", "a/b/c", True),
        ("*\n!a/*/c", "a/x", True),
        ("*\n!a/*/c", "b/x", False),
        ("*\n!**/c", "b/x", True),
        ("*\n![ab]/c", "b", True),
    ],
)
def test_what_may_be_there_all_the_same(text: str, folder: str, may: bool) -> None:
    assert read(text).may_keep_below(folder) == may
