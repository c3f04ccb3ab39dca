"""Whether a container can be made as asked: what docker's daemon checks, in its words.

What is about mounts and networks is checked where those are resolved.
"""

import os
import posixpath
from typing import NamedTuple

import msgspec

from ferryman.runtime import capabilities, limits, log_options, rlimits, security, signals, tmpfs
from ferryman.runtime.settings import Config, HostConfig, InvalidSettings

_CONTAINER = "container:"
_LONGEST_HOSTNAME = 64
_MILLISECOND = 10**6
_POLICIES = ("no", "always", "on-failure", "unless-stopped")


class Verified(NamedTuple):
    """What a container is made from, and what its user should know, each for one line."""

    config: Config
    host_config: HostConfig
    warnings: list[str]


def verified(config: Config, host: HostConfig) -> Verified:
    """Return the settings of a new container as they will be on this machine.

    `config` is merged with the image's already.  Limits that this machine cannot hold are left
    out, with a warning.  Raises InvalidSettings for what cannot be.
    """
    _check_config(config)
    _check_restart(host)
    _check_namespaces(host)
    _check_network(config, host)
    _check_powers(host)
    adapted, warnings = limits.checked(host, limits.found())
    warnings += log_options.checked(host.log_config)
    if host.network_mode == "host" and host.port_bindings:
        warnings.append("Published ports are discarded when using host network mode")
    if config.working_dir:
        # Two slashes at its beginning mean something to normpath.
        clean = "/" + posixpath.normpath(config.working_dir).lstrip("/")
        config = msgspec.structs.replace(config, working_dir=clean)
    return Verified(config, adapted, warnings)


def _check_config(config: Config) -> None:
    if config.working_dir and not config.working_dir.startswith("/"):
        raise InvalidSettings(
            f"the working directory '{config.working_dir}' is invalid, it needs to be an absolute "
            "path"
        )
    if config.stop_signal:
        signals.number(config.stop_signal)
    for entry in config.env or ():
        if not entry.partition("=")[0]:
            raise InvalidSettings(f"invalid environment variable: {entry}")
    if len(config.hostname) > _LONGEST_HOSTNAME:
        raise InvalidSettings(
            f'hostname "{config.hostname}" is too long (maximum {_LONGEST_HOSTNAME} bytes)'
        )
    if check := config.healthcheck:
        for name, time in (
            ("Interval", check.interval),
            ("Timeout", check.timeout),
            ("StartPeriod", check.start_period),
            ("StartInterval", check.start_interval),
        ):
            if time and time < _MILLISECOND:
                raise InvalidSettings(f"{name} in Healthcheck cannot be less than 1ms")
        if check.retries < 0:
            raise InvalidSettings("Retries in Healthcheck cannot be negative")


def _check_restart(host: HostConfig) -> None:
    policy = host.restart_policy
    if host.auto_remove and policy.name not in ("", "no"):
        raise InvalidSettings("can't create 'AutoRemove' container with restart policy")
    if policy.name and policy.name not in _POLICIES:
        raise InvalidSettings(
            f"invalid restart policy: unknown policy '{policy.name}'; use one of 'no', 'always', "
            "'on-failure', or 'unless-stopped'"
        )
    retries = policy.maximum_retry_count
    if policy.name == "on-failure" and retries < 0:
        raise InvalidSettings("invalid restart policy: maximum retry count cannot be negative")
    if policy.name not in ("", "on-failure") and retries:
        negative = " and cannot be negative" if retries < 0 else ""
        raise InvalidSettings(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
            + negative
        )


def _check_namespaces(host: HostConfig) -> None:
    if host.ipc_mode not in ("", "none", "private", "shareable", "host") and not _joins(
        host.ipc_mode
    ):
        raise InvalidSettings(f"invalid IPC mode: {host.ipc_mode}")
    if host.pid_mode not in ("", "host") and not _joins(host.pid_mode):
        raise InvalidSettings(f"invalid PID mode: {host.pid_mode}")
    if host.uts_mode not in ("", "host"):
        raise InvalidSettings(f"invalid UTS mode: {host.uts_mode}")
    if host.userns_mode not in ("", "host"):
        raise InvalidSettings(f"invalid user namespace mode: {host.userns_mode}")
    if host.cgroupns_mode not in ("", "private", "host"):
        raise InvalidSettings(f"invalid cgroup namespace mode: {host.cgroupns_mode}")
    if host.ipc_mode == "host" and not os.path.exists("/dev/shm"):
        raise InvalidSettings("/dev/shm is not mounted, but must be for --ipc=host")


def _joins(mode: str) -> bool:
    return mode.startswith(_CONTAINER) and mode != _CONTAINER


def _check_network(config: Config, host: HostConfig) -> None:
    if host.uts_mode == "host" and config.hostname:
        raise InvalidSettings("conflicting options: hostname and the UTS mode")
    if not host.network_mode.startswith(_CONTAINER):
        return
    if not _joins(host.network_mode):
        raise InvalidSettings("invalid network mode: invalid container format container:<name|id>")
    for given, what in (
        (config.hostname, "hostname and the network mode"),
        (host.dns, "dns and the network mode"),
        (host.extra_hosts, "custom host-to-IP mapping and the network mode"),
        (
            host.port_bindings or host.publish_all_ports,
            "port publishing and the container type network mode",
        ),
    ):
        if given:
            raise InvalidSettings(f"conflicting options: {what}")


def _check_powers(host: HostConfig) -> None:
    capabilities.checked(host.cap_add or (), host.cap_drop or (), available=capabilities.held())
    options = security.parsed(host.security_opt or ())
    security.profile(options, frozenset(), privileged=host.privileged)
    rlimits.raised(host.ulimits or (), may_raise=True)
    if not -1000 <= host.oom_score_adj <= 1000:
        raise InvalidSettings(
            f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]"
        )
    if host.shm_size < 0:
        raise InvalidSettings("SHM size can not be less than 0")
    if "" in (host.annotations or {}):
        raise InvalidSettings(
            "invalid Annotations: the empty string is not permitted as an annotation key"
        )
    for path, given in (host.tmpfs or {}).items():
        if posixpath.normpath(path).strip("/") == "" and path.startswith("/"):
            raise InvalidSettings("invalid specification: destination can't be '/'")
        if not path.startswith("/"):
            raise InvalidSettings(f"invalid mount path: '{path}' mount path must be absolute")
        tmpfs.options(given)
