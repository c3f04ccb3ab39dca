"""The life of a container: run, create, start, stop, kill, wait, pause, restart, rename, rm."""

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ferryman.runtime import record
from tests.ferry import Ferry

RUN = ("run", "--network", "none")


def state(box: Ferry, name: str) -> dict[str, Any]:
    described = json.loads(box.text("container", "inspect", name))[0]
    return dict(described["State"])


def until(true: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it has not come to that"
        time.sleep(0.05)


def said(box: Ferry, *args: str, code: int) -> str:
    """Run what must fail, and return the one line that it says."""
    done = box(*args, check=False)
    assert done.returncode == code, done.stderr.decode()
    (line,) = done.stderr.decode().splitlines()
    return line


def test_output_and_exit_code(box: Ferry) -> None:
    done = box(*RUN, "box:1", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 7)


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["nosuch"], 127, 'exec: "nosuch": executable file not found in $PATH'),
        (["/etc/notes"], 126, 'exec: "/etc/notes": permission denied'),
        (["/etc"], 126, "/etc"),
    ],
)
def test_what_cannot_be_run(box: Ferry, command: list[str], code: int, words: str) -> None:
    line = said(box, *RUN, "--rm", "box:1", *command, code=code)
    assert words in line
    assert not box.text("ps", "-aq")


def test_no_such_image(box: Ferry) -> None:
    words = said(box, "run", "--pull", "never", "127.0.0.1:1/missing", code=125)
    assert words == "Error: No such image: 127.0.0.1:1/missing:latest"
    done = box(*RUN, "127.0.0.1:1/missing", check=False)
    assert (done.returncode, done.stdout) == (125, b"")
    assert done.stderr.decode().splitlines() == [
        "Unable to find image '127.0.0.1:1/missing:latest' locally",
        'Error: Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused',
    ]


def test_the_image_decides_where_the_user_does_not(box: Ferry, tmp_path: Path) -> None:
    changes = ('ENTRYPOINT ["echo", "from"]', 'CMD ["image"]', "WORKDIR /tmp", "USER ann")
    container = box.text("create", "box:1")
    box("commit", *(word for c in changes for word in ("--change", c)), container, "talk:1")
    assert box.text(*RUN, "--rm", "talk:1") == "from image"
    assert box.text(*RUN, "--rm", "talk:1", "user") == "from user"
    script = "id -u; pwd"
    words = box.text(*RUN, "--rm", "--entrypoint", "sh", "talk:1", "-c", script).split()
    assert words == ["1000", "/tmp"]


def test_rm_leaves_nothing(box: Ferry) -> None:
    box(*RUN, "--rm", "box:1", "true")
    assert box.text("ps", "-aq") == ""
    assert not os.listdir(box.root / "containers")
    assert not os.listdir(box.root / "tmp")


def test_without_rm_it_is_there_and_has_exited(box: Ferry) -> None:
    box(*RUN, "--name", "once", "box:1", "sh", "-c", "exit 3", check=False)
    found = state(box, "once")
    assert (found["Status"], found["ExitCode"], found["Running"]) == ("exited", 3, False)
    line = box.text("ps", "-a", "--format", "{{.Names}} {{.Status}}")
    assert line.startswith("once Exited (3) ")


def test_detached(box: Ferry) -> None:
    container = box.text(*RUN, "-d", "--name", "apart", "box:1", "sleep", "100")
    assert len(container) == 64
    assert box.text("ps", "-q", "--no-trunc") == container
    assert state(box, "apart")["Running"]
    assert box.text("stop", "-t", "0", "apart") == "apart"
    assert state(box, "apart")["ExitCode"] == 137
    assert box.text("ps", "-q") == ""
    assert box.text("rm", "apart") == "apart"
    assert said(box, "start", "apart", code=1) == "Error: No such container: apart"


def test_stop_asks_first(box: Ferry) -> None:
    script = "trap 'echo asked; exit 5' TERM; echo ready; while :; do sleep 0.1; done"
    box(*RUN, "-d", "--name", "polite", "box:1", "sh", "-c", script)
    until(lambda: (box.root / "containers").glob("*/log") and _log(box))
    box("stop", "polite")
    assert state(box, "polite")["ExitCode"] == 5
    assert "asked" in _log(box)


def _log(box: Ferry) -> str:
    return "".join(path.read_text() for path in (box.root / "containers").glob("*/log"))


def test_stop_signal_and_kill(box: Ferry) -> None:
    script = "trap 'exit 9' USR1; while :; do sleep 0.1; done"
    for number, args in enumerate((("kill", "-s", "USR1"), ("stop",))):
        name = f"n{number}"
        flags = ("--stop-signal", "SIGUSR1", "--name", name)
        box(*RUN, "-d", *flags, "box:1", "sh", "-c", script)
        time.sleep(0.3)
        box(*args, name)
        assert box.text("wait", name) == "9"


