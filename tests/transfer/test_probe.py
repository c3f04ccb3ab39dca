"""What a host says that it has."""

from hypothesis import given
from hypothesis import strategies as st

from ferryman.transfer.channel import last_line
from ferryman.transfer.probe import Engine, Far, read

SAID = """\
machine Linux x86_64
engine docker | 20.10.24 /var/lib/docker [["Backing Filesystem","extfs"]]
engine podman sudo -n | 4.3.1 /var/lib/containers/storage
engine ctr | Client:   Version:  1.6.20
silent nerdctl
silent sh
python 3.11
zstd
fetcher wget
fetcher rm
free 2048
"""


def test_read() -> None:
    assert read(SAID) == Far(
        "Linux",
        "x86_64",
        (
            Engine("docker", False, "20.10.24", "/var/lib/docker"),
            Engine("podman", True, "4.3.1", "/var/lib/containers/storage"),
            Engine("ctr", False, "1.6.20"),
        ),
        (3, 11),
        True,
        2048 << 10,
        ("nerdctl",),
        ("wget",),
    )


def test_images_in_containerd() -> None:
    said = 'engine docker | 29.0 /d [["driver-type","io.containerd.snapshotter.v1"]]'
    (docker,) = read(said).engines
    assert docker.containerd
    assert docker.command == "docker"


@given(st.text(max_size=300) | st.lists(st.sampled_from(SAID.split())).map(" ".join))
def test_anything(said: str) -> None:
    for engine in read(said).engines:
        assert engine.command.removeprefix("sudo -n ").isalpha()


@given(st.binary(max_size=300))
def test_last_lines_can_be_shown(told: bytes) -> None:
    assert last_line(told).isprintable()
