"""Which system calls a container may make (seccomp(2)): docker's default profile, or a user's own.

The default allows what programs use and containers can be trusted with, and more to those that
have the capability for it anyway.  Everything else fails with EPERM, so that programs fall back.

A profile is the JSON that docker takes: the runtime specification's ``linux.seccomp``, with rules
that apply to some architectures, capabilities or kernels only.
"""

import os
import re
from collections.abc import Sequence, Set
from typing import Any

import msgspec

from ferryman.errors import InvalidImage
from ferryman.image.decode import decode
from ferryman.runtime.seccomp_calls import (
    AF_ALG,
    AF_VSOCK,
    ALWAYS,
    BY_ARCHITECTURE,
    BY_CAPABILITY,
    NEW_NAMESPACES,
    PERSONALITIES,
    SINCE_4_8,
)
from ferryman.runtime.settings import InvalidSettings

_ALLOW = "SCMP_ACT_ALLOW"
_ERRNO = "SCMP_ACT_ERRNO"
_EPERM = 1
_ENOSYS = 38


class _Argument(msgspec.Struct, frozen=True, rename="camel"):
    index: int
    value: int
    op: str
    value_two: int = 0


class _When(msgspec.Struct, frozen=True, rename="camel"):
    """What a rule depends on: all of the capabilities to be included, any to be excluded."""

    caps: list[str] | None = None
    arches: list[str] | None = None
    min_kernel: str = ""


class _Rule(msgspec.Struct, frozen=True, rename="camel"):
    action: str
    names: list[str] | None = None
    name: str = ""
    errno_ret: int | None = None
    args: list[_Argument] | None = None
    includes: _When | None = None
    excludes: _When | None = None


class _Architecture(msgspec.Struct, frozen=True, rename="camel"):
    architecture: str
    sub_architectures: list[str] | None = None


class _Profile(msgspec.Struct, frozen=True, rename="camel"):
    default_action: str = ""
    default_errno_ret: int | None = None
    architectures: list[str] | None = None
    arch_map: list[_Architecture] | None = None
    flags: list[str] | None = None
    listener_path: str | None = None
    listener_metadata: str | None = None
    syscalls: list[_Rule] | None = None


