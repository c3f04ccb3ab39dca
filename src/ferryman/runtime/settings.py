"""How a container is to be run, in docker's own words: ``Config`` and ``HostConfig``.

The fields, their names in JSON and their units are those of the Docker Engine API, so that a
record can be shown by ``inspect`` as it is and a request of the API can become one as it is.
"""

import msgspec

from ferryman.errors import FerryError


class InvalidSettings(FerryError):
    """What was asked for a container cannot be, in docker's words."""


class Healthcheck(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """How to find out whether a container is well; times in nanoseconds."""

    test: list[str] = []
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class Config(msgspec.Struct, frozen=True, rename="pascal"):
    """What an image and its user say of the container: independent of the host."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: dict[str, dict[str, str]] | None = None
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: list[str] | None = None
    cmd: list[str] | None = None
    healthcheck: Healthcheck | None = None
    image: str = ""
    volumes: dict[str, dict[str, str]] | None = None
    working_dir: str = ""
    entrypoint: list[str] | None = None
    on_build: list[str] | None = None
    labels: dict[str, str] = {}
    stop_signal: str | None = None
    stop_timeout: int | None = None
    """Seconds."""
    shell: list[str] | None = None


class PortBinding(msgspec.Struct, frozen=True):
    """Where on the host a container's port is; an empty host port is one that is free."""

    host_ip: str = msgspec.field(name="HostIp", default="")
    host_port: str = msgspec.field(name="HostPort", default="")


class RestartPolicy(msgspec.Struct, frozen=True, rename="pascal"):
    """When to start a container again: ``no``, ``on-failure``, ``always``, ``unless-stopped``."""

    name: str = "no"
    maximum_retry_count: int = 0


class Ulimit(msgspec.Struct, frozen=True, rename="pascal"):
    """A resource limit by its short name (``nofile``); -1 is without limit."""

    name: str
    hard: int
    soft: int


class Device(msgspec.Struct, frozen=True, rename="pascal"):
    """A device of the host to be there in the container."""

    path_on_host: str
    path_in_container: str
    cgroup_permissions: str = "rwm"


class BindOptions(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """What concerns bind mounts only."""

    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False


class VolumeOptions(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """What concerns volumes only."""

    no_copy: bool = False
    labels: dict[str, str] | None = None


class TmpfsOptions(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """What concerns memory filesystems only.

    `size_bytes` 0 is as much as the kernel allows; `mode` 0 is as the folder was, else 1777.
    """

    size_bytes: int = 0
    mode: int = 0


class Mount(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """One ``--mount``: `type` is bind, volume or tmpfs."""

    type: str
    target: str
    source: str = ""
    read_only: bool = False
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    tmpfs_options: TmpfsOptions | None = None


class LogConfig(msgspec.Struct, frozen=True, rename="pascal"):
    """Whether and how long what a container says is kept: see `runtime.log_options`."""

    type: str = "json-file"
    config: dict[str, str] = {}


class HostConfig(msgspec.Struct, frozen=True, rename="pascal"):
    """What a container gets of the host."""

    binds: list[str] | None = None
    """The ``-v`` flags: ``SOURCE:TARGET[:OPTIONS]``, sources absolute or names of volumes."""
    mounts: list[Mount] | None = None
    tmpfs: dict[str, str] | None = None
    container_id_file: str = msgspec.field(name="ContainerIDFile", default="")
    log_config: LogConfig = LogConfig()
    network_mode: str = "default"
    """``default``, ``bridge``, ``host``, ``none``, ``container:ID``, or a network's name."""
    port_bindings: dict[str, list[PortBinding]] | None = None
    publish_all_ports: bool = False
    restart_policy: RestartPolicy = RestartPolicy()
    auto_remove: bool = False
    volumes_from: list[str] | None = None
    cap_add: list[str] | None = None
    cap_drop: list[str] | None = None
    privileged: bool = False
    security_opt: list[str] | None = None
    readonly_rootfs: bool = False
    dns: list[str] | None = None
    dns_options: list[str] | None = None
    dns_search: list[str] | None = None
    extra_hosts: list[str] | None = None
    """``NAME:ADDRESS``; the address may be ``host-gateway``."""
    group_add: list[str] | None = None
    ipc_mode: str = "private"
    pid_mode: str = ""
    uts_mode: str = msgspec.field(name="UTSMode", default="")
    userns_mode: str = ""
    cgroupns_mode: str = ""
    shm_size: int = 64 << 20
    sysctls: dict[str, str] | None = None
    oom_score_adj: int = 0
    oom_kill_disable: bool = False
    init: bool | None = None
    devices: list[Device] | None = None
    device_cgroup_rules: list[str] | None = None
    """``c 42:* rwm``, as cgroup v1 writes them."""
    ulimits: list[Ulimit] | None = None
    memory: int = 0
    """Bytes; 0 is without limit, here and below."""
    memory_reservation: int = 0
    memory_swap: int = 0
    """Memory and swap together; -1 is without limit."""
    memory_swappiness: int | None = None
    nano_cpus: int = 0
    """Processors in thousand-millionths: ``--cpus 1.5`` is 1,500,000,000."""
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int | None = None
    annotations: dict[str, str] | None = None
    runtime: str = ""
    """``crun``, ``runc`` or a path; empty for the first one that works here."""


class NetworkRequest(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """How a container wants to be in a network."""

    aliases: list[str] | None = None
    ip_address: str = msgspec.field(name="IPAddress", default="")
    mac_address: str = ""
