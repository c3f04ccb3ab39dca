"""Some images to look at: what each has in common with others, and what it does not say."""

from tests.images import docker_archive, folder, made, member, packed, tar_of

_BASE = tar_of(folder("etc"), member("etc/shared", b"the same in all"))
_JANUARY, _FEBRUARY = "2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"

MANY = made(
    _BASE,
    tar_of(member("own", b"a" * 1000)),
    names=("some/a:1", "some/a:two", "quay.io/some/a:3", "other:latest"),
    created="2024-03-01T00:00:00Z",
    author="somebody",
    config={"Labels": {"b": "2", "a": "1"}, "Env": ["A=1"]},
    history=[
        {"created": _JANUARY, "created_by": "/bin/sh -c #(nop) ADD file:0123456789abcdef in / "},
        {"created": _FEBRUARY, "created_by": "ENV A=1", "empty_layer": True},
        {
            "created": "2024-03-01T00:00:00.5Z",
            "created_by": f"RUN\ta &&\t\tb # buildkit {'渡し船' * 7}",
            "comment": "buildkit.dockerfile.v0",
        },
    ],
)
ON_BASE = made(
    _BASE,
    tar_of(member("own", b"b")),
    names=("some/b:1",),
    created="2024-04-01T00:00:00Z",
    comment="a comment",
    config={"Labels": {"a": "2"}},
)
NAMELESS = made(
    tar_of(member("own", b"c")),
    created="2024-05-01T00:00:00Z",
    history=[
        {"created": "2024-05-01T00:00:00Z", "created_by": "x" * 46},
        {"created_by": "no time", "empty_layer": True},
        {"created": "1970-01-01T00:00:00Z", "created_by": "", "empty_layer": True},
    ],
)
OLD = made(tar_of(member("own", b"d")), names=("some/old:1",), created="1970-01-01T00:00:00Z")
NEVER = made(tar_of(member("own", b"e")), names=("some/never:1",), created=None)
EMPTY = made(names=("some/empty:1",), created="2023-01-01T00:00:00Z", history=[])

IMAGES = (MANY, ON_BASE, NAMELESS, OLD, NEVER, EMPTY)
PARTS = docker_archive(*IMAGES)
ARCHIVE = packed(PARTS)
