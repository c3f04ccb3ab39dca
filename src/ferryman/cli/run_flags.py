"""The flags of ``docker run`` and ``docker create``, and what they ask for.

`container_command` makes a function a command with all of them; the function is called with a
`Requested` and the flags of its own.  What a single flag's text means is told in `cli.flags`.
"""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import click

from ferryman.cli.flags import health, limits, mounts, networks, security, variables
from ferryman.cli.flags.grammar import FlagCommand, FlagError, Switch, Value, integer
from ferryman.errors import InvalidFlag
from ferryman.runtime.settings import Config, HostConfig, LogConfig, NetworkRequest


class Requested(NamedTuple):
    """What a command line asks for."""

    image: str
    config: Config
    host_config: HostConfig
    networks: dict[str, NetworkRequest]
    name: str
    """Empty for a made-up one."""
    platform: str
    pull: str
    """``always``, ``missing`` or ``never``."""
    quiet: bool
    storage: str
    """``erofs``, ``extract``, or empty for what serves best."""
    attach: Sequence[str]
    """The streams of ``--attach``, when it was given."""


_TEXT = Value(str, "string")
_LIST = Value(str, "list")
_INTEGER = Value(integer, "int")
_BYTES = Value(limits.memory, "bytes")
_DURATION = Value(limits.duration, "duration")


def _attach(text: str) -> str:
    if text.lower() not in ("stdin", "stdout", "stderr"):
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return text.lower()


def _one(
    names: str, kind: Value, help: str, default: Any = "", variable: str | None = None
) -> click.Option:
    return click.Option(
        names.split(), type=kind, default=default, metavar=kind.name, help=help, envvar=variable
    )


def _many(names: str, kind: Value, help: str) -> click.Option:
    return click.Option(names.split(), type=kind, multiple=True, metavar=kind.name, help=help)


def _switch(names: str, help: str) -> click.Option:
    return Switch(names.split(), help=help)


