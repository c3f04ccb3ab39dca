"""What an OCI runtime is given: ``config.json`` of the runtime specification, as docker makes it.

`document` is a function of what it is given: a container, its user, and a `Place`, which is what
this machine has for it.  `spec` finds out the latter and calls the former.
"""

import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ferryman.rootfs import namespace
from ferryman.runtime import (
    capabilities,
    cgroups,
    devices,
    limits,
    programs,
    record,
    rlimits,
    security,
    tmpfs,
    users,
)
from ferryman.runtime.limits import Controllers
from ferryman.runtime.record import Container, MountPoint
from ferryman.runtime.security import Security
from ferryman.runtime.settings import BindOptions, HostConfig, InvalidSettings, Mount
from ferryman.runtime.users import User
from ferryman.store.layout import Store

_VERSION = "1.0.2"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_INIT = "/sbin/docker-init"

_CONTAINER = "container:"
_NAMESPACES = {"network": "net", "ipc": "ipc", "pid": "pid"}
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


class Place(NamedTuple):
    """What a machine has for a container that is about to start."""

    rootfs: str
    """Where the root filesystem is mounted."""
    cgroup: str
    cgroup_mode: str
    """As `cgroups.mode` has it."""
    controllers: Controllers
    capabilities: Sequence[str]
    """Those that this process may give away."""
    files: Mapping[str, str] = {}
    """Files and folders that ferry itself mounts: path in the container → path here."""
    joined: Mapping[str, str] = {}
    """The namespaces of others to be in: ``network``, ``ipc`` or ``pid`` → path."""
    init: str = ""
    """The path of the program for ``--init``."""
    size: tuple[int, int] | None = None
    """The terminal's rows and columns."""
    least_oom_score: int = -1000
    """The kernel lets nobody without CAP_SYS_RESOURCE go below their own."""
    rootless: bool = False
    """Whether this is a user namespace, with an ordinary user's powers outside of it."""


def spec(
    store: Store,
    container: Container,
    rootfs: str,
    bundle: str,
    size: tuple[int, int] | None = None,
    network: str | None = None,
) -> dict[str, Any]:
    """Return the runtime's configuration for a container that starts now, here.

    `rootfs` is where its root filesystem is mounted, `bundle` holds ``hosts``, ``hostname`` and
    ``resolv.conf``, `size` is the terminal's in rows and columns, `network` the path of a network
    namespace that was made for it.  Raises InvalidSettings,
    ContainerNotFound, MissingProgram.
    """
    host = container.host_config
    donors = _donors(store, host)
    joined = {kind: f"/proc/{pid}/ns/{_NAMESPACES[kind]}" for kind, pid in donors.items()}
    if network is not None:
        joined["network"] = network
    files = {f"/etc/{name}": f"{bundle}/{name}" for name in _FILES}
    if shm := _shared_memory(host, donors, bundle):
        files["/dev/shm"] = shm
    powers = capabilities.held()
    rootless = namespace.ordinary()
    may_lower = "CAP_SYS_RESOURCE" in powers and not rootless
    place = Place(
        rootfs=rootfs,
        cgroup=cgroups.path(container.id),
        cgroup_mode=cgroups.mode(),
        controllers=limits.found(),
        capabilities=powers,
        files={at: source for at, source in files.items() if os.path.exists(source)},
        joined=joined,
        init=programs.needed("catatonit", "catatonit", "for --init") if host.init else "",
        size=size,
        least_oom_score=-1000 if may_lower else _own_oom_score(),
        rootless=rootless,
    )
    user = users.find(rootfs, container.config.user, host.group_add)
    if why := next(filter(None, (namespace.beyond(user.uid, gid) for gid in user.groups)), ""):
        raise InvalidSettings(f"cannot run as {container.config.user}: {why}")
    return document(container, user, place)


def _donors(store: Store, host: HostConfig) -> dict[str, int]:
    """Return the first processes of the containers whose namespaces this one is to be in."""
    found = {}
    for kind, mode in (
        ("network", host.network_mode),
        ("ipc", host.ipc_mode),
        ("pid", host.pid_mode),
    ):
        if not mode.startswith(_CONTAINER):
            continue
        donor = record.find(store, mode.removeprefix(_CONTAINER))
        state = record.read_state(store, donor.id)
        if not state.up or state.init is None:
            raise InvalidSettings(f"cannot join {kind} of a non running container: {donor.id}")
        if kind == "ipc" and donor.host_config.ipc_mode in ("private", "none"):
            raise InvalidSettings(
                f"failed to join IPC namespace: container {donor.id}: non-shareable IPC (hint: "
                "use IpcMode:shareable for the donor container)"
            )
        found[kind] = state.init.pid
    return found


