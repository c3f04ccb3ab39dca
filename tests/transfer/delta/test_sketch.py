"""The layers that a new one resembles are found by the names in them."""

from hypothesis import given
from hypothesis import strategies as st

from ferryman.transfer.delta.sketch import nearest, of_files, share, sketch
from tests.transfer.delta.pairs import opened, tarred


def named(prefix: str, count: int, size: int = 1000) -> list[tuple[bytes, int]]:
    """Return files whose names are no numbers."""
    digits = str.maketrans("0123456789", "ghijklmnop")
    return [(f"{prefix}/{n}".translate(digits).encode(), size) for n in range(count)]


def test_the_most_alike_goes_first() -> None:
    target = of_files([*named("site", 3000), *named("own", 300)])
    bases = {
        "python": of_files(named("python", 3000)),
        "some": of_files(named("site", 900)),
        "old": of_files([*named("site", 2900), *named("gone", 500)]),
    }
    assert nearest(target, bases) == ["old"]
    assert nearest(target, bases, limit=1) == ["old"]
    assert nearest(target, {}) == []
    assert nearest(target, {"python": bases["python"]}) == []


def test_how_much_one_has() -> None:
    target = of_files(named("site", 100))
    assert share(target, target) == 1
    # Those of another size count half.
    assert share(target, of_files(named("site", 100, 999))) == 0.5
    assert 0.4 < share(target, of_files(named("site", 50))) < 0.6
    assert share(target, of_files([])) == share(of_files([]), target) == 0


def test_several_that_complete_each_other() -> None:
    target = of_files([*named("one", 1000), *named("two", 600)])
    bases = {
        "two": of_files(named("two", 600)),
        "one": of_files(named("one", 1000)),
        "again": of_files(named("one", 900)),
    }
    assert nearest(target, bases) == ["one", "two"]
    assert nearest(target, bases, limit=1) == ["one"]


def test_bytes_count_and_not_files() -> None:
    target = of_files([*named("small", 4000, 10), *named("large", 40, 1_000_000)])
    bases = {
        "small": of_files(named("small", 4000, 10)),
        "large": of_files(named("large", 40, 999_999)),
    }
    assert nearest(target, bases)[0] == "large"


def test_of_two_versions_the_nearer_one() -> None:
    versions = [
        of_files([*named("same", 300), *named("new", changed, 1001), *named("old", 99 - changed)])
        for changed in (0, 30, 40)
    ]
    for bases in ({"1": versions[0], "2": versions[1]}, {"2": versions[1], "1": versions[0]}):
        assert nearest(versions[2], bases, limit=1) == ["2"]
    one, two = of_files(named("a", 100, 999)), of_files(named("a", 100, 1000))
    assert nearest(two, {"one": one, "two": two}) == ["two"]


def test_versions_have_the_same_names() -> None:
    old = of_files([(f"app-1.2.dist-info/{n}".encode(), 5) for n in "abcd"])
    new = of_files([(f"app-1.10.dist-info/{n}".encode(), 5) for n in "abcd"])
    assert old == new


@given(st.dictionaries(st.binary(min_size=1, max_size=20), st.integers(0, 1 << 62), max_size=600))
def test_any_files_have_a_sketch_of_bounded_size(found: dict[bytes, int]) -> None:
    made = of_files(found.items())
    assert len(made) <= 256
    assert made == of_files(reversed(found.items()))


def test_of_a_tar_headers_are_read() -> None:
    tar = tarred({"a": b"1", "b": b"", "c/d": b"22"}, 5)
    for content, expected in ((tar, {(b"a", 1), (b"c/d", 2)}), (b"no tar", set()), (b"", set())):
        with opened(content) as (fd,):
            assert sketch(fd, len(content)) == of_files(expected)
