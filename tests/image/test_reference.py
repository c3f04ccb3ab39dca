"""Names by the grammar of github.com/distribution/reference, which docker uses."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ferryman.errors import InvalidReference
from ferryman.image import reference
from ferryman.image.digest import Digest
from ferryman.image.reference import Reference

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"

CANONICAL = {
    "debian": "docker.io/library/debian",
    "debian:12": "docker.io/library/debian:12",
    "library/debian": "docker.io/library/debian",
    "docker.io/debian": "docker.io/library/debian",
    "docker.io/library/debian": "docker.io/library/debian",
    "index.docker.io/debian": "docker.io/library/debian",
    "index.docker.io/user/app": "docker.io/user/app",
    "user/app": "docker.io/user/app",
    "a/b/c:1": "docker.io/a/b/c:1",
    "localhost/app": "localhost/app",
    "localhost:5000/app": "localhost:5000/app",
    "host:5000/app:1": "host:5000/app:1",
    "quay.io/app": "quay.io/app",
    "10.0.0.1:5000/app": "10.0.0.1:5000/app",
    "[::1]:5000/app": "[::1]:5000/app",
    "Registry/app": "Registry/app",
    "EXAMPLE.com/app:Tag_1.x-y": "EXAMPLE.com/app:Tag_1.x-y",
    "a.b_c__d-e---f": "docker.io/library/a.b_c__d-e---f",
    "docker.io/localhost/app": "docker.io/localhost/app",
    "xn--n3h.com/app": "xn--n3h.com/app",
    f"debian@{DIGEST}": f"docker.io/library/debian@{DIGEST}",
    f"debian:12@{DIGEST}": f"docker.io/library/debian:12@{DIGEST}",
    f"debian@sha512:{HEX * 2}": f"docker.io/library/debian@sha512:{HEX * 2}",
    f"x:{HEX}": f"docker.io/library/x:{HEX}",
    f"{HEX[1:]}": f"docker.io/library/{HEX[1:]}",
    "x:" + "t" * 128: "docker.io/library/x:" + "t" * 128,
    "e.x/" + "p" * 251: "e.x/" + "p" * 251,
}


@pytest.mark.parametrize("text", CANONICAL)
def test_the_short_form_means_the_long_one(text: str) -> None:
    parsed = reference.parse(text)
    assert parsed.canonical == CANONICAL[text]
    assert reference.parse(parsed.canonical) == parsed


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("docker.io/library/debian:12", "debian:12"),
        ("docker.io/user/app", "user/app"),
        ("docker.io/library/a/b", "library/a/b"),
        ("quay.io/library/app:1", "quay.io/library/app:1"),
        (f"docker.io/library/debian@{DIGEST}", f"debian@{DIGEST}"),
        # Shown short, these would be read as images of a registry.
        ("docker.io/quay.io/app:1", "docker.io/quay.io/app:1"),
        ("docker.io/localhost/app:1", "docker.io/localhost/app:1"),
    ],
)
def test_shown_as_docker_shows_it(text: str, shown: str) -> None:
    assert reference.parse(text).familiar == shown


FORMAT = "invalid reference format"
LOWER = "invalid reference format: repository name ({}) must be lowercase"
REFUSED = {
    "": FORMAT,
    " ": FORMAT,
    "debian ": FORMAT,
    "debian\n": FORMAT,
    "deb\0ian": FORMAT,
    "-debian": FORMAT,
    "debian-": FORMAT,
    "a..b": FORMAT,
    "a___b": FORMAT,
    "a._b": FORMAT,
    "/debian": FORMAT,
    "debian/": FORMAT,
    "a//b": FORMAT,
    "../debian": FORMAT,
    "a/../b": FORMAT,
    "./a": FORMAT,
    "debian:": FORMAT,
    "debian:-1": FORMAT,
    "debian:.1": FORMAT,
    "debian:1:2": FORMAT,
    "debian:ä": FORMAT,
    "debian:" + "t" * 129: FORMAT,
    "dé": FORMAT,
    "host:port/app": FORMAT,
    "-host.com/app": FORMAT,
    "ho_st.com/app": FORMAT,
    "[::1/app": FORMAT,
    "http://quay.io/app": FORMAT,
    "debian@": FORMAT,
    "debian@sha256:abc": FORMAT,
    "debian@md5:d41d8cd98f00b204e9800998ecf8427e": FORMAT,
    f"debian@{DIGEST.upper()}": FORMAT,
    f"debian@{DIGEST}@{DIGEST}": FORMAT,
    "\udcff": FORMAT,
    "Debian": LOWER.format("library/Debian"),
    "user/App:1": LOWER.format("user/App"),
    "quay.io/App": LOWER.format("App"),
    HEX: f"invalid repository name ({HEX}), cannot specify 64-byte hexadecimal strings",
    "e.x/" + "p" * 252: "repository name must not be more than 255 characters",
}


@pytest.mark.parametrize("text", REFUSED, ids=ascii)
def test_refused_with_dockers_words(text: str) -> None:
    with pytest.raises(InvalidReference) as raised:
        reference.parse(text)
    assert str(raised.value).startswith(REFUSED[text])


def test_a_long_text_is_not_repeated_whole() -> None:
    with pytest.raises(InvalidReference) as raised:
        reference.parse("?" * 1_000_000)
    assert len(str(raised.value)) < 400


def test_latest_where_nothing_else_is_said() -> None:
    assert reference.parse("a").tagged().tag == "latest"
    assert reference.parse("a:1").tagged().tag == "1"
    assert reference.parse(f"a@{DIGEST}").tagged().tag is None


word = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
component = st.lists(word, min_size=1, max_size=3).flatmap(
    lambda words: st.sampled_from([".", "_", "__", "-", "---"]).map(lambda s: s.join(words))
)
domain = st.sampled_from(
    ["docker.io", "localhost", "localhost:5000", "quay.io", "Upper", "[::1]:80", "10.0.0.1:5000"]
)
references = st.builds(
    Reference,
    domain,
    st.lists(component, min_size=1, max_size=4).map("/".join),
    st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", fullmatch=True),
    st.none() | st.from_regex(r"sha256:[a-f0-9]{64}", fullmatch=True).map(Digest),
)


@given(references)
@example(Reference("docker.io", "library/quay.io", "1"))
@example(Reference("docker.io", "quay.io/app", "1"))
@example(Reference("docker.io", "localhost/app", None))
def test_both_forms_mean_the_same_image(name: Reference) -> None:
    # The official images are those without a folder of their own.
    assume(name.domain != "docker.io" or "/" in name.path)
    assert reference.parse(name.canonical) == name
    assert reference.parse(name.familiar) == name


@given(st.text() | st.text("aA0./:@-_[]", max_size=30))
def test_any_text_is_a_name_that_reads_back_or_is_refused(text: str) -> None:
    try:
        name = reference.parse(text)
    except InvalidReference:
        return
    assert reference.parse(name.canonical) == name
    assert reference.parse(name.familiar) == name
    assert ".." not in name.path.split("/")
