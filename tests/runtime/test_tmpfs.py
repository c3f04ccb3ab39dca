import pytest

from ferryman.runtime.settings import InvalidSettings, Mount, TmpfsOptions
from ferryman.runtime.tmpfs import of_mount, options

DEFAULT = {"noexec", "nosuid", "nodev", "rprivate"}


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ("", DEFAULT),
        ("defaults", DEFAULT),
        ("exec", DEFAULT - {"noexec"} | {"exec"}),
        ("exec,noexec", DEFAULT),
        ("suid,dev", DEFAULT - {"nosuid", "nodev"} | {"suid", "dev"}),
        ("ro", DEFAULT | {"ro"}),
        ("ro,rw", DEFAULT | {"rw"}),
        ("rshared", DEFAULT - {"rprivate"} | {"rshared"}),
        ("size=1m,mode=700", DEFAULT | {"size=1m", "mode=700"}),
        ("size=1m,size=2m", DEFAULT | {"size=2m"}),
        ("uid=1,gid=2,nr_inodes=5,noatime", DEFAULT | {"uid=1", "gid=2", "nr_inodes=5", "noatime"}),
        (",,", DEFAULT),
    ],
)
def test_options(given: str, want: set[str]) -> None:
    found = options(given)
    assert set(found) == want
    assert len(found) == len(want)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("foo", 'invalid tmpfs option ["foo"]'),
        ("foo=bar", 'invalid tmpfs option ["foo" "bar"]'),
        ("size", 'invalid tmpfs option ["size"]'),
        ("exec=1", 'invalid tmpfs option ["exec" "1"]'),
    ],
)
def test_unknown(given: str, words: str) -> None:
    with pytest.raises(InvalidSettings) as raised:
        options(given)
    assert str(raised.value) == words


def test_of_mount() -> None:
    assert set(of_mount(Mount("tmpfs", "/x"))) == DEFAULT
    wanted = TmpfsOptions(size_bytes=1 << 20, mode=0o1770)
    mount = Mount("tmpfs", "/x", read_only=True, tmpfs_options=wanted)
    assert set(of_mount(mount)) == DEFAULT | {"ro", "mode=1770", "size=1048576"}
