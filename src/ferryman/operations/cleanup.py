"""What happens when a container has ended: it is finished, started again, or removed.

The monitor calls this (``ferry container cleanup``); so does a command that has waited for the
end.  Whoever comes second finds it done.
"""

import os
import time

import msgspec

from ferryman.image.config import seconds
from ferryman.operations.container_remove import removed_for_good
from ferryman.runtime import record
from ferryman.runtime.finish import finish, over
from ferryman.runtime.record import Container, ContainerNotFound, State, exited
from ferryman.runtime.start import start
from ferryman.store.layout import Store

# As docker: a tenth of a second, twice as long each time, a minute at most; from the beginning
# again once a container has run for ten seconds.
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 60.0
_RAN_WELL = 10.0
_PATIENCE = 5.0


def cleanup(store: Store, container_id: str, *, waited: bool = False) -> State | None:
    """See to the end of a container; return its state then, None when it has been removed before.

    `waited` says that this is the command that started it and has waited for its end.  Raises
    StoreError, and what `start` raises where it is started again.
    """
    state: State | None = None
    try:
        container, state = _ended(store, container_id, waited=waited)
        if state.status == "restarting" and state.monitor == record.process(os.getpid()):
            _start_again(store, container, state)
        elif container.host_config.auto_remove and not state.up:
            if not waited and state.attached:
                # It wants to read the exit code; should it die first, this removes the container.
                exited(state.attached, timeout=_PATIENCE)
            with record.container_locked(store, container_id):
                removed_for_good(store, container)
    except ContainerNotFound:
        pass  # somebody else has removed it
    return state


def _ended(store: Store, container_id: str, *, waited: bool) -> tuple[Container, State]:
    """Finish a container that has ended; one that is to start again waits for it from then on."""
    with record.container_locked(store, container_id):
        container = record.read(store, container_id)
        state = record.read_state(store, container_id)

        def then(ended: State) -> State:
            if waited or not restarts(container, ended):
                return ended
            here = record.process(os.getpid())
            return msgspec.structs.replace(ended, status="restarting", monitor=here)

        if over(state):
            state = finish(store, container, state, then)
    return container, state


def _start_again(store: Store, container: Container, waiting: State) -> None:
    """Start a container that has ended once more, after a pause, unless a user is quicker."""
    ran = seconds(waiting.finished_at) - seconds(waiting.started_at)
    count = 0 if ran >= _RAN_WELL else waiting.restart_count
    time.sleep(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(count, 20)))
    start(store, container, restarts=waiting.restart_count + 1, only_if=waiting)


def restarts(container: Container, state: State) -> bool:
    """Tell whether a container that has ended is to be started again."""
    policy = container.host_config.restart_policy
    if state.stopping or policy.name in ("", "no"):
        return False
    if policy.name in ("always", "unless-stopped"):
        return True
    most = policy.maximum_retry_count
    return state.exit_code != 0 and (most == 0 or state.restart_count < most)