def test_wait_prints_exit_codes(box: Ferry) -> None:
    for name, code in (("x0", 0), ("x4", 4)):
        box(*RUN, "-d", "--name", name, "box:1", "sh", "-c", f"sleep 0.3; exit {code}")
    assert box.text("wait", "x0", "x4").split() == ["0", "4"]


def test_create_start_attach(box: Ferry) -> None:
    box("create", "--network", "none", "--name", "later", "box:1", "echo", "now")
    assert state(box, "later")["Status"] == "created"
    assert box.text("start", "--attach", "later") == "now"
    assert box.text("start", "--attach", "later") == "now"


def test_input(box: Ferry) -> None:
    done = box(*RUN, "-i", "--rm", "box:1", "cat", input=b"to and fro\n" * 1000)
    assert done.stdout == b"to and fro\n" * 1000


def test_pause(box: Ferry) -> None:
    box(*RUN, "-d", "--name", "still", "box:1", "sleep", "100")
    box("pause", "still")
    assert state(box, "still")["Status"] == "paused"
    assert "(Paused)" in box.text("ps", "--format", "{{.Status}}")
    assert "is already paused" in said(box, "pause", "still", code=1)
    box("unpause", "still")
    assert state(box, "still")["Status"] == "running"
    assert "is not paused" in said(box, "unpause", "still", code=1)


def test_restart_is_another_process_on_the_same_files(box: Ferry) -> None:
    script = "echo x >> /count; sleep 100"
    box(*RUN, "-d", "--name", "again", "box:1", "sh", "-c", script)
    time.sleep(0.3)
    before = state(box, "again")["Pid"]
    box("restart", "-t", "0", "again")
    assert state(box, "again")["Pid"] != before
    time.sleep(0.3)
    assert box.text("cp", "again:/count", "-")
    upper = next((box.root / "containers").glob("*/upper/count"))
    assert upper.read_text() == "x\nx\n"


