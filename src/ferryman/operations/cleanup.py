"""What happens when a container has ended: it is finished, started again, or removed.

The monitor calls this (``ferry container cleanup``); so does a command that has waited for the
end.  Whoever comes second finds it done.
"""

import os
import time
from contextlib import suppress

import msgspec

from ferryman.image.config import seconds
from ferryman.operations.container_remove import removed_for_good
from ferryman.runtime import record
from ferryman.runtime.finish import finish
from ferryman.runtime.record import Container, ContainerNotFound, State
from ferryman.runtime.start import start
from ferryman.store.layout import Store

# As docker: a tenth of a second, twice as long each time, a minute at most; from the beginning
# again once a container has run for ten seconds.
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 60.0
_RAN_WELL = 10.0


def cleanup(store: Store, container_id: str) -> None:
    """See to the end of a container; raises StoreError."""
    with suppress(ContainerNotFound):
        _cleanup(store, container_id)


def _cleanup(store: Store, container_id: str) -> None:
    with record.container_locked(store, container_id):
        container = record.read(store, container_id)
        state = record.read_state(store, container_id)
        if not state.up or (state.init and state.init.alive):
            return
        ran = time.time() - seconds(state.started_at)
        state = finish(store, container, state)
        again = restarts(container, state)
        if not again:
            if container.host_config.auto_remove:
                removed_for_good(store, container)
            return
        count = 0 if ran >= _RAN_WELL else state.restart_count
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(count, 20))
        waiting = msgspec.structs.replace(
            state, status="restarting", monitor=record.process(os.getpid())
        )
        record.write_state(store, container_id, waiting)
    time.sleep(pause)
    with record.container_locked(store, container_id):
        state = record.read_state(store, container_id)
        if state.status != "restarting":
            return  # a user has stopped it in the meantime, or started it
        idle = msgspec.structs.replace(state, status="exited", monitor=None)
        record.write_state(store, container_id, idle)
    start(store, container, restarts=state.restart_count + 1)


def restarts(container: Container, state: State) -> bool:
    """Tell whether a container that has ended is to be started again."""
    policy = container.host_config.restart_policy
    if state.stopping or policy.name in ("", "no"):
        return False
    if policy.name in ("always", "unless-stopped"):
        return True
    most = policy.maximum_retry_count
    return state.exit_code != 0 and (most == 0 or state.restart_count < most)
