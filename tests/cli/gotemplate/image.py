"""The image that templates are tried on."""

from tests.images import docker_archive, made, member, packed, tar_of

NAME = "ferry-test/templates:1"
IMAGE = made(
    tar_of(member("file", b"content")),
    names=(NAME,),
    author="somebody",
    architecture="amd64",
    config={
        "User": "3",
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "Env": ["PATH=/bin", "A=1", "B=two words"],
        "Entrypoint": ["/bin/sh"],
        "Cmd": ["-c", "true"],
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 90_500_000_000},
        "Volumes": {"/data": {}},
        "WorkingDir": "/srv",
        "Labels": {"b": "2", "a": "x y", "com.example.x": "<tag> & more", "größe": "Fähre"},
    },
)
ARCHIVE = packed(docker_archive(IMAGE))
