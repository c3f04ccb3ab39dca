"""Containers of an ordinary user: a user namespace (user_namespaces(7)) in which they are root.

In it the user's own ID is 0, and the IDs that /etc/subuid and /etc/subgid give them follow from 1
on, so that the files of an image have the owners that they are to have.  All containers of a store
are in one such namespace, since they share layers and may be sent signals together.  No process is
there only to keep it: a command joins where another command or a container is in it already, and
makes a new one otherwise.
"""

import os
import pwd
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain

import msgspec

from ferryman.errors import FerryError, StoreError
from ferryman.rootfs import syscalls
from ferryman.runtime import programs, record
from ferryman.runtime.record import ContainerNotFound, Process
from ferryman.store.layout import Store
from ferryman.store.lock import locked

_LINE = re.compile(r"([^:]+):([0-9]+):([0-9]+)", re.ASCII)


class NoUserNamespace(FerryError):
    """This user cannot have a user namespace that serves; docker's client exits with 125 then."""

    exit_code = 125


def enter(store: Store) -> None:
    """Make this process, which must have one thread, root of the store's user namespace.

    Nothing is done where it is root already.  Raises NoUserNamespace, MissingProgram, StoreError.
    """
    if os.geteuid() == 0:
        return
    path = f"{store.meta}/userns"
    try:
        with locked(f"{path}.lock"):
            members = [member for member in _members(path) if member.alive]
            for member in chain(members, _containers(store)):
                if _joined(member):
                    members.append(member)
                    break
            else:
                _create()
            me = record.process(os.getpid())
            with open(path, "wb") as f:
                f.write(msgspec.json.encode([*members, me]))
    except OSError as e:
        raise StoreError(f"cannot write to the store {store.root}: {e.strerror}") from None


def _members(path: str) -> list[Process]:
    """Return the processes that have been in the namespace, as they wrote themselves down."""
    try:
        with open(path, "rb") as f:
            return msgspec.json.decode(f.read(), type=list[Process])
    except (FileNotFoundError, msgspec.DecodeError):
        return []


def _containers(store: Store) -> Iterator[Process]:
    """Yield the processes of containers that run."""
    with suppress(FileNotFoundError):
        for container_id in os.listdir(store.containers):
            with suppress(ContainerNotFound):
                state = record.read_state(store, container_id)
                for process in (state.monitor, state.init):
                    if process and process.alive:
                        yield process


def _joined(member: Process) -> bool:
    """Enter the namespace of a process; return False where it has just ended, or is elsewhere."""
    try:
        fd = os.open(f"/proc/{member.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if not member.alive:
            return False
        syscalls.setns(fd, syscalls.CLONE_NEWUSER)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _create() -> None:
    """Enter a new namespace.

    Its IDs are written by programs that may do so, and must be started outside of it.
    """
    user = _name()
    script = " && ".join(
        [
            "read -r _",
            shlex.join(_mapping("newuidmap", "/etc/subuid", user, os.getuid())),
            shlex.join(_mapping("newgidmap", "/etc/subgid", user, os.getgid())),
        ]
    )
    mapper = subprocess.Popen(
        ["/bin/sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    try:
        syscalls.unshare(syscalls.CLONE_NEWUSER)
    except OSError as e:
        mapper.communicate()
        raise NoUserNamespace(
            f"this machine lets no ordinary user have a user namespace: {e.strerror} "
            "(see the sysctl user.max_user_namespaces)"
        ) from None
    _, said = mapper.communicate("go\n")
    if mapper.returncode:
        raise NoUserNamespace(f"cannot map the IDs of {user}: {' '.join(said.split())}")
    _check_powers()


def _name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _mapping(program: str, file: str, user: str, own: int) -> list[str]:
    """Return the command that maps this user's IDs: their own to 0, those of a file from 1 on."""
    words = [
        programs.needed(program, "uidmap", "to run containers as an ordinary user"),
        *(str(os.getpid()), "0", str(own), "1"),
    ]
    inside = 1
    for first, count in _ranges(file, user):
        words += [str(inside), str(first), str(count)]
        inside += count
    if inside == 1:
        raise NoUserNamespace(
            f"{user} has no IDs for the files of containers: add a line like "
            f'"{user}:100000:65536" to {file}'
        )
    return words


def _ranges(file: str, user: str) -> Iterator[tuple[int, int]]:
    """Yield the first ID and the number of each range that a user has (subuid(5))."""
    try:
        with open(file, encoding="utf-8", errors="replace") as f:
            lines = f.read().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        match = _LINE.fullmatch(line.strip())
        if match and match[1] in (user, str(os.getuid())) and int(match[3]):
            yield int(match[2]), int(match[3])


def _check_powers() -> None:
    """Raise NoUserNamespace where AppArmor leaves those in a new user namespace no powers."""
    with suppress(OSError):
        with open("/proc/self/attr/current", encoding="utf-8", errors="replace") as f:
            if f.read().startswith("unprivileged_userns"):
                raise NoUserNamespace(
                    "AppArmor lets no program of an ordinary user have powers in a user namespace: "
                    "see the sysctl kernel.apparmor_restrict_unprivileged_userns"
                )
