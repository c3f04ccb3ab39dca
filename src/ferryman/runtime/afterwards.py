"""What a monitor calls when a container has ended that somebody waits for: a look whether to help.

The command that started the container sees to its end and takes it away, if that command still
lives.  This waits for it, with as little as can be: most of the time there is nothing left to do,
and whoever cleans up needs the processor.

::

    python afterwards.py PID FOLDER COMMAND [ARGUMENT ...]
"""

import os
import select
import sys

_PATIENCE = 1.0
"""Seconds: what the command waits for may be its reader."""


def main(pid: int, folder: str, command: list[str]) -> None:
    """Become `command`, unless process `pid` ends first and takes `folder` away."""
    try:
        ended = os.pidfd_open(pid)
    except ProcessLookupError:
        pass
    else:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        poll.poll(_PATIENCE * 1000)
    if os.path.exists(folder):
        os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
