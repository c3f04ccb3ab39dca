"""What an OCI runtime is given: ``config.json`` of the runtime specification, as docker makes it.

`document` is a function of what it is given: a container, its user, and a `Place`, which is what
this machine has for it.  `spec` finds out the latter and calls the former.
"""

import os
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ferryman.runtime import (
    capabilities,
    cgroups,
    devices,
    limits,
    programs,
    record,
    rlimits,
    tmpfs,
    users,
)
from ferryman.runtime.limits import Controllers
from ferryman.runtime.record import Container, ContainerNotFound, MountPoint
from ferryman.runtime.settings import HostConfig
from ferryman.runtime.users import User
from ferryman.store.layout import Store

_VERSION = "1.0.2"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_INIT = "/sbin/docker-init"

_FILES = ("hosts", "hostname", "resolv.conf")

_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
_READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_KEPT_WRITABLE = frozenset(("/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"))


class Place(NamedTuple):
    """What a machine has for a container that is about to start."""

    rootfs: str
    """Where the root filesystem is mounted."""
    cgroup: str
    files: Mapping[str, str]
    """Files and folders that ferry itself mounts: path in the container → path here."""
    joined: Mapping[str, str]
    """The namespaces of others to be in: ``network``, ``ipc`` or ``pid`` → path."""
    capabilities: Sequence[str]
    """Those that this process may give away."""
    controllers: Controllers
    cgroup_mode: str
    init: str = ""
    """The path of the program for ``--init``."""
    size: tuple[int, int] | None = None
    """The terminal's rows and columns."""
    rootless: bool = False