_FLAGS: tuple[click.Option, ...] = (
    # The container
    _one("--name", _TEXT, "Assign a name to the container"),
    _one("--pull", _TEXT, 'Pull image before creating ("always", "missing", "never")', "missing"),
    _one("--platform", _TEXT, "Set platform if server is multi-platform capable"),
    _switch("-q --quiet", "Suppress the pull output"),
    _one(
        "--storage",
        _TEXT,
        "How to have the image's layers: erofs (mounted) or extract; also FERRY_STORAGE",
        variable="FERRY_STORAGE",
    ),
    _one("--cidfile", _TEXT, "Write the container ID to the file"),
    _switch("--rm", "Automatically remove the container when it exits"),
    _one("--restart", _TEXT, "Restart policy to apply when a container exits", "no"),
    _one("--runtime", _TEXT, "Runtime to use for this container"),
    _many("--annotation", _LIST, "Add an annotation to the container (for the OCI runtime)"),
    # What runs in it
    _many("-a --attach", Value(_attach, "list"), "Attach to STDIN, STDOUT or STDERR"),
    _switch("-i --interactive", "Keep STDIN open even if not attached"),
    _switch("-t --tty", "Allocate a pseudo-TTY"),
    _many("-e --env", Value(variables.variable, "list"), "Set environment variables"),
    _many("--env-file", _LIST, "Read in a file of environment variables"),
    _many("-l --label", Value(variables.label, "list"), "Set meta data on a container"),
    _many("--label-file", _LIST, "Read in a line delimited file of labels"),
    _one("--entrypoint", _TEXT, "Overwrite the default ENTRYPOINT of the image", None),
    _one("-w --workdir", _TEXT, "Working directory inside the container"),
    _one("-u --user", _TEXT, "Username or UID (format: <name|uid>[:<group|gid>])"),
    _many("--group-add", _LIST, "Add additional groups to join"),
    _one("--stop-signal", _TEXT, "Signal to stop the container"),
    _one("--stop-timeout", _INTEGER, "Timeout (in seconds) to stop a container", None),
    _switch("--init", "Run an init inside that forwards signals and reaps processes"),
    _one("--health-cmd", _TEXT, "Command to run to check health"),
    _one("--health-interval", _DURATION, "Time between running the check (ms|s|m|h)", 0),
    _one("--health-timeout", _DURATION, "Maximum time to allow one check to run", 0),
    _one("--health-start-period", _DURATION, "Time to start in before failures count", 0),
    _one("--health-start-interval", _DURATION, "Time between checks while it starts", 0),
    _one("--health-retries", _INTEGER, "Consecutive failures needed to report unhealthy", 0),
    _switch("--no-healthcheck", "Disable any container-specified HEALTHCHECK"),
    # Files
    _many("-v --volume", _LIST, "Bind mount a volume"),
    _many("--mount", Value(mounts.mount, "mount"), "Attach a filesystem mount to the container"),
    _many("--tmpfs", _LIST, "Mount a tmpfs directory"),
    _many("--volumes-from", _LIST, "Mount volumes from the specified container(s)"),
    _switch("--read-only", "Mount the container's root filesystem as read only"),
    _one("--shm-size", _BYTES, "Size of /dev/shm", 0),
    _many("--device", _LIST, "Add a host device to the container"),
    _many(
        "--device-cgroup-rule",
        Value(mounts.device_rule, "list"),
        "Add a rule to the cgroup allowed devices list",
    ),
    # Networks
    _many("--network", Value(networks.network, "network"), "Connect a container to a network"),
    _many("--network-alias", _LIST, "Add network-scoped alias for the container"),
    _one("--ip", Value(networks.ip, "ip"), "IPv4 address (e.g., 172.30.100.104)"),
    _one("--mac-address", _TEXT, "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
    _many("-p --publish", _LIST, "Publish a container's port(s) to the host"),
    _switch("-P --publish-all", "Publish all exposed ports to random ports"),
    _many("--expose", _LIST, "Expose a port or a range of ports"),
    _one("-h --hostname", _TEXT, "Container host name"),
    _one("--domainname", _TEXT, "Container NIS domain name"),
    _many("--add-host", Value(networks.extra_host, "list"), "Add a custom host-to-IP mapping"),
    _many("--dns", Value(networks.dns, "list"), "Set custom DNS servers"),
    _many("--dns-option", _LIST, "Set DNS options"),
    _many("--dns-search", Value(networks.dns_search, "list"), "Set custom DNS search domains"),
    # Security
    _many("--cap-add", _LIST, "Add Linux capabilities"),
    _many("--cap-drop", _LIST, "Drop Linux capabilities"),
    _switch("--privileged", "Give extended privileges to this container"),
    _many("--security-opt", _LIST, "Security Options"),
    _many("--sysctl", Value(variables.sysctl, "map"), "Sysctl options"),
    _one("--pid", _TEXT, "PID namespace to use"),
    _one("--ipc", _TEXT, "IPC mode to use"),
    _one("--uts", _TEXT, "UTS namespace to use"),
    _one("--userns", _TEXT, "User namespace to use"),
    _one("--cgroupns", _TEXT, "Cgroup namespace to use (host|private)"),
    # Limits
    _one("-m --memory", _BYTES, "Memory limit", 0),
    _one("--memory-reservation", _BYTES, "Memory soft limit", 0),
    _one("--memory-swap", Value(limits.swap, "bytes"), "Memory plus swap: -1 is unlimited", 0),
    _one("--memory-swappiness", _INTEGER, "Tune container memory swappiness (0 to 100)", -1),
    _one("--cpus", Value(limits.processors, "decimal"), "Number of CPUs", 0),
    _one("-c --cpu-shares", _INTEGER, "CPU shares (relative weight)", 0),
    _one("--cpu-period", _INTEGER, "Limit CPU CFS (Completely Fair Scheduler) period", 0),
    _one("--cpu-quota", _INTEGER, "Limit CPU CFS (Completely Fair Scheduler) quota", 0),
    _one("--cpuset-cpus", _TEXT, "CPUs in which to allow execution (0-3, 0,1)"),
    _one("--cpuset-mems", _TEXT, "MEMs in which to allow execution (0-3, 0,1)"),
    _one("--pids-limit", _INTEGER, "Tune container pids limit (set -1 for unlimited)", 0),
    _switch("--oom-kill-disable", "Disable OOM Killer"),
    _one("--oom-score-adj", _INTEGER, "Tune host's OOM preferences (-1000 to 1000)", 0),
    _many("--ulimit", Value(limits.ulimit, "ulimit"), "Ulimit options"),
    # For those who bring their command line along
    _one("--log-driver", _TEXT, "Logging driver for the container (json-file|local|none)"),
    _many("--log-opt", _LIST, "Log driver options (max-size, max-file, labels, env)"),
    _one("--isolation", _TEXT, "Accepted: default"),
    _one("--volume-driver", _TEXT, "Accepted: local"),
)

_ALIASES = {"net": "network", "net-alias": "network-alias", "dns-opt": "dns-option"}

# What docker has and ferry has not; the reason is what the user reads.
_REFUSED = {
    "--link": "use a network of your own, where containers find each other by name",
    "--gpus": "name the devices with --device",
    "--ip6": "containers have IPv4 addresses only",
    "--link-local-ip": "containers have one address a network",
    "--cgroup-parent": "containers are in the control group /ferry",
    "--blkio-weight": "there are no limits of block devices",
    "--blkio-weight-device": "there are no limits of block devices",
    "--device-read-bps": "there are no limits of block devices",
    "--device-read-iops": "there are no limits of block devices",
    "--device-write-bps": "there are no limits of block devices",
    "--device-write-iops": "there are no limits of block devices",
    "--cpu-rt-period": "there are no limits of real time",
    "--cpu-rt-runtime": "there are no limits of real time",
    "--storage-opt": "containers share the space of the store",
    "--use-api-socket": "there is no daemon",
}


def _refuse(context: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        flag = param.opts[0]
        raise FlagError(f"{flag} is not supported by ferry: {_REFUSED[flag]}", context)


def container_command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a function a command with docker's flags for a container to be made.

    It is called with `requested`, and with the flags that it has declared itself.
    """

    def decorate(function: Callable[..., Any]) -> click.Command:
        @functools.wraps(function)
        def call(image: str, arguments: tuple[str, ...], **values: Any) -> Any:
            flags = {option.name: values.pop(option.name) for option in _FLAGS}
            return function(requested(image, arguments, flags), **values)

        command = click.command(name, cls=FlagCommand, aliases=_ALIASES)(call)
        command.params += [*_FLAGS, *map(_refused, _REFUSED)]
        command.params.sort(key=lambda param: max(param.opts, key=len))
        command.params += [
            click.Argument(["image"], metavar="IMAGE"),
            click.Argument(["arguments"], nargs=-1, metavar="[COMMAND] [ARG...]"),
        ]
        return command

    return decorate


def _refused(flag: str) -> click.Option:
    return click.Option([flag], hidden=True, expose_value=False, callback=_refuse, type=_TEXT)


def requested(image: str, arguments: Sequence[str], flags: Mapping[str, Any]) -> Requested:
    """Return what flags, as click has read them, ask for; raises InvalidFlag in docker's words."""
    flag = _Given(flags)
    _check(flag)
    bindings = networks.published(flag.publish)
    volumes = [_read(mounts.volume, text) for text in flag.volume]
    mode, wanted = networks.attached(flag.network, flag.network_alias, flag.ip, flag.mac_address)
    ports = dict.fromkeys([*bindings, *networks.exposed(flag.expose)])
    stdin = flag.interactive or "stdin" in flag.attach
    config = Config(
        hostname=flag.hostname,
        domainname=flag.domainname,
        user=flag.user,
        attach_stdin=stdin,
        attach_stdout=not flag.attach or "stdout" in flag.attach,
        attach_stderr=not flag.attach or "stderr" in flag.attach,
        exposed_ports={port: {} for port in ports} or None,
        tty=flag.tty,
        open_stdin=flag.interactive,
        stdin_once=flag.interactive,
        env=variables.environment(flag.env_file, flag.env) or None,
        cmd=list(arguments) or None,
        healthcheck=health.check(
            flag.health_cmd,
            interval=flag.health_interval,
            timeout=flag.health_timeout,
            start_period=flag.health_start_period,
            start_interval=flag.health_start_interval,
            retries=flag.health_retries,
            none=flag.no_healthcheck,
        ),
        image=image,
        volumes={each.anonymous: {} for each in volumes if each.anonymous} or None,
        working_dir=flag.workdir,
        entrypoint=None if flag.entrypoint is None else [flag.entrypoint],
        labels=variables.labels(flag.label_file, flag.label),
        stop_signal=flag.stop_signal or None,
        stop_timeout=flag.stop_timeout,
    )
    host_config = _host_config(
        flag, binds=[each.bind for each in volumes if each.bind], mode=mode, bindings=bindings
    )
    return Requested(
        image=image,
        config=config,
        host_config=host_config,
        networks=wanted,
        name=flag.name,
        platform=flag.platform or os.environ.get("DOCKER_DEFAULT_PLATFORM", ""),
        pull=flag.pull or "missing",
        quiet=flag.quiet,
        storage=flag.storage,
        attach=flag.attach,
    )


class _Given:
    """The flags by their names, as attributes."""

    def __init__(self, flags: Mapping[str, Any]) -> None:
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        return self._flags[name]


def _host_config(
    flag: _Given, *, binds: list[str], mode: str, bindings: networks.Bindings
) -> HostConfig:
    return HostConfig(
        binds=binds or None,
        mounts=list(flag.mount) or None,
        tmpfs={path: given for path, _, given in (t.partition(":") for t in flag.tmpfs)} or None,
        container_id_file=flag.cidfile,
        log_config=LogConfig(flag.log_driver or "json-file", variables.pairs(flag.log_opt)),
        network_mode=mode,
        port_bindings=bindings or None,
        publish_all_ports=flag.publish_all,
        restart_policy=_read(limits.restart_policy, flag.restart),
        auto_remove=flag.rm,
        volumes_from=list(flag.volumes_from) or None,
        cap_add=list(flag.cap_add) or None,
        cap_drop=list(flag.cap_drop) or None,
        privileged=flag.privileged,
        security_opt=security.options(flag.security_opt) or None,
        readonly_rootfs=flag.read_only,
        dns=list(flag.dns) or None,
        dns_options=list(flag.dns_option) or None,
        dns_search=list(flag.dns_search) or None,
        extra_hosts=list(flag.add_host) or None,
        group_add=list(flag.group_add) or None,
        ipc_mode=flag.ipc or "private",
        pid_mode=flag.pid,
        uts_mode=flag.uts,
        userns_mode=flag.userns,
        cgroupns_mode=flag.cgroupns,
        shm_size=flag.shm_size or 64 << 20,
        sysctls=variables.pairs(flag.sysctl) or None,
        oom_score_adj=flag.oom_score_adj,
        oom_kill_disable=flag.oom_kill_disable,
        init=flag.init or None,
        devices=[_read(mounts.device, text) for text in flag.device] or None,
        device_cgroup_rules=list(flag.device_cgroup_rule) or None,
        ulimits=limits.ulimits(flag.ulimit) or None,
        memory=flag.memory,
        memory_reservation=flag.memory_reservation,
        memory_swap=flag.memory_swap,
        memory_swappiness=None if flag.memory_swappiness == -1 else flag.memory_swappiness,
        nano_cpus=flag.cpus,
        cpu_shares=flag.cpu_shares,
        cpu_period=flag.cpu_period,
        cpu_quota=flag.cpu_quota,
        cpuset_cpus=flag.cpuset_cpus,
        cpuset_mems=flag.cpuset_mems,
        pids_limit=flag.pids_limit if flag.pids_limit > 0 else None,
        annotations=variables.pairs(flag.annotation) or None,
        runtime=flag.runtime,
    )


def _read(read: Callable[[str], Any], text: str) -> Any:
    try:
        return read(text)
    except ValueError as e:
        raise InvalidFlag(str(e)) from None


def _check(flag: _Given) -> None:
    """Raise InvalidFlag for what cannot be together."""
    if flag.pull not in ("always", "missing", "never", ""):
        raise InvalidFlag(
            f'invalid pull option: \'{flag.pull}\': must be one of "always", "missing" or "never"'
        )
    if flag.memory_swappiness != -1 and not 0 <= flag.memory_swappiness <= 100:
        raise InvalidFlag(
            f"invalid value: {flag.memory_swappiness}. Valid memory swappiness range is 0-100"
        )
    security.check_modes(pid=flag.pid, uts=flag.uts, userns=flag.userns, cgroupns=flag.cgroupns)
    if flag.rm and flag.restart not in ("", "no"):
        raise InvalidFlag("conflicting options: cannot specify both --restart and --rm")
    for name, value, known in (
        ("--storage", flag.storage, ("erofs", "extract")),
        ("--log-driver", flag.log_driver, ("json-file", "local", "none")),
        ("--isolation", flag.isolation, ("default",)),
        ("--volume-driver", flag.volume_driver, ("local",)),
    ):
        if value and value not in known:
            raise InvalidFlag(f"{name} {value} is not supported by ferry: {' or '.join(known)}")
    if flag.log_driver == "none" and flag.log_opt:
        raise InvalidFlag("invalid logging opts for driver none")