def test_names(box: Ferry) -> None:
    first = box.text("create", "--name", "mine", "box:1")
    assert said(box, "create", "--name", "mine", "box:1", code=125) == (
        f'Error: Conflict. The container name "/mine" is already in use by container "{first}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )
    box("rename", "mine", "yours")
    assert box.text("ps", "-a", "--format", "{{.Names}}") == "yours"
    assert "Invalid container name" in said(box, "create", "--name", "a b", "box:1", code=125)
    assert "is already in use" in said(box, "rename", box.text("create", "box:1"), "yours", code=1)
    box("rm", first[:6])
    assert said(box, "rm", "yours", code=1) == "Error: No such container: yours"


def test_removing_what_runs(box: Ferry) -> None:
    box(*RUN, "-d", "--name", "busy", "box:1", "sleep", "100")
    assert said(box, "rm", "busy", code=1) == (
        'Error: cannot remove container "/busy": container is running: '
        "stop the container before removing or force remove"
    )
    assert box.text("rm", "-f", "busy") == "busy"
    assert not os.listdir(box.root / "containers")


def test_prune(box: Ferry) -> None:
    box(*RUN, "-d", "--name", "stays", "box:1", "sleep", "100")
    gone = box.text("create", "box:1")
    assert gone in box.text("container", "prune", "--force")
    assert box.text("ps", "-a", "--format", "{{.Names}}") == "stays"


def test_restart_policy(box: Ferry) -> None:
    script = "echo x >> /count; exit 1"
    box(*RUN, "-d", "--name", "tries", "--restart", "on-failure:2", "box:1", "sh", "-c", script)
    until(lambda: state(box, "tries")["Status"] == "exited")
    count = next((box.root / "containers").glob("*/upper/count")).read_text()
    assert count == "x\n" * 3
    assert json.loads(box.text("inspect", "tries"))[0]["RestartCount"] == 2


def test_restart_policy_of_what_somebody_waits_for(box: Ferry) -> None:
    """As with docker, the first end is that of the command; the container goes on."""
    flags = ("--name", "tries", "--restart", "on-failure:2")
    done = box(*RUN, *flags, "box:1", "sh", "-c", "echo again; exit 3", check=False)
    assert (done.returncode, done.stdout) == (3, b"again\n")
    until(lambda: box.text("logs", "tries").split() == ["again"] * 3)
    until(lambda: state(box, "tries")["Status"] == "exited")
    assert json.loads(box.text("inspect", "tries"))[0]["RestartCount"] == 2


def test_always_until_it_is_stopped(box: Ferry) -> None:
    box(*RUN, "-d", "--name", "ever", "--restart", "always", "box:1", "sh", "-c", "sleep 0.1")
    until(lambda: json.loads(box.text("inspect", "ever"))[0]["RestartCount"] >= 2)
    box("stop", "-t", "0", "ever")
    time.sleep(1)
    assert state(box, "ever")["Status"] == "exited"


def test_health(box: Ferry) -> None:
    flags = ("--health-cmd", "test -e /ill", "--health-interval", "1s", "--health-retries", "2")
    box(*RUN, "-d", "--name", "frail", *flags, "box:1", "sleep", "100")
    assert state(box, "frail")["Health"]["Status"] == "starting"
    until(lambda: state(box, "frail")["Health"]["Status"] == "unhealthy")
    assert "(unhealthy)" in box.text("ps", "--format", "{{.Status}}")
    box("cp", "-", "frail:/", input=_tar_with("ill"))
    until(lambda: state(box, "frail")["Health"]["Status"] == "healthy")


def _tar_with(name: str) -> bytes:
    import io
    import tarfile

    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return content.getvalue()


def test_an_image_in_use(box: Ferry) -> None:
    container = box.text(*RUN, "-d", "box:1", "sleep", "100")
    line = said(box, "rmi", "box:1", code=1)
    assert 'conflict: unable to remove repository reference "box:1" (must force)' in line
    assert f"container {container[:12]} is using its referenced image" in line
    box("image", "prune", "--all", "--force")
    assert box.text("images", "-q")
    box("rm", "-f", container)
    assert "Untagged: box:1" in box.text("rmi", "box:1")


def test_a_stopped_container_keeps_what_it_stands_on(box: Ferry) -> None:
    box("create", "--network", "none", "--name", "kept", "box:1", "echo", "still", "here")
    box("rmi", "--force", "box:1")
    box("image", "prune", "--all", "--force")
    box("system", "prune", "--all", "--force", check=False)
    if box.text("ps", "-aq"):
        assert box.text("start", "-a", "kept") == "still here"


def test_the_monitor_dies(box: Ferry) -> None:
    container = box.text(*RUN, "-d", "--name", "orphan", "box:1", "sleep", "1000")
    pid = state(box, "orphan")["Pid"]
    folder = box.root / "containers" / container
    os.kill(int((folder / "bundle/conmon.pid").read_text()), signal.SIGKILL)
    assert box.text("ps", "-q") == ""
    found = state(box, "orphan")
    assert (found["Status"], found["ExitCode"], found["Pid"]) == ("exited", 137, 0)
    assert record.process(pid) is None
    box("start", "orphan")
    assert state(box, "orphan")["Running"]


def test_the_machine_was_started_anew(box: Ferry) -> None:
    container = box.text(*RUN, "-d", "--name", "old", "box:1", "sleep", "1000")
    path = box.root / "containers" / container / "state.json"
    pid = state(box, "old")["Pid"]
    os.kill(int((path.parent / "bundle/conmon.pid").read_text()), signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    kept = json.loads(path.read_text())
    for who in ("init", "monitor"):
        kept[who]["boot"] = "another"
    path.write_text(json.dumps(kept))
    assert state(box, "old")["Status"] == "exited"
    box("start", "old")
    assert state(box, "old")["Running"]


def test_the_monitor_dies_while_somebody_waits(box: Ferry) -> None:
    running = box.popen(*RUN, "--name", "orphan", "box:1", "sleep", "1000")
    until(lambda: box.text("ps", "-q"))
    waiting = box.popen("wait", "orphan")
    pid = state(box, "orphan")["Pid"]
    (pid_file,) = (box.root / "containers").glob("*/bundle/conmon.pid")
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    assert running.communicate(timeout=20) == (b"", b"")
    assert running.returncode == 137
    assert waiting.communicate(timeout=20) == (b"137\n", b"")
    assert record.process(pid) is None


@pytest.mark.parametrize(("how", "code"), [("stop", "3"), ("kill", "137"), ("rm -f", "137")])
def test_removed_at_its_end_while_somebody_waits(box: Ferry, how: str, code: str) -> None:
    script = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    box(*RUN, "-d", "--rm", "--name", "brief", "box:1", "sh", "-c", script)
    until(lambda: "ready" in _log(box))
    waiting = box.popen("wait", "brief")
    until(lambda: _waits(waiting.pid))
    box(*how.split(), "brief")
    out, errors = waiting.communicate(timeout=20)
    assert (out.decode().strip(), errors) == (code, b"")
    until(lambda: not os.listdir(box.root / "containers"))


def _waits(pid: int) -> bool:
    """Tell whether a process waits for another one to end."""
    links = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            links.append(os.readlink(link))
    return "anon_inode:[pidfd]" in links