# The name of each architecture in a profile's conditions, and libseccomp's, by uname's.
_MACHINES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "i386": ("x86", "SCMP_ARCH_X86"),
    "i686": ("x86", "SCMP_ARCH_X86"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "armv7l": ("arm", "SCMP_ARCH_ARM"),
    "armv6l": ("arm", "SCMP_ARCH_ARM"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "riscv64": ("riscv64", "SCMP_ARCH_RISCV64"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
    "loongarch64": ("loongarch64", "SCMP_ARCH_LOONGARCH64"),
    "mips64": ("mips64", "SCMP_ARCH_MIPS64"),
}

# What else a machine runs: programs of its smaller relatives.
_ARCHITECTURES = [
    _Architecture(f"SCMP_ARCH_{name}", [f"SCMP_ARCH_{other}" for other in others.split()])
    for name, others in (
        ("X86_64", "X86 X32"),
        ("AARCH64", "ARM"),
        ("MIPS64", "MIPS MIPS64N32"),
        ("MIPS64N32", "MIPS MIPS64"),
        ("MIPSEL64", "MIPSEL MIPSEL64N32"),
        ("MIPSEL64N32", "MIPSEL MIPSEL64"),
        ("S390X", "S390"),
        ("RISCV64", ""),
        ("LOONGARCH64", ""),
    )
]


def default(given: Set[str]) -> dict[str, Any]:
    """Return docker's default profile for a container with these capabilities."""
    applied = _applied(_default(), given)
    assert applied is not None
    return applied


def loaded(text: str, given: Set[str]) -> dict[str, Any] | None:
    """Return a user's profile (its JSON) for a container with these capabilities.

    It is None for a profile that asks for nothing.  Raises InvalidSettings.
    """
    try:
        return _applied(decode(text.encode(), _Profile, "the seccomp profile"), given)
    except InvalidImage as e:
        raise InvalidSettings(f"Decoding seccomp profile failed: {e}") from None


def _default() -> _Profile:
    rules = [
        _allow(ALWAYS),
        _allow(SINCE_4_8, includes=_When(min_kernel="4.8")),
        _allow(["socket"], _Argument(0, AF_ALG, "SCMP_CMP_LT")),
        _allow(["socket"], _Argument(0, AF_ALG + 1, "SCMP_CMP_EQ")),
        _allow(["socket"], _Argument(0, AF_VSOCK, "SCMP_CMP_GT")),
    ]
    rules += [_allow(["personality"], _Argument(0, each, "SCMP_CMP_EQ")) for each in PERSONALITIES]
    rules += [
        _allow(names, includes=_When(arches=list(arches))) for arches, names in BY_ARCHITECTURE
    ]
    rules += [_allow(names, includes=_When(caps=[cap])) for cap, names in BY_CAPABILITY.items()]
    s390 = ["s390", "s390x"]
    admin = ["CAP_SYS_ADMIN"]
    rules += [
        _allow(
            ["clone"],
            _Argument(0, NEW_NAMESPACES, "SCMP_CMP_MASKED_EQ"),
            excludes=_When(caps=admin, arches=s390),
        ),
        # There, the flags of clone are its second argument.
        _allow(
            ["clone"],
            _Argument(1, NEW_NAMESPACES, "SCMP_CMP_MASKED_EQ"),
            includes=_When(arches=s390),
            excludes=_When(caps=admin),
        ),
        # Its flags are in memory, out of sight: programs are told that it does not exist, and
        # use clone.
        _Rule(_ERRNO, ["clone3"], errno_ret=_ENOSYS, excludes=_When(caps=admin)),
    ]
    return _Profile(_ERRNO, _EPERM, arch_map=_ARCHITECTURES, syscalls=rules)


def _allow(
    names: Sequence[str],
    *arguments: _Argument,
    includes: _When | None = None,
    excludes: _When | None = None,
) -> _Rule:
    return _Rule(_ALLOW, list(names), args=list(arguments), includes=includes, excludes=excludes)


def _applied(profile: _Profile, given: Set[str]) -> dict[str, Any] | None:
    """Return a profile in the words of the runtime specification, without what does not apply."""
    if not profile.default_action and not profile.syscalls:
        return None
    if profile.architectures and profile.arch_map:
        raise InvalidSettings(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, use either "
            "'architectures' or 'archMap'"
        )
    name, own = _MACHINES.get(os.uname().machine, ("", ""))
    architectures = list(profile.architectures or ())
    for each in profile.arch_map or ():
        if each.architecture == own:
            architectures += [each.architecture, *(each.sub_architectures or ())]
    filled = {
        "defaultAction": profile.default_action,
        "defaultErrnoRet": profile.default_errno_ret,
        "architectures": architectures,
        "flags": profile.flags,
        "listenerPath": profile.listener_path,
        "listenerMetadata": profile.listener_metadata,
        "syscalls": [
            _written(rule) for rule in profile.syscalls or () if _applies(rule, given, name)
        ],
    }
    return {key: value for key, value in filled.items() if value not in (None, [], "")}


def _applies(rule: _Rule, given: Set[str], architecture: str) -> bool:
    without, only = rule.excludes or _When(), rule.includes or _When()
    if architecture in (without.arches or ()) or not given.isdisjoint(without.caps or ()):
        return False
    if without.min_kernel and _kernel() >= _version(without.min_kernel):
        return False
    return (
        (not only.arches or architecture in only.arches)
        and given >= set(only.caps or ())
        and (not only.min_kernel or _kernel() >= _version(only.min_kernel))
    )


def _written(rule: _Rule) -> dict[str, Any]:
    if rule.name and rule.names:
        raise InvalidSettings(
            "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or "
            "'names'"
        )
    written: dict[str, Any] = {"names": rule.names or [rule.name], "action": rule.action}
    if rule.errno_ret is not None:
        written["errnoRet"] = rule.errno_ret
    if rule.args:
        written["args"] = msgspec.to_builtins(rule.args)
    return written


def _kernel() -> tuple[int, int]:
    return _version(os.uname().release)


def _version(text: str) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", text)
    if match is None:
        raise InvalidSettings(f"Decoding seccomp profile failed: invalid kernel version: {text!r}")
    return int(match[1]), int(match[2])
