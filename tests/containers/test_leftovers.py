"""What is left where even the record of a container is gone, or of a command executed in one."""

import os
import shutil
import signal
from pathlib import Path

from tests.containers.test_life import RUN, until
from tests.ferry import Ferry
from tests.machine import Machine, until_equal

SERVE = "echo $0 > /tmp/index.html; exec httpd -f -p 80 -h /tmp"
MINUTES_AGO = 1_000_000_000


def test_records_lost(alone: Machine) -> None:
    stays = ("-p", "1080:80", "--name", "stays", "box:1", "sh", "-c", SERVE, "stays")
    alone("run", "-d", *stays)
    until(lambda: alone.asked(["127.0.0.1:1080"]) == {"127.0.0.1:1080": "stays"})
    alone("network", "create", "inner")
    # The files with which netavark and aardvark-dns keep each other away stay.
    alone("run", "--rm", "--network", "inner", "box:1", "true")
    until(lambda: len(alone.processes()) == 2)
    before = alone.left()
    before.store.remove("networks/inner.json")
    for port, network in ((1081, "bridge"), (1082, "inner")):
        flags = ("-p", f"{port}:80", "--network", network)
        container = alone.text("run", "-d", *flags, "box:1", "sh", "-c", SERVE, "lost")
        alone.containers()
        shutil.rmtree(alone.root / "containers" / container)
    alone("system", "prune", "--force")
    until_equal(before, alone.left)
    assert alone.asked(["127.0.0.1:1080"]) == {"127.0.0.1:1080": "stays"}


def test_a_session_whose_monitor_died(box: Ferry) -> None:
    box(*RUN, "-d", "--name", "busy", "box:1", "sleep", "1000")
    sessions = box.root / "containers" / box.text("ps", "-q", "--no-trunc") / "bundle/exec"
    box("exec", "-d", "busy", "sleep", "1000")
    (dead,) = sessions.iterdir()
    box("exec", "-d", "busy", "sleep", "1000")
    (alive,) = set(sessions.iterdir()) - {dead}
    os.kill(monitor_of(dead), signal.SIGKILL)
    for session in (dead, alive):
        os.utime(session, (MINUTES_AGO, MINUTES_AGO))
    box("system", "prune", "--force")
    assert list(sessions.iterdir()) == [alive]


def monitor_of(session: Path) -> int:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().split(b"\0")
        except OSError:
            continue  # it has just ended
        if os.fsencode(session) in words and os.path.basename(words[0]) == b"conmon":
            found.append(int(file.parent.name))
    (pid,) = found
    return pid