def _shared_memory(host: HostConfig, donors: Mapping[str, int], bundle: str) -> str:
    """Return the folder with the shared memory of the host or another container, if it is theirs.

    The latter's is in that container's mount namespace; it is brought to the bundle.
    """
    if host.ipc_mode == "host":
        return "/dev/shm"
    if "ipc" not in donors:
        return ""
    at = f"{bundle}/shm"
    try:
        os.mkdir(at)
        namespace.borrow(donors["ipc"], "/dev/shm", at)
    except OSError as e:
        raise InvalidSettings(f"failed to join IPC namespace: {e.strerror}") from None
    return at


def _own_oom_score() -> int:
    with open("/proc/self/oom_score_adj", encoding="ascii") as f:
        return int(f.read())


def document(container: Container, user: User, place: Place) -> dict[str, Any]:
    """Return the configuration of a container for a place; raises InvalidSettings."""
    host = container.host_config
    options = security.parsed(host.security_opt or ())
    powers = capabilities.chosen(
        host.cap_add or (),
        host.cap_drop or (),
        privileged=host.privileged,
        available=place.capabilities,
    )
    linux: dict[str, Any] = {
        "namespaces": _namespaces(host, place),
        "sysctl": _sysctls(container, place),
        **_devices(host, place),
    }
    if filter_ := security.profile(options, set(powers), privileged=host.privileged):
        linux["seccomp"] = filter_
    if not (host.privileged or options.paths_unmasked):
        linux |= {"maskedPaths": list(_MASKED), "readonlyPaths": list(_READONLY)}
    if propagation := _root_propagation(container.mounts):
        linux["rootfsPropagation"] = propagation
    document: dict[str, Any] = {
        "ociVersion": _VERSION,
        "process": _process(container, user, place, powers, options),
        "root": {"path": place.rootfs, "readonly": host.readonly_rootfs},
        "mounts": _mounts(container, place, options),
        "annotations": host.annotations or {},
        "linux": linux,
    }
    if host.uts_mode != "host":
        document["hostname"] = container.config.hostname
    return document


def _devices(host: HostConfig, place: Place) -> dict[str, Any]:
    """Return the devices, and the control group with its limits."""
    every = devices.every() if host.privileged else []
    if place.rootless:
        # An ordinary user's control group is not theirs to change, and devices can only be mounted:
        # these by the runtime, which knows no second name for them; `_asked_mounts` has the others.
        return {"devices": every}
    made, rules = devices.nodes(host.devices or ())
    there = {node["path"] for node in every}
    made = every + [node for node in made if node["path"] not in there]
    allowed = devices.rules(rules, host.device_cgroup_rules or (), privileged=host.privileged)
    return {
        "devices": made,
        "cgroupsPath": place.cgroup,
        "resources": {"devices": allowed, **limits.resources(host, place.controllers)},
    }


def _process(
    container: Container, user: User, place: Place, powers: Sequence[str], options: Security
) -> dict[str, Any]:
    config, host = container.config, container.host_config
    may_raise = "CAP_SYS_RESOURCE" in place.capabilities and not place.rootless
    process: dict[str, Any] = {
        "terminal": config.tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
        "args": [*([_INIT, "--"] if _has_init(host) else []), *container.command],
        "env": environment(container, user),
        "cwd": config.working_dir or "/",
        "capabilities": {kind: list(powers) for kind in ("bounding", "effective", "permitted")},
        "rlimits": rlimits.raised(host.ulimits or (), may_raise=may_raise),
        "noNewPrivileges": options.no_new_privileges,
        "oomScoreAdj": max(host.oom_score_adj, place.least_oom_score),
    }
    if profile := security.apparmor(options):
        process["apparmorProfile"] = profile
    if config.tty and place.size:
        process["consoleSize"] = {"height": place.size[0], "width": place.size[1]}
    return process


def environment(container: Container, user: User) -> list[str]:
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


def _sysctls(container: Container, place: Place) -> dict[str, str]:
    host = container.host_config
    sysctls = {}
    if container.config.domainname and host.uts_mode != "host":
        sysctls["kernel.domainname"] = container.config.domainname
    if host.network_mode != "host" and not host.network_mode.startswith(_CONTAINER):
        # As docker: ports below 1024, and ping, without being root.
        sysctls["net.ipv4.ip_unprivileged_port_start"] = "0"
        if not place.rootless:
            # Where not all groups are mapped, the kernel takes no such range.
            sysctls["net.ipv4.ping_group_range"] = "0 2147483647"
    there = {name: value for name, value in sysctls.items() if _exists(name)}
    return there | (host.sysctls or {})


def _exists(sysctl: str) -> bool:
    return os.path.exists(f"/proc/sys/{sysctl.replace('.', '/')}")


