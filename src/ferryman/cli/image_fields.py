"""What ``inspect`` says of an image, by the types that docker's client has for it."""

from ferryman.cli.gotemplate.schema import (
    Type,
    boolean,
    duration,
    integer,
    map_of,
    pointer,
    slice_of,
    string,
    struct,
    time,
)

STRINGS = slice_of(string)
_SET = map_of(struct("struct {}"))
_HEALTH_CHECK = struct(
    "v1.HealthcheckConfig",
    Test=STRINGS,
    Interval=duration,
    Timeout=duration,
    StartPeriod=duration,
    StartInterval=duration,
    Retries=integer,
)
# Of an image, and of a container made from it.
SETTINGS: dict[str, Type] = {
    "Hostname": string,
    "Domainname": string,
    "User": string,
    "AttachStdin": boolean,
    "AttachStdout": boolean,
    "AttachStderr": boolean,
    "ExposedPorts": _SET,
    "Tty": boolean,
    "OpenStdin": boolean,
    "StdinOnce": boolean,
    "Env": STRINGS,
    "Cmd": STRINGS,
    "Healthcheck": pointer(_HEALTH_CHECK),
    "ArgsEscaped": boolean,
    "Image": string,
    "Volumes": _SET,
    "WorkingDir": string,
    "Entrypoint": STRINGS,
    "NetworkDisabled": boolean,
    "OnBuild": STRINGS,
    "Labels": map_of(string),
    "StopSignal": string,
    "Shell": STRINGS,
}
DRIVER = struct("storage.DriverData", Data=map_of(string), Name=string)
IMAGE = struct(
    "image.InspectResponse",
    Id=string,
    RepoTags=STRINGS,
    RepoDigests=STRINGS,
    Parent=string,
    Comment=string,
    Created=string,
    DockerVersion=string,
    Author=string,
    Config=pointer(struct("container.Config", **SETTINGS)),
    Architecture=string,
    Variant=string,
    Os=string,
    OsVersion=string,
    Size=integer,
    VirtualSize=integer,
    GraphDriver=DRIVER,
    RootFS=struct("image.RootFS", Type=string, Layers=STRINGS),
    Metadata=struct("image.Metadata", LastTagTime=time),
    Descriptor=pointer(struct("v1.Descriptor", MediaType=string, Digest=string, Size=integer)),
)
