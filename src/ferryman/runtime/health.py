"""Health checks: a command in the container, again and again, for as long as it runs.

There is no daemon to do this, so each container with a health check has a process of ours beside
its monitor, which ends with it.
"""

import subprocess
import sys
import time

import msgspec

from ferryman.runtime import record
from ferryman.runtime.engine import Engine
from ferryman.runtime.finish import now
from ferryman.runtime.record import Container, ContainerNotFound, Health, HealthLog, State, exited
from ferryman.runtime.settings import Healthcheck
from ferryman.store.layout import Store

SECOND = 10**9
# docker's own, where an image or a user says nothing.
_INTERVAL = 30 * SECOND
_TIMEOUT = 30 * SECOND
_RETRIES = 3
_MAX_OUTPUT = 4096
_MAX_LOG = 5


def has(container: Container) -> bool:
    """Tell whether a container is to be checked."""
    check = container.config.healthcheck
    return bool(check and check.test and check.test[0] not in ("NONE", ""))


def watch_apart(store: Store, container: Container) -> None:
    """Start the process that checks a container which has just been started."""
    subprocess.Popen(
        [
            *(sys.executable, "-m", "ferryman", "--root", store.root),
            *("container", "health", container.id),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def watch(store: Store, container_id: str) -> None:
    """Check a container until it ends; raises StoreError."""
    container = record.read(store, container_id)
    check = container.config.healthcheck
    init = record.read_state(store, container_id).init
    if check is None or init is None or not has(container):
        return
    begun = time.monotonic()
    try:
        while not exited(init, timeout=(check.interval or _INTERVAL) / SECOND):
            entry = _once(store, container, check)
            starting = time.monotonic() - begun < check.start_period / SECOND
            if entry is None or not _told(store, container, check, init, entry, starting):
                return
    except ContainerNotFound:
        return


def _once(store: Store, container: Container, check: Healthcheck) -> HealthLog | None:
    """Run the command once; None when the container has ended in the meantime."""
    state = record.read_state(store, container.id)
    if not state.up:
        return None
    kind, *words = check.test
    if kind == "CMD-SHELL":
        words = [*(container.config.shell or ["/bin/sh", "-c"]), *words]
    engine = Engine(state.runtime, f"{record.folder(store, container.id)}/oci")
    seconds = (check.timeout or _TIMEOUT) / SECOND
    start = now()
    process = subprocess.Popen(
        engine.command("exec", container.id, *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        output, _ = process.communicate(timeout=seconds)
        code = process.returncode
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        code = -1
        output = f"Health check exceeded timeout ({seconds:g}s)".encode()
    text = output[:_MAX_OUTPUT].decode("utf-8", "replace")
    return HealthLog(start=start, end=now(), exit_code=code, output=text)


def _told(
    store: Store,
    container: Container,
    check: Healthcheck,
    init: record.Process,
    entry: HealthLog,
    starting: bool,
) -> bool:
    """Keep what a check has found; return False when the container runs no more."""
    with record.container_locked(store, container.id):
        state = record.read_state(store, container.id)
        if state.init != init:
            return False
        record.write_state(
            store, container.id, _judged(state, entry, check.retries or _RETRIES, starting)
        )
    return True


def _judged(state: State, entry: HealthLog, retries: int, starting: bool) -> State:
    """Return the state with one more check in it; what fails while it starts does not count."""
    before = state.health or Health("starting")
    streak = 0 if entry.exit_code == 0 else before.failing_streak + 1
    status = before.status
    if entry.exit_code == 0:
        status = "healthy"
    elif starting and before.status == "starting":
        streak = 0
    elif streak >= retries:
        status = "unhealthy"
    log = [*before.log, entry][-_MAX_LOG:]
    return msgspec.structs.replace(state, health=Health(status, streak, log))
