"""What ``inspect`` says of networks and volumes, by the types that docker's client has for them."""

from ferryman.cli.gotemplate.schema import boolean, map_of, slice_of, string, struct, time

_PAIRS = map_of(string)
NETWORK = struct(
    "network.Inspect",
    Name=string,
    ID=string,
    Created=time,
    Scope=string,
    Driver=string,
    EnableIPv4=boolean,
    EnableIPv6=boolean,
    IPAM=struct(
        "network.IPAM",
        Driver=string,
        Options=_PAIRS,
        Config=slice_of(
            struct(
                "network.IPAMConfig",
                Subnet=string,
                IPRange=string,
                Gateway=string,
                AuxAddress=_PAIRS,
            )
        ),
    ),
    Internal=boolean,
    Attachable=boolean,
    Ingress=boolean,
    ConfigFrom=struct("network.ConfigReference", Network=string),
    ConfigOnly=boolean,
    Containers=map_of(
        struct(
            "network.EndpointResource",
            Name=string,
            EndpointID=string,
            MacAddress=string,
            IPv4Address=string,
            IPv6Address=string,
        )
    ),
    Options=_PAIRS,
    Labels=_PAIRS,
)
VOLUME = struct(
    "volume.Volume",
    CreatedAt=string,
    Driver=string,
    Labels=_PAIRS,
    Mountpoint=string,
    Name=string,
    Options=_PAIRS,
    Scope=string,
)