def spec(
    store: Store,
    container: Container,
    rootfs: str,
    bundle: str,
    size: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Return the runtime's configuration for a container that starts now, here.

    `rootfs` is where its root filesystem is mounted, `bundle` holds ``hosts``, ``hostname`` and
    ``resolv.conf``, `size` is the terminal's in rows and columns.  Raises InvalidSettings,
    ContainerNotFound, MissingProgram.
    """
    host = container.host_config
    place = Place(
        rootfs=rootfs,
        cgroup=cgroups.path(container.id),
        files={
            f"/etc/{name}": f"{bundle}/{name}"
            for name in _FILES
            if os.path.exists(f"{bundle}/{name}")
        },
        joined=_joined(store, host),
        capabilities=capabilities.held(),
        controllers=limits.found(),
        cgroup_mode=cgroups.mode(),
        init=programs.needed("catatonit", "catatonit", "for --init") if host.init else "",
        size=size,
        rootless=os.geteuid() != 0,
    )
    user = users.find(rootfs, container.config.user, host.group_add or ())
    return document(container, user, place)


def _joined(store: Store, host: HostConfig) -> dict[str, str]:
    """Return the namespaces of other containers that this one is to be in."""
    found = {}
    for kind, entry, mode in (
        ("network", "net", host.network_mode),
        ("ipc", "ipc", host.ipc_mode),
        ("pid", "pid", host.pid_mode),
    ):
        kept, colon, other = mode.partition(":")
        if kept != "container" or not colon:
            continue
        donor = record.find(store, other)
        state = record.read_state(store, donor.id)
        if not state.up or state.init is None:
            raise ContainerNotFound(f"cannot join {kind} of a non running container: {donor.id}")
        found[kind] = f"/proc/{state.init.pid}/ns/{entry}"
    return found


def document(container: Container, user: User, place: Place) -> dict[str, Any]:
    """Return the configuration of a container for a place; raises InvalidSettings."""
    host = container.host_config
    made, rules = devices.nodes(host.devices or ())
    if host.privileged:
        made = devices.every() + [node for node in made if not os.path.exists(node["path"])]
    linux: dict[str, Any] = {
        "cgroupsPath": place.cgroup,
        "namespaces": _namespaces(host, place),
        "sysctl": _sysctls(container),
        "devices": made,
        "resources": {
            "devices": devices.rules(
                rules, host.device_cgroup_rules or (), privileged=host.privileged
            ),
            **limits.resources(host, place.controllers),
        },
    }
    if not _unmasked(host):
        linux |= {"maskedPaths": list(_MASKED), "readonlyPaths": list(_READONLY)}
    if propagation := _root_propagation(container.mounts):
        linux["rootfsPropagation"] = propagation
    document: dict[str, Any] = {
        "ociVersion": _VERSION,
        "process": _process(container, user, place),
        "root": {"path": place.rootfs, "readonly": host.readonly_rootfs},
        "mounts": _mounts(container, place),
        "annotations": host.annotations or {},
        "linux": linux,
    }
    if host.uts_mode != "host":
        document["hostname"] = container.config.hostname
    return document


def _process(container: Container, user: User, place: Place) -> dict[str, Any]:
    config, host = container.config, container.host_config
    given = capabilities.chosen(
        host.cap_add or (),
        host.cap_drop or (),
        privileged=host.privileged,
        available=place.capabilities,
    )
    may_raise = "CAP_SYS_RESOURCE" in place.capabilities
    process: dict[str, Any] = {
        "terminal": config.tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
        "args": [*([_INIT, "--"] if _has_init(host) else []), *container.command],
        "env": _environment(container, user),
        "cwd": config.working_dir or "/",
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), given),
        "rlimits": rlimits.raised(host.ulimits or (), may_raise=may_raise),
        "noNewPrivileges": _no_new_privileges(host),
        "oomScoreAdj": host.oom_score_adj,
    }
    if config.tty and place.size:
        process["consoleSize"] = {"height": place.size[0], "width": place.size[1]}
    return process


def _environment(container: Container, user: User) -> list[str]:
    """Return the container's environment: docker's defaults, and over them what was asked for."""
    variables = {"PATH": _PATH, "HOSTNAME": container.config.hostname}
    if container.config.tty:
        variables["TERM"] = "xterm"
    for entry in container.config.env or ():
        name, equals, value = entry.partition("=")
        if equals:
            variables[name] = value
        else:
            # A name alone takes it away.
            variables.pop(name, None)
    variables.setdefault("HOME", user.home)
    return [f"{name}={value}" for name, value in variables.items()]


def _has_init(host: HostConfig) -> bool:
    """Tell whether ``--init`` applies: where processes are another's, there is an init already."""
    return bool(host.init) and not host.pid_mode


def _no_new_privileges(host: HostConfig) -> bool:
    given = False
    for option in host.security_opt or ():
        name, _, value = option.replace(":", "=", 1).partition("=")
        if name == "no-new-privileges":
            given = value.lower() in ("", "true", "1", "t")
    return given


def _unmasked(host: HostConfig) -> bool:
    return host.privileged or "systempaths=unconfined" in (host.security_opt or ())


def _namespaces(host: HostConfig, place: Place) -> list[dict[str, str]]:
    modes = {
        "mount": "",
        "network": host.network_mode,
        "uts": host.uts_mode,
        "pid": host.pid_mode,
        "ipc": host.ipc_mode,
    }
    if place.cgroup_mode == "v2" or host.cgroupns_mode == "private":
        modes["cgroup"] = host.cgroupns_mode
    namespaces = []
    for kind, mode in modes.items():
        if path := place.joined.get(kind):
            namespaces.append({"type": kind, "path": path})
        elif mode != "host":
            namespaces.append({"type": kind})
    return namespaces


def _sysctls(container: Container) -> dict[str, str]:
    host = container.host_config
    sysctls = {}
    if container.config.domainname and host.uts_mode != "host":
        sysctls["kernel.domainname"] = container.config.domainname
    if host.network_mode != "host" and not host.network_mode.startswith("container:"):
        # As docker: ping, and ports below 1024, without being root.
        sysctls["net.ipv4.ip_unprivileged_port_start"] = "0"
        sysctls["net.ipv4.ping_group_range"] = "0 2147483647"
    return sysctls | (host.sysctls or {})


def _mounts(container: Container, place: Place) -> list[dict[str, Any]]:
    """Return all mounts: docker's own, then the user's, the outer ones before the inner ones."""
    host = container.host_config
    users = _users_mounts(container, place)
    there = {mount["destination"] for mount in users}
    own = [
        mount
        for mount in _own_mounts(host, place)
        if mount["destination"] not in there
        and not ("/dev" in there and mount["destination"].startswith("/dev/"))
    ]
    return own + users


def _own_mounts(host: HostConfig, place: Place) -> list[dict[str, Any]]:
    def mount(at: str, kind: str, *options: str, source: str = "") -> dict[str, Any]:
        return {
            "destination": at,
            "type": kind,
            "source": source or kind,
            "options": list(options),
        }

    closed = ("nosuid", "noexec", "nodev")
    ro = () if host.privileged else ("ro",)
    mounts = [
        mount("/proc", "proc", *closed),
        mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        mount(
            *("/dev/pts", "devpts", "nosuid", "noexec", "newinstance"),
            *("ptmxmode=0666", "mode=0620", "gid=5"),
        ),
        mount("/sys", "sysfs", *closed, *ro),
        mount("/dev/mqueue", "mqueue", *closed),
    ]
    if place.cgroup_mode != "none":
        mounts.insert(4, mount("/sys/fs/cgroup", "cgroup", *closed, *ro))
    if "/dev/shm" not in place.files and host.ipc_mode != "none":
        size = f"size={host.shm_size}"
        mounts.append(mount("/dev/shm", "tmpfs", *closed, "mode=1777", size, source="shm"))
    if _has_init(host):
        mounts.append(mount(_INIT, "bind", "bind", "ro", source=place.init))
    return mounts


def _users_mounts(container: Container, place: Place) -> list[dict[str, Any]]:
    host = container.host_config
    mounts = {}
    for at, source in place.files.items():
        ro = ["ro"] if host.readonly_rootfs and at.startswith("/etc/") else []
        mounts[at] = _bind(at, source, ["rbind", *ro, "rprivate"])
    for point in container.mounts:
        if point.type != "tmpfs":
            mounts[point.destination] = _bind(point.destination, point.source, _bind_options(point))
    for path, given in (host.tmpfs or {}).items():
        mounts[path] = _tmpfs(path, tmpfs.options(given))
    for wanted in host.mounts or ():
        if wanted.type == "tmpfs":
            mounts[wanted.target] = _tmpfs(wanted.target, tmpfs.of_mount(wanted))
    return sorted(mounts.values(), key=lambda mount: mount["destination"].count("/"))


def _bind(at: str, source: str, options: list[str]) -> dict[str, Any]:
    return {"destination": at, "type": "bind", "source": source, "options": options}


def _tmpfs(at: str, options: list[str]) -> dict[str, Any]:
    return {
        "destination": posixpath.normpath(at),
        "type": "tmpfs",
        "source": "tmpfs",
        "options": options,
    }


def _bind_options(point: MountPoint) -> list[str]:
    readonly = [] if point.rw else ["ro"]
    return ["rbind", *readonly, point.propagation or "rprivate"]


def _root_propagation(mounts: Sequence[MountPoint]) -> str:
    """Return what the root must be so that mounts reach the container, or leave it."""
    wanted = {mount.propagation.removeprefix("r") for mount in mounts}
    if "shared" in wanted:
        return "shared"
    return "rslave" if "slave" in wanted else ""
