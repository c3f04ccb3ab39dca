"""What ``inspect`` says of a container, by the types that docker's client has for it."""

from ferryman.cli.gotemplate.schema import (
    boolean,
    integer,
    map_of,
    pointer,
    slice_of,
    string,
    struct,
    time,
)
from ferryman.cli.image_fields import DRIVER, SETTINGS, STRINGS

_PAIRS = map_of(string)
_PORTS = map_of(slice_of(struct("nat.PortBinding", HostIp=string, HostPort=string)))
_RATES = slice_of(pointer(struct("blkiodev.ThrottleDevice", Path=string, Rate=integer)))
_HEALTH = struct(
    "container.Health",
    Status=string,
    FailingStreak=integer,
    Log=slice_of(
        pointer(
            struct(
                "container.HealthcheckResult", Start=time, End=time, ExitCode=integer, Output=string
            )
        )
    ),
)
_STATE = struct(
    "container.State",
    Status=string,
    Running=boolean,
    Paused=boolean,
    Restarting=boolean,
    OOMKilled=boolean,
    Dead=boolean,
    Pid=integer,
    ExitCode=integer,
    Error=string,
    StartedAt=string,
    FinishedAt=string,
    Health=pointer(_HEALTH),
)
_MOUNT = struct(
    "mount.Mount",
    Type=string,
    Source=string,
    Target=string,
    ReadOnly=boolean,
    Consistency=string,
    BindOptions=pointer(struct("mount.BindOptions", Propagation=string, NonRecursive=boolean)),
    VolumeOptions=pointer(
        struct(
            "mount.VolumeOptions",
            NoCopy=boolean,
            Labels=_PAIRS,
            Subpath=string,
            DriverConfig=pointer(struct("mount.Driver", Name=string, Options=_PAIRS)),
        )
    ),
    TmpfsOptions=pointer(struct("mount.TmpfsOptions", SizeBytes=integer, Mode=integer)),
)
_HOST_CONFIG = struct(
    "container.HostConfig",
    Binds=STRINGS,
    ContainerIDFile=string,
    LogConfig=struct("container.LogConfig", Type=string, Config=_PAIRS),
    NetworkMode=string,
    PortBindings=_PORTS,
    RestartPolicy=struct("container.RestartPolicy", Name=string, MaximumRetryCount=integer),
    AutoRemove=boolean,
    VolumeDriver=string,
    VolumesFrom=STRINGS,
    ConsoleSize=slice_of(integer),
    Annotations=_PAIRS,
    CapAdd=STRINGS,
    CapDrop=STRINGS,
    CgroupnsMode=string,
    # Go spells these in capitals.
    DNS=STRINGS,
    DNSOptions=STRINGS,
    DNSSearch=STRINGS,
    ExtraHosts=STRINGS,
    GroupAdd=STRINGS,
    IpcMode=string,
    Cgroup=string,
    Links=STRINGS,
    OomScoreAdj=integer,
    PidMode=string,
    Privileged=boolean,
    PublishAllPorts=boolean,
    ReadonlyRootfs=boolean,
    SecurityOpt=STRINGS,
    StorageOpt=_PAIRS,
    Tmpfs=_PAIRS,
    UTSMode=string,
    UsernsMode=string,
    ShmSize=integer,
    Sysctls=_PAIRS,
    Runtime=string,
    Isolation=string,
    CpuShares=integer,
    Memory=integer,
    NanoCpus=integer,
    CgroupParent=string,
    BlkioWeight=integer,
    BlkioDeviceReadBps=_RATES,
    BlkioDeviceWriteBps=_RATES,
    BlkioDeviceReadIOps=_RATES,
    BlkioDeviceWriteIOps=_RATES,
    CpuPeriod=integer,
    CpuQuota=integer,
    CpuRealtimePeriod=integer,
    CpuRealtimeRuntime=integer,
    CpusetCpus=string,
    CpusetMems=string,
    Devices=slice_of(
        struct(
            "container.DeviceMapping",
            PathOnHost=string,
            PathInContainer=string,
            CgroupPermissions=string,
        )
    ),
    DeviceCgroupRules=STRINGS,
    MemoryReservation=integer,
    MemorySwap=integer,
    MemorySwappiness=pointer(integer),
    OomKillDisable=pointer(boolean),
    PidsLimit=pointer(integer),
    Ulimits=slice_of(pointer(struct("units.Ulimit", Name=string, Hard=integer, Soft=integer))),
    Mounts=slice_of(_MOUNT),
    MaskedPaths=STRINGS,
    ReadonlyPaths=STRINGS,
    Init=pointer(boolean),
)
_ENDPOINT = struct(
    "network.EndpointSettings",
    IPAMConfig=pointer(
        struct(
            "network.EndpointIPAMConfig",
            IPv4Address=string,
            IPv6Address=string,
            LinkLocalIPs=STRINGS,
        )
    ),
    Links=STRINGS,
    Aliases=STRINGS,
    MacAddress=string,
    DriverOpts=_PAIRS,
    NetworkID=string,
    EndpointID=string,
    Gateway=string,
    IPAddress=string,
    IPPrefixLen=integer,
    IPv6Gateway=string,
    GlobalIPv6Address=string,
    GlobalIPv6PrefixLen=integer,
)
CONTAINER = struct(
    "container.InspectResponse",
    ID=string,
    Created=string,
    Path=string,
    Args=STRINGS,
    State=pointer(_STATE),
    Image=string,
    ResolvConfPath=string,
    HostnamePath=string,
    HostsPath=string,
    LogPath=string,
    Name=string,
    RestartCount=integer,
    Driver=string,
    Platform=string,
    MountLabel=string,
    ProcessLabel=string,
    AppArmorProfile=string,
    ExecIDs=STRINGS,
    HostConfig=pointer(_HOST_CONFIG),
    GraphDriver=DRIVER,
    SizeRw=pointer(integer),
    SizeRootFs=pointer(integer),
    Mounts=slice_of(
        struct(
            "container.MountPoint",
            Type=string,
            Name=string,
            Source=string,
            Destination=string,
            Driver=string,
            Mode=string,
            RW=boolean,
            Propagation=string,
        )
    ),
    Config=pointer(
        struct("container.Config", **SETTINGS, MacAddress=string, StopTimeout=pointer(integer))
    ),
    NetworkSettings=pointer(
        struct(
            "container.NetworkSettings",
            SandboxID=string,
            SandboxKey=string,
            Ports=_PORTS,
            EndpointID=string,
            Gateway=string,
            GlobalIPv6Address=string,
            GlobalIPv6PrefixLen=integer,
            IPAddress=string,
            IPPrefixLen=integer,
            IPv6Gateway=string,
            MacAddress=string,
            Networks=map_of(pointer(_ENDPOINT)),
        )
    ),
)