def _mounts(container: Container, place: Place, options: Security) -> list[dict[str, Any]]:
    """Return all mounts: docker's own, then the user's, the outer ones before the inner ones."""
    asked = _asked_mounts(container, place)
    there = {mount["destination"] for mount in asked}
    own = [
        mount
        for mount in _own_mounts(container.host_config, place, options)
        if mount["destination"] not in there
        and (mount["type"] != "bind" or os.path.exists(mount["source"]))
        and not ("/dev" in there and mount["destination"].startswith("/dev/"))
    ]
    return own + asked


def _own_mounts(host: HostConfig, place: Place, options: Security) -> list[dict[str, Any]]:
    closed = ("nosuid", "noexec", "nodev")
    read_only = () if host.privileged else ("ro",)
    writable_cgroups = options.writable_cgroups
    if writable_cgroups is None:
        writable_cgroups = host.privileged
    mounts = [
        _of_namespace("/proc", "proc", closed, host.pid_mode, place),
        _mount("/dev", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
        _mount(
            "/dev/pts",
            "devpts",
            ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        ),
    ]
    system = (*closed, *read_only)
    mounts.append(_of_namespace("/sys", "sysfs", system, host.network_mode, place))
    if place.cgroup_mode != "none":
        ro = () if writable_cgroups else ("ro",)
        mounts.append(_mount("/sys/fs/cgroup", "cgroup", (*closed, *ro)))
    mounts.append(_of_namespace("/dev/mqueue", "mqueue", closed, host.ipc_mode, place))
    if host.ipc_mode != "none":
        size = f"size={host.shm_size}"
        mounts.append(_mount("/dev/shm", "tmpfs", (*closed, "mode=1777", size), source="shm"))
    if _has_init(host):
        mounts.append(_mount(_INIT, "bind", ("bind", "ro"), source=place.init))
    return mounts


def _of_namespace(
    at: str, kind: str, options: Sequence[str], mode: str, place: Place
) -> dict[str, Any]:
    """Return the mount of what shows a namespace: anew only for those who own the namespace."""
    if place.rootless and mode == "host":
        return _mount(at, "bind", ("rbind", *options), source=at)
    return _mount(at, kind, options)


def _asked_mounts(container: Container, place: Place) -> list[dict[str, Any]]:
    host = container.host_config
    mounts = []
    for at, source in place.files.items():
        read_only = ("ro",) if host.readonly_rootfs and at.startswith("/etc/") else ()
        mounts.append(_mount(at, "bind", ("rbind", *read_only, "rprivate"), source=source))
    if place.rootless:
        for source, at in devices.paths(host.devices or ()):
            mounts.append(_mount(at, "bind", ("bind",), source=source))
    asked = {_clean(mount.target): mount for mount in host.mounts or ()}
    for point in container.mounts:
        mount = asked.get(point.destination) or Mount(point.type, point.destination)
        if point.type == "tmpfs":
            mounts.append(_mount(point.destination, "tmpfs", tmpfs.of_mount(mount)))
        else:
            options = _bind_options(point, mount.bind_options or BindOptions())
            mounts.append(_mount(point.destination, "bind", options, source=point.source))
    for path, given in (host.tmpfs or {}).items():
        mounts.append(_mount(path, "tmpfs", tmpfs.options(given)))
    # Of several at one place the last one counts: users may have a hosts file of their own.
    last = {mount["destination"]: mount for mount in mounts}
    return sorted(last.values(), key=lambda mount: mount["destination"].rstrip("/").count("/"))


def _mount(at: str, kind: str, options: Sequence[str], *, source: str = "") -> dict[str, Any]:
    return {
        "destination": _clean(at),
        "type": kind,
        "source": source or kind,
        "options": list(options),
    }


def _clean(path: str) -> str:
    return "/" + posixpath.normpath(path).lstrip("/")


def _bind_options(point: MountPoint, wanted: BindOptions) -> tuple[str, ...]:
    read_only: tuple[str, ...] = ()
    recursive = not wanted.non_recursive
    if not point.rw:
        # "ro" is for the mount itself; what is mounted within it needs a newer kernel.
        read_only = ("ro", "rro") if recursive and _kernel() >= _RECURSIVE_ATTRIBUTES else ("ro",)
    return ("rbind" if recursive else "bind", *read_only, point.propagation or "rprivate")


_RECURSIVE_ATTRIBUTES = (5, 12)
"""The kernel that has mount_setattr(2)."""


def _kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", os.uname().release)[:2])


def _root_propagation(mounts: Sequence[MountPoint]) -> str:
    """Return what the root must be so that mounts reach the container, or leave it."""
    wanted = {mount.propagation.removeprefix("r") for mount in mounts}
    if "shared" in wanted:
        return "shared"
    return "rslave" if "slave" in wanted else ""
